"""What every script shares: flags read, help shown, errors said in one line, TensorFlow started quietly.

from ssagan_tf.core import cli

def main(argv: list[str]) -> None:
    ...

if __name__ == "__main__":
    cli.run(main)
"""

import contextlib
import importlib
import inspect
import io
import logging as stdlib_logging
import os
import pathlib
import re
import signal
import sys
import tempfile
import textwrap
import types
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NoReturn

from absl import app, flags, logging

from ssagan_tf.core import calling, files
from ssagan_tf.errors import UserError, did_you_mean, printable

# Flags belong to the script that has them made here, not to this module.
flags.disclaim_key_flags()
_DRY_RUN = flags.DEFINE_bool("dry_run", False, "Check the flags, and do nothing.", module_name=__name__)
_HELP = {"--help", "-help", "-h", "-?"}
_INTERRUPTED = 130  # 128 + SIGINT, as shells have it
_WIDTH = 100
_PACKAGE = pathlib.Path(__file__).parents[1]
_COLUMN = 24  # where the help of a flag begins
_MISSING = re.compile(r"flag --(\w+)=None: Flag --\1 must have a value other than None\.")
_ABSL_ADDS = re.compile(r"^<[^>]*>: |;\s+repeat this option to specify a list of values$")
# Words of other programs -> ours; "set" stands for a setting.
_OTHER_WORDS = {
    "epochs epoch iterations iters num_steps max_steps max_iterations train_steps": "steps",
    "prompt prompts text": "caption",
    "prompts_file captions_path text_file": "captions_file",
    "lr learning_rate": "set=train.generator_rate=VALUE and --set=train.discriminator_rate=VALUE",
    "output outdir output_dir out_dir logdir run output_path": "out",
    "resolution size img_size image_resolution": "image_size",
    "num_images num_samples n samples": "count",
    "data dataset_path data_path train_data_dir root datadir data_root": "data_dir",
    "ckpt checkpoint_path weights model_path model_dir pretrained": "model",
    "batch bs": "batch_size",
    "continue restore load resume_from": "resume",
    "init_from finetune fine_tune": "from",
    "random_seed": "seed",
    "stop_memorised": "stop_overfitting",
    "best best_match": "checkpoint=best",
    "fp16 amp mixed_precision dtype": "precision",
}
_KINDS = {"string": "TEXT", "int": "INTEGER", "float": "NUMBER", "multi string": "TEXT"}


