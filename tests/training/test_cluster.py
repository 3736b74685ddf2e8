"""The wait for other machines: it ends when they are there, when its time is over, and on a signal."""

import json
import signal
import socket
import sys
import threading
import time

import processes
import pytest

from ssagan_tf.errors import UserError
from ssagan_tf.training import cluster


def free_addresses(count):
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    addresses = [f"127.0.0.1:{each.getsockname()[1]}" for each in sockets]
    for each in sockets:
        each.close()
    return addresses


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr(cluster, "_PAUSE", 0.05)
    monkeypatch.setattr(cluster, "_TOLD_EVERY", 0.2)


def test_machines_that_wait_find_each_other_and_leave_their_ports_free():
    addresses, listening = free_addresses(3), []

    def machine(own):
        cluster.wait_for_others(own, [each for each in addresses if each != own])
        # As TensorFlow, which then listens itself.
        listening.append(socket.create_server(("", int(own.rpartition(":")[2]))))

    machines = [threading.Thread(target=machine, args=(own,)) for own in addresses]
    for each in machines:
        each.start()
        time.sleep(0.2)
    for each in machines:
        each.join(20)
    assert len(listening) == 3
    for each in listening:
        each.close()


def test_who_does_not_come_is_named(monkeypatch, caplog):
    monkeypatch.setattr(cluster, "_PATIENCE", 1.0)
    own, other, missing = free_addresses(3)
    with socket.create_server(("127.0.0.1", int(other.rpartition(":")[2]))), caplog.at_level("INFO", logger="absl"):
        with pytest.raises(UserError, match=f"did not come. Received: no answer from {missing} in 1 seconds"):
            cluster.wait_for_others(own, [other, missing])
    assert caplog.text.count(f"Waiting for {missing} for") >= 2


@pytest.mark.parametrize("address", ["10.0.0.1", ":2222", "host:port", "host:99999"])
def test_an_address_that_is_none_is_refused(address):
    with pytest.raises(UserError, match="An address of TF_CONFIG is none"):
        cluster.wait_for_others(free_addresses(1)[0], [address])


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_ends_the_wait_of_a_training(tmp_path, number, status):
    addresses = free_addresses(2)
    told = json.dumps({"cluster": {"worker": addresses}, "task": {"type": "worker", "index": 0}})
    flags = ["--dataset=synthbirds", "--preset=small", f"--out={tmp_path / 'run'}"]
    command = [sys.executable, processes.ROOT / "scripts" / "train.py", *flags]
    environment = processes.environment(TF_CONFIG=told)
    with processes.started(*command, env=environment, stderr=processes.PIPE, seconds=200) as process:
        port = int(addresses[0].rpartition(":")[2])
        for _ in range(1000):  # it listens when it waits
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.1)
        start = time.monotonic()
        process.send_signal(number)
        assert process.wait(20) == status and time.monotonic() - start < 10
