"""The server as an ASGI application: TensorFlow Serving's REST API, the page, health and metrics.

What strangers send is bounded: who may ask, how long a body may take, how much of it is kept, how many requests wait,
and how much of the answers is not taken yet. Bodies are read before a request waits for its turn.
"""

from __future__ import annotations

import asyncio
import dataclasses
import hmac
import json
import re
import sys
import time
import typing
import urllib.parse
import zlib

import prometheus_client
from absl import logging
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from ssagan_tf.errors import UserError
from ssagan_tf.serving.rest import ServingError

LOOPBACK = ("localhost", "127.0.0.1", "::1")
MOST_KEPT = 256 * 2**20  # bytes of all bodies, and of all answers that are not taken yet
_PART = 64 * 2**10  # bytes of an answer that are sent at a time
_METHODS = ("GET", "HEAD", "POST", "OPTIONS")
_MODEL = re.compile(r"/v1/models/([^/:]+)(?:/versions/(\d{1,18}))?(:predict|/metadata)?")
_CHECKS = ("/healthz", "/readyz")
# Not by `mimetypes`, which asks the system's registry.
_TYPES = {
    "html": "text/html",
    "js": "text/javascript",
    "css": "text/css",
    "txt": "text/plain",
    "svg": "image/svg+xml",
    "json": "application/json",
}
_SAFE = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; "
    "connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}


def _limit(default: int, help: str) -> typing.Any:
    return dataclasses.field(default=default, metadata={"help": help})


@dataclasses.dataclass(frozen=True)
class Options:
    """Limits, each a flag of serve.py with this help, and who may ask.

    Attributes:
        hosts: names by which this server may be called; with "*", any.
        api_key: that requests to the API must carry, or None.
    """

    places: int = _limit(2, "Requests computed at a time.")
    queue: int = _limit(100, "Requests that run or wait; more are told 429.")
    max_body: int = _limit(8 * 2**20, "Bytes of a request, inflated.")
    max_connections: int = _limit(400, "At a time; more are told 503.")
    patience: int = _limit(30, "Seconds for a request's head, for its body, for a stuck reader, and to end.")
    hosts: tuple[str, ...] = LOOPBACK
    api_key: str | None = None


LIMITS = [field for field in dataclasses.fields(Options) if field.metadata]


class Backend(typing.Protocol):
    """What draws: `models.Models` here, or `forward.Forward` elsewhere."""

    @property
    def failed(self) -> UserError | None: ...
    @property
    def ready(self) -> bool: ...
    def start(self) -> None: ...
    def stop(self) -> None: ...
    def answer(self, name: str, version: int | None, what: str, body: bytes) -> tuple[int, bytes]: ...


