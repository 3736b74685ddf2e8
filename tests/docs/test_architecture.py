"""The order that docs/architecture.md states holds, and its picture is that of the imports as they are."""

import importlib.util
import re

import pytest
from processes import ROOT

_SPEC = importlib.util.spec_from_file_location("architecture", ROOT / "docs" / "architecture.py")
architecture = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(architecture)
PAGE = architecture.PAGE.read_text(encoding="utf-8")
MODULES, ORDER = architecture.modules(), architecture.rooms(PAGE)


def test_every_room_is_a_folder_or_a_file_at_the_top_and_the_other_way_round():
    there = {path.stem for path in (ROOT / "ssagan_tf").iterdir() if path.suffix == ".py" or any(path.glob("*.py"))}
    assert set(ORDER) == there - {"__init__"}


@pytest.mark.parametrize("module", MODULES)
def test_a_module_imports_only_from_its_own_room_and_those_before(module):
    place = ORDER.index(architecture.room_of(module))
    found = {name: architecture.room_of(name) for name in architecture.imports(MODULES[module], MODULES)}
    assert not {name: room for name, room in found.items() if ORDER.index(room) > place}


def test_the_picture_is_drawn_from_the_imports_as_they_are():
    assert architecture.drawn(PAGE) == PAGE, "Run: python docs/architecture.py"
    assert "training --> evaluation" in PAGE


def test_an_import_that_goes_back_would_be_found(tmp_path):
    path = tmp_path / "module.py"
    path.write_text("def f():\n    from ssagan_tf.training import run, nothing\n    import ssagan_tf.damsm\n")
    assert architecture.imports(path, MODULES) == {"training.run", "damsm"}
    path.write_text("if typing.TYPE_CHECKING:\n    from ssagan_tf.training import run\n")
    assert architecture.imports(path, MODULES) == set()


def test_what_the_page_says_is_somewhere_is_there():
    table = PAGE.partition("## Where is it?")[2].partition("\n\nA new")[0]
    places = re.findall(r"`([a-z_/]+(?:\.py|/))`", table)
    assert len(places) >= 20
    assert not [place for place in places if not any((top / place).exists() for top in (ROOT, ROOT / "ssagan_tf"))]
