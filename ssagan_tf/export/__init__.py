"""From a trained model to files that other programs run.

A format is a function `export(model, folder, captions)` that writes its files into `folder`, which is under
construction. A new format is a module here and a line in `FORMATS`.

    NAME/1, NAME/2, ...             SavedModels, in the numbered folders that servers watch
    NAME/token_ids/1, ...           SavedModels of token ids, likewise
    NAME/tflite, NAME/onnx, NAME/web    the others, of which there is one each, the newest
"""

from __future__ import annotations

import importlib
import pathlib
import typing
from collections.abc import Callable, Sequence

from ssagan_tf.core import files
from ssagan_tf.errors import UserError
from ssagan_tf.weights.versions import SAVED_MODEL_FILE, newest_version, next_version

if typing.TYPE_CHECKING:
    from ssagan_tf.ssagan import SSAGAN

SAVED_MODEL, TOKEN_IDS = "saved_model", "token_ids"
MOST_PICTURES = 32  # of one request to a server; the graph refuses more

Export = Callable[["SSAGAN", pathlib.Path, Sequence[str]], None]


def _in_module(name: str) -> Export:
    """`export` of a module of this package, imported when it is first used: converters take seconds to import."""
    return lambda *arguments: importlib.import_module(f"{__name__}.{name}").export(*arguments)


FORMATS: dict[str, Export] = {
    SAVED_MODEL: _in_module("saved_model"),
    TOKEN_IDS: _in_module("token_ids"),
    "tflite": _in_module("tflite"),
    "onnx": _in_module("onnx"),
    "web": _in_module("web"),
}


def export(
    model: SSAGAN, out: pathlib.Path, formats: Sequence[str] = ("saved_model",), captions: Sequence[str] = ()
) -> pathlib.Path:
    """Writes a model in some formats, each whole or not at all.

    Args:
        model: with a vocabulary.
        out: the model's folder, made if need be; its name is the model's name.
        formats: keys of `FORMATS`.
        captions: like those that the model will be asked for, to measure what 8 bits must span; or else random words.

    Returns:
        The new version's folder, `out/N`, if there is a SavedModel among them, else `out`.

    Raises:
        UserError: no such format, a model without vocabulary, or `out` cannot be written.
    """
    unknown = [name for name in formats if name not in FORMATS]
    if unknown or not formats:
        raise UserError(f"No such format. Received: {', '.join(unknown) or 'none'}. Use some of {', '.join(FORMATS)}.")
    if model.vocabulary is None:
        raise UserError("The model has no vocabulary. Received: vocabulary=None. Export one that reads captions.")
    if SAVED_MODEL in formats:
        importlib.import_module(f"{__name__}.serving").check_name(out)  # before any folder is made
    written = {name: _target(out, name) for name in formats}
    for name, target in written.items():
        with files.folder_written_atomically(target, replace=not target.name.isdecimal()) as aside:
            FORMATS[name](model, aside, captions)
    if SAVED_MODEL not in written:
        return out
    version = written[SAVED_MODEL]
    importlib.import_module(f"{__name__}.serving").write_server_files(version, model.vocabulary, model.max_words)
    return version


def _target(out: pathlib.Path, name: str) -> pathlib.Path:
    """Where a format is written."""
    if name == SAVED_MODEL:
        return next_version(out)
    return next_version(out / name) if name == TOKEN_IDS else out / name


def exported(folder: pathlib.Path) -> dict[str, pathlib.Path]:
    """The newest folder of each format that there is.

    Args:
        folder: a model's folder, or the folder of one of its versions. In folders of earlier exports, TFLite and ONNX
            files are inside of versions.
    """
    version = folder if folder.name.isdecimal() else newest_version(folder)
    found = {SAVED_MODEL: version} if version and (version / SAVED_MODEL_FILE).is_file() else {}
    model = folder.parent if folder.name.isdecimal() else folder
    numbered = sorted((path for path in model.glob("*") if path.name.isdecimal()), key=lambda path: -int(path.name))
    for name in FORMATS:
        places = [place / name for place in (folder, model, *numbered) if (place / name).is_dir()]
        if name != SAVED_MODEL and places:
            found[name] = (newest_version(places[0]) or places[0]) if name == TOKEN_IDS else places[0]
    return found
