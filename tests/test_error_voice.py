"""Every error that a user can meet says what was wrong, what was received, and what to do."""

import ast
import pathlib
import re

import pytest
from processes import ROOT

FILES = sorted([*(ROOT / "ssagan_tf").rglob("*.py"), *(ROOT / "scripts").glob("*.py")])
ERRORS = {"UserError", "UsageError", "OnDeviceError"}
# "Problem. Received: what came. Advice." A field stands for any text, and may bring the end of its sentence with it.
VOICE = re.compile(r"^.*[.}>] Received:? .+([.:;] |[}>])[^ ].*[^ ]$")
ADVICE = re.compile(
    r"(?i)(Add|Apply|Ask|Attach|Build|Change|Check|Choose|Connect|Correct|Describe|Do|Download|Draw|Evaluate|Export|Expected|Free|Get|Give|Go|"
    r"Install|Keep|Leave|List|Look|Make|Name|Open|Prepare|Pretrain|Put|Raise|Read|Remove|Rename|Replace|Restore|Run|Save|Say|"
    r"Send|Set|Shorten|Start|Take|Train|Use|Wait|Wanted|Write|\{)"
)


def text(node: ast.expr) -> str | None:
    """What a message says, with {} for what is filled in; None if it is made elsewhere."""
    match node:
        case ast.Constant(value=str(words)):
            return words
        case ast.JoinedStr(values=parts):
            return "".join(part.value if isinstance(part, ast.Constant) else "{}" for part in parts)
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            return f"{text(left) or '{}'}{text(right) or '{}'}"
    return None


def messages(path: pathlib.Path) -> list[tuple[int, str]]:
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] in ERRORS and node.args:
            words = text(node.args[0])
            if words is not None:
                found.append((node.lineno, words))
    return found


def spoken(words: str) -> bool:
    received = words.partition(" Received")[2].removeprefix(":")
    sentences = re.split(r"[.:;] ", received)
    return bool(VOICE.match(words)) and any(ADVICE.match(sentence) for sentence in sentences[1:])


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_errors_are_said_in_one_voice(path):
    assert not [f"line {line}: {words}" for line, words in messages(path) if not spoken(words)]


def test_the_messages_are_found():
    assert sum(len(messages(path)) for path in FILES) > 200


@pytest.mark.parametrize("words", ["It is broken.", "Broken. Received: {}.", "Bad. Received: {}. It is bad."])
def test_another_voice_would_be_heard(words):
    assert not spoken(words)
