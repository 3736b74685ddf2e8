"""The error class for mistakes that a user can fix."""

import difflib
from collections.abc import Iterable


class UserError(ValueError):
    """Something from outside is wrong: a flag, a file, a caption.

    The message is one line in three parts: what was wrong, what was received, what to do. Scripts print it
    without a traceback and exit with status 1. It is `printable`, whatever a file or a server said.
    """

    def __init__(self, message: str = ""):
        super().__init__(printable(message))


def printable(text: str) -> str:
    """The text with what a terminal would obey instead of print, such as escape codes, as Python escapes it."""
    return "".join(char if char.isprintable() or char == "\n" else repr(char)[1:-1] for char in text)


def did_you_mean(name: str, known: Iterable[str], prefix: str = "") -> str:
    """A question that names what is spelled like `name`, each with a prefix; it ends in a space. "" if nothing is."""
    near = difflib.get_close_matches(name, list(known), n=2, cutoff=0.65)
    return f"Did you mean {' or '.join(prefix + each for each in near)}? " if near else ""
