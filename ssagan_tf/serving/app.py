"""The server as an ASGI application: TensorFlow Serving's REST API, the page, health and metrics.

What strangers send is bounded: who may ask, how long a body may take, how much of it is kept, how many requests wait,
and how much of the answers is not taken yet. Bodies are read before a request waits for its turn.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import hmac
import json
import re
import sys
import time
import typing
import urllib.parse
import zlib
from concurrent.futures import ThreadPoolExecutor

import prometheus_client
from absl import logging
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from ssagan_tf.errors import UserError
from ssagan_tf.serving.rest import HTTP_STATUS, ServingError, answer_of, arrays_of, invalid

LOOPBACK = ("localhost", "127.0.0.1", "::1")
_CHUNK = 64 * 2**10
_METHODS = ("GET", "HEAD", "POST", "OPTIONS")
_MODEL = re.compile(r"/v1/models/([^/:]+)(?:/versions/(\d{1,18}))?(:predict|/metadata)?")
# Not by `mimetypes`, which asks the system's registry.
_TYPES = {"html": "text/html", "js": "text/javascript", "css": "text/css", "txt": "text/plain"}
_OTHER_TYPES = {"svg": "image/svg+xml", "json": "application/json"}
_SAFE = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; "
    "connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}


@dataclasses.dataclass(frozen=True)
class Options:
    """Limits, and who may ask.

    Attributes:
        places: requests that are computed at a time.
        queue: requests that are computed or wait; more are told to come back (429).
        body: bytes of a request, inflated.
        kept: bytes of all requests' bodies, and of all answers that are not taken yet.
        patience: seconds for a request's head, for its body, and for a stuck reader.
        drain: seconds that requests have to end after SIGTERM.
        connections: at a time.
        hosts: names by which this server may be called; ("*",): any.
        api_key: that requests to the API must carry, or None.
        access_log: whether each request is told in a line of JSON on stderr.
    """

    places: int = 2
    queue: int = 100
    body: int = 32 * 2**20
    kept: int = 256 * 2**20
    patience: float = 30.0
    drain: float = 30.0
    connections: int = 1000
    hosts: tuple[str, ...] = LOOPBACK
    api_key: str | None = None
    access_log: bool = True


class Backend(typing.Protocol):
    """What draws: `models.Models` here, or `forward.Forward` elsewhere."""

    @property
    def failed(self) -> UserError | None: ...
    @property
    def ready(self) -> bool: ...
    def start(self) -> None: ...
    def stop(self) -> None: ...
    async def answer(self, app: App, name: str, version: int | None, what: str, body: bytes) -> Response: ...


class App:
    """The application.

    Args:
        backend: what draws.
        options: limits.
        page: its files by name, or None to serve the API alone.
    """

    def __init__(self, backend: Backend, options: Options, page: typing.Mapping[str, bytes] | None = None):
        self.backend, self.options, self.page = backend, options, page or {}
        self.draining = False
        self.waiting = 0
        self.turn = asyncio.Semaphore(options.places)
        self.pool = ThreadPoolExecutor(options.places, "predict")
        self._kept = 0
        self._answers: dict[object, tuple[int, typing.Callable[[], None]]] = {}
        self.registry = prometheus_client.CollectorRegistry()
        self._requests = prometheus_client.Counter(
            "ssagan_requests", "Requests by method and status.", ["method", "status"], registry=self.registry
        )
        self._seconds = prometheus_client.Histogram(
            "ssagan_request_seconds", "From a request's head to its answer's end.", registry=self.registry
        )
        waiting = prometheus_client.Gauge("ssagan_waiting", "Requests that wait or run.", registry=self.registry)
        waiting.set_function(lambda: self.waiting)
        methods = list(_METHODS)
        routes = [
            Route("/healthz", lambda _: _json({"status": "ok"})),
            Route("/readyz", self._readyz),
            Route("/metrics", lambda _: Response(prometheus_client.generate_latest(self.registry))),
            Route("/{path:path}", self._api_or_page, methods=methods),
        ]
        handlers: typing.Any = {ServingError: _told, HTTPException: _http_error, Exception: _failed}
        self._routes = Starlette(routes=routes, exception_handlers=handlers, lifespan=self._lifespan)

    @contextlib.asynccontextmanager
    async def _lifespan(self, _) -> typing.AsyncIterator[None]:
        self.backend.start()
        yield
        self.backend.stop()
        self.pool.shutdown(wait=False, cancel_futures=True)

    @property
    def failed(self) -> UserError | None:
        return self.backend.failed

    async def __call__(self, scope, receive, send) -> None:
        if scope["type"] != "http":
            await self._routes(scope, receive, send)
            return
        started, told = time.perf_counter(), {"status": 0, "bytes": 0}

        async def counted(message):
            told["status"] = message.get("status", told["status"])
            told["bytes"] += len(message.get("body", b""))
            await self._send(scope, send, message)

        try:
            refused = self._refusal(scope)
            await (refused or self._routes)(scope, receive, counted)
        except ClientDisconnect:
            told["status"] = 499
        except Exception:
            logging.exception("A request failed by a mistake of the server.")
        finally:
            self._note(scope, time.perf_counter() - started, **told)

    def _note(self, scope, seconds: float, **told) -> None:
        method = scope["method"] if scope["method"] in _METHODS else "other"
        self._requests.labels(method, told["status"]).inc()
        self._seconds.observe(seconds)
        if self.options.access_log:
            client = scope["client"][0] if scope["client"] else None
            path = scope["raw_path"].decode(errors="replace")[:500]
            line = {"time": round(time.time(), 3), "client": client, "method": scope["method"], "path": path}
            print(json.dumps({**line, **told, "ms": round(1000 * seconds, 1)}), file=sys.stderr, flush=True)

    # === Who may ask ===

    def _refusal(self, scope) -> Response | None:
        """Why a request is refused by its head, or None."""
        headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"]]
        given = dict(headers)
        names = [name for name, _ in headers]
        if scope["method"] not in _METHODS:
            return _error(405, "Method not allowed", {"Allow": ", ".join(_METHODS), "Connection": "close"})
        if "content-length" in given and "transfer-encoding" in given:
            return _error(400, "A request has a length or is chunked, not both", {"Connection": "close"})
        has_body = given.get("content-length", "0") != "0" or "transfer-encoding" in given
        if has_body and scope["method"] != "POST":
            return _error(400, f"A {scope['method']} request has no body", {"Connection": "close"})
        host = given.get("host", "")  # HTTP/1.0 has none, as health checks send it; browsers do not
        if names.count("host") > 1 or host and not self._known(host):
            return _error(421, "This server is not called by that name: see --allowed_hosts", {"Connection": "close"})
        origin = given.get("origin")
        if origin is not None and urllib.parse.urlsplit(origin).netloc != host:
            return _error(403, "Other sites' pages may not ask", {"Connection": "close"})
        parts = urllib.parse.unquote(scope["raw_path"].decode("latin-1")).replace("\\", "/").split("/")
        if {".", ".."} & set(parts):
            return _error(400, "The path has parts that lead elsewhere")
        key, path = self.options.api_key, scope["path"]
        if key is not None and (path.startswith("/v1/") or path == "/metrics"):
            sent = given.get("x-api-key") or given.get("authorization", "").removeprefix("Bearer ")
            if not hmac.compare_digest(sent.encode("latin-1"), key.encode()):
                return _error(401, "An API key is needed", {"WWW-Authenticate": "Bearer", "Connection": "close"})
        if given.get("content-length", "0").isdecimal() and int(given.get("content-length", "0")) > self.options.body:
            return _error(413, f"A body has at most {self.options.body:,} bytes", {"Connection": "close"})
        return None

    def _known(self, host: str) -> bool:
        name = urllib.parse.urlsplit(f"//{host}").hostname
        return "*" in self.options.hosts or name in self.options.hosts

    # === Answers ===

    async def _readyz(self, _) -> Response:
        if self.backend.ready and not self.draining:
            return _json({"status": "ready"})
        return _error(503, "draining" if self.draining else "loading")

    async def _api_or_page(self, request: Request) -> Response:
        path = request.scope["raw_path"].decode("latin-1")
        if request.method == "OPTIONS":
            return Response(status_code=204, headers={"Allow": ", ".join(_METHODS)})
        if path.startswith("/v1/"):
            return await self._api(request, path)
        name = path.removeprefix("/") or "index.html"
        if name == "vocabulary.txt" and "model" in request.query_params:
            name = f"vocabulary.txt?{request.query_params['model']}"
        if name not in self.page or request.method == "POST":
            raise ServingError("NOT_FOUND", f"There is nothing at {path}")
        kind = name.partition("?")[0].rpartition(".")[2]
        media_type = f"{_TYPES[kind]}; charset=utf-8" if kind in _TYPES else _OTHER_TYPES[kind]
        return Response(self.page[name], headers={**_SAFE, "Content-Type": media_type})

    async def _api(self, request: Request, path: str) -> Response:
        found = _MODEL.fullmatch(path)
        what = (found[3] or "") if found else ""
        if found is None or (what == ":predict") != (request.method == "POST"):
            raise HTTPException(400, f"Malformed request: {request.method} {path}", {"Connection": "close"})
        name, version = urllib.parse.unquote(found[1]), int(found[2] or 0) or None  # 0: the newest, for ovmsclient
        if what != ":predict":
            return await self.backend.answer(self, name, version, what, b"")
        body = await self._body(request)
        try:
            if self.waiting >= self.options.queue:
                raise ServingError("RESOURCE_EXHAUSTED", "The server has too much to do. Try again later.")
            self.waiting += 1
            try:
                async with self.turn:
                    if await request.is_disconnected():
                        raise ClientDisconnect
                    return await self.backend.answer(self, name, version, what, body)
            finally:
                self.waiting -= 1
        finally:
            self._kept -= len(body)

    async def _body(self, request: Request) -> bytes:
        """A body, inflated; what it takes is counted until it is answered."""
        coding = request.headers.get("content-encoding", "identity").lower()
        if coding not in ("identity", "gzip"):
            raise HTTPException(415, f"Content-Encoding {coding!r} is not known", {"Connection": "close"})
        inflate = zlib.decompressobj(31) if coding == "gzip" else None
        content, size = bytearray(), 0
        try:
            async with asyncio.timeout(self.options.patience):
                async for part in request.stream():
                    if inflate is not None:
                        part = inflate.decompress(part, self.options.body - size + 1)
                    size += len(part)
                    self._kept += len(part)
                    content += part
                    if size > self.options.body:
                        close = {"Connection": "close"}
                        raise HTTPException(413, f"A body has at most {self.options.body:,} bytes", close)
                    if self._kept > self.options.kept:
                        raise ServingError("RESOURCE_EXHAUSTED", "The server has too much to do. Try again later.")
            if inflate is not None and (not inflate.eof or inflate.unused_data):
                raise invalid("The body is no gzip file")
            return bytes(content)
        except BaseException as error:
            self._kept -= size
            if isinstance(error, TimeoutError):
                reason = "The body did not come in time"
                raise HTTPException(408, reason, {"Connection": "close"}) from error
            if isinstance(error, zlib.error):
                raise invalid("The body is no gzip file") from error
            raise

    async def _send(self, scope, send, message) -> None:
        """Sends a body in pieces, and drops the oldest readers where answers that are not taken fill the memory."""
        body = message.get("body", b"")
        if len(body) <= _CHUNK or scope["method"] == "HEAD":
            await send(message)
            return
        while self._answers and len(body) + sum(size for size, _ in self._answers.values()) > self.options.kept:
            _, abort = self._answers.pop(next(iter(self._answers)))
            abort()
        key = object()
        self._answers[key] = len(body), scope.get("abort", lambda: None)
        try:
            for first in range(0, len(body), _CHUNK):
                part = {"type": message["type"], "body": body[first : first + _CHUNK], "more_body": True}
                await send(part)
            await send({**message, "body": b""})
        finally:
            self._answers.pop(key, None)


def local_answer(loaded, what: str, name: str, body: bytes) -> bytes:
    """An answer of a model that is loaded here, as JSON."""
    from google.protobuf import json_format

    if what == ":predict":
        signature, inputs, rows = arrays_of(body, loaded.inputs_of)
        return json.dumps(answer_of(loaded.predict(signature, inputs), rows), allow_nan=False).encode()
    if what == "/metadata":
        options = {"preserving_proto_field_name": True, "always_print_fields_with_no_presence": True}
        table = {key: json_format.MessageToDict(value, **options) for key, value in loaded.signatures.items()}
        spec = {"name": name, "signature_name": "", "version": str(loaded.version)}
        return json.dumps({"model_spec": spec, "metadata": {"signature_def": {"signature_def": table}}}).encode()
    state = {"version": str(loaded.version), "state": "AVAILABLE"}
    status = {**state, "status": {"error_code": "OK", "error_message": ""}}
    return json.dumps({"model_version_status": [status]}).encode()


def _json(answer: dict) -> Response:
    return Response(json.dumps(answer), media_type="application/json")


def _error(status: int, reason: str, headers: dict[str, str] | None = None) -> Response:
    """An error in TensorFlow Serving's form."""
    return Response(json.dumps({"error": reason}), status, headers, "application/json")


async def _told(_, error: Exception) -> Response:
    code = error.code if isinstance(error, ServingError) else "INTERNAL"
    status = HTTP_STATUS.get(code, 500)
    return _error(status, str(error), {"Retry-After": "1"} if status in (429, 503) else None)


async def _failed(_, error: Exception) -> Response:
    return _error(500, "The server failed.")  # the error is raised again, and logged


async def _http_error(_, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return _error(error.status_code, error.detail, dict(error.headers or {}))
