"""The order that docs/architecture.md states holds, and its picture is that of the imports as they are."""

import importlib.util
import pathlib

import pytest

ROOT = pathlib.Path(__file__).parents[2]
_SPEC = importlib.util.spec_from_file_location("architecture", ROOT / "docs" / "architecture.py")
architecture = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(architecture)
PAGE = architecture.PAGE.read_text(encoding="utf-8")
MODULES, NAMED = architecture.modules(), architecture.rooms(PAGE)
ORDER = list(dict.fromkeys(NAMED.values()))


def test_every_module_has_a_room_and_every_name_is_a_module():
    assert not [name for name in MODULES if architecture.room_of(name, NAMED) is None]
    assert not [name for name in NAMED if name not in MODULES]


@pytest.mark.parametrize("module", MODULES)
def test_a_module_imports_only_from_its_own_room_and_those_before(module):
    place = ORDER.index(architecture.room_of(module, NAMED))
    found = {name: architecture.room_of(name, NAMED) for name in architecture.imports(MODULES[module], MODULES)}
    assert not {name: room for name, room in found.items() if ORDER.index(room) > place}


def test_the_picture_is_drawn_from_the_imports_as_they_are():
    assert architecture.drawn(PAGE) == PAGE, "Run: python docs/architecture.py"
    assert "model --> networks" in PAGE or "model --> losses" in PAGE


def test_an_import_that_goes_back_would_be_found(tmp_path):
    path = tmp_path / "module.py"
    path.write_text("def f():\n    from ssagan_tf.training import run, nothing\n    import ssagan_tf.ablation\n")
    assert architecture.imports(path, MODULES) == {"training.run", "ablation"}
    path.write_text("if typing.TYPE_CHECKING:\n    from ssagan_tf.training import run\n")
    assert architecture.imports(path, MODULES) == set()
