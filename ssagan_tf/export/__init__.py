"""From a trained model to files that other programs run.

A format is a function `export(model, folder, captions)` that writes its files into `folder`, a version's folder under
construction, beside those of the other formats. A new format is a module here and a line in `FORMATS`.
"""

from __future__ import annotations

import importlib
import pathlib
import typing
from collections.abc import Callable, Sequence

from ssagan_tf.core import files
from ssagan_tf.errors import UserError
from ssagan_tf.weights.versions import next_version

if typing.TYPE_CHECKING:
    from ssagan_tf.ssagan import SSAGAN

MOST_PICTURES = 32  # of one request to a server; the graph refuses more

Export = Callable[["SSAGAN", pathlib.Path, Sequence[str]], None]


def _in_module(name: str) -> Export:
    """`export` of a module of this package, imported when it is first used: converters take seconds to import."""
    return lambda *arguments: importlib.import_module(f"{__name__}.{name}").export(*arguments)


FORMATS: dict[str, Export] = {
    "saved_model": _in_module("saved_model"),
    "tflite": _in_module("tflite"),
    "onnx": _in_module("onnx"),
    "web": _in_module("web"),
}


def export(
    model: SSAGAN, out: pathlib.Path, formats: Sequence[str] = ("saved_model",), captions: Sequence[str] = ()
) -> pathlib.Path:
    """Writes the next version of a model: `out/1`, `out/2`, ..., whole or not at all.

    Args:
        model: with a vocabulary.
        out: the model's folder, made if need be; its name is the model's name.
        formats: keys of `FORMATS`.
        captions: like those that the model will be asked for, to measure what 8 bits must span; or else random words.

    Returns:
        The version's folder.

    Raises:
        UserError: no such format, a model without vocabulary, or `out` cannot be written.
    """
    unknown = [name for name in formats if name not in FORMATS]
    if unknown or not formats:
        raise UserError(f"No such format. Received: {', '.join(unknown) or 'none'}. Use some of {', '.join(FORMATS)}.")
    if model.vocabulary is None:
        raise UserError("The model has no vocabulary. Received: vocabulary=None. Export one that reads captions.")
    version = next_version(out)
    with files.folder_written_atomically(version) as aside:
        for name in formats:
            FORMATS[name](model, aside, captions)
    if "saved_model" in formats:
        importlib.import_module(f"{__name__}.serving").write_server_files(version, model.vocabulary, model.max_words)
    return version
