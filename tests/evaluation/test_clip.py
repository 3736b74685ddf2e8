"""The CLIP score against its formula, by the embeddings of a small CLIP with random weights."""

import re
import string
import sys

import numpy as np
import pytest

from ssagan_tf.data.synthbirds import SynthBirds, captions
from ssagan_tf.errors import UserError
from ssagan_tf.evaluation.clip import open_clip
from ssagan_tf.evaluation.metrics import Evaluation
from ssagan_tf.evaluation.protocols import protocol
from ssagan_tf.evaluation.report import evaluate

BIRDS = SynthBirds(64, count={"test": 40})
COUNT = 60  # more than a batch
CHARACTERS = string.ascii_lowercase + string.digits + string.punctuation
TOKENS = ["<unused>", "re", *CHARACTERS, *(f"{c}</w>" for c in CHARACTERS), "<|startoftext|>", "<|endoftext|>"]
IDS = {token: index for index, token in enumerate(TOKENS)}
SCALE, OFFSET = [0.01, 0.02, 0.03], [-1.0, -2.0, -3.0]
LENGTH = 77


@pytest.fixture(scope="module")
def backbone(randomize):
    hub = pytest.importorskip("keras_hub", reason="KerasHub is not installed: pip install -e '.[clip]'")
    sizes = {"hidden_dim": 8, "num_layers": 1, "num_heads": 2, "intermediate_dim": 16}
    backbone = randomize(
        hub.models.CLIPBackbone(
            hub.models.CLIPVisionEncoder(patch_size=16, image_shape=(64, 64, 3), **sizes),
            hub.models.CLIPTextEncoder(len(TOKENS), 8, max_sequence_length=LENGTH, **sizes),
            projection_dim=4,
        )
    )
    # What all captions have in common is taken out of the projection, so that cosines are of both signs.
    ids = np.array([_ids(text) for index in range(40) for text in captions(BIRDS.bird("test", index))], np.int32)
    mean = np.asarray(backbone.get_text_embeddings(ids)).mean(0)
    kernel = backbone.text_projection.kernel
    kernel.assign(np.asarray(kernel) @ (np.eye(4) - np.outer(mean, mean) / (mean @ mean)))
    return backbone


@pytest.fixture(scope="module")
def folder(backbone, tmp_path_factory):
    import keras_hub as hub

    folder = str(tmp_path_factory.mktemp("clip"))
    tokenizer = hub.models.CLIPTokenizer(IDS, ["r e"])
    converter = hub.layers.CLIPImageConverter((64, 64), SCALE, OFFSET, interpolation="bicubic")
    backbone.save_to_preset(folder)
    hub.models.CLIPPreprocessor(tokenizer, converter, LENGTH).save_to_preset(folder)
    return folder


def _ids(caption):
    """Letters and "re": the last letter of each word is marked and joins nothing; the whole begins, ends, is filled."""
    letters = []
    for word in re.findall(r"[a-z]+|[0-9]|[^\sa-z0-9]+", caption.lower()):
        letters += [*re.findall("re|.", word[:-1]), f"{word[-1]}</w>"]
    tokens = ["<|startoftext|>", *letters[: LENGTH - 2], "<|endoftext|>"]
    return [IDS[token] for token in tokens] + [0] * (LENGTH - len(tokens))


def test_the_score_is_that_of_the_formula(tiny_model, backbone, folder, tmp_path):
    model = tiny_model(64, random=True)
    score = evaluate(model, BIRDS, ["clip"], "synthbirds", COUNT, tmp_path, clip=folder)["scores"]["clip"]

    pixels = np.concatenate([np.load(file) for file in sorted((tmp_path / "pictures").glob("*.npy"))])
    drawn = Evaluation(model, BIRDS, protocol("synthbirds"), COUNT, tmp_path)
    ids = np.array([_ids(caption.text) for caption in drawn.captions], np.int32)
    pictures = np.asarray(backbone.get_vision_embeddings((pixels * SCALE + OFFSET).astype(np.float32)), np.float64)
    texts = np.asarray(backbone.get_text_embeddings(ids), np.float64)
    cosines = [p @ t / np.sqrt((p @ p) * (t @ t)) for p, t in zip(pictures, texts, strict=True)]
    assert min(cosines) < 0 < max(cosines)  # so that both sides of the maximum are seen
    assert score["value"] == pytest.approx(np.mean([100 * max(cosine, 0) for cosine in cosines]), rel=1e-4)


def test_the_card_names_model_weights_and_filter(folder):
    found = open_clip(folder)
    assert found.name == folder
    assert found.resize == "to 64 pixels, bicubic, not antialiased, by Keras"
    assert found.sha256 == open_clip(folder).sha256


def test_a_folder_without_a_model_is_refused_with_what_to_download(backbone, tmp_path):
    with pytest.raises(UserError, match=r"cannot be read.*kaggle.com/models/keras/clip/keras/clip_vit_base_patch32,"):
        open_clip(str(tmp_path))


def test_without_the_package_one_line_says_what_to_install(tiny_model, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "keras_hub", None)
    monkeypatch.setitem(sys.modules, "keras_hub.models", None)
    with pytest.raises(UserError, match=r"pip install -e '\.\[clip\]'") as told:
        evaluate(tiny_model(64), BIRDS, ["fid", "clip"], "synthbirds", 4, tmp_path)
    assert "\n" not in str(told.value)
    assert not list(tmp_path.iterdir())  # before anything was drawn
