"""Configurations: JSON both ways, nothing unknown, missing or out of range, and presets that are whole."""

import dataclasses
import json
import pathlib

import pytest

from ssagan_tf import UserError
from ssagan_tf.config import PRESETS, SETTINGS, Config, ModelConfig, TrainConfig, preset, read_settings
from ssagan_tf.core.settings import shown
from ssagan_tf.data import DATASETS

OTHER = Config(
    model=ModelConfig(image_size=64, dropout=0.25, damsm_weight=0.5, image_encoder=None, text_training="frozen"),
    train=TrainConfig(steps=7, generator_rate=2e-4, seed=-5, max_minutes=1.5),
).override(dataset="folder", data_dir="/some/where é")


@pytest.mark.parametrize("config", [Config(), OTHER], ids=["default", "other"])
def test_json_gives_the_same_configuration_back(config, tmp_path):
    assert Config.from_json(config.to_json()) == config
    config.save(tmp_path / "config.json")
    assert Config.load(tmp_path / "config.json") == config
    assert json.loads((tmp_path / "config.json").read_text()) == dataclasses.asdict(config)


def edited(**parts) -> str:
    """The default configuration's JSON with fields of its parts changed, or taken away by None's type."""
    raw = dataclasses.asdict(Config())
    for part, fields in parts.items():
        for name, value in fields.items():
            if value is dataclasses.MISSING:
                del raw[part][name]
            else:
                raw[part][name] = value
    return json.dumps(raw)


BAD = {
    "not JSON": ("{", "not JSON"),
    "deep": ("[" * 100_000, "not JSON"),
    "long number": ('{"model": ' + "9" * 10_000 + "}", "not JSON"),
    "longer than a fraction can be": (edited(model={"dropout": 10**400}), "dropout is too large"),
    "a list": ("[]", "parts are not as expected.*list"),
    "nothing": ("null", "parts are not as expected"),
    "a part missing": (json.dumps({"model": {}}), "not complete. .* without data, train"),
    "a part of another kind": (json.dumps(dataclasses.asdict(Config()) | {"train": 3}), "parts are not as expected"),
    "unknown field": (edited(model={"colour": 1}), "No such setting.*model.colour"),
    "text for a number": (edited(train={"steps": "7"}), "wrong type.*steps='7'"),
    "true for a number": (edited(train={"steps": True}), "wrong type.*steps=True"),
    "part of a step": (edited(train={"steps": 7.5}), "wrong type.*steps=7.5"),
    "number for text": (edited(data={"dataset": 3}), "wrong type.*dataset=3"),
    "null for a number": (edited(model={"image_size": None}), "wrong type.*image_size=None"),
    "number for a switch": (edited(data={"random_flip": 1}), "wrong type.*random_flip=1"),
    "list for a folder": (edited(data={"data_dir": ["a"]}), "wrong type.*data_dir"),
    "too wide": (edited(model={"base_filters": 10**6}), "base_filters is out of range.*1000000"),
    "no power of two": (edited(model={"image_size": 100}), "power of two.*100"),
    "not a number": (edited(model={"dropout": float("nan")}), "dropout is out of range.*nan"),
    "a weight that is no number": (edited(model={"damsm_weight": float("nan")}), "damsm_weight is out of range.*nan"),
    "too many masks": (edited(model={"mask_blocks": 101}), "mask_blocks is out of range.*101"),
    "unknown training": (edited(model={"text_training": "magic"}), "No such text_training.*'magic'"),
    "unknown encoder": (edited(model={"image_encoder": "magic"}), "No such image_encoder.*'magic'"),
}


@pytest.mark.parametrize("text, problem", BAD.values(), ids=BAD)
def test_what_is_no_configuration_is_refused_in_one_line(text, problem):
    with pytest.raises(UserError, match=problem) as refused:
        Config.from_json(text, "here.json")
    message = str(refused.value)
    assert "Received: here.json" in message and "\n" not in message and len(message) < 1000


