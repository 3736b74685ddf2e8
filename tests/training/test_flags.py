"""Settings on the command line: each can be set there, in order of precedence, and --help says what they would be."""

import json

import pytest
from absl import flags

from ssagan_tf import UserError, config
from ssagan_tf.training.flags import WITH_FLAG, SettingFlags


def read(*arguments, names=WITH_FLAG, **options) -> SettingFlags:
    """Has read a command line with those flags."""
    values = flags.FlagValues()
    flags.DEFINE_bool("resume", False, "Go on.", values)
    made = SettingFlags(*names, flag_values=values, **options)
    values(["script.py", *arguments])
    return made


def other(setting: config.Setting):
    """A value that is not the default, and the text that means it."""
    value = config.Config().flat()[setting.name]
    if isinstance(value, bool):
        return not value, str(not value)
    if setting.name == "image_size" or setting.name == "grown_from":
        return 32, "32"
    if setting.choices is not None:
        return setting.choices[-1], setting.choices[-1]
    if setting.limits is not None:
        number = 0.125 if float in setting.kinds else 3
        return number, str(number)
    return ("hub:words", "hub:words") if setting.name == "text_encoder" else ("somewhere", "somewhere")


@pytest.mark.parametrize("name", [name for name in config.SETTINGS if name != "dataset"])
def test_every_setting_can_be_set_by_name_and_in_a_file(name, tmp_path):
    setting = config.SETTINGS[name]
    value, text = other(setting)
    path = tmp_path / "mine.json"
    path.write_text(json.dumps({setting.part: {name: value}}))
    ways = [f"--set={setting.key}={text}", f"--set={name}={text}", f"--config={path}"]
    if setting.flag:
        ways.append(f"--{setting.flag_name}={text}")
    for way in ways:
        assert read("--dataset=cub", way).given() == {"dataset": "cub", name: value}
    assert config.preset("small", "cub").override(**{name: value}).flat()[name] == value


def test_flags_and_set_come_before_the_file_and_all_before_the_preset(tmp_path):
    path = tmp_path / "mine.json"
    path.write_text('{"train": {"steps": 1, "seed": 2, "keep": 3}, "data": {"dataset": "cub"}}')
    made = read("--preset=tiny", f"--config={path}", "--steps=10", "--set=train.seed=20", "--set=seed=21", "--nofused")
    assert made.given() == {"dataset": "cub", "steps": 10, "seed": 21, "keep": 3, "fused": False}
    assert made.preset == "tiny"


@pytest.mark.parametrize(
    "arguments, problem",
    [
        (["--set=train.stepz=5"], "No such setting. Received: train.stepz. Did you mean train.steps"),
        (["--set=model.steps=5"], "Received: model.steps. Did you mean train.steps"),
        (["--set=steps"], "A setting needs a value. Received: steps. Write it as train.steps=900"),
        (["--set=steps=0"], "steps is out of range"),
        (["--image_size=100"], "Use 64, 128 or 256"),
        (["--dataset=synthbird"], "No such dataset. Received: 'synthbird'. Did you mean synthbirds"),
        (["--preset=smal"], "No such preset. Received: 'smal'. Did you mean small"),
        (["--config=/nowhere.json"], "No configuration could be read. Received: /nowhere.json"),
        (["--damsm=gs://bucket/x"], "Addresses of this kind"),
    ],
)
def test_what_does_not_exist_is_refused_as_the_command_line_is_read(arguments, problem):
    with pytest.raises(flags.IllegalFlagValueError, match=problem):
        read(*arguments)


def test_a_setting_given_twice_is_refused():
    with pytest.raises(UserError, match="given twice. Received: --steps and --set=train.steps. Leave one"):
        read("--dataset=cub", "--steps=5", "--set=steps=6").given()


def test_a_new_run_needs_a_data_set_and_a_resumed_one_knows_its_own():
    with pytest.raises(UserError, match="Missing: --dataset. Received: none. Give one of cub, coco, folder"):
        read().given()
    assert read("--resume").given() == {}


def test_help_shows_the_defaults_of_the_preset_the_data_set_and_the_file(tmp_path):
    (tmp_path / "mine.json").write_text('{"train": {"keep": 7}}')
    shown = read("--preset=small", "--dataset=synthbirds", f"--config={tmp_path / 'mine.json'}").defaults()
    chosen = config.preset("small", "synthbirds").train
    assert (shown["steps"], shown["train.generator_rate"], shown["train.keep"]) == (str(chosen.steps), "0.0004", "7")
    assert read("--preset=paper", "--dataset=coco").defaults()["steps"] == "413900"
    names = {"pretraining_steps": "steps"}
    made = read("--dataset=synthbirds", names=["dataset", "pretraining_steps"], pretraining=True, **names)
    assert made.defaults()["steps"] == str(config.preset("small", "synthbirds", True).train.pretraining_steps)
    told = dict(made.about())
    assert set(made.defaults()) == {"dataset", "steps", *told} and "train.steps" in told
