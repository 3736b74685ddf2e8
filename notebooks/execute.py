"""Runs the notebooks and keeps what they show, small.

python notebooks/execute.py
"""

import pathlib

import nbclient
import nbformat

FOLDER = pathlib.Path(__file__).parent
_SECONDS = 1800  # for a cell


def executed(path: pathlib.Path) -> nbformat.NotebookNode:
    """The notebook with what its cells give now. Raises CellExecutionError if one fails."""
    notebook = nbformat.read(path, as_version=4)
    nbclient.NotebookClient(notebook, timeout=_SECONDS, resources={"metadata": {"path": path.parent}}).execute()
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)  # when it ran
        for output in cell.get("outputs", []):
            if "image/jpeg" in output.get("data", {}):
                output.data.pop("image/png", None)  # the same picture, larger
    return notebook


if __name__ == "__main__":
    for path in sorted(FOLDER.glob("*.ipynb")):
        nbformat.write(executed(path), path)
