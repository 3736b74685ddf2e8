"""Sixty-four callers at once: each gets its own pictures soon, none is turned away, memory stays flat."""

import http.client
import io
import pathlib
import re
import statistics
import sys
import threading
import time
import urllib.parse

import numpy as np
import processes
import pytest
import servers
from PIL import Image
from processes import ROOT

from ssagan_tf.serving import client

CALLERS = 64
SECONDS = 10.0
MOST_GROWTH = 30 * 2**20  # bytes
WORDS = ["a red bird", "yellow wings", "a bird with red wings", "red"]


@pytest.fixture
def server(exported):
    """(address, process) of a server of its own."""
    flags = f"--model={exported.parent}", "--port=0"
    options = {"cwd": ROOT, "stderr": processes.DEVNULL, "seconds": 600}
    with processes.started(sys.executable, "scripts/serve.py", *flags, **options) as process:
        address = re.search(r"http://[\d.:]+", process.stdout.readline())[0]
        servers.wait_until_ready(address)
        yield address, process.pid


def resident(process: int) -> int:
    """Bytes in memory."""
    status = pathlib.Path(f"/proc/{process}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) * 1024


def drawn(address, number):
    """A picture's PNG, and how many seconds it took."""
    start = time.perf_counter()
    drawer = client.connect(address, "birds", tries=1)
    (picture,) = drawer.draw([WORDS[number % len(WORDS)]], [1000 + number])
    return picture.png, time.perf_counter() - start


def status_seconds(address, times):
    """What a status takes on a connection that is kept open."""
    connection = http.client.HTTPConnection(urllib.parse.urlsplit(address).netloc, timeout=20)
    for _ in range(times):
        start = time.perf_counter()
        connection.request("GET", "/v1/models/birds")
        connection.getresponse().read()
        yield time.perf_counter() - start
    connection.close()


def under_load(address, process, alone):
    """Seconds of each request, and bytes by which the server grew."""
    failures, waits, sizes = [], [], []
    end = time.monotonic() + SECONDS

    def call(number):
        try:
            while time.monotonic() < end:
                png, wait = drawn(address, number)
                assert png == alone[number], "another caller's picture"
                waits.append(wait)
        except Exception as error:
            failures.append(f"{number}: {error!r}")

    callers = [threading.Thread(target=call, args=(number,)) for number in range(CALLERS)]
    for caller in callers:
        caller.start()
    while time.monotonic() < end:
        time.sleep(0.5)
        sizes.append(resident(process))
    for caller in callers:
        caller.join()
    assert not failures, (len(failures), failures[:3])
    return waits, max(sizes) - sizes[len(sizes) // 3]


@pytest.mark.slow
def test_many_callers_each_get_their_own_pictures_soon(server, random_model):
    address, process = server
    ratios = []
    for _ in range(3):  # where other work begins on this machine meanwhile, figures do not compare
        alone, seconds = zip(*[drawn(address, number) for number in range(CALLERS)], strict=True)
        waits, growth = under_load(address, process, alone)
        assert growth < MOST_GROWTH
        unloaded = statistics.median(seconds)
        ratios.append(np.percentile(waits, 99) / (unloaded * CALLERS))
        print(f"{len(waits)} requests, {1000 * unloaded:.1f} ms alone, 99 % within {ratios[-1]:.2f} times the queue")
        if ratios[-1] < 1.5:
            break
    assert min(ratios) < 1.5
    assert statistics.median(status_seconds(address, 200)) < 0.002
    assert len(set(alone)) == CALLERS
    for number in range(0, CALLERS, 20):
        found = np.asarray(Image.open(io.BytesIO(alone[number]))).astype(int)
        expected = random_model.generate(WORDS[number % len(WORDS)], seed=1000 + number)[0]
        assert np.abs(found - expected).max() <= 2
