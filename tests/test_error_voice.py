"""Every error that a user can meet says what was wrong, what was received, and what to do."""

import ast
import re

from processes import ROOT

FILES = sorted([*(ROOT / "ssagan_tf").rglob("*.py"), *(ROOT / "scripts").glob("*.py")])
ERRORS = {"UserError", "UsageError", "OnDeviceError"}
# "Problem. Received: what came. Advice." A field {} stands for any text, and may bring the end of its sentence with it.
VOICE = re.compile(r"^.*[.}>] Received:? .+([.:;] |[}>])[^ ].*[^ ]$")


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


def test_errors_are_said_in_one_voice():
    found = {}
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] in ERRORS and node.args:
                found[f"{path.relative_to(ROOT)}:{node.lineno}"] = text(node.args[0])
    said = {place: words for place, words in found.items() if words is not None}
    assert len(said) > 150
    assert not {place: words for place, words in said.items() if not VOICE.match(words)}
