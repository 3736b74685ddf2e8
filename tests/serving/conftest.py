"""A model with random weights whose pictures are no plain colour, its exports, and the page before it."""

import contextlib
import shutil
import sys

import processes
import pytest
import servers
import sockets
from processes import ROOT

from ssagan_tf.serving import app

SCRIPT = ROOT / "scripts" / "demo.py"


@pytest.fixture(scope="session")
def birds(random_sampler):
    """SSAGAN for sampling that knows some colours."""
    return random_sampler("a red bird with yellow wings and a blue crown")


@pytest.fixture(scope="session")
def exported(birds, tmp_path_factory):
    """The folder that export.py writes, `.../birds`."""
    from ssagan_tf.export import export

    return export(birds, tmp_path_factory.mktemp("exported") / "birds").parent


@pytest.fixture(scope="session")
def endpoint(exported):
    """Address of a server that draws with it."""
    with servers.running(exported) as server:
        yield server.url.rstrip("/")


@pytest.fixture(scope="module")
def server():
    """A `Server` that draws nothing, with small limits."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(app, "MOST_KEPT", 4 * sockets.LARGE)
        with servers.running(sockets.Echo(), sockets.PAGE, patience=2, max_body=2**20) as server:
            yield server


class Script:
    """`demo.py` in a process of its own, which can be stopped and started again at the same port."""

    def __init__(self, exported, endpoint):
        self.arguments = [f"--model={exported}", f"--server={endpoint}"]
        self.block, self.port = contextlib.ExitStack(), 0

    def start(self) -> str:
        command = [sys.executable, str(SCRIPT), *self.arguments, f"--port={self.port}"]
        process = self.block.enter_context(processes.started(*command, seconds=1200))
        url = process.stdout.readline().split()[1]
        self.port = int(url.rstrip("/").rpartition(":")[2])
        servers.wait_until_ready(url)
        return url

    def stop(self):
        self.block.close()


@pytest.fixture(scope="session")
def script(exported, endpoint):
    return Script(exported, endpoint)


@pytest.fixture(scope="session")
def url(script):
    """Address of the page."""
    yield script.start()
    script.stop()


@pytest.fixture(scope="session")
def chromium():
    """`chromium(width=1000, dark=False)` -> `browser.Page`."""
    pytest.importorskip("selenium", reason="selenium is not installed.")
    if not shutil.which("chromium") or not shutil.which("chromedriver"):
        pytest.skip("Chromium and its driver are not installed.")
    from browser import Page

    pages = []

    def start(**options):
        pages.append(Page(**options))
        return pages[-1]

    yield start
    for page in pages:
        page.driver.quit()
