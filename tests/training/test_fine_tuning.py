"""Going on from a trained model: what is carried over, larger pictures, new words, frozen layers, and the whole way."""

import numpy as np
import pytest
import safetensors.numpy
import tensorflow as tf
from small_data import write_folder
from states import assert_same, state

from ssagan_tf import SSAGAN, UserError, Vocabulary
from ssagan_tf.config import PRESETS, ModelConfig, preset
from ssagan_tf.networks import Discriminator, Generator
from ssagan_tf.networks.primitives import upsample_nearest
from ssagan_tf.training import train
from ssagan_tf.training.fine_tuning import carry_over, fine_tuned
from ssagan_tf.training.run import Run, load_model

SIZES = {"base_filters": 2, "noise_dim": 5, "sentence_dim": 6, "mask_filters": 3, "embedding_dim": 5}
START = {"initial_model": "synthbirds_64"}


def model(words: str, image_size: int = 8, grown_from: int | None = None, image_encoder="compact") -> SSAGAN:
    config = ModelConfig(**SIZES, image_size=image_size, grown_from=grown_from, image_encoder=image_encoder)
    return SSAGAN.from_model_config(config, Vocabulary.build([words]))


@pytest.fixture
def source(randomize):
    made = model("a red bird with yellow wings")
    for seed, part in enumerate((made.generator, made.discriminator, made.text_encoder, made.image_encoder)):
        randomize(part, seed)
    return made


def middle_only(layer):
    """Leaves of a 3x3 convolution what is a 1x1 one, which an enlargement commutes with."""
    kernel = layer.kernel.numpy()
    kernel[[0, 0, 0, 1, 1, 2, 2, 2], [0, 1, 2, 0, 2, 0, 1, 2]] = 0
    layer.kernel.assign(kernel)


# === What is carried over ===


def test_the_same_sizes_and_words_carry_everything_over(source):
    other = model("a red bird with yellow wings")
    carried = carry_over(other, source, 0)
    assert not carried.new and not carried.new_words and carried.words == 6
    named = [{**each.sampling_variables(), **each.training_variables()} for each in (source, other)]
    for name, variable in named[0].items():
        np.testing.assert_array_equal(variable.numpy(), named[1][name].numpy(), err_msg=name)


def test_words_are_known_by_their_spelling_and_new_ones_start_like_them(source):
    vocabulary = source.vocabulary.merged(Vocabulary.build(["wings of a grey cat"] + [f"w{n}" for n in range(3000)]))
    assert vocabulary.words[: len(source.vocabulary)] == source.vocabulary.words
    other = SSAGAN.from_model_config(ModelConfig(**SIZES, image_size=8), vocabulary)
    carried = carry_over(other, source, seed=3)
    assert carried.words == 6 and carried.new_words[:3] == ["of", "grey", "cat"] and len(carried.new_words) == 3003
    known, rows = (each.text_encoder.embedding.embeddings.numpy() for each in (source, other))
    np.testing.assert_array_equal(rows[: len(known)], known)
    new = rows[len(known) :]
    np.testing.assert_allclose(new.mean(0), known[1:].mean(0), atol=4 * known.std() / 3000**0.5)
    np.testing.assert_allclose(new.std(0), known[1:].std(0), rtol=0.06)
    again = SSAGAN.from_model_config(ModelConfig(**SIZES, image_size=8), vocabulary)
    carry_over(again, source, seed=3)
    np.testing.assert_array_equal(rows, again.text_encoder.embedding.embeddings.numpy())
    text = carried.text()
    assert "6 words were known, 3,003 are new (of, grey, cat, w0" in text and "text encoder" in text


@pytest.mark.parametrize("image_size", [16, 32])
def test_a_grown_model_begins_as_the_old_one_seen_larger(source, image_size):
    middle_only(source.generator.to_rgb)
    middle_only(source.discriminator.from_rgb)
    other = model("a red bird with yellow wings", image_size, grown_from=8)
    carried = carry_over(other, source, 0)
    new = {"/".join(name.split("/")[:2]) for name in carried.new}
    last = [f"generator/block_{index}" for index in range(2, len(other.generator.blocks))]
    # The block that was the last one now predicts a mask for the next.
    assert new == {
        "generator/block_1",
        *last,
        *(f"discriminator/block_{index}" for index in range(len(last))),
        *(["image_encoder/to_code"] if image_size == 32 else []),
    }
    noise, sentence = tf.random.normal([2, 5]), tf.random.normal([2, 6])
    small, _ = source.generator(noise, sentence)
    large, masks = other.generator(noise, sentence)
    want = small
    while want.shape[1] < image_size:
        want = upsample_nearest(want)
    np.testing.assert_allclose(large, want, atol=1e-5)
    assert len(masks) == len(other.generator.blocks)
    np.testing.assert_allclose(
        other.discriminator(want, sentence), source.discriminator(small, sentence), rtol=1e-4, atol=1e-5
    )


