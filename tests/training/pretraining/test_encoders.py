"""Encoders pretrained elsewhere: folders of DAMSM, what fits them, and trainings that take them."""

import dataclasses
import shutil

import keras
import numpy as np
import pytest

from ssagan_tf import SSAGAN, UserError, Vocabulary
from ssagan_tf.damsm import DAMSM, load_damsm
from ssagan_tf.data import open_source
from ssagan_tf.training import checkpoint, resume, train
from ssagan_tf.training.pretraining import encoders
from ssagan_tf.training.run import Run
from ssagan_tf.weights import tensor_files


@pytest.fixture(scope="module")
def config(tiny):
    """The tiny training with an image encoder, which needs 16 pixels."""
    model = dataclasses.replace(tiny.model, image_encoder="compact", image_size=16)
    return dataclasses.replace(tiny, model=model).override(steps=2, sample_every=100)


@pytest.fixture(scope="module")
def vocabulary(config):
    source = open_source("folder", config.data.data_dir, 16)
    return Vocabulary.build(text for example in source.examples("train") for text in example.captions)


def write(folder, config, vocabulary):
    """A folder of DAMSM as other programs may write it, by its contract alone."""
    keras.utils.set_random_seed(3)
    damsm = DAMSM.from_model_config(config.model, vocabulary)
    folder.mkdir()
    config.save(folder / "config.json")
    vocabulary.save(folder / "vocabulary.txt")
    named = tensor_files.named_variables("text_encoder", damsm.text_encoder.variables)
    named |= tensor_files.named_variables("image_encoder", damsm.image_encoder.variables)
    tensor_files.write_state(folder / "damsm.safetensors", named)
    return damsm


@pytest.fixture(scope="module")
def made(config, vocabulary, tmp_path_factory):
    folder = tmp_path_factory.mktemp("damsm") / "damsm"
    return folder, write(folder, config, vocabulary)


def test_a_folder_gives_the_encoders_their_words_and_settings(made, config, vocabulary):
    folder, damsm = made
    again, words, settings = load_damsm(folder)
    assert words == vocabulary and settings == config
    assert set(again.encoder_variables()) == set(damsm.encoder_variables())
    for name, variable in damsm.encoder_variables().items():
        np.testing.assert_array_equal(variable, again.encoder_variables()[name], err_msg=name)


@pytest.mark.parametrize("missing", ["config.json", "vocabulary.txt", "damsm.safetensors"])
def test_a_folder_that_is_not_whole_is_told(made, tmp_path, missing):
    folder = shutil.copytree(made[0], tmp_path / "copy")
    (folder / missing).unlink()
    with pytest.raises(UserError, match=f"Received: .*{missing}"):
        load_damsm(folder)


@pytest.mark.slow
def test_a_training_takes_the_encoders_and_goes_on_without_the_folder(made, config, tmp_path):
    folder = shutil.copytree(made[0], tmp_path / "damsm")
    run = Run(tmp_path / "run")
    config = config.override(damsm=str(folder), text_training="frozen")
    train.train(run, config)
    shutil.rmtree(folder)
    train.train(run, config.override(steps=4))
    found = checkpoint.newest(run.checkpoints).state
    for name, variable in made[1].encoder_variables().items():
        np.testing.assert_array_equal(found[name], variable, err_msg=name)
    assert not run.pretraining.exists()
    # Naming another folder, or none, makes it no other run.
    assert resume.resolve(run.folder, True, damsm="elsewhere", steps=9)[1].train.damsm == "elsewhere"


def test_a_source_without_words_of_its_own_takes_those_of_the_folder(made, config, vocabulary):
    source = open_source("folder", config.data.data_dir, 16)
    assert source.vocabulary() is None
    assert encoders.vocabulary_for(source, config.override(damsm=str(made[0]))) == vocabulary


class Data:
    name = "cub"

    def __init__(self, vocabulary):
        self.vocabulary = lambda: vocabulary


def test_other_words_are_refused_and_both_are_named(made, config, vocabulary):
    config = config.override(damsm=str(made[0]))
    assert encoders.vocabulary_for(Data(vocabulary), config) == vocabulary
    words = list(vocabulary.words)
    swapped = Vocabulary([words[0], words[2], words[1], *words[3:]])
    with pytest.raises(UserError, match=f"{made[0]} with .*cub with .*word 1 is '{words[1]}' there, '{words[2]}' here"):
        encoders.vocabulary_for(Data(swapped), config)
    with pytest.raises(UserError, match="words that the other has not"):
        encoders.vocabulary_for(Data(Vocabulary(words[:-1])), config)


def resized(config, folder, **sizes):
    changed = dataclasses.replace(config, model=dataclasses.replace(config.model, **sizes))
    return changed.override(damsm=str(folder))


def test_other_sizes_are_refused_and_both_are_named(made, config, tmp_path):
    changed = resized(config, made[0], sentence_dim=8, image_size=32)
    with pytest.raises(UserError, match=f"{made[0]}: sentence_dim is 6 there, 8 here; image_size is 16 there, 32 here"):
        train.train(Run(tmp_path / "run"), changed)
    assert not (tmp_path / "run" / "config.json").exists()


@pytest.mark.parametrize("image_encoder", ["compact", None])
def test_a_model_takes_the_encoders_that_it_has(made, config, vocabulary, image_encoder):
    model = SSAGAN.from_model_config(resized(config, made[0], image_encoder=image_encoder).model, vocabulary)
    encoders.take_encoders(model, made[0])
    taken = [model.text_encoder] + ([model.image_encoder] if image_encoder else [])
    for one, other in zip(taken, (made[1].text_encoder, made[1].image_encoder), strict=False):
        for value, expected in zip(one.get_weights(), other.get_weights(), strict=True):
            np.testing.assert_array_equal(value, expected)


def test_a_folder_of_something_else_is_told_before_anything_is_written(config, tmp_path):
    for folder in (tmp_path, tmp_path / "none"):
        with pytest.raises(UserError, match=f"No pretrained encoders found. Received: {folder}. Give"):
            train.train(Run(tmp_path / "run"), config.override(damsm=str(folder)))
    assert not (tmp_path / "run" / "config.json").exists()
