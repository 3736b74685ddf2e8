"""Settings: fields of dataclasses that say what they mean and may be, and their values from text and from JSON."""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Callable

from ssagan_tf.core import files
from ssagan_tf.errors import UserError, did_you_mean

HUB = "hub:"
_TRUE, _FALSE, _NONE = ("true", "yes", "1"), ("false", "no", "0"), ("none", "null")


def setting(
    default: typing.Any,
    help: str,
    limits: tuple[float, float] | None = None,
    choices: tuple[str | None, ...] | None = None,
    flag: bool | str = False,
    path: tuple[str, ...] | None = None,
    rule: tuple[Callable[[typing.Any], bool], str] | None = None,
) -> typing.Any:
    """A field of a dataclass of settings.

    Args:
        default: its value.
        help: what it means.
        limits: (least, most) of a number.
        choices: the values that it may have.
        flag: whether it has a flag of its own, or that flag's name; the others are reached by `--set`.
        path: that it is a path, and which schemes ("hf") it may begin with.
        rule: what else must hold of its value, and what to say where it does not: "must be ... Use ...".
    """
    about = {"help": help, "limits": limits, "choices": choices, "flag": flag, "path": path, "rule": rule}
    return dataclasses.field(default=default, metadata=about)


@dataclasses.dataclass(frozen=True)
class Setting:
    """What a field says of itself, see `setting`; its part of the configuration, name and types."""

    part: str
    name: str
    kinds: tuple[type, ...]
    help: str
    limits: tuple[float, float] | None
    choices: tuple[str | None, ...] | None
    flag: bool | str
    path: tuple[str, ...] | None
    rule: tuple[Callable[[typing.Any], bool], str] | None

    @property
    def key(self) -> str:
        """Its name for `--set`: "train.steps"."""
        return f"{self.part}.{self.name}"

    @property
    def flag_name(self) -> str | None:
        return self.name if self.flag is True else self.flag or None

    @property
    def allowed(self) -> str:
        """The values that it may have, in words."""
        if self.choices is not None:
            return f"one of {', '.join(map(shown, self.choices))}"
        if self.limits is not None:
            return f"{self.limits[0]} to {self.limits[1]}"
        return "true or false" if bool in self.kinds else "text"

    def parse(self, text: str) -> typing.Any:
        """The value that a text means. Raises UserError: it means none, or one that is not allowed."""
        value: typing.Any = text
        try:
            if type(None) in self.kinds and text.lower() in _NONE:
                value = None
            elif bool in self.kinds:
                value = {**dict.fromkeys(_TRUE, True), **dict.fromkeys(_FALSE, False)}[text.lower()]
            elif int in self.kinds:
                value = int(text)
            elif float in self.kinds:
                value = float(text)
        except (ValueError, KeyError) as error:
            wanted = {bool: "true or false", int: "a whole number", float: "a number"}[self.kinds[0]]
            raise UserError(f"{self.name} must be {wanted}. Received: {text!r}. Use {self.allowed}.") from error
        self.check(value)
        return self.expanded(value)

    def typed(self, value: typing.Any, origin: str) -> typing.Any:
        """A value from JSON. Raises UserError if it has another type."""
        if float in self.kinds and type(value) is int:
            try:
                return float(value)
            except OverflowError as error:
                raise UserError(f"{self.name} is too large. Received: {origin}. Use {self.allowed}.") from error
        if type(value) not in self.kinds:  # exactly: True is no number here
            kinds = " or ".join("null" if kind is type(None) else kind.__name__ for kind in self.kinds)
            raise UserError(
                f"A setting has the wrong type. Received: {origin}: {self.name}={value!r}. Give it as {kinds}."
            )
        return value

    def expanded(self, value: typing.Any) -> typing.Any:
        """A path with the home folder in place of "~"; other values as they are. Raises UserError for a scheme."""
        if isinstance(value, str) and self.path is not None:
            return files.user_path(value, self.path)
        if isinstance(value, str) and value.startswith(HUB):
            return HUB + files.user_path(value.removeprefix(HUB), ("http", "https"))
        return value

    def check(self, value: typing.Any, where: str = "") -> None:
        """Raises UserError for a value that it may not have; what was received begins with `where`."""
        if self.limits is not None and value is not None and not self.limits[0] <= value <= self.limits[1]:
            raise UserError(f"{self.name} is out of range. Received: {where}{value}. Use {self.allowed}.")
        if self.choices is not None and value not in self.choices:
            near = did_you_mean(str(value), filter(None, self.choices))
            raise UserError(f"No such {self.name}. Received: {where}{value!r}. {near}Use {self.allowed}.")
        if self.rule is not None and not self.rule[0](value):
            must, advice = self.rule[1].split(". ")
            raise UserError(f"{self.name} {must}. Received: {where}{value}. {advice}")


def shown(value: typing.Any) -> str:
    """A value as `Setting.parse` reads it."""
    return "none" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def settings_of(**parts: type) -> dict[str, Setting]:
    """The settings of dataclasses, by name; the name of each part -> its dataclass."""
    found = {}
    for part, cls in parts.items():
        hints = typing.get_type_hints(cls)
        for field in dataclasses.fields(cls):
            kinds = typing.get_args(hints[field.name]) or (hints[field.name],)
            found[field.name] = Setting(part, field.name, kinds, **field.metadata)
    return found