def test_without_a_discriminator_in_the_model_it_is_new(source):
    source.discriminator = None
    carried = carry_over(model("a red bird with yellow wings"), source, 0)
    assert {name.split("/")[0] for name in carried.new} == {"discriminator"}
    assert "discriminator 0 of" in carried.text()


def test_widths_of_a_grown_network_are_those_it_began_with():
    for image_size in (64, 128):
        grown, plain = Generator(8, image_size, grown_from=64), Generator(8, 64)
        assert [block.filters for block in grown.blocks][:5] == [block.filters for block in plain.blocks]
    assert [block.filters for block in Discriminator(8, 128, grown_from=64).blocks] == [8, 16, 32, 64, 128]
    assert Generator.from_config(grown.get_config()).grown_from == 64
    with pytest.raises(UserError, match="grows to larger pictures. Received: image_size=64, grown_from=128"):
        Generator(8, 64, grown_from=128)


# === Settings ===


def test_sizes_are_those_of_the_model_and_the_rest_those_of_preset_and_flags():
    config = fine_tuned(preset("small", "folder"), "small", {"steps": 7, **START})
    assert (config.model.sentence_dim, config.model.image_size, config.model.grown_from) == (128, 64, None)
    assert (config.train.steps, config.train.initial_model, config.data.dataset) == (7, "synthbirds_64", "folder")
    assert config.train.frozen_blocks == PRESETS["small"].fine_tuning["frozen_blocks"] == 1
    assert config.model.text_training == "frozen"  # the preset's, not the model's
    larger = fine_tuned(preset("small", "folder"), "small", {"image_size": 256, "frozen_blocks": 2, **START})
    assert (larger.model.image_size, larger.model.grown_from) == (256, 64)
    assert larger.train.frozen_blocks == 2


@pytest.mark.parametrize(
    "flags, problem",
    [
        ({"base_filters": 16}, "base_filters=16, was 8"),
        ({"image_size": 32}, "image_size=32, was 64"),
        ({"damsm": "runs/damsm"}, "its own encoders"),
    ],
)
def test_what_would_be_another_model_is_refused(flags, problem):
    with pytest.raises(UserError, match=f"A model keeps its sizes.*Received: .*{problem}"):
        fine_tuned(preset("small", "folder"), "small", flags | START)


# === The whole way ===


@pytest.fixture(scope="module")
def cats(tmp_path_factory):
    return write_folder(tmp_path_factory.mktemp("cats"), 10, (16, 16), lambda number: [f"picture of a cat {number}"])


@pytest.fixture(scope="module")
def tuned(straight, cats):
    """Settings that go on from a run with other pictures, and the run's folder."""
    start = str(straight[1].folder)
    flags = {"initial_model": start, "steps": 3, "batch_size": 2, "data_dir": str(cats), "checkpoint_every": 2}
    config = fine_tuned(preset("small", "folder"), "small", flags)
    return config.override(ema_pictures=8, sample_every=100, frozen_blocks=1), start


def test_a_training_goes_on_from_another(tuned, tmp_path, caplog):
    config, start = tuned
    run = Run(tmp_path / "run")
    with caplog.at_level("INFO", logger="absl"):
        train.train(run, config)
    assert "Carried over: generator" in caplog.text and "2 are new (a, cat)" in caplog.text
    began = safetensors.numpy.load_file(run.checkpoints / "step-00000000" / "state.safetensors")
    trained = load_model(start)
    np.testing.assert_array_equal(began["generator/to_rgb/kernel"], trained.generator.to_rgb.kernel)
    np.testing.assert_array_equal(began["average/to_rgb/kernel"], trained.generator.to_rgb.kernel)
    ended = state(run)
    moved = {name for name, value in began.items() if (value != ended[name]).any()}
    assert not {name for name in moved if name.startswith(("discriminator/from_rgb", "discriminator/block_0"))}
    assert "discriminator/joint/kernel" in moved and "generator/to_rgb/kernel" in moved
    assert "cat" in run.vocabulary() and "noise" in run.vocabulary()
    assert load_model(run.folder).generate("a cat of noise").shape == (1, 8, 8, 3)


@pytest.mark.slow
def test_it_goes_on_the_same_after_a_break_of_its_own(tuned, tmp_path):
    config, _ = tuned
    whole, broken = Run(tmp_path / "whole"), Run(tmp_path / "broken")
    train.train(whole, config)
    train.train(broken, config.override(steps=2))
    train.train(broken, config)
    assert_same(state(broken), state(whole))
