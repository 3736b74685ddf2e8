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


def as_called(text: str) -> str:
    """Names scripts in a text by their console commands if this program was called by its own."""
    if not command().startswith(_PREFIX):
        return text
    return _SCRIPT.sub(lambda found: _PREFIX + found[1].replace("_", "-"), text)
