"""The wheel and the source distribution: what is in them, and that they work where there is nothing else."""

import configparser
import os
import pathlib
import tarfile
import time
import zipfile

import numpy as np
import processes
import pytest
from PIL import Image
from processes import ROOT

from ssagan_tf import sampling
from ssagan_tf.core.files import BUNDLED_MODEL
from ssagan_tf.training.run import load_model

CAPTION = "a bird with a red crown and a yellow belly"
# Folder of a checkout -> where its files are in an installed package, and of which kinds they are.
SHIPPED = {
    "ssagan_tf": ("ssagan_tf", {".py", ".safetensors", ".js", ".css", ".html", ".svg", ".json", ".md", ".typed", ""}),
    "scripts": ("ssagan_tf/commands", {".py"}),
    "saved_models/synthbirds-64": (
        "ssagan_tf/saved_models/synthbirds-64",
        {".md", ".json", ".txt", ".safetensors", ".png", ".config", ".yaml", ".pb", ".index", ".tflite", ".py", ""}
        | {".data-00000-of-00001", ".sha256"},
    ),
}
METADATA = {"METADATA", "WHEEL", "RECORD", "entry_points.txt", "top_level.txt", "licenses/LICENSE"}


def commands() -> set[str]:
    """Console commands that setup.cfg names."""
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    lines = config["options.entry_points"]["console_scripts"].strip().splitlines()
    return {line.split("=")[0].strip() for line in lines}


def run(*command: object, cwd: pathlib.Path, **variables: str):
    """Runs where nothing of this checkout can be found, neither by Python nor, without a PATH, by git."""
    environment = {"PATH": "", "HOME": str(cwd), **variables}
    return processes.run(*command, cwd=cwd, env=environment, seconds=900)


def seconds(statement: str) -> float:
    """The least of three times that a new interpreter takes for it."""
    taken = []
    for _ in range(3):
        start = time.monotonic()
        processes.python("-c", statement, check=True)
        taken.append(time.monotonic() - start)
    return min(taken)


def test_every_script_is_a_console_command():
    scripts = {path.stem.replace("_", "-") for path in (ROOT / "scripts").glob("[a-z]*.py")}
    assert commands() == {f"ssagan-{name}" for name in scripts}


def test_every_package_of_the_tree_is_shipped():
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    shipped = set(config["options"]["packages"].split())
    folders = {path.parent.relative_to(ROOT) for path in (ROOT / "ssagan_tf").rglob("__init__.py")}
    places = {place.replace("/", ".") for place, _ in SHIPPED.values() if place != "ssagan_tf"}
    mapped = {place.removesuffix(".synthbirds-64") for place in places}
    assert shipped == {".".join(folder.parts) for folder in folders} | mapped


def test_the_package_alone_imports_nothing_heavy():
    code = "import sys, ssagan_tf; print(sorted({'tensorflow', 'keras', 'numpy', 'PIL', 'absl'} & set(sys.modules)))"
    assert processes.python("-c", code).stdout == "[]\n"


@pytest.mark.slow
def test_the_package_is_imported_in_less_than_1_2_times_the_time_of_tensorflow():
    assert seconds("import ssagan_tf") < 1.2 * seconds("import tensorflow")


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> pathlib.Path:
    """Folder of the source distribution and of the wheel that was made from it."""
    out = tmp_path_factory.mktemp("dist")
    processes.python("-m", "build", "--outdir", out, ROOT, seconds=900, check=True)
    return out


@pytest.fixture(scope="module")
def installed(built, tmp_path_factory):
    """The `bin` of a virtual environment that holds the wheel and what it needs, and cannot be written to."""
    venv = tmp_path_factory.mktemp("installed") / "venv"
    processes.python("-m", "venv", venv, check=True)
    install = [venv / "bin" / "python", "-m", "pip", "install", "--quiet", *built.glob("*.whl")]
    # Not with this checkout on the path, where pip would find the package installed already.
    elsewhere = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    processes.run(*install, seconds=1800, check=True, env=elsewhere)
    processes.run("chmod", "-R", "a-w", venv, check=True)
    bound = os.geteuid() == 0  # whom no permission hinders
    if bound and processes.run("mount", "-o", "bind,ro", venv, venv).returncode:
        pytest.skip("mounting a folder read-only is not allowed here")
    yield venv / "bin"
    if bound:
        processes.run("umount", "--lazy", venv, check=True)
    processes.run("chmod", "-R", "u+w", venv, check=True)


@pytest.mark.slow
def test_the_wheel_holds_the_package_its_commands_and_the_bundled_model_and_nothing_else(built):
    expected = set()
    for folder, (place, suffixes) in SHIPPED.items():
        files = [path for path in (ROOT / folder).rglob("*") if path.is_file() and "__pycache__" not in path.parts]
        assert files and {path.suffix for path in files} <= suffixes
        expected |= {f"{place}/{path.relative_to(ROOT / folder)}" for path in files}
    (wheel,) = built.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    metadata = {name for name in names if ".dist-info/" in name}
    assert {name.split(".dist-info/")[1] for name in metadata} == METADATA
    assert names - metadata == expected
    assert wheel.stat().st_size < 25e6


@pytest.mark.slow
def test_the_source_distribution_holds_tests_and_docs_too(built):
    with tarfile.open(next(built.glob("*.tar.gz"))) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    wanted = {"Makefile", "README.md", "LICENSE", "setup.cfg", "pyproject.toml", "docs/data.md", "tests/conftest.py"}
    assert wanted <= names
    assert not [name for name in names if "__pycache__" in name or name.startswith((".git/", ".venv", "runs"))]


@pytest.mark.slow
def test_the_installed_commands_draw_train_and_help_from_another_folder(installed, tmp_path):
    shared = {path.name for path in installed.glob("ssagan-*")}
    assert shared == commands()
    with pytest.raises(OSError):
        (installed.parent / "written").write_text("")
    done = run(installed / "ssagan-sample", f"--caption={CAPTION}", "--count=2", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, "Wrote sheet.png\n"), done.stderr
    sampling.write_sheet(load_model(BUNDLED_MODEL), [CAPTION], 0, 2, tmp_path / "wanted.png")
    drawn, wanted = (np.asarray(Image.open(tmp_path / name), int) for name in ("sheet.png", "wanted.png"))
    assert np.abs(drawn - wanted).max() <= 1
    train = ["--dataset=synthbirds", "--preset=small", "--steps=2", "--pretraining_steps=1", "--batch_size=4"]
    done = run(installed / "ssagan-train", *train, "--out=run", cwd=tmp_path)
    assert done.returncode == 0 and "  ssagan-sample --model=run " in done.stdout, done.stderr
    done = run(installed / "ssagan-sample", "--model=run", f"--caption={CAPTION}", "--out=own.png", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, "Wrote own.png\n"), done.stderr
    for command in shared:
        done = run(installed / command, "--help", cwd=tmp_path)
        assert (done.returncode, done.stderr) == (0, "") and f"    {command} " in done.stdout, command


@pytest.mark.slow
def test_the_installed_commands_name_themselves_where_they_refuse(installed, tmp_path):
    done = run(installed / "ssagan-train", cwd=tmp_path)
    told = (
        "error: Missing: --dataset. Received: none. Give one of cub, coco, folder, synthbirds. See ssagan-train --help."
    )
    assert (done.returncode, done.stderr) == (2, f"{told}\n")
    done = run(installed / "ssagan-sample-tflite", "--nothing", cwd=tmp_path)
    assert done.returncode == 2 and done.stderr.endswith(". See ssagan-sample-tflite --help.\n")