class App:
    """The application.

    Args:
        backend: what draws.
        options: limits.
        page: its files by name, or None to serve the API alone.
    """

    def __init__(self, backend: Backend, options: Options, page: typing.Mapping[str, bytes] | None = None):
        self.backend, self.options, self.page = backend, options, page or {}
        self.waiting = 0
        self._turn = asyncio.Semaphore(options.places)
        self._bodies: dict[asyncio.Task, bytearray] = {}
        self._answers: dict[asyncio.Task, int] = {}
        metrics = prometheus_client.CollectorRegistry()
        self._requests = prometheus_client.Counter(
            "ssagan_requests", "Requests by method and status.", ["method", "status"], registry=metrics
        )
        self._seconds = prometheus_client.Histogram(
            "ssagan_request_seconds", "From a request's head to its answer's end.", registry=metrics
        )
        waiting = prometheus_client.Gauge("ssagan_waiting", "Requests that wait or run.", registry=metrics)
        waiting.set_function(lambda: self.waiting)
        told = prometheus_client.CONTENT_TYPE_PLAIN_0_0_4
        routes = [
            Route("/healthz", lambda _: _json({"status": "ok"})),
            Route("/readyz", lambda _: _json({"status": "ready"}) if backend.ready else _error(503, "loading")),
            Route("/metrics", lambda _: Response(prometheus_client.generate_latest(metrics), media_type=told)),
            Route("/v1/{path:path}", self._api, methods=list(_METHODS)),
            Route("/{path:path}", self._file, methods=list(_METHODS)),
        ]
        handlers: typing.Any = {HTTPException: _told, Exception: _failed}
        self._routes = Starlette(routes=routes, exception_handlers=handlers)

    async def __call__(self, scope, receive, send) -> None:
        started, told = time.perf_counter(), {"status": 0, "bytes": 0}

        async def counted(message):
            told["status"] = message.get("status", told["status"])
            told["bytes"] += len(message.get("body", b""))
            await self._send(send, message)

        try:
            await (self._at_once(scope) or self._routes)(scope, receive, counted)
        except (ClientDisconnect, asyncio.CancelledError):
            told["status"] = 499
        except Exception:
            logging.exception("A request failed by a mistake of the server.")
        finally:
            seconds = time.perf_counter() - started
            method = scope["method"] if scope["method"] in _METHODS else "other"
            self._requests.labels(method, told["status"]).inc()
            self._seconds.observe(seconds)
            client, path = scope["client"] and scope["client"][0], scope["raw_path"].decode("latin-1")[:500]
            line = {"time": round(time.time(), 3), "client": client, "method": scope["method"][:20], "path": path}
            print(json.dumps({**line, **told, "ms": round(1000 * seconds, 1)}), file=sys.stderr, flush=True)

    def _at_once(self, scope) -> Response | None:
        """An answer to a request's head, or None. That it has one length and one host, h11 sees to."""
        given = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        length, chunked = given.get("content-length", "0"), "transfer-encoding" in given
        if chunked and "content-length" in given:
            return _error(400, "A request has a length or is chunked, not both")
        if (chunked or length != "0") and scope["method"] != "POST":
            return _error(400, f"A {scope['method'][:20]} request has no body")
        if int(length) > self.options.max_body:
            return _error(413, f"A body has at most {self.options.max_body:,} bytes")
        host, origin = given.get("host", ""), given.get("origin")
        # Health checks call a server by its address, or, by HTTP/1.0, by nothing; browsers always name the host.
        if host and not {"*", _hostname(host)} & set(self.options.hosts) and scope["path"] not in _CHECKS:
            return _error(421, "This server is not called by that name: see --allowed_hosts")
        if origin is not None and origin.partition("://")[2] != host:
            return _error(403, "Other sites' pages may not ask")
        if self.options.api_key is not None and scope["path"].startswith(("/v1/", "/metrics")):
            sent = given.get("x-api-key") or given.get("authorization", "").removeprefix("Bearer ")
            if not hmac.compare_digest(sent.encode("latin-1"), self.options.api_key.encode()):
                return _error(401, "An API key is needed", {"WWW-Authenticate": "Bearer"})
        if scope["method"] == "OPTIONS":
            return Response(status_code=204, headers={"Allow": ", ".join(_METHODS)})
        return None

    # === Answers ===

    async def _file(self, request: Request) -> Response:
        name = request.path_params["path"] or "index.html"
        if name == "vocabulary.txt" and "model" in request.query_params:
            name = f"vocabulary.txt?{request.query_params['model']}"
        if name not in self.page or request.method == "POST":
            raise ServingError("NOT_FOUND", f"There is nothing at /{name[:200]}")
        kind = _TYPES[name.partition("?")[0].rpartition(".")[2]]
        return Response(self.page[name], headers=_SAFE, media_type=kind)

    async def _api(self, request: Request) -> Response:
        path = request.scope["raw_path"].decode("latin-1")
        found = _MODEL.fullmatch(path)
        name, version, what = found.groups("") if found else ("..", "", "")
        name = urllib.parse.unquote(name)
        if {".", ".."} & set(re.split(r"[/\\]", name)) or (what == ":predict") != (request.method == "POST"):
            raise HTTPException(400, f"Malformed request: {request.method} {path[:200]}")
        asked = name, int(version or 0) or None, what  # version 0 is the newest, for ovmsclient
        task = asyncio.current_task()
        assert task is not None
        body = self._bodies[task] = bytearray()
        try:
            if what == ":predict":
                await self._read(request, body)
                return await self._in_turn(request, *asked, bytes(body))
            return await self._answer(*asked, b"")
        finally:
            del self._bodies[task]

    async def _in_turn(self, request: Request, *asked: typing.Any) -> Response:
        if self.waiting >= self.options.queue:
            raise HTTPException(429, "The server has too much to do. Try again later.")
        self.waiting += 1
        try:
            async with self._turn:
                if await request.is_disconnected():
                    raise ClientDisconnect
                return await self._answer(*asked)
        finally:
            self.waiting -= 1

    async def _answer(self, *asked: typing.Any) -> Response:
        status, content = await run_in_threadpool(self.backend.answer, *asked)
        return Response(content, status, media_type="application/json")

    async def _read(self, request: Request, body: bytearray) -> None:
        """Reads a body, inflated, into `body`, one of `_bodies`."""
        coding = request.headers.get("content-encoding", "identity").lower()
        if coding not in ("identity", "gzip"):
            raise HTTPException(415, f"Content-Encoding {coding[:20]!r} is not known")
        inflate = zlib.decompressobj(31) if coding == "gzip" else None
        most = self.options.max_body
        try:
            async with asyncio.timeout(self.options.patience):
                async for part in request.stream():
                    body += inflate.decompress(part, most - len(body) + 1) if inflate else part
                    if len(body) > most:
                        raise HTTPException(413, f"A body has at most {most:,} bytes")
                    if sum(map(len, self._bodies.values())) > MOST_KEPT:
                        raise HTTPException(429, "The server has too much to do. Try again later.")
        except TimeoutError as error:
            raise HTTPException(408, "The body did not come in time") from error
        except zlib.error as error:
            raise HTTPException(400, "The body is no gzip file") from error
        if inflate and (not inflate.eof or inflate.unused_data):
            raise HTTPException(400, "The body is no gzip file")

    async def _send(self, send, message) -> None:
        """Sends in pieces; where answers that are not taken yet fill the memory, the oldest readers are cut off."""
        body, task = message.get("body", b""), asyncio.current_task()
        if len(body) <= _PART or task is None:
            await send(message)
            return
        while self._answers and len(body) + sum(self._answers.values()) > MOST_KEPT:
            oldest = next(iter(self._answers))
            del self._answers[oldest]
            oldest.cancel()
        self._answers[task] = len(body)
        try:
            for first in range(0, len(body), _PART):
                await send({"type": message["type"], "body": body[first : first + _PART], "more_body": True})
            await send({**message, "body": b""})
        finally:
            self._answers.pop(task, None)


def _hostname(host: str) -> str:
    """A Host header without its port and brackets."""
    return re.sub(r":\d*$", "", host).strip("[]").lower()


def _json(answer: dict) -> Response:
    return Response(json.dumps(answer), media_type="application/json")


def _error(status: int, reason: str, headers: typing.Mapping[str, str] | None = None) -> Response:
    """An error in TensorFlow Serving's form; what else the client sends is not read."""
    again = {"Retry-After": "1"} if status in (429, 503) else {}
    headers = {"Connection": "close", **again, **(headers or {})}
    return Response(json.dumps({"error": reason}), status, headers, "application/json")


async def _told(_, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return _error(error.status_code, error.detail, error.headers)


async def _failed(_, error: Exception) -> Response:
    return _error(500, "The server failed.")  # the error is raised again, and logged