def test_a_field_of_a_later_version_has_its_default():
    assert Config.from_json(edited(model={"mask_blocks": dataclasses.MISSING})) == Config()


def test_a_whole_number_will_do_for_a_fraction():
    assert Config.from_json(edited(train={"max_minutes": 3})).train.max_minutes == 3.0


def test_files_that_cannot_be_read_are_refused(tmp_path):
    (tmp_path / "latin.json").write_bytes(b'{"model": "\xe9"}')
    (tmp_path / "large.json").write_bytes(b" " * (2**20 + 1))
    for name, problem in {"none.json": "No config", "latin.json": "No config", "large.json": "No config"}.items():
        with pytest.raises(UserError, match=f"{problem}.*Received: .*{name}"):
            Config.load(tmp_path / name)
    with pytest.raises(UserError, match="No configuration could be read"):
        Config.load(tmp_path)


def test_overriding_changes_fields_of_any_part():
    config = Config().override(steps=5, image_size=64, dataset="coco", image_encoder=None)
    assert (config.train.steps, config.model.image_size, config.data.dataset) == (5, 64, "coco")
    assert config.model.image_encoder is None
    assert Config().override() == Config()
    assert Config().override(steps=221_400) == Config()
    with pytest.raises(TypeError, match="colour"):
        Config().override(colour="red")


def test_every_field_has_a_name_of_its_own():
    names = [name for part in dataclasses.asdict(Config()).values() for name in part]
    assert len(names) == len(set(names))


@pytest.mark.parametrize(
    "flags",
    [
        {"image_size": 4},
        {"image_size": 2048},
        {"base_filters": 0},
        {"steps": 0},
        {"batch_size": -1},
        {"keep": 0},
        {"checkpoint_every": 0},
        {"sample_every": 0},
        {"seed": 2**63},
        {"max_minutes": -1.0},
    ],
)
def test_numbers_out_of_range_are_refused(flags):
    ((name, value),) = flags.items()
    with pytest.raises(UserError, match=f"{name} is out of range. Received: {value}. Use "):
        Config().override(**flags)


def test_image_sizes_are_powers_of_two():
    for size in (8, 64, 128, 256, 1024):
        assert Config().override(image_size=size).model.image_size == size
    with pytest.raises(UserError, match="power of two. Received: 96. Use"):
        Config().override(image_size=96)


@pytest.mark.parametrize("dataset", DATASETS)
@pytest.mark.parametrize("name", PRESETS)
def test_presets_are_whole_for_every_data_set(name, dataset):
    config = preset(name, dataset)
    config.check()
    assert config.data.dataset == dataset
    assert Config.from_json(config.to_json()) == config
    # A drawn bird faces as its caption says; photographs are varied as published.
    assert config.data.random_flip == config.data.random_crop == (dataset != "synthbirds")


def test_published_numbers_are_in_the_published_preset():
    config = preset("paper", "cub")
    assert (config.model.image_size, config.model.noise_dim, config.model.sentence_dim) == (256, 100, 256)
    assert (config.model.mask_filters, config.model.embedding_dim, config.model.max_words) == (100, 300, 18)
    assert config.train.batch_size == 24
    assert (config.train.generator_rate, config.train.discriminator_rate) == (1e-4, 4e-4)
    assert config.train.encoder_rate == 4e-5
    assert config.model.initial_gate == 0 and config.train.ema_pictures == 0
    # 600 epochs of 8,855 birds and 120 of COCO's 82,783 pictures, in batches of 24.
    assert abs(config.train.steps - 600 * 8855 / 24) < 100
    assert abs(preset("paper", "coco").train.steps - 120 * 82_783 / 24) < 100


def test_unknown_presets_are_refused():
    with pytest.raises(UserError, match="No such preset. Received: 'huge'. Use one of tiny, small, paper"):
        preset("huge", "cub")
    assert preset("published", "cub") == preset("paper", "cub")  # its former name


