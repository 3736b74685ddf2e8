"""Two hundred callers at once, for a minute: each gets its own pictures, none is turned away, memory stays bounded."""

import pathlib
import sys
import threading
import time

import numpy as np
import processes
import pytest
from PIL import Image
from processes import ROOT

from ssagan_tf.export import client

CALLERS = 200
SECONDS = 60.0
MOST_GROWTH = 300 * 2**20  # bytes; 200 threads and what they hold
WORDS = ["a red bird", "yellow wings", "a bird with red wings", "red"]


SERVE = """
import pathlib, sys, threading
from ssagan_tf.serving.page_server import PageServer, read_vocabulary
from ssagan_tf.export.server import serve
folder = pathlib.Path(sys.argv[1])
server = serve(folder, port=0)
if sys.argv[2] == "page":
    page = PageServer(folder.name, read_vocabulary(folder))
    page.endpoint = "http://127.0.0.1:%d" % server.server_address[1]
    threading.Thread(target=server.serve_forever, daemon=True).start()
    server = page
print(server.server_address[1], flush=True)
server.serve_forever()
"""


@pytest.fixture(params=["model", "page"])
def server(exported, request):
    """(address, process) of a server of its own, the model's or the page's before it."""
    command = [sys.executable, "-c", SERVE, str(exported.parent), request.param]
    with processes.started(*command, cwd=ROOT, seconds=600) as process:
        yield f"http://127.0.0.1:{int(process.stdout.readline())}", process.pid


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
