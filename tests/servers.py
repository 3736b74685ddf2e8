"""A server in a thread of this process."""

import contextlib
import pathlib
import threading
import time

from ssagan_tf.serving.app import App, Options
from ssagan_tf.serving.models import Models
from ssagan_tf.serving.server import Server


@contextlib.contextmanager
def running(backend, page=None, **options):
    """Gives the `Server` of a backend, or of the model in a folder, once it is ready."""
    if isinstance(backend, str | pathlib.Path):
        backend = Models({pathlib.Path(backend).name: pathlib.Path(backend)})
    server = Server(App(backend, Options(**{"access_log": False, "drain": 1.0, **options}), page), 0)
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
