"""Model folders: written whole, read as they were, refused in one line when something in them is damaged."""

import dataclasses
import inspect
import shutil
import sys
import types

import keras
import numpy as np
import pytest
import safetensors.numpy
import tensorflow as tf

from ssagan_tf import SSAGAN, UserError, Vocabulary
from ssagan_tf.config import Config
from ssagan_tf.networks import CompactImageEncoder
from ssagan_tf.step.ablation import Ablation
from ssagan_tf.step.augmentation import Augmentation
from ssagan_tf.training.fine_tuning import fine_tuned
from ssagan_tf.training.run import load_model
from ssagan_tf.weights.model_folder import folder_of

VOCABULARY = Vocabulary.build(["a red bird with yellow wings"])
CONFIG = Config().override(image_size=8, base_filters=2)
CONFIG = dataclasses.replace(
    CONFIG,
    model=dataclasses.replace(CONFIG.model, noise_dim=5, sentence_dim=6, mask_filters=3, embedding_dim=5, max_words=4),
)


@pytest.fixture(autouse=True)
def _without_graphs(eagerly):
    with eagerly():
        yield


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


def assert_same(one, other):
    for first, second in zip(one.variables, other.variables, strict=True):
        if "seed_generator" not in first.path:
            np.testing.assert_array_equal(first.numpy(), second.numpy(), err_msg=first.path)


def test_the_configuration_of_a_model_can_be_told_from_its_networks(model, tmp_path):
    model.save_to_preset(tmp_path / "mine")
    again = SSAGAN.from_preset(tmp_path / "mine")
    # The weight of DAMSM is the text training's default, which is published.
    assert again.settings.model == dataclasses.replace(CONFIG.model, damsm_weight=0.1)
    assert_same(model, again)
    card = (tmp_path / "mine" / "README.md").read_text()
    assert card.startswith("# mine\n") and "8 x 8 pixels, 6 words" in card


def test_what_was_read_keeps_the_settings_that_it_was_trained_with(saved, tmp_path):
    config = CONFIG.override(dataset="synthbirds", steps=7, initial_gate=1.0, damsm_weight=0.3)
    SSAGAN.from_preset(saved).save_to_preset(tmp_path / "one", config)
    SSAGAN.from_preset(tmp_path / "one").save_to_preset(tmp_path / "other")
    assert Config.load(tmp_path / "other" / "config.json") == config


@pytest.mark.parametrize(
    "options",
    [
        {"fused": True, "seed": 3},
        {"gradient_checkpointing": True, "augmentation": Augmentation(False, 77)},
        {"ablation": Ablation(0.5, False, False, False)},
    ],
)
def test_a_model_keeps_its_options_of_training(tiny_model, options, tmp_path):
    model = tiny_model(**options)
    model.save_to_preset(tmp_path / "mine")
    again = SSAGAN.from_preset(tmp_path / "mine")
    assert again.get_options() == model.get_options() and again.ablation == model.ablation
    assert (again.augmentation is None) == (model.augmentation is None)
    if model.augmentation is not None:
        assert (again.augmentation.adaptive, again.augmentation.pictures) == (False, 77)
    (tmp_path / "mine" / "training.safetensors").unlink()
    SSAGAN.from_preset(tmp_path / "mine").save_to_preset(tmp_path / "sampler")
    assert Config.load(tmp_path / "sampler" / "config.json") == Config.load(tmp_path / "mine" / "config.json")


def test_without_a_vocabulary_there_is_no_folder(tiny_model, tmp_path):
    with pytest.raises(UserError, match="no vocabulary. Received: vocabulary=None"):
        tiny_model(vocabulary=None).save_to_preset(tmp_path / "mine")


# === Names and handles ===


def test_every_preset_has_a_name_that_is_read():
    assert list(SSAGAN.presets) == ["synthbirds_64", "cub_64"]
    for name, about in SSAGAN.presets.items():
        model = SSAGAN.from_preset(name)
        assert model.generator.count_params() + model.text_encoder.count_params() == about["metadata"]["params"]
        assert_same(model, SSAGAN.from_preset(str(about["folder"])))
        np.testing.assert_array_equal(load_model(name).generate("a red bird"), model.generate("a red bird"))


def test_the_terms_of_the_data_are_told_and_travel_with_the_model(tiny_model, tmp_path, caplog):
    tiny_model().save_to_preset(tmp_path / "free")
    assert not (tmp_path / "free" / "terms.txt").exists()
    (tmp_path / "free" / "terms.txt").write_text("For research\nonly.\n")
    with caplog.at_level("WARNING"):
        SSAGAN.from_preset(tmp_path / "free").save_to_preset(tmp_path / "again")
    assert "Terms of this model: For research only." in caplog.text
    assert (tmp_path / "again" / "terms.txt").read_text() == "For research only.\n"


