"""The script as a user runs it, from another working folder."""

import functools

import in_process
import pytest
from small_data import write_cub, write_folder


@pytest.fixture
def run(tmp_path):
    return functools.partial(in_process.run, "prepare_data", cwd=tmp_path)


def test_prepares_and_checks(run, tmp_path):
    write_folder(tmp_path / "mine")
    done = run("--dataset=folder", "--source=mine", "--out=out", "--image_size=16")
    assert (done.returncode, done.stderr) == (0, "")
    assert "train pictures with" in done.stdout and "--data_dir=out" in done.stdout
    checked = run("--source=out", "--check")
    assert (checked.returncode, checked.stderr) == (0, "")
    assert "No problems were found." in checked.stdout


def test_a_check_with_problems_ends_with_status_1_and_writes_nothing(run, tmp_path):
    keys = write_cub(tmp_path / "birds")
    (tmp_path / "birds" / "CUB_200_2011" / "images" / f"{keys[2]}.jpg").unlink()
    checked = run("--dataset=cub", "--source=birds", "--check")
    assert checked.returncode == 1 and checked.stderr == ""
    assert f"problem: Pictures cannot be read (1). Found: {keys[2]}" in checked.stdout
    assert {path.name for path in tmp_path.iterdir()} == {"birds"}


def test_an_error_is_one_line_and_status_1(run, tmp_path):
    done = run("--dataset=cub", "--source=nowhere", "--out=out")
    assert done.returncode == 1
    assert done.stderr.startswith("error: ") and done.stderr.count("\n") == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "flags",
    [
        ("--dataset=cats", "--out=out"),
        ("--dataset=cub", "--out=out"),
        ("--dataset=synthbirds",),
        ("--dataset=synthbirds", "--source=x", "--out=out"),
        ("--dataset=folder", "--source=x", "--out=out", "--count=5"),
        ("--source=x", "--out=out"),
        ("--dataset=synthbirds", "--out=out", "--image_size=100"),
    ],
)
def test_wrong_flags_are_one_line_and_status_2(run, flags):
    done = run(*flags)
    assert done.returncode == 2
    assert done.stderr.startswith("error: ") and done.stderr.count("\n") == 1


def test_what_only_drawn_birds_have_is_refused_for_other_data(run, tmp_path):
    write_folder(tmp_path / "mine")
    done = run("--dataset=folder", "--source=mine", "--out=out", "--seed=0", "--count=5")
    assert "Received: --seed=0 --count=5 with --dataset=folder." in done.stderr
    assert not (tmp_path / "out").exists()


def test_help_shows_examples(run):
    done = run("--help")
    assert done.returncode == 0
    assert "python scripts/prepare_data.py --dataset=cub" in done.stdout
