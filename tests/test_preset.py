"""Model folders: written whole, read as they were, refused in one line when something in them is damaged."""

import dataclasses
import shutil

import numpy as np
import pytest
import safetensors.numpy

from ssagan_tf import SSAGAN, UserError, Vocabulary
from ssagan_tf.config import Config

VOCABULARY = Vocabulary.build(["a red bird with yellow wings"])
CONFIG = Config().override(image_size=8, base_filters=2)
CONFIG = dataclasses.replace(
    CONFIG,
    model=dataclasses.replace(CONFIG.model, noise_dim=5, sentence_dim=6, mask_filters=3, embedding_dim=5, max_words=4),
)


@pytest.fixture(scope="module")
def model(randomize):
    made = SSAGAN.from_model_config(CONFIG.model, VOCABULARY)
    for part in (made.generator, made.text_encoder, made.discriminator):
        randomize(part)
    return made


@pytest.fixture(scope="module")
def saved(model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("models") / "tiny"
    model.save_to_preset(folder, CONFIG, "# Tiny\n")
    return folder


@pytest.fixture
def copy(saved, tmp_path):
    return shutil.copytree(saved, tmp_path / "copy")


def test_a_folder_holds_all_that_sampling_needs(saved):
    assert {path.name for path in saved.iterdir()} == {
        "config.json",
        "vocabulary.txt",
        "model.safetensors",
        "training.safetensors",
        "README.md",
    }
    assert (saved / "README.md").read_text() == "# Tiny\n"
    assert not [path for path in saved.parent.iterdir() if path != saved]


def test_a_model_comes_back_as_it_was(model, saved):
    again = SSAGAN.from_preset(saved)
    assert again.vocabulary == VOCABULARY and again.max_words == 4
    for one, other in zip(model.variables, again.variables, strict=True):
        if "seed_generator" not in one.path:
            np.testing.assert_array_equal(one.numpy(), other.numpy(), err_msg=one.path)
    np.testing.assert_array_equal(again.generate("a red bird", seed=3), model.generate("a red bird", seed=3))


def test_a_folder_without_a_discriminator_is_for_sampling(model, copy):
    (copy / "training.safetensors").unlink()
    again = SSAGAN.from_preset(copy)
    assert again.discriminator is None
    np.testing.assert_array_equal(again.generate("bird"), model.generate("bird"))


def test_a_folder_is_never_written_over(model, saved):
    with pytest.raises(UserError, match="exists already. Received"):
        model.save_to_preset(saved, CONFIG, "")
    assert (saved / "README.md").read_text() == "# Tiny\n"


def test_a_model_that_cannot_be_written_leaves_nothing(model, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="Could not write. Received"):
        model.save_to_preset(tmp_path / "file" / "model", CONFIG, "")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def rewrite(path, change):
    state = safetensors.numpy.load_file(path)
    change(state)
    safetensors.numpy.save_file(state, path)


def first(state):
    return sorted(state)[0]


def truncate(path):
    path.write_bytes(path.read_bytes()[:-10])


DAMAGES = {
    "no config": (lambda f: (f / "config.json").unlink(), "No configuration could be read"),
    "config is no JSON": (lambda f: (f / "config.json").write_text("{"), "not JSON"),
    "config of a giant": (
        lambda f: (f / "config.json").write_text(
            (f / "config.json").read_text().replace('"base_filters": 2', '"base_filters": 1000000')
        ),
        "base_filters is out of range",
    ),
    "another config": (
        lambda f: (f / "config.json").write_text(
            (f / "config.json").read_text().replace('"base_filters": 2', '"base_filters": 3')
        ),
        "do not fit the model.*not \\(",
    ),
    "no vocabulary": (lambda f: (f / "vocabulary.txt").unlink(), "No vocabulary could be read"),
    "another vocabulary": (lambda f: (f / "vocabulary.txt").write_text("<end>\na\nred\n"), "do not fit the model"),
    "no weights": (lambda f: (f / "model.safetensors").unlink(), "No weights found"),
    "truncated weights": (lambda f: truncate(f / "model.safetensors"), "damaged"),
    "empty weights": (lambda f: (f / "model.safetensors").write_bytes(b""), "damaged"),
    "weights that are none": (lambda f: (f / "model.safetensors").write_text("<html>" * 99), "damaged"),
    "a weight missing": (
        lambda f: rewrite(f / "model.safetensors", lambda state: state.pop(first(state))),
        "is missing",
    ),
    "a weight too many": (
        lambda f: rewrite(f / "model.safetensors", lambda state: state.update(more=np.zeros(1))),
        "more is not known",
    ),
    "a weight of another shape": (
        lambda f: rewrite(f / "model.safetensors", lambda state: state.update({first(state): np.zeros((3, 1, 4))})),
        "is \\(3, 1, 4\\), not",
    ),
    "training weights truncated": (lambda f: truncate(f / "training.safetensors"), "damaged"),
}


@pytest.mark.parametrize("damage, problem", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_folder_is_refused_in_one_line(copy, damage, problem):
    damage(copy)
    with pytest.raises(UserError, match=problem) as refused:
        SSAGAN.from_preset(copy)
    message = str(refused.value)
    assert "Received: " in message and str(copy) in message and "\n" not in message


def test_no_folder_at_all_is_refused(tmp_path):
    with pytest.raises(UserError, match="No configuration could be read. Received"):
        SSAGAN.from_preset(tmp_path / "none")