def test_a_name_that_nobody_knows_is_told_with_those_that_are(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert folder_of("synthbirds-64") == folder_of("synthbirds_64")  # the folder's name
    with pytest.raises(UserError, match="No such model. Received: 'synthbird'.*one of synthbirds_64.*hf://OWNER/NAME"):
        SSAGAN.from_preset("synthbird")
    with pytest.raises(UserError, match="No such model. Received: 'synthbird'"):
        load_model("synthbird")
    with pytest.raises(UserError, match="No such model. Received: 'synthbird'"):  # of train.py --from
        fine_tuned(Config(), "small", {"initial_model": "synthbird"})


@pytest.mark.parametrize(
    ("handle", "package", "function"),
    [
        ("hf://somebody/birds", "huggingface_hub", "snapshot_download"),
        ("kaggle://somebody/birds/keras/tiny", "kagglehub", "model_download"),
    ],
)
def test_a_handle_is_downloaded_by_the_package_of_its_service(handle, package, function, model, saved, monkeypatch):
    asked = []
    fetch = lambda name: asked.append(name) or str(saved)  # noqa: E731
    monkeypatch.setitem(sys.modules, package, types.SimpleNamespace(**{function: fetch}))
    assert_same(SSAGAN.from_preset(handle), model)
    assert asked == [handle.split("://")[1]]


def test_handles_that_cannot_be_downloaded_are_told_in_a_line(monkeypatch):
    with pytest.raises(UserError, match="No such handle. Received: ftp://x/y. Use hf://"):
        SSAGAN.from_preset("ftp://x/y")
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(UserError, match="Received: hf://x/y. Run: pip install huggingface_hub"):
        SSAGAN.from_preset("hf://x/y")

    def refuse(_):
        raise OSError("404\nnot found")

    monkeypatch.setitem(sys.modules, "huggingface_hub", types.SimpleNamespace(snapshot_download=refuse))
    with pytest.raises(UserError, match="Received: hf://x/y: 404 not found. Check the handle."):
        SSAGAN.from_preset("hf://x/y")


# === One file ===


def batches():
    random = np.random.default_rng(3)
    batch = {
        "image": random.uniform(-1, 1, (4, 8, 8, 3)).astype("float32"),
        "caption": np.array([[1, 2, 3, 4], [3, 2, 0, 0], [5, 0, 0, 0], [1, 0, 0, 0]]),
        "class_id": np.arange(4),
    }
    return tf.data.Dataset.from_tensors(batch).repeat()


@pytest.mark.parametrize("compiled", [False, True])
def test_keras_saves_a_model_as_one_file_and_reads_it_in_safe_mode(compiled, tiny_model, randomize, tmp_path):
    encoder = CompactImageEncoder(6, 8, 2, name="image_encoder")
    options = {"text_training": "damsm", "damsm_weight": 0.2, "max_words": 4, "seed": 5}
    model = randomize(tiny_model(image_encoder=encoder, augmentation=Augmentation(False, 77), **options))
    if compiled:
        model.compile(generator_optimizer=keras.optimizers.SGD(0.1))
        model.fit(batches(), steps_per_epoch=2, shuffle=False, verbose=0)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    assert type(again) is SSAGAN and again.compiled == compiled and again.vocabulary == model.vocabulary
    assert again.get_config() == model.get_config()
    assert_same(model, again)
    np.testing.assert_array_equal(again.generate("a red bird", seed=3), model.generate("a red bird", seed=3))
    if compiled:
        assert isinstance(again.generator_optimizer, keras.optimizers.SGD)
        for one in (model, again):  # goes on as if it had never been away
            keras.utils.set_random_seed(0)
            one.fit(batches(), steps_per_epoch=1, shuffle=False, verbose=0)
        assert int(again.discriminator_optimizer.iterations) == int(model.discriminator_optimizer.iterations) == 6
        for one, other in zip(model.variables, again.variables, strict=True):
            if "seed_generator" not in one.path:
                np.testing.assert_allclose(one.numpy(), other.numpy(), atol=1e-6, err_msg=one.path)


def test_a_keras_file_of_an_earlier_version_has_what_is_ablated_among_its_arguments(model):
    old = model.get_config()
    del old["ablation"]
    old |= {"end_to_end_weight": 0.5, "global_negatives": True, "penalised": False, "mismatched_pairs": True}
    assert SSAGAN.from_config(old).ablation == Ablation(end_to_end_weight=0.5, gradient_penalty=False)


def test_every_argument_of_a_model_is_saved(model):
    arguments = set(inspect.signature(SSAGAN.__init__).parameters) - {"self", "kwargs"}
    assert set(model.get_config()) - {"name"} == arguments


def test_keras_saves_a_model_for_sampling(model, saved, copy, tmp_path):
    (copy / "training.safetensors").unlink()
    SSAGAN.from_preset(copy).save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    assert again.discriminator is None
    np.testing.assert_array_equal(again.generate("bird"), model.generate("bird"))


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
    "the folder of a training": (
        lambda f: ((f / "model.safetensors").unlink(), (f / "checkpoints").mkdir()),
        "Read its model with `ssagan_tf.training.run.load_model`",
    ),
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
