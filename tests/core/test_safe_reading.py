"""Nothing in the package runs what a file says: no pickle, no eval, no YAML, no archive that is unpacked to disk."""

import ast
import pathlib

import pytest
from processes import ROOT

FILES = sorted([*(ROOT / "ssagan_tf").rglob("*.py"), *(ROOT / "scripts").glob("*.py")])
# Modules that can run what they read, and those that read such a format without doing so.
MODULES = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal", "yaml", "torch"}
ALLOWED = {
    ("ssagan_tf/data/restricted_pickle.py", "pickle"),  # its machine, with a list of instructions and names
    ("ssagan_tf/weights/pth.py", "pickle"),
    ("ssagan_tf/weights/pth.py", "torch"),  # writes
}
CALLS = {"eval", "exec", "compile", "__import__"}
# `pickle.loads` and the like would be found by name wherever the module came from.
METHODS = {
    "loads",
    "load_module",
    "extract",
    "extractall",
    "unpack_archive",
    "unsafe_load",
    "full_load",
    "load_weights",
}


def places(path: pathlib.Path):
    """(line, what) of everything that is forbidden."""
    name = str(path.relative_to(ROOT))
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        imported = []
        if isinstance(node, ast.Import):
            imported = [alias.name.split(".")[0] for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            imported = [(node.module or "").split(".")[0]]
        for module in imported:
            if module in MODULES and (name, module) not in ALLOWED:
                yield node.lineno, f"import {module}"
        if isinstance(node, ast.Call):
            called = node.func
            if isinstance(called, ast.Name) and called.id in CALLS:
                yield node.lineno, called.id
            if isinstance(called, ast.Attribute) and called.attr in METHODS and ast.unparse(called) != "json.loads":
                yield node.lineno, ast.unparse(called)
            for keyword in node.keywords:
                value = getattr(keyword.value, "value", None)
                if (keyword.arg, value) in {("allow_pickle", True), ("safe_mode", False), ("shell", True)}:
                    yield node.lineno, f"{keyword.arg}={value}"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_nothing_is_run_that_was_read(path):
    assert not list(places(path))


def test_what_is_forbidden_is_found(tmp_path, monkeypatch):
    monkeypatch.setitem(globals(), "ROOT", tmp_path)
    code = (
        "import torch\nfrom yaml import load\neval('1')\nx.extractall()\nnp.load(a, allow_pickle=True)\njson.loads(b)\n"
    )
    (tmp_path / "module.py").write_text(code)
    assert [line for line, _ in places(tmp_path / "module.py")] == [1, 2, 3, 4, 5]


def test_the_machines_never_import_and_know_no_instruction_that_makes_objects():
    import pickle

    from ssagan_tf.data import restricted_pickle
    from ssagan_tf.weights import pth

    makers = "INST OBJ NEWOBJ NEWOBJ_EX EXT1 EXT2 EXT4 BYTEARRAY8 NEXT_BUFFER".split()
    for machine in (restricted_pickle.Machine, pth._Machine):
        assert not {getattr(pickle, name)[0] for name in makers} & set(machine.dispatch)
        for module, name in machine.names:
            assert module.split(".")[0] in {"numpy", "_codecs", "collections", "torch"}, name
