"""The settings of a run on the command line: flags, `--set` and `--config`, made from the settings themselves.

SETTINGS = SettingFlags("dataset", "steps", "seed")        # in a script
config = preset(SETTINGS.preset, ...).override(**SETTINGS.given())
"""

from __future__ import annotations

import dataclasses
import pathlib
import typing

from absl import flags

from ssagan_tf import config
from ssagan_tf.config import PRESETS
from ssagan_tf.core import files
from ssagan_tf.core.cli import Checked
from ssagan_tf.core.settings import Setting, shown
from ssagan_tf.data import DATASETS
from ssagan_tf.errors import UserError

# Flags belong to the script that makes them here, not to this module.
flags.disclaim_key_flags()

_SHOWN = "small"  # the preset whose defaults --help shows if none is chosen
# Settings with a flag of their own, in the order of the configuration.
WITH_FLAG = ("dataset", *(name for name, setting in config.SETTINGS.items() if setting.flag))


class SettingFlags:
    """Defines flags for settings, and reads them once the command line has been read.

    Args:
        names: settings that get a flag.
        preset: the default of `--preset`; None: the script finds one.
        dataset: the default of `--dataset`.
        pretraining: the script does nothing but pretrain the encoders; see `config.preset`.
        flag_values: where they are defined.
        renamed: setting -> its flag, where a script has a shorter word for it.
    """

    def __init__(
        self,
        *names: str,
        preset: str | None = None,
        dataset: str | None = None,
        pretraining: bool = False,
        flag_values: flags.FlagValues = flags.FLAGS,
        **renamed: str,
    ):
        self._flags = flag_values
        self._pretraining = pretraining
        self._names = {name: renamed.get(name) or config.SETTINGS[name].flag_name or name for name in names}
        found = " [default: paper with a GPU, small without]" if preset is None else ""
        self._preset = flags.DEFINE(
            Checked(config.preset_name, tuple(PRESETS)),
            "preset",
            preset,
            f"Settings to start from.{found}",
            flag_values,
        )
        for name, flag in self._names.items():
            _define(config.SETTINGS[name], flag, dataset if name == "dataset" else None, flag_values)
        self._file = flags.DEFINE(
            Checked(_file, kind="FILE"),
            "config",
            None,
            "JSON file with settings, as a run's config.json; any may be left out.",
            flag_values,
        )
        self._set = flags.DEFINE_multi(
            Checked(_assignment, kind="NAME=VALUE"),
            flags.ArgumentSerializer(),
            "set",
            None,
            "Any setting, as in --set=train.ema_pictures=1000; may be given several times.",
            flag_values,
        )

    @property
    def preset(self) -> str | None:
        """Of --preset."""
        return self._preset.value

    def given(self) -> dict[str, typing.Any]:
        """What was given, by names of settings: of the file, and in its place what --set and flags say.

        Raises:
            UserError: a setting is given by --set and by its flag, or there is no data set and no run to resume.
        """
        from_set = dict(self._set.value or [])
        from_flags = {name: self._flags[flag].value for name, flag in self._names.items()}
        from_flags = {name: value for name, value in from_flags.items() if value is not None}
        for name in from_set.keys() & from_flags.keys():
            key = config.SETTINGS[name].key
            raise UserError(
                f"A setting is given twice. Received: --{self._names[name]} and --set={key}. Leave one of them out."
            )
        values = {**(self._file.value or {}), **from_set, **from_flags}
        if "dataset" not in values and not ("resume" in self._flags and self._flags["resume"].value):
            raise UserError(f"Missing: --dataset. Received: none. Give one of {', '.join(DATASETS)}.")
        return values

    def shown_for(self) -> str:
        """Whose defaults `defaults` are."""
        dataset, file = self._flags["dataset"].value or "synthbirds", self._file.value
        return f"Defaults of --preset={self.preset or _SHOWN}, --dataset={dataset}{' and the file' if file else ''}."

    def defaults(self) -> dict[str, str]:
        """Flag or `part.name` -> its default, as the preset, data set and file say that the command line chooses."""
        values = dict(self._file.value or {})
        values["dataset"] = self._flags["dataset"].value or values.get("dataset") or "synthbirds"
        chosen = config.preset(self.preset or _SHOWN, values["dataset"], self._pretraining).override(**values).flat()
        chosen["dataset"] = self._flags["dataset"].value
        return {self._names.get(name, config.SETTINGS[name].key): shown(value) for name, value in chosen.items()}

    def about(self) -> list[tuple[str, str]]:
        """The settings without a flag, `part.name`, and their help."""
        return [(each.key, each.help) for name, each in config.SETTINGS.items() if name not in self._names]


def _define(setting: Setting, flag: str, default: typing.Any, flag_values: flags.FlagValues) -> None:
    if bool in setting.kinds:
        flags.DEFINE_bool(flag, None, setting.help, flag_values)
        return
    if setting.name == "dataset":
        setting = dataclasses.replace(setting, choices=DATASETS)
    choices = None if setting.choices is None else tuple(map(shown, setting.choices))
    kind = "TEXT" if setting.path is None else "PATH"
    kind = {int: "INTEGER", float: "NUMBER"}.get(setting.kinds[0], kind)
    flags.DEFINE(Checked(setting.parse, choices, kind), flag, default, setting.help, flag_values)


def _file(path: str) -> dict[str, typing.Any]:
    return config.read_settings(pathlib.Path(files.user_path(path)))


def _assignment(text: str) -> tuple[str, typing.Any]:
    """ "train.steps=900" -> ("steps", 900)."""
    name, equals, value = text.partition("=")
    if not equals:
        raise UserError(f"A setting needs a value. Received: {text}. Write it as train.steps=900.")
    found = config.named_setting(name)
    return found.name, found.parse(value)
