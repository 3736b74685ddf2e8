"""Progress: a bar for people at a terminal, few lines for a file."""

import pytest

from ssagan_tf.core import progress
from ssagan_tf.core.progress import Bar


def work(steps: int, target: int, **options):
    with Bar(target, "pictures", **options) as bar:
        for number in range(steps):
            bar.step({"loss": float(number)})


def test_a_terminal_sees_a_bar_with_the_newest_value(capsys, monkeypatch):
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    work(4, 4)
    shown = capsys.readouterr().out
    # The newest, not the mean of all.
    last = shown.split("\r")[-1]
    assert last.startswith("4/4  ") and "loss 3" in last and " pictures/s" in last and last.endswith("\n")


def test_a_bar_that_goes_on_counts_the_whole_and_its_pace_is_that_of_now(capsys, monkeypatch):
    times = iter(range(0, 1000, 40))
    monkeypatch.setattr(progress.time, "monotonic", lambda: float(next(times)))
    bar = Bar(9, done=6, pictures=16)
    bar.step()
    bar.step()
    assert capsys.readouterr().out.splitlines() == [
        "7/9  0.4 pictures/s  0:01:20 left",
        "8/9  0.4 pictures/s  0:00:40 left",
    ]


def test_a_bar_that_was_broken_off_leaves_its_line(capsys, monkeypatch):
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    work(1, 4)
    assert capsys.readouterr().out.endswith("\n")


def test_a_file_gets_a_line_at_the_end(capsys):
    work(1500, 1500)
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith("1,500/1,500  ") and line.endswith("loss 1.5e+03") and " pictures/s" in line


def test_a_file_gets_a_line_now_and_then(capsys, monkeypatch):
    times = iter(range(0, 1000, 7))
    monkeypatch.setattr(progress.time, "monotonic", lambda: float(next(times)))
    work(12, 20)
    done = [line.split("/")[0] for line in capsys.readouterr().out.splitlines()]
    assert done == ["5", "10"]  # every 35 of 7 seconds each


@pytest.mark.parametrize("target, shown", [(0, True), (3, False)])
def test_nothing_is_said_of_nothing_or_where_it_is_not_wanted(capsys, target, shown):
    work(3, target, shown=shown)
    assert capsys.readouterr().out == ""


def test_bars_made_in_the_midst_of_other_work_are_hidden(capsys):
    with progress.hidden(), Bar(1) as bar:
        bar.step()
    assert capsys.readouterr().out == ""
    with Bar(1) as bar:
        bar.step()
    assert "1/1" in capsys.readouterr().out
