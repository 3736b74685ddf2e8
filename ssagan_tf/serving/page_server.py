"""Serves the page, and hands its requests on to whatever speaks TensorFlow Serving's REST API.

Of the standard library alone, without TensorFlow: the page is there at once, while the model is still being loaded;
a web framework would add a dependency and save nothing. The page asks only where it comes from, so an endpoint needs no
CORS, and the page may be closed to all else (`Content-Security-Policy`). What strangers send is bounded: connections,
requests at a time, their sizes; paths are looked up in a table of files, never on the disk.

    with PageServer("birds", vocabulary) as server:
        server.endpoint = "http://127.0.0.1:8501"
        server.serve_forever()
"""

from __future__ import annotations

import http.client
import http.server
import json
import mimetypes
import pathlib
import re
import shutil
import threading
import typing
import urllib.parse

from ssagan_tf.errors import UserError
from ssagan_tf.serving.assets import SETTINGS_FILE, VOCABULARY_FILE, page_files
from ssagan_tf.weights.versions import newest_version

_CONNECTIONS = 64  # at a time; more of them wait
_FORWARDED = 8  # requests handed on at a time; more of them wait
_PATIENCE = 60.0  # seconds that a request waits for its turn, and for the endpoint's answer
_IDLE = 15.0  # seconds without a byte after which a connection is closed
_LARGEST_BODY = 4 * 2**20  # bytes; the page's own requests have a few hundred
_LARGEST_DISCARDED = 64 * 2**20  # bytes that are read and thrown away, so that whoever sends them hears why
_API_PATH = re.compile(r"/v1/[A-Za-z0-9_.~%:/-]{1,500}")
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; "
    "connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}


