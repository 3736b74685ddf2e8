"""Two devices train as one does with the same global batch."""

import contextlib
import json
import pathlib
import socket
import sys

import numpy as np
import processes
import pytest
from processes import ROOT

from ssagan_tf import UserError
from ssagan_tf.step import replicas
from ssagan_tf.training import checkpoint, devices

TESTS = ROOT / "tests"


def test_helpers_do_nothing_on_one_device():
    import tensorflow as tf

    x = tf.constant([[1.0], [2.0], [3.0]])
    assert replicas.replicas() == 1
    for function in (replicas.gather, replicas.own_part, replicas.sum_over_replicas):
        assert function(x) is x
    assert replicas.next_samples(x).numpy().tolist() == [[2.0], [3.0]]


@pytest.mark.slow
def test_two_devices_train_as_one(tmp_path):
    done = processes.python(TESTS / "two_devices.py", cwd=tmp_path, check=True, seconds=500)
    assert "EQUAL" in done.stdout


def _worker(folder, name, *arguments, **variables):
    environment = processes.environment(**variables)
    command = [sys.executable, TESTS / "two_workers.py", folder / f"{name}.npz", *arguments]
    log = (folder / f"{name}.log").open("w")
    return processes.started(*command, seconds=900, cwd=folder, env=environment, stdout=log, stderr=log)


def _free_addresses(count: int) -> list[str]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    addresses = [f"127.0.0.1:{each.getsockname()[1]}" for each in sockets]
    for each in sockets:
        each.close()
    return addresses


@pytest.mark.slow
def test_two_processes_train_as_one_and_only_the_chief_writes(tmp_path):
    cluster, run = {"worker": _free_addresses(2)}, tmp_path / "run"
    told = [json.dumps({"cluster": cluster, "task": {"type": "worker", "index": index}}) for index in range(2)]
    workers = [_worker(tmp_path, f"worker{index}", run, TF_CONFIG=each) for index, each in enumerate(told)]
    with contextlib.ExitStack() as stack:
        for process in [stack.enter_context(each) for each in [*workers, _worker(tmp_path, "alone")]]:
            assert process.wait() == 0, "".join(log.read_text()[-3000:] for log in tmp_path.glob("*.log"))

    alone = dict(np.load(tmp_path / "alone.npz"))
    assert len([name for name in alone if name.startswith("loss/")]) == 25
    for index in range(2):
        worker = dict(np.load(tmp_path / f"worker{index}.npz"))
        assert set(worker) == set(alone)
        for name, value in alone.items():
            np.testing.assert_allclose(worker[name], value, rtol=1e-4, atol=1e-4, err_msg=name)

    # A whole training: both did all steps, and the run folder is the chief's alone.
    steps, folders = zip(*((tmp_path / f"worker{index}.txt").read_text().split() for index in range(2)), strict=True)
    assert steps == ("2", "2")
    assert folders[0] == str(run) != folders[1] and not pathlib.Path(folders[1]).exists()
    assert checkpoint.newest(run / "checkpoints").step == 2
    assert len((run / "log.jsonl").read_text().splitlines()) == 2


@pytest.mark.parametrize(
    ("task", "chief"),
    [
        (None, True),
        ({"cluster": {"worker": ["a:1", "b:1"]}, "task": {"type": "worker", "index": 0}}, True),
        ({"cluster": {"worker": ["a:1", "b:1"]}, "task": {"type": "worker", "index": 1}}, False),
        ({"cluster": {"chief": ["a:1"], "worker": ["b:1"]}, "task": {"type": "chief", "index": 0}}, True),
        ({"cluster": {"chief": ["a:1"], "worker": ["b:1"]}, "task": {"type": "worker", "index": 0}}, False),
        # Job managers set it for one process, too.
        ({"cluster": {"master": ["a:1"]}, "task": {"type": "master", "index": 0}}, True),
        ({"cluster": {"worker": ["a:1"]}, "task": {"type": "worker"}}, True),
        ({"task": {"type": "master", "index": 0}}, True),
        ({"cluster": {}, "environment": "cloud"}, True),
        ({}, True),
    ],
)
def test_one_process_is_the_chief(monkeypatch, task, chief):
    monkeypatch.setenv("TF_CONFIG", "" if task is None else json.dumps(task))
    assert devices.is_chief() is chief
    assert devices.several_machines() == (len(str(task).split(":1")) > 2)


@pytest.mark.parametrize(
    "text",
    [
        "nonsense",
        "[]",
        '{"cluster": {"worker": ["a:1"], "ps": ["b:1"]}, "task": {"type": "worker", "index": 0}}',
        '{"cluster": {"worker": ["a:1", "b:1"]}, "task": {"type": "evaluator", "index": 0}}',
        '{"cluster": {"worker": ["a:1", "b:1"]}, "task": {"type": "worker"}}',
        '{"cluster": {"worker": ["a:1", "b:1"]}, "task": {"type": "worker", "index": 2}}',
        '{"cluster": {"worker": ["a:1", "b:1"]}}',
        '{"cluster": {"master": ["a:1"], "worker": ["b:1"]}, "task": {"type": "master", "index": 0}}',
        '{"cluster": ["a:1", "b:1"]}',
        '{"cluster": {"worker": "a:1"}, "task": {"type": "worker", "index": 0}}',
        '{"cluster": {"worker": [1, 2]}, "task": {"type": "worker", "index": 0}}',
    ],
)
def test_a_cluster_that_is_none_is_refused(monkeypatch, text):
    monkeypatch.setenv("TF_CONFIG", text)
    with pytest.raises(UserError, match="Received: .*TF_CONFIG|TF_CONFIG (is not|does not say which).*Received: "):
        devices.devices()
