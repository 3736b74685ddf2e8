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
_ROW = re.compile(r"^\| (\w+) \| ((?:`[\w.]+` ?)+)\|", re.MULTILINE)
_DRAWN = re.compile(r"(<!-- drawn -->\n).*(<!-- end -->)", re.DOTALL)


def modules() -> dict[str, pathlib.Path]:
    """Every module by its name without the package's."""
    found = {}
    for path in sorted((ROOT / PACKAGE).rglob("*.py")):
        parts = path.relative_to(ROOT / PACKAGE).with_suffix("").parts
        found[".".join(part for part in parts if part != "__init__")] = path
    return {name: path for name, path in found.items() if name}


def rooms(page: str) -> dict[str, str]:
    """The room of every module or folder that the page's table names, in the table's order."""
    return {name: room for room, names in _ROW.findall(page) for name in re.findall(r"[\w.]+", names)}


def room_of(module: str, named: dict[str, str]) -> str | None:
    """The room of a module: its own, or that of the folder that it is in."""
    while module and module not in named:
        module = module.rpartition(".")[0]
    return named.get(module)


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
    """The rooms that each room imports from, without those that are reached by way of others."""
    known, named = modules(), rooms(page)
    direct: dict[str, set[str]] = {room: set() for room in named.values()}
    for module, path in known.items():
        room = room_of(module, named)
        if room is not None:
            direct[room] |= {room_of(name, named) for name in imports(path, known)} - {room, None}
    reached: dict[str, set[str]] = {}
    for room in direct:  # in the table's order, so that those above are there
        reached[room] = direct[room].union(*(reached.get(above, set()) for above in direct[room]))
    return {
        room: {above for above in direct[room] if not any(above in reached[other] for other in direct[room])}
        for room in direct
    }


def drawn(page: str) -> str:
    """The page with its picture as it is now."""
    lines = [f"    {room} --> {above}" for room, all_above in arrows(page).items() for above in sorted(all_above)]
    picture = "\n".join(["```mermaid", "flowchart BT", *lines, "```"])
    return _DRAWN.sub(lambda found: f"{found[1]}\n{picture}\n\n{found[2]}", page)


if __name__ == "__main__":
    PAGE.write_text(drawn(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
