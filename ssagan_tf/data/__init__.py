"""Captioned pictures: sources, preparation, batches."""

from __future__ import annotations

import importlib
import typing

from ssagan_tf.errors import UserError

if typing.TYPE_CHECKING:
    from ssagan_tf.data.source import Source

# A new data set is a module with a `Source` in it and a line here.
_SOURCES = {"cub": "cub.Cub", "coco": "coco.Coco", "folder": "folder.Folder", "synthbirds": "synthbirds.SynthBirds"}
DATASETS = tuple(_SOURCES)


def open_source(dataset: str, data_dir: str | None, image_size: int, **options: typing.Any) -> Source:
    """A data set by its name.

    Args:
        dataset: one of `DATASETS`.
        data_dir: its folder; not needed for synthbirds, which is drawn.
        image_size: pixels; sources that draw draw at this size.
        options: what else the source takes: `skip_broken`, `tokenizer` (files), `seed` and `count` (synthbirds).

    Raises:
        UserError: no such data set, no folder given, or the folder is not such a data set.
    """
    if dataset not in _SOURCES:
        raise UserError(f"There is no such data set. Received: {dataset!r}. Use one of {', '.join(DATASETS)}.")
    module, name = _SOURCES[dataset].split(".")
    source = getattr(importlib.import_module(f"ssagan_tf.data.{module}"), name)
    if dataset == "synthbirds":
        return source(image_size, **options)
    if not data_dir:
        raise UserError(f"The data set {dataset!r} needs its folder. Received: none. Give it as --data_dir.")
    return source(data_dir, **options)
