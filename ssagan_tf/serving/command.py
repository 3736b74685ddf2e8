"""What serve.py and demo.py do: read the flags, find the models, serve until they are stopped."""

from __future__ import annotations

import functools
import json
import pathlib
import tempfile
import typing
from collections.abc import Callable

from absl import app, flags

from ssagan_tf.core import cli, files
from ssagan_tf.errors import UserError
from ssagan_tf.export.assets import SETTINGS_FILE, VOCABULARY_FILE, page_files
from ssagan_tf.serving.app import LIMITS, LOOPBACK, App, Backend, Options
from ssagan_tf.serving.forward import Forward
from ssagan_tf.serving.models import Models
from ssagan_tf.serving.server import Server
from ssagan_tf.weights.versions import newest_version

flags.disclaim_key_flags()  # they are the script's


def define_flags(models: list[str], port: int, page: bool) -> None:
    """Defines the flags of a script that serves; the arguments are defaults."""
    shown = "" if not models else " [default: bundled]"
    path = cli.Checked(lambda text: files.user_path(text, ("hf", "kaggle")), kind="PATH")
    help = f"Folder of an export, of a run or of a model, or a name; may be given several times.{shown}"
    flags.DEFINE_multi(path, flags.ArgumentSerializer(), "model", models, help)
    flags.DEFINE_string("server", None, "http:// or https://HOST:PORT of a server that draws instead.")
    flags.DEFINE_integer("port", port, "To listen at; 0 for any that is free.", lower_bound=0, upper_bound=65535)
    flags.DEFINE_string("host", "127.0.0.1", "Address to listen at. Read docs/serving.md before you change it.")
    flags.DEFINE_list(
        "allowed_hosts", [], "Names by which this server is called, besides those of this machine; * any."
    )
    cli.path_flag("api_key_file", None, "File with the key that requests to the API must carry.")
    flags.DEFINE_bool("page", page, "Serve the page, too.")
    for limit in LIMITS:
        flags.DEFINE_integer(limit.name, getattr(Options, limit.name), limit.metadata["help"], lower_bound=1)
    cli.trust_flag()


def serve() -> None:
    """Serves as the flags say, until SIGTERM or Ctrl-C.

    Raises:
        UserError: a model that cannot be served, an address that is none, a key that cannot be read.
    """
    given = flags.FLAGS
    if not given.model:
        raise app.UsageError("A model is needed. Received: no --model. Give --model=FOLDER.")
    if given.page and given.api_key_file:
        raise app.UsageError("The page has no key. Received: --page --api_key_file. Leave one of them out.")
    limits: dict[str, typing.Any] = {limit.name: given[limit.name].value for limit in LIMITS}
    options = Options(**limits, hosts=(*LOOPBACK, *given.allowed_hosts), api_key=_key(given.api_key_file))
    with tempfile.TemporaryDirectory() as scratch:
        folders: dict[str, pathlib.Path | Callable[[], pathlib.Path]] = {}
        sources = [_source(model, export=given.server is None) for model in given.model]
        for source in sources:
            # The first model is there when the page opens; others are exported while it answers.
            later = functools.partial(_exported, source, pathlib.Path(scratch))
            folders[source.resolve().name] = source if given.server else later if folders else later()
        backend: Backend = Forward(given.server) if given.server else Models(folders)
        page = page_of({source.resolve().name: source for source in sources}) if given.page else None
        server = Server(App(backend, options, page), given.port, given.host)
        cli.say(f"Open {server.url} in a browser. Ctrl-C ends it." if given.page else f"Serving at {server.url}.")
        server.run_until_stopped()


def _key(path: str | None) -> str | None:
    if path is None:
        return None
    try:
        key = files.read_regular(path, 2**12).decode().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"The key cannot be read. Received: {path}: {error}. Give a file with a line.") from error
    if len(key) < 16 or not key.isascii() or not key.isprintable():
        raise UserError(f"The key is weak. Received: {path} with {len(key)} characters. Write 16 or more of ASCII.")
    return key


def _source(model: str, export: bool) -> pathlib.Path:
    """The folder that a name, a handle or a path means: of an export, a run or a model."""
    place = pathlib.Path(model)
    if place.is_dir() and (not export or newest_version(place) is not None):
        return place
    cli.start_tensorflow()
    from ssagan_tf.weights.model_folder import folder_of

    return folder_of(model)


def _exported(source: pathlib.Path, scratch: pathlib.Path) -> pathlib.Path:
    """A folder of versions; what is no export is exported, for this time alone."""
    if newest_version(source) is not None:
        return source
    cli.start_tensorflow()
    from ssagan_tf.export import export
    from ssagan_tf.training.run import load_model

    loaded = load_model(source, trust=flags.FLAGS.trust)
    cli.say("The model is being exported.")
    return export(loaded, scratch / source.resolve().name).parent


def page_of(sources: dict[str, pathlib.Path]) -> dict[str, bytes]:
    """The page's files, its settings, the words of the first model, and each model's: vocabulary.txt?model=NAME."""
    words = {name: _vocabulary(folder) for name, folder in sources.items()}
    first = next(iter(words))
    models = {name: {"terms": _terms(folder)} for name, folder in sources.items()}
    settings = {"backend": "server", "model": first, "models": models}
    named = {f"{VOCABULARY_FILE}?{name}": content for name, content in words.items()}
    return {
        **page_files(),
        SETTINGS_FILE: json.dumps(settings).encode(),
        VOCABULARY_FILE: words[first],
        **named,
    }


def _terms(folder: pathlib.Path) -> str:
    """What the folder tells of the terms of the data that its model was trained on, or nothing."""
    path = files.inside(folder, files.TERMS_FILE)
    told = files.read_regular(path, 2**16).decode(errors="replace") if path.is_file() else ""
    return " ".join(told.split())


def _vocabulary(folder: pathlib.Path) -> bytes:
    version = newest_version(folder)
    name = VOCABULARY_FILE if version is None else f"{version.name}/assets/{VOCABULARY_FILE}"
    try:
        return files.read_regular(files.inside(folder, name), 64 * 2**20)
    except OSError as error:
        raise UserError(
            f"No model found. Received: {folder}. Train one with make train, and give its run folder: --model=RUN."
        ) from error
