"""A server in a thread of this process, or in one of its own."""

import contextlib
import pathlib
import threading
import time
import urllib.error
import urllib.request

from ssagan_tf.serving.app import App, Options
from ssagan_tf.serving.models import Models
from ssagan_tf.serving.server import Server


@contextlib.contextmanager
def running(backend, page=None, **options):
    """Gives the `Server` of a backend, or of the model in a folder, once it is ready."""
    if isinstance(backend, str | pathlib.Path):
        backend = Models({pathlib.Path(backend).name: pathlib.Path(backend)})
    server = Server(App(backend, Options(**options), page), 0)
    thread = threading.Thread(target=server.run_until_stopped, daemon=True)
    thread.start()
    end = time.monotonic() + 300
    while not (server.started and backend.ready):
        assert time.monotonic() < end and backend.failed is None, backend.failed
        time.sleep(0.02)
    try:
        yield server
    finally:
        server.should_exit = True
        thread.join(30)


def wait_until_ready(url: str) -> None:
    """Waits for a server's models."""
    end = time.monotonic() + 300
    while time.monotonic() < end:
        try:
            urllib.request.urlopen(f"{url.rstrip('/')}/readyz", timeout=60).close()
            return
        except urllib.error.HTTPError:
            time.sleep(0.1)
    raise TimeoutError(url)
