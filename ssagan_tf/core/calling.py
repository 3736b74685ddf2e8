"""How this program was called: as a script, `python scripts/train.py`, or as a console command, `ssagan-train`."""

import pathlib
import re
import shlex
import sys

_PREFIX = "ssagan-"
_SCRIPT = re.compile(r"python scripts/(\w+)\.py")


def command() -> str:
    """What calls it again, for a shell."""
    name = pathlib.Path(sys.argv[0]).stem
    return name if name.startswith(_PREFIX) else shlex.join(["python", sys.argv[0]])


def script() -> str:
    """Name of the script that a console command is named after: `train` of `ssagan-train`."""
    return command().removeprefix(_PREFIX).replace("-", "_")


def command_of(script: str) -> str:
    """What calls another script, in the way in which this one was called."""
    if command().startswith(_PREFIX):
        return _PREFIX + script.replace("_", "-")
    return f"python scripts/{script}.py"


def usage(docstring: str) -> str:
    """A script's docstring, whose examples call scripts as this one was called."""
    return _SCRIPT.sub(lambda found: command_of(found[1]), docstring)