def run(main: Callable[[list[str]], int | None]) -> NoReturn:
    """Runs a script's `main` with the flags of the command line, and exits.

    The exit status is what `main` returns, 0 for None; 1 after a `UserError`, 2 after wrong flags (`app.UsageError`
    included), 130 after Ctrl-C and 143 after SIGTERM, each told in one line on stderr. `--help` shows the script's
    docstring and flags, `--dry_run` checks the flags and does nothing.

    Args:
        main: takes what is left of the command line, which is the script's name alone: other words are refused.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # read by TensorFlow when it is imported
    # TensorFlow takes oneDNN by itself on some processors alone; it is the faster one on the others, too.
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # captions have letters that a terminal may lack
    logging.get_absl_handler().setFormatter(_Plain())
    logging.get_absl_handler().addFilter(_worth_telling)
    script = sys.modules[main.__module__]
    app.run(lambda argv: _guarded(main, argv), flags_parser=lambda argv: _parse(argv, script))


def console() -> NoReturn:
    """Runs the script that a console command is named after: `ssagan-train` is scripts/train.py.

    In an installed package the scripts are `ssagan_tf.commands`.
    """
    run(importlib.import_module(f"ssagan_tf.commands.{calling.script()}").main)


class _Plain(stdlib_logging.Formatter):
    """What is logged, without time and place: "warning: ..."."""

    def format(self, record: stdlib_logging.LogRecord) -> str:
        level = "" if record.levelno == stdlib_logging.INFO else f"{record.levelname.lower()}: "
        return level + printable(super().format(record))


def _worth_telling(record: stdlib_logging.LogRecord) -> bool:
    """Whether it is ours, or a warning: TensorFlow and the quantizer log all that they do in the same place."""
    return record.levelno > stdlib_logging.INFO or _PACKAGE in pathlib.Path(record.pathname).parents


class Checked(flags.ArgumentParser):
    """Reads a flag by a function that raises UserError.

    Args:
        read: text -> value.
        choices: the values, for --help.
        kind: what --help has in their place.
    """

    def __init__(self, read: Callable[[str], Any], choices: tuple[str, ...] | None = None, kind: str = "TEXT"):
        super().__init__()
        self._read = read
        self.enum_values = choices
        self.kind = kind

    def parse(self, argument: Any) -> Any:
        try:
            return self._read(argument) if isinstance(argument, str) else argument
        except UserError as error:
            raise ValueError(str(error)) from error


def path_flag(name: str, default: str | None, help: str, schemes: tuple[str, ...] = (), **kwargs) -> flags.FlagHolder:
    """Defines the flag of a path, in which "~" is the home folder; addresses but those of `schemes` are refused."""
    return flags.DEFINE(
        Checked(lambda text: files.user_path(text, schemes), kind="PATH"), name, default, help, **kwargs
    )


def names_flag(name: str, default: list[str], known: Sequence[str], help: str) -> flags.FlagHolder:
    """Defines a list of names, with commas, each of which is checked as an enum's value is."""
    holder = flags.DEFINE_list(name, default, f"{help} Some of {', '.join(known)}; separated by commas.")

    def check(names: list[str]) -> bool:
        unknown = [each for each in names if each not in known]
        if unknown or not names:
            received = ", ".join(unknown) or "nothing"
            raise flags.ValidationError(f"takes names of a list. Received: {received}. Use some of {', '.join(known)}")
        return True

    flags.register_validator(name, check)
    return holder


def checkpoint_flag() -> flags.FlagHolder[str]:
    """Defines `--checkpoint`, for `load_model`."""
    help = "Of a run: its newest checkpoint, or the one that scored best; see train.py --score_every."
    return flags.DEFINE_enum("checkpoint", "newest", ["newest", "best"], help)


def trust_flag() -> flags.FlagHolder[bool]:
    """Defines `--trust`, for `load_model`."""
    return flags.DEFINE_bool("trust", False, "Load a SavedModel, a program, if the model's configuration names one.")


def say(message: str) -> None:
    """Tells the user on stdout, at once even where stdout is a file."""
    print(printable(message), flush=True)


def start_tensorflow() -> None:
    """Imports TensorFlow and finds its devices without what its libraries say about missing drivers meanwhile.

    All is shown where that fails, or where TF_CPP_MIN_LOG_LEVEL was set to 0.
    """
    with contextlib.nullcontext() if os.environ.get("TF_CPP_MIN_LOG_LEVEL") == "0" else stderr_held_back():
        import tensorflow as tf

        tf.config.list_physical_devices()
        if "TF_CONFIG" not in os.environ:  # several machines find each other before the first computation
            tf.transpose([[True]])  # oneDNN's first one of its kind, of which it says as of an error that Eigen does it


@contextlib.contextmanager
def stderr_held_back() -> Iterator[None]:
    """Holds back what is written to stderr, by C++ too; shows it if the block fails."""
    sys.stderr.flush()
    stderr = os.dup(2)
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            yield
        except Exception:  # not what Ctrl-C and SIGTERM raise: nothing went wrong then
            held.seek(0)
            os.write(stderr, held.read())
            raise
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)


def _guarded(main: Callable[[list[str]], int | None], argv: list[str]) -> int | None:
    if _DRY_RUN.value:
        return None
    signal.signal(signal.SIGTERM, _terminated)
    try:
        return main(argv)
    except app.UsageError as error:
        _fail(error, 2)
    except UserError as error:
        _fail(error, 1)
    except KeyboardInterrupt:
        print("Interrupted.", file=sys.stderr)
        sys.exit(_INTERRUPTED)


def _terminated(number: int, frame: types.FrameType | None) -> NoReturn:
    """Ends the script as an error does: what it was writing goes away."""
    print("Terminated.", file=sys.stderr)
    sys.exit(128 + number)