class PageServer(http.server.ThreadingHTTPServer):
    """The page, and `/v1/` of an endpoint.

    Args:
        model: its name at the endpoint.
        vocabulary: content of its `vocabulary.txt`.
        port: 0 for any that is free; `url` tells which.
        host: address to listen at; the default is this machine alone.

    Attributes:
        endpoint: http://HOST:PORT or https://HOST:PORT of a server with TensorFlow Serving's REST API; None until there
            is one.

    Raises:
        UserError: the port is taken, or the address is none of this machine's.
    """

    daemon_threads = True
    request_queue_size = 1024  # connections that wait until they are accepted; the system may allow fewer

    def __init__(self, model: str, vocabulary: bytes, port: int = 0, host: str = "127.0.0.1"):
        self.endpoint: str | None = None
        settings = json.dumps({"backend": "server", "model": model}).encode()
        self.files = {**page_files(), SETTINGS_FILE: settings, VOCABULARY_FILE: vocabulary}
        self.forwarded = threading.Semaphore(_FORWARDED)
        self.crowded = False
        self._connections = threading.Semaphore(_CONNECTIONS)
        try:
            super().__init__((host, port), _Handler)
        except (OSError, OverflowError) as error:
            reason = getattr(error, "strerror", None) or error
            raise UserError(f"Could not listen. Received: {host}:{port}: {reason}. Use another --port.") from error

    @property
    def url(self) -> str:
        return "http://{}:{}/".format(*self.server_address[:2])

    def process_request(self, request: typing.Any, client_address: typing.Any) -> None:
        # Meanwhile others wait in the system's queue, and who is connected is answered once more and sent away: else a
        # few that keep on asking would keep all others out.
        self.crowded = not self._connections.acquire(blocking=False)
        if self.crowded:
            self._connections.acquire()
        super().process_request(request, client_address)

    def process_request_thread(self, request: typing.Any, client_address: typing.Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._connections.release()

    def handle_error(self, request: typing.Any, client_address: typing.Any) -> None:
        pass  # whoever asked has gone


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = _IDLE
    server: PageServer

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if path.startswith("/v1/"):
            self._forward(b"")
            return
        name = path.removeprefix("/") or "index.html"
        content = self.server.files.get(name)
        if content is None:
            self._refuse(404, "There is nothing here.")
        else:
            self._send(200, mimetypes.guess_type(name)[0] or "application/octet-stream", content)

    def do_POST(self) -> None:
        length = self.headers.get("Content-Length", "")
        if not length.isdecimal() or len(length) > 15:
            self.close_connection = True  # where this request ends is not known
            self._refuse(411, "A request needs a Content-Length.")
        elif int(length) > _LARGEST_BODY:
            self._discard(int(length))
            self._refuse(413, f"A request has at most {_LARGEST_BODY:,} bytes. Received: {int(length):,}.")
        elif not self.server.forwarded.acquire(timeout=_PATIENCE):
            self.close_connection = True  # its body was not read
            self._refuse(503, "The server has too much to do. Try again later.")
        else:
            # The body is read only now, so that no more of them lie in the memory than are handed on.
            try:
                self._forward(self.rfile.read(int(length)))
            finally:
                self.server.forwarded.release()

    def _discard(self, length: int) -> None:
        self.close_connection = length > _LARGEST_DISCARDED
        for _ in range(min(length, _LARGEST_DISCARDED) // 2**16):
            self.rfile.read(2**16)
        self.rfile.read(min(length, _LARGEST_DISCARDED) % 2**16)

    def _forward(self, body: bytes) -> None:
        if not _API_PATH.fullmatch(self.path):
            self._refuse(400, "The path is none of TensorFlow Serving's.")
            return
        if self.server.endpoint is None:
            self._refuse(503, "The model is being loaded.")
            return
        address = urllib.parse.urlsplit(self.server.endpoint)
        kind = http.client.HTTPSConnection if address.scheme == "https" else http.client.HTTPConnection
        connection = kind(str(address.hostname), address.port, timeout=_PATIENCE)
        try:
            connection.request(
                self.command, address.path.rstrip("/") + self.path, body, {"Content-Type": "application/json"}
            )
            response = connection.getresponse()
        except (OSError, http.client.HTTPException):
            connection.close()
            self._refuse(503, "The server that draws does not answer.")
            return
        try:
            self._pass_on(response)
        finally:
            connection.close()

    def _pass_on(self, response: http.client.HTTPResponse) -> None:
        """The answer as it comes in, not as a whole in the memory."""
        self.send_response(response.status)
        self.send_header("Content-Type", "application/json")
        if response.length is None:
            self.close_connection = True  # the end of the connection is the end of the answer
        else:
            self.send_header("Content-Length", str(response.length))
        self._end_headers()
        shutil.copyfileobj(response, self.wfile)

    def _refuse(self, status: int, reason: str) -> None:
        """An error in TensorFlow Serving's form."""
        self._send(status, "application/json", json.dumps({"error": reason}).encode())

    def _send(self, status: int, kind: str, content: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", f"{kind}; charset=utf-8" if kind.startswith("text/") else kind)
        self.send_header("Content-Length", str(len(content)))
        self._end_headers()
        self.wfile.write(content)

    def _end_headers(self) -> None:
        if self.close_connection or self.server.crowded:
            self.send_header("Connection", "close")  # which also ends it
        for name, value in _HEADERS.items():
            self.send_header(name, value)
        self.end_headers()

    def log_message(self, *_) -> None:
        pass


# === Which model, and who draws ===


def checked_endpoint(address: str) -> str:
    """The address of a server. Raises UserError if it is none."""
    parts = urllib.parse.urlsplit(address)
    try:
        complete = parts.scheme in ("http", "https") and parts.hostname and (parts.port or True)
    except ValueError:  # a port that is no number
        complete = False
    if not complete:
        raise UserError(f"No such address. Received: {address}. Use http://HOST:PORT, usually with 8501.")
    return address


def read_vocabulary(model: pathlib.Path) -> bytes:
    """`vocabulary.txt` of a folder that export.py wrote, a run folder or a model folder.

    Raises:
        UserError: it is none of them.
    """
    version = newest_version(model)
    path = model / VOCABULARY_FILE if version is None else version / "assets" / VOCABULARY_FILE
    try:
        return path.read_bytes()
    except OSError as error:
        raise UserError(
            f"No model found. Received: {model}. Train one with make train, and give its run folder: --model=RUN."
        ) from error
