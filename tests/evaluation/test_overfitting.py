"""Discriminator overfitting: means of its logits, and the figure made of them."""

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from small_data import write_folder

from ssagan_tf import UserError
from ssagan_tf.data.folder import Folder
from ssagan_tf.evaluation.overfitting import Memory, MemoryTest


@pytest.mark.parametrize(
    "means, gap, memorised",
    [
        ((2.0, 2.0, -1.0), 0.0, 0.0),
        ((2.0, 0.5, -1.0), 1.5, 0.5),
        ((2.0, -1.0, -1.0), 3.0, 1.0),
        ((2.0, -3.0, -1.0), 5.0, 1.0),
        ((1.0, 2.0, -1.0), -1.0, 0.0),
        ((1.0, 0.0, 1.0), 1.0, 0.0),
    ],
)
def test_the_gap_is_told_as_a_share_of_what_is_between_seen_and_drawn(means, gap, memorised):
    memory = Memory(*means)
    assert (memory.gap, memory.memorised) == (gap, memorised)


@pytest.fixture
def folder(tmp_path):
    return Folder(write_folder(tmp_path, 70, (8, 8), lambda _: ["a red bird", "yellow wings"]))


def test_means_are_those_of_the_discriminator_on_central_squares(tiny_model, randomize, folder):
    model = tiny_model()
    for seed, part in enumerate((model.generator, model.discriminator, model.text_encoder)):
        randomize(part, seed)
    found = MemoryTest(model, folder, count=55)()
    assert found == MemoryTest(model, folder, count=55)()
    captions = ["a red bird", "yellow wings"]

    def sentences(count):
        return tf.constant(np.concatenate([model.encode(captions)] * count)[:count])

    for split in ("train", "test"):
        examples = folder.examples(split)[:55]
        # Prepared as for training, eight pixels become nine, of which eight are taken.
        images = [example.load().resize((9, 9), Image.Resampling.BILINEAR) for example in examples]
        pictures = np.stack([np.asarray(image)[:8, :8] for image in images]) / np.float32(127.5) - 1
        logits = model.discriminator(tf.constant(pictures, tf.float32), sentences(len(pictures)))
        assert getattr(found, split) == pytest.approx(float(tf.reduce_mean(logits)), abs=1e-5)
    sentence = sentences(len(folder.examples("test")))
    drawn, _ = model.generator(tf.constant(model.noise_of(range(len(sentence)))), sentence)
    logits = model.discriminator(drawn, sentence)
    assert found.drawn == pytest.approx(float(tf.reduce_mean(logits)), abs=1e-5)


def test_without_pictures_to_test_with_there_is_nothing_to_measure(tiny_model, folder, monkeypatch):
    monkeypatch.setattr(folder, "examples", lambda split: [])
    with pytest.raises(UserError, match="nothing to measure against"):
        MemoryTest(tiny_model(), folder)
