"""A folder that draws in a browser: the demo's page, the model as a TFLite file, and how to get LiteRT's runtime.

Any host of static files serves it; nothing of the captions leaves the browser. The runtime, 28 MB of WebAssembly of
which a browser loads a third, is not part of this package: `npm ci` in the folder brings it, as its README says.
"""

from __future__ import annotations

import json
import pathlib
from collections.abc import Sequence

from ssagan_tf.core import files
from ssagan_tf.export import assets, serving, tflite
from ssagan_tf.networks.generator import FIRST_SIZE
from ssagan_tf.ssagan import SSAGAN

MODEL_FILE = "model.tflite"
_VARIANT = "float16"  # half of float32 to load, no difference that can be seen
_CHECK_SEED = 7
_CHECKED_VALUES = 256


def export(model: SSAGAN, folder: pathlib.Path, captions: Sequence[str] = ()) -> None:
    """Writes the page, the model and its vocabulary; the model's name is that of the folder around `folder`."""
    name = folder.resolve().parent.name
    for name_of_file, content in {**assets.web_files(), **assets.page_files()}.items():
        files.write_atomically(folder / name_of_file, content)
    model.require_vocabulary().save(folder / assets.VOCABULARY_FILE)
    files.write_atomically(folder / assets.SETTINGS_FILE, json.dumps(_settings(model, name)))
    files.write_atomically(folder / MODEL_FILE, tflite.for_one_picture(model, _VARIANT))


def _settings(model: SSAGAN, name: str) -> dict:
    """What `page/litert.js` needs to know; `check` is a picture that it draws first, to see that it can."""
    caption = serving.example_caption(model.require_vocabulary())
    picture = model.generate(caption, seed=_CHECK_SEED).ravel()
    return {
        "backend": "litert",
        "model": name,
        "models": {name: {"terms": model.terms}},
        "max_words": model.max_words,
        "noise_dim": model.generator.noise_dim,
        "mask_sizes": [FIRST_SIZE * 2**index for index in range(len(model.generator.blocks))],
        "check": {
            "caption": caption,
            "seed": str(_CHECK_SEED),
            "image": picture[:: max(1, picture.size // _CHECKED_VALUES)].tolist(),
        },
    }
