"""HTTP/1.1 by uvicorn and h11, with deadlines that they have not, and an end that lets requests finish."""

from __future__ import annotations

import contextlib
import functools
import socket
import typing

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from ssagan_tf.errors import UserError
from ssagan_tf.serving.app import App

_LARGEST_HEAD = 16 * 2**10  # bytes of a request's line and headers
_BACKLOG = 1024
_TICK = 1.0  # seconds between two looks at a connection


class _Protocol(H11Protocol):
    """A connection that is closed when a request's head is not whole, or an answer not taken, within `patience`."""

    patience = 30.0

    def __init__(self, *args: typing.Any, **kwargs: typing.Any):
        super().__init__(*args, **kwargs)
        self.app = functools.partial(_with_abort, self.app, self._abort)
        self._waiting = 0.0
        self._buffered = 0

    def connection_made(self, transport: typing.Any) -> None:
        super().connection_made(transport)
        self.loop.call_later(_TICK, self._look)

    def _look(self) -> None:
        buffered = self.transport.get_write_buffer_size()
        if self not in self.connections and not buffered:
            return
        in_head = self.conn.their_state is h11.IDLE and self.timeout_keep_alive_task is None
        stuck = buffered and (buffered >= self._buffered or self.flow.write_paused)
        self._waiting = self._waiting + _TICK if in_head or stuck else 0.0
        self._buffered = buffered
        if self._waiting >= self.patience:
            self._abort()
        else:
            self.loop.call_later(_TICK, self._look)

    def _abort(self) -> None:
        self.transport.abort()


async def _with_abort(app, abort, scope, receive, send) -> None:
    await app({**scope, "abort": abort}, receive, send)


class Server(uvicorn.Server):
    """Serves an `App`; SIGTERM and Ctrl-C end it when the requests under way are answered.

    Args:
        app: what answers.
        port: 0 for any that is free; `url` tells which.
        host: address to listen at.

    Raises:
        UserError: the port is taken, or the address is none of this machine's.
    """

    def __init__(self, app: App, port: int, host: str = "127.0.0.1"):
        options = app.options
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.socket = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)  # else Nagle waits
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            self.socket.bind((host, port))
            self.socket.listen(_BACKLOG)  # whoever comes before the models are loaded waits a moment
        except OSError as error:
            reason = error.strerror or error
            raise UserError(f"Could not listen. Received: {host}:{port}: {reason}. Use another --port.") from error
        name = f"[{host}]" if ":" in host else host
        self.url = f"http://{name}:{self.socket.getsockname()[1]}/"
        protocol = type("Protocol", (_Protocol,), {"patience": options.patience})
        config = uvicorn.Config(
            app,
            http=protocol,
            ws="none",
            loop="asyncio",
            lifespan="on",
            log_level="error",
            access_log=False,
            server_header=False,
            proxy_headers=False,
            backlog=_BACKLOG,
            limit_concurrency=options.connections,
            timeout_keep_alive=15,
            timeout_graceful_shutdown=int(options.drain),
            h11_max_incomplete_event_size=_LARGEST_HEAD,
        )
        super().__init__(config)
        self.app = app

    def run_until_stopped(self) -> None:
        """Serves. Raises UserError if a model could not be loaded."""
        self.run(sockets=[self.socket])
        if self.app.failed is not None:
            raise self.app.failed

    def handle_exit(self, sig: int, frame: typing.Any) -> None:
        self.app.draining = True
        super().handle_exit(sig, frame)

    @contextlib.contextmanager
    def capture_signals(self) -> typing.Iterator[None]:
        with super().capture_signals():
            yield
            # Not raised again afterwards: to be told to stop and to stop is no failure.
            self._captured_signals.clear()

    async def on_tick(self, counter: int) -> bool:
        stop = await super().on_tick(counter)
        return stop or self.app.failed is not None