def _fail(error: object, status: int) -> NoReturn:
    print("error:", " ".join(str(error).split("\n")), file=sys.stderr)
    sys.exit(status)


def _parse(argv: list[str], script: types.ModuleType) -> list[str]:
    """Reads the flags; shows help or refuses what is wrong, before anything slow is imported."""
    hint = f"See {calling.command()} --help."
    if _HELP.intersection(argv):
        with contextlib.suppress(flags.Error):  # only to know which defaults to show
            flags.FLAGS([each for each in argv if each not in _HELP], known_only=True)
        flags.FLAGS.mark_as_parsed()
        say(_help(script))
        sys.exit(0)
    try:
        rest = flags.FLAGS(argv)
        if hasattr(script, "SETTINGS"):
            script.SETTINGS.given()
    except UserError as error:
        _fail(f"{error} {hint}", 2)
    except flags.UnrecognizedFlagError as error:
        _fail(f"No such flag. Received: --{error.flagname}. {_meant(error.flagname, script)}{hint}", 2)
    except flags.Error as error:
        missing = [f"--{name}" for name in _MISSING.findall(str(error))]
        _fail(f"Missing: {' and '.join(missing)}. {hint}" if missing else f"{_full_stop(error)} {hint}", 2)
    if rest[1:]:
        _fail(f"Flags are written as --NAME=VALUE. Received: {rest[1]}. {hint}", 2)
    return rest


def _meant(name: str, script: types.ModuleType) -> str:
    """A question, and a space, that names what may be meant by a flag that does not exist."""
    name = name.replace("-", "_")
    known = [flag.name for flag in flags.FLAGS.get_key_flags_for_module(script)]
    for key, _ in script.SETTINGS.about() if hasattr(script, "SETTINGS") else ():
        if key.endswith(f".{name}"):
            return f"Did you mean --set={key}=VALUE? "
    for words, ours in _OTHER_WORDS.items():
        if name in words.split() and ours.partition("=")[0] in known:
            return f"Did you mean --{ours}? "
    return did_you_mean(name, known, "--")


def _full_stop(error: flags.Error) -> str:
    text = str(error).removeprefix("flag ").replace(" ?", "?")
    return text if text.endswith(("?", ".")) else f"{text}."


def _help(script: types.ModuleType) -> str:
    """The script's docstring, its flags, and the settings that have none, with their defaults."""
    settings = getattr(script, "SETTINGS", None)
    defaults = settings.defaults() if settings is not None else {}
    lines = [calling.usage((inspect.getdoc(script) or "").strip()), "", "Flags:"]
    for flag in [*flags.FLAGS.get_key_flags_for_module(script), flags.FLAGS["dry_run"]]:
        lines += _flag_help(flag, defaults.get(flag.name))
    if settings is not None:
        lines += ["", "More settings, as --set=NAME=VALUE or in a file as --config=FILE:"]
        for name, help in settings.about():
            lines += _entry(f"  {name}", f"{help} [default: {defaults[name]}]")
        lines += ["", settings.shown_for()]
    return "\n".join(lines)


def _flag_help(flag: flags.Flag, default: str | None) -> list[str]:
    values = getattr(flag.parser, "enum_values", None)
    kind = "|".join(values) if values else getattr(flag.parser, "kind", None) or _KINDS.get(flag.flag_type(), "VALUE")
    text = _ABSL_ADDS.sub("", flag.help or "")
    if default is None and flag.default not in (None, []) and flag.default is not False:
        default = str(flag.default)
    if default not in (None, "none") and "[default:" not in text:
        text += f" [default: {default}]"
    return _entry(f"  --{flag.name}" if flag.boolean else f"  --{flag.name}={kind}", text)


def _entry(name: str, text: str) -> list[str]:
    """A name, and what is said of it in the second column."""
    indent = " " * _COLUMN
    lines = textwrap.wrap(text, _WIDTH, initial_indent=indent, subsequent_indent=indent)
    if len(name) > _COLUMN - 2:
        return [name, *lines]
    return [name + lines[0][len(name) :], *lines[1:]]
