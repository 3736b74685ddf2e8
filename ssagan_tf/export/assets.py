"""The static files of the demo page.

`serving/page/` is plain HTML, CSS and JavaScript modules. It draws with a server that speaks TensorFlow Serving's REST
API, or wholly in the browser (`ssagan_tf.export.web`); its file `settings.json` says which. `serving/page/web/` is what
a folder that draws in the browser has besides.
"""

from __future__ import annotations

import importlib.resources

SETTINGS_FILE = "settings.json"
VOCABULARY_FILE = "vocabulary.txt"


def page_files() -> dict[str, bytes]:
    """The files of the page by name, without settings and vocabulary."""
    return _files("page")


def web_files() -> dict[str, bytes]:
    """What a folder that draws in the browser has besides: how to install the runtime, and its license."""
    return _files("page/web")


def _files(folder: str) -> dict[str, bytes]:
    entries = (importlib.resources.files("ssagan_tf") / "serving" / folder).iterdir()
    return {file.name: file.read_bytes() for file in sorted(entries, key=lambda file: file.name) if file.is_file()}
