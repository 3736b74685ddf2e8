"""Wrong arguments of public functions and constructors: one line that names them, before anything is computed."""

import pathlib

import keras
import numpy as np
import pytest

from ssagan_tf import DAMSM, SSAGAN, UserError, Vocabulary, convert
from ssagan_tf.config import preset
from ssagan_tf.networks import CompactImageEncoder, Discriminator, Generator, ImageEncoder, TextEncoder

ODD = [5, None, b"x", object, [], {}, float("nan"), np.zeros(3), "\0", ["a", 5]]
NO_SIZES = [None, b"x", "5", [], {}, 1.5, 0, -1, np.zeros(2)]
NO_WEIGHTS = [b"x", "1", -1, float("nan"), float("inf"), [1, 2], {}]
NETWORKS = {
    Generator: ("base_filters", "image_size", "noise_dim", "sentence_dim", "mask_filters"),
    Discriminator: ("base_filters", "image_size", "sentence_dim"),
    TextEncoder: ("vocabulary_size", "sentence_dim", "embedding_dim"),
    CompactImageEncoder: ("embedding_dim", "image_size", "base_filters"),
    ImageEncoder: ("embedding_dim",),
}


@pytest.fixture(scope="module")
def model(tiny_model):
    return tiny_model()


@pytest.fixture(scope="module")
def damsm(model):
    return DAMSM(model.text_encoder, CompactImageEncoder(6, 16, 1))


def refused(function, *arguments, **options) -> str:
    with pytest.raises(UserError) as error:
        function(*arguments, **options)
    assert "Received" in str(error.value) and "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize("odd", ODD, ids=repr)
def test_what_is_no_path_no_text_and_no_array_is_refused(model, odd, tmp_path):
    for reads in (SSAGAN.from_preset, model.save_to_preset, Vocabulary.load, model.vocabulary.save, preset_of):
        refused(reads, odd)
    refused(Vocabulary, odd)
    refused(model.generate, odd)
    refused(model.generate_from_embeddings, odd, odd)
    refused(convert.load_generator, model.generator, odd)
    if not isinstance(odd, str):
        for reads in (model.vocabulary.encode, model.vocabulary.unknown, model.vocabulary.suggest):
            refused(reads, odd)
    if not isinstance(odd, np.ndarray):
        refused(model.noise_of, odd)
    refused(model.vocabulary.merged, odd)
    refused(Vocabulary.build, odd)


def preset_of(name):
    return preset(name, "cub")


def test_a_file_in_the_place_of_a_folder_is_refused(tmp_path):
    file = tmp_path / "model.keras"
    file.write_text("x")
    for path in (file, str(file), pathlib.Path("no/such")):
        refused(SSAGAN.from_preset, path)


@pytest.mark.parametrize("kind, name", [(kind, name) for kind, names in NETWORKS.items() for name in names])
def test_sizes_that_are_none_are_refused_by_name(kind, name):
    usual = {"vocabulary_size": 5} if kind is TextEncoder else {}
    for size in NO_SIZES:
        told = refused(kind, **usual | {name: size})
        assert f"{name}=" in told or (isinstance(size, int) and "must be" in told)


@pytest.mark.parametrize("part", ["generator", "discriminator", "text_encoder", "image_encoder"])
def test_parts_that_are_no_layers_are_refused_by_name(model, part):
    parts = {name: getattr(model, name) for name in ("generator", "discriminator", "text_encoder")}
    for odd in (5, "x", [], {}, object):
        assert f"{part}=" in refused(SSAGAN, **parts | {part: odd})
    if part.endswith("encoder"):
        encoders = {"text_encoder": model.text_encoder, "image_encoder": CompactImageEncoder(6, 16, 1)}
        assert f"{part}=" in refused(DAMSM, **encoders | {part: None})


def test_options_of_a_model_that_are_none_are_refused_by_name(model):
    parts = [model.generator, model.discriminator, model.text_encoder]
    for weight in NO_WEIGHTS:
        assert "damsm_weight=" in refused(SSAGAN, *parts, damsm_weight=weight)
    for size in NO_SIZES:
        assert "max_words=" in refused(SSAGAN, *parts, max_words=size)
    for odd in (5, [], {}, np.zeros(3), "no"):
        assert "text training" in refused(SSAGAN, *parts, text_training=odd)
    assert "ablation" in refused(SSAGAN, *parts, ablation=5)
    assert "dropout=" in refused(TextEncoder, 5, 4, dropout=1.0)


def test_damsm_says_what_to_do_in_place_of_what_it_cannot(damsm, tmp_path):
    assert "damsm.text_encoder.export(folder)" in refused(damsm.export, tmp_path / "x")
    assert "damsm.evaluate" in refused(damsm.predict, None)


def test_models_are_cloned(model, damsm):
    assert keras.models.clone_model(model).generator.get_config() == model.generator.get_config()
    clone = keras.models.clone_model(damsm)
    assert {n: v.shape for n, v in clone.encoder_variables().items()} == {
        n: v.shape for n, v in damsm.encoder_variables().items()
    }
