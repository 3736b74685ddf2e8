"""The folder for browsers is whole, and its file draws the model's pictures without being resized."""

import json

import numpy as np
import pytest

from ssagan_tf.export import assets, web
from ssagan_tf.noise import normals
from ssagan_tf.pictures import to_uint8


@pytest.fixture(scope="module")
def folder(random_model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("web") / "birds" / "web"
    web.export(random_model, folder)
    return folder


def test_everything_is_in_it(folder, random_model):
    names = {path.name for path in folder.iterdir()}
    assert names > {
        *assets.page_files(),
        "model.tflite",
        "package.json",
        "package-lock.json",
        "install_runtime.js",
        "LICENSE",
        "README.md",
    }
    assert (folder / "vocabulary.txt").read_text().split("\n")[:3] == ["<end>", "a", "red"]
    settings = json.loads((folder / "settings.json").read_text())
    check = settings.pop("check")
    assert settings == {
        "backend": "litert",
        "model": "birds",
        "models": {"birds": {"terms": ""}},
        "max_words": random_model.max_words,
        "noise_dim": 5,
        "mask_sizes": [4, 8, 16, 32, 64],
    }
    picture = random_model.generate(check["caption"], seed=int(check["seed"]))[0]
    assert check["image"] == picture.ravel()[::48].tolist()


def test_its_file_draws_one_picture_without_being_resized(folder, random_model):
    litert = pytest.importorskip("ai_edge_litert.interpreter")
    interpreter = litert.Interpreter(str(folder / "model.tflite"), num_threads=1)
    text, image = (interpreter.get_signature_runner(name) for name in ("text", "image"))
    noise = image.get_input_details()["noise"]
    assert noise["shape"].tolist() == noise["shape_signature"].tolist() == [1, 5]
    ids = np.zeros((1, random_model.max_words), np.int32)
    ids[0, :3] = random_model.vocabulary.encode("a red bird")
    overrides = np.full((64, 64), -1, np.float32)
    for held in (overrides, np.triu(overrides + 2) - np.eye(64, dtype=np.float32)):
        inputs = {
            "noise": normals([3], 5),
            "sentence": text(ids=ids)["sentence"],
            "mask_overrides": held[None, ..., None],
        }
        wanted = random_model.generate("a red bird", seed=3, mask_overrides=held)
        assert np.abs(to_uint8(image(**inputs)["image"]).astype(int) - wanted).max() <= 4
