"""The table of what replaces TensorFlow Addons names only what there is, on either side."""

import importlib
import pathlib
import re

import processes
import pytest

HERE = pathlib.Path(__file__).resolve().parent
PYTHON = HERE.parents[1] / ".venv-legacy" / "bin" / "python"
PAGE = (HERE.parents[1] / "docs" / "tensorflow_addons.md").read_text()
_LOOK = "import sys, operator, tensorflow_addons as tfa; [operator.attrgetter(name)(tfa) for name in sys.argv[1:]]"


def names(package):
    return sorted({name for name in re.findall(r"`([\w.]+)`", PAGE) if name.startswith(f"{package}.")})


@pytest.mark.parametrize("name", [*names("keras"), *names("ssagan_tf")])
def test_what_replaces_it_is_there(name):
    module, *rest = name.split(".")
    found = importlib.import_module(module)
    for part in rest:
        module = f"{module}.{part}"
        found = getattr(found, part) if hasattr(found, part) else importlib.import_module(module)


@pytest.mark.slow
@pytest.mark.skipif(not PYTHON.exists(), reason="there is no .venv-legacy: `make test-legacy` builds it")
def test_what_is_replaced_was_there():
    replaced = [name.removeprefix("tfa.") for name in names("tfa")]
    done = processes.run(PYTHON, "-c", _LOOK, *replaced)
    assert len(replaced) > 15 and done.returncode == 0, done.stderr[-500:]
