"""The page to play with: type a caption, see the picture, see where each word acted.

`page/` is plain HTML, CSS and JavaScript modules. It draws with a server that speaks TensorFlow Serving's REST API
(`ssagan_tf.demo.server`), or wholly in the browser (`ssagan_tf.export.web`); its file `settings.json` says which.
"""

from __future__ import annotations

import importlib.resources

SETTINGS_FILE = "settings.json"
VOCABULARY_FILE = "vocabulary.txt"


def page_files() -> dict[str, bytes]:
    """The files of the page by name, without settings and vocabulary."""
    folder = importlib.resources.files(__name__) / "page"
    return {file.name: file.read_bytes() for file in sorted(folder.iterdir(), key=lambda file: file.name)}
