"""The notebooks run from top to bottom, and what is kept in them is theirs, whole and small."""

import importlib.util
import pathlib
import re

import pytest

FOLDER = pathlib.Path(__file__).parents[2] / "notebooks"
PATHS = sorted(FOLDER.glob("*.ipynb"))
nbformat = pytest.importorskip("nbformat", reason="needs the extra [notebooks]: make test-notebooks")


@pytest.fixture(params=PATHS, ids=lambda path: path.stem)
def path(request):
    return request.param


def shown(notebook):
    """What each cell shows: the kinds, and the text without numbers."""
    cells = []
    for cell in notebook.cells:
        outputs = [output for output in cell.get("outputs", []) if output.get("name") != "stderr"]
        texts = [output.get("text", "") for output in outputs]
        kinds = {kind for output in outputs for kind in output.get("data", {})}
        cells.append((sorted(kinds), [re.sub(r"[-\d.]+", "0", text) for text in texts]))
    return cells


def test_both_are_there():
    assert [path.stem for path in PATHS] == ["inside_ssa", "quickstart"]


def test_what_is_kept_is_of_one_run_from_top_to_bottom_and_small(path):
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    counts = [cell.execution_count for cell in notebook.cells if cell.cell_type == "code"]
    assert counts == list(range(1, len(counts) + 1))
    assert path.stat().st_size < 400_000
    text = path.read_text()
    assert "/tmp/" not in text and "/root/" not in text and "/home/" not in text and "Traceback" not in text
    assert sum(kind.startswith("image/") for kinds, _ in shown(notebook) for kind in kinds) >= 3


@pytest.mark.slow
def test_it_runs_and_shows_what_is_kept(path):
    pytest.importorskip("nbclient", reason="needs the extra [notebooks]: make test-notebooks")
    spec = importlib.util.spec_from_file_location("execute", FOLDER / "execute.py")
    execute = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(execute)
    assert shown(execute.executed(path)) == shown(nbformat.read(path, as_version=4))
