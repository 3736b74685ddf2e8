"""Draws docs/architecture.md's picture from the imports of the package.

python docs/architecture.py
"""

import ast
import pathlib
import re
from collections.abc import Iterator

PAGE = pathlib.Path(__file__).with_name("architecture.md")
ROOT = PAGE.parents[1]
PACKAGE = "ssagan_tf"
_ROW = re.compile(r"^\| `(\w+)(/|\.py)` \|", re.MULTILINE)
_DRAWN = re.compile(r"(<!-- drawn -->\n).*(<!-- end -->)", re.DOTALL)


def modules() -> dict[str, pathlib.Path]:
    """Every module by its name without the package's."""
    found = {}
    for path in sorted((ROOT / PACKAGE).rglob("*.py")):
        parts = path.relative_to(ROOT / PACKAGE).with_suffix("").parts
        found[".".join(part for part in parts if part != "__init__")] = path
    return {name: path for name, path in found.items() if name}


def rooms(page: str) -> list[str]:
    """The folders and files at the top of the package, in the order of the page's table."""
    return [name for name, _ in _ROW.findall(page)]


def room_of(module: str) -> str:
    """The room of a module: the folder, or the file, at the top of the package."""
    return module.partition(".")[0]


def imports(path: pathlib.Path, known: dict[str, pathlib.Path]) -> set[str]:
    """The package's modules that a file imports, within functions too; not those that only types need."""
    found = set()
    for node in _nodes(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            inside = {f"{node.module}.{alias.name}" for alias in node.names}
            modules_inside = {name for name in inside if name.removeprefix(f"{PACKAGE}.") in known}
            found |= modules_inside or {node.module}
    return {name.removeprefix(f"{PACKAGE}.") for name in found if name.startswith(f"{PACKAGE}.")}


def _nodes(tree: ast.AST) -> Iterator[ast.AST]:
    for node in ast.iter_child_nodes(tree):
        if not (isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)):
            yield node
            yield from _nodes(node)


def arrows(page: str) -> dict[str, set[str]]:
    """The folders that each folder imports from, directly or by way of a file at the top.

    Left out are those that are reached by way of another folder.
    """
    known, order = modules(), rooms(page)
    direct: dict[str, set[str]] = {room: set() for room in order}
    for module, path in known.items():
        direct[room_of(module)] |= {room_of(name) for name in imports(path, known)} - {room_of(module)}
    folders = [room for room in order if (ROOT / PACKAGE / room).is_dir()]
    for room in order:  # those above come first, so that theirs are folders already
        direct[room] = {above for above in direct[room] if above in folders}.union(
            *(direct[above] for above in direct[room] if above not in folders)
        )
    reached: dict[str, set[str]] = {}
    for room in folders:
        reached[room] = direct[room].union(*(reached[above] for above in direct[room]))
    return {
        room: {above for above in direct[room] if not any(above in reached[other] for other in direct[room])}
        for room in folders
    }


def drawn(page: str) -> str:
    """The page with its picture as it is now."""
    lines = [f"    {room} --> {above}" for room, all_above in arrows(page).items() for above in sorted(all_above)]
    picture = "\n".join(["```mermaid", "flowchart BT", *lines, "```"])
    return _DRAWN.sub(lambda found: f"{found[1]}\n{picture}\n\n{found[2]}", page)


if __name__ == "__main__":
    PAGE.write_text(drawn(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
