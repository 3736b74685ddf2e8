"""Runs a script in this process, which has imported TensorFlow already; a child would take six seconds for that."""

import contextlib
import importlib.util
import io
import logging
import os
import signal
import subprocess
import sys
from unittest import mock

from absl import flags
from absl.testing import flagsaver
from processes import ROOT

from ssagan_tf.core import cli


def run(name: str, *arguments: object, cwd: os.PathLike | str = ".") -> subprocess.CompletedProcess:
    """As `processes.python(ROOT / "scripts" / f"{name}.py", *arguments, cwd=cwd)`, without a traceback on stderr.

    What C++ prints is not captured, and an error that is none of the user's is raised.
    """
    path = ROOT / "scripts" / f"{name}.py"
    stdout, stderr, before = io.StringIO(), io.StringIO(), set(flags.FLAGS)
    terminated, handlers, level = signal.getsignal(signal.SIGTERM), logging.root.handlers[:], logging.root.level
    with (
        flagsaver.flagsaver(),
        mock.patch.dict(os.environ),
        mock.patch.object(sys, "argv", [str(path), *map(str, arguments)]),
        contextlib.chdir(cwd),
        contextlib.redirect_stdout(stdout),
        contextlib.redirect_stderr(stderr),
    ):
        try:
            cli.run(_module(path).main)
        except SystemExit as end:
            status = end.code or 0
        finally:
            del sys.modules[f"script_{name}"]
            for flag in set(flags.FLAGS) - before:
                delattr(flags.FLAGS, flag)
            signal.signal(signal.SIGTERM, terminated)
            logging.root.handlers, logging.root.level = handlers, level
    return subprocess.CompletedProcess([name, *arguments], status, stdout.getvalue(), stderr.getvalue())


def _module(path):
    """The script, executed anew: its flags are defined where nobody else's of the same names are."""
    spec = importlib.util.spec_from_file_location(f"script_{path.stem}", path)
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