# === Settings say what they are ===


def test_a_file_of_an_earlier_version_is_read_with_its_names():
    old = json.loads(Config().to_json())
    old["model"]["penalised"] = not old["model"].pop("gradient_penalty")
    old["train"] |= {"start": "synthbirds_64", "pretraining_family": 8}
    del old["train"]["initial_model"]
    assert Config.from_json(json.dumps(old)) == Config().override(initial_model="synthbirds_64", gradient_penalty=False)


def test_every_setting_says_what_it_means_and_has_a_default_that_it_allows():
    for name, setting in SETTINGS.items():
        assert setting.help.endswith("."), name
        assert setting.path is None or str in setting.kinds
        setting.check(Config().flat()[name])
    assert {SETTINGS[name].key for name in ("steps", "image_size")} == {"train.steps", "model.image_size"}


@pytest.mark.parametrize("name", SETTINGS)
def test_every_default_is_read_from_the_text_that_shows_it(name):
    value = Config().flat()[name]
    read = SETTINGS[name].parse(shown(value))
    assert read == value and type(read) is type(value)


@pytest.mark.parametrize(
    "name, text, problem",
    [
        ("steps", "many", "steps must be a whole number. Received: 'many'. Use 1 to 99999999."),
        ("steps", "1.5", "steps must be a whole number"),
        ("steps", "0", "steps is out of range. Received: 0. Use"),
        ("generator_rate", "x", "generator_rate must be a number"),
        ("generator_rate", "nan", "generator_rate is out of range"),
        ("fused", "perhaps", "fused must be true or false"),
        ("augment", "adaptiv", "No such augment. Received: 'adaptiv'. Did you mean adaptive. Use one of none, fixed"),
        ("image_size", "100", "image_size must be a power of two. Received: 100. Use 64, 128 or 256."),
        ("text_encoder", "bert", "text_encoder does not exist. Received: bert. Use lstm or hub:FOLDER"),
        ("data_dir", "gs://bucket/x", "Addresses of this kind are not read or written. Received: gs://bucket/x"),
        ("initial_model", "s3://bucket/x", "Use a local path or hf://, kaggle://"),
    ],
)
def test_a_text_that_is_no_value_is_refused_and_what_may_be_is_named(name, text, problem):
    with pytest.raises(UserError, match=problem):
        SETTINGS[name].parse(text)


def test_a_text_is_read_by_the_settings_type(monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    given = {"steps": "7", "generator_rate": "2e-4", "fused": "Yes", "image_encoder": "none", "data_dir": "~/birds"}
    given |= {"text_encoder": "hub:~/use", "initial_model": "hf://me/birds", "word_vectors": "7"}
    read = {name: SETTINGS[name].parse(text) for name, text in given.items()}
    assert list(read.values()) == [
        *(7, 2e-4, True, None, "/home/me/birds"),
        *("hub:/home/me/use", "hf://me/birds", "7"),
    ]


def test_a_file_may_leave_out_what_it_likes_and_names_are_checked(tmp_path):
    path = tmp_path / "mine.json"
    path.write_text('{"train": {"steps": 9, "start": "~/x"}, "model": {"dropout": 0}}')
    assert read_settings(path) == {"steps": 9, "initial_model": str(pathlib.Path.home() / "x"), "dropout": 0.0}
    for text, problem in {
        '{"train": {"stepz": 9}}': "No such setting. Received: .*mine.json: train.stepz. Did you mean train.steps",
        '{"model": {"steps": 9}}': "model.steps. Did you mean train.steps",
        '{"steps": 9}': 'parts are not as expected. .*Write {"train": {"steps": 900}}',
        '{"train": {"steps": 0}}': "steps is out of range. Received: .*mine.json: 0",
    }.items():
        path.write_text(text)
        with pytest.raises(UserError, match=problem):
            read_settings(path)
