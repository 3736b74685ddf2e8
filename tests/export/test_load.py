"""Two hundred callers at once, for a minute: each gets its own pictures, none is turned away, memory stays bounded."""

import pathlib
import re
import sys
import threading
import time

import numpy as np
import processes
import pytest
import servers
from PIL import Image
from processes import ROOT

from ssagan_tf.serving import client

CALLERS = 200
SECONDS = 60.0
MOST_GROWTH = 300 * 2**20  # bytes; 200 threads and what they hold
WORDS = ["a red bird", "yellow wings", "a bird with red wings", "red"]


@pytest.fixture(params=["model", "page"])
def server(exported, request):
    """(address, process) of a server of its own, without and with the page."""
    flags = [
        f"--model={exported.parent}",
        "--port=0",
        "--queue=300",
        f"--page={request.param == 'page'}",
    ]
    with processes.started(
        sys.executable, "scripts/serve.py", *flags, cwd=ROOT, stderr=processes.DEVNULL, seconds=600
    ) as process:
        address = re.search(r"http://[\d.:]+", process.stdout.readline())[0]
        servers.wait_until_ready(address)
        yield address, process.pid


def resident(process: int) -> int:
    """Bytes in memory."""
    status = pathlib.Path(f"/proc/{process}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) * 1024


@pytest.mark.slow
def test_two_hundred_callers_for_a_minute_each_get_their_own_pictures(server, random_model, tmp_path):
    address, process = server
    asked = [(WORDS[number % len(WORDS)], 1000 + number) for number in range(CALLERS)]
    # One at a time, and by Keras.
    alone = [client.connect(address, "birds").draw([caption], [seed])[0].png for caption, seed in asked]
    assert len(set(alone)) == CALLERS
    for number in range(0, CALLERS, 20):
        (tmp_path / "picture.png").write_bytes(alone[number])
        found = np.asarray(Image.open(tmp_path / "picture.png")).astype(int)
        assert np.abs(found - random_model.generate(*asked[number])[0]).max() <= 2

    failures, counts, sizes = [], [0] * CALLERS, []
    end = time.monotonic() + SECONDS

    def call(number):
        drawer = client.connect(address, "birds", tries=1)
        try:
            while time.monotonic() < end:
                caption, seed = asked[number]
                (picture,) = drawer.draw([caption], [seed])
                assert picture.png == alone[number], "another caller's picture"
                counts[number] += 1
        except Exception as error:
            failures.append(f"{number}: {error!r}")

    callers = [threading.Thread(target=call, args=(number,)) for number in range(CALLERS)]
    for caller in callers:
        caller.start()
    while time.monotonic() < end:
        time.sleep(1)
        sizes.append(resident(process))
    for caller in callers:
        caller.join()
    assert not failures, (len(failures), failures[:3])
    assert min(counts) >= 1
    growth = max(sizes) - sizes[len(sizes) // 4]
    print(f"{sum(counts)} requests of {CALLERS} callers, no failure, memory grew by {growth / 2**20:.0f} MB")
    assert growth < MOST_GROWTH
