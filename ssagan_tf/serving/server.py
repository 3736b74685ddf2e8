"""HTTP/1.1 by uvicorn and h11, with deadlines that they have not, and an end that lets requests finish."""

from __future__ import annotations

import signal
import socket
import threading
import typing

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from ssagan_tf.errors import UserError
from ssagan_tf.serving.app import App

_LARGEST_HEAD = 16 * 2**10  # bytes of a request's line and headers
_READ = 4 * 2**10  # bytes at a time: chunks of a byte each take long to parse, and others are to come between
_BACKLOG = 1024


class _Protocol(H11Protocol):
    """A connection that is closed when a request's head is not whole within `patience` seconds.

    uvicorn answers 503 where there are too many connections, but keeps them; twice as many are closed at once.
    """

    patience = 30
    most = 400

    def connection_made(self, transport: typing.Any) -> None:
        super().connection_made(transport)
        transport.max_size = _READ
        if len(self.connections) > 2 * self.most:
            transport.abort()
        self._look(last=self)

    def _look(self, last: object) -> None:
        """Looks twice in that time whether a head is still the one of the `last` time: it follows the same request."""
        if self.transport.is_closing():
            return
        in_head = self.conn.their_state is h11.IDLE and self.timeout_keep_alive_task is None
        if in_head and self.cycle is last:
            self.transport.abort()
        else:
            self.loop.call_later(self.patience / 2, self._look, self.cycle if in_head else self)


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
        patience, most = app.options.patience, app.options.max_connections
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        try:  # whoever comes before the models are loaded waits a moment
            self.socket = socket.create_server((host, port), family=family, backlog=_BACKLOG)
        except OSError as error:
            reason = error.strerror or error
            raise UserError(f"Could not listen. Received: {host}:{port}: {reason}. Use another --port.") from error
        # Each connection has these from here: no pause for Nagle, and an end to readers that are stuck.
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 1000 * patience)
        name = f"[{host}]" if ":" in host else host
        self.url = f"http://{name}:{self.socket.getsockname()[1]}/"
        config = uvicorn.Config(
            app,
            http=type("Protocol", (_Protocol,), {"patience": patience, "most": most}),
            ws="none",
            loop="asyncio",
            lifespan="off",
            log_level="critical",  # the application has a log of its own
            access_log=False,
            server_header=False,
            proxy_headers=False,
            backlog=_BACKLOG,
            limit_concurrency=most,
            timeout_keep_alive=15,
            timeout_graceful_shutdown=patience,
            h11_max_incomplete_event_size=_LARGEST_HEAD,
        )
        super().__init__(config)
        self.backend = app.backend

    def run_until_stopped(self) -> None:
        """Serves. Raises UserError if a model could not be loaded."""
        if threading.current_thread() is threading.main_thread():
            # uvicorn raises them again when it has ended: to be told to stop is no failure.
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, lambda *_: None)
        self.backend.start()
        self.run(sockets=[self.socket])
        self.backend.stop()
        if self.backend.failed is not None:
            raise self.backend.failed

    async def on_tick(self, counter: int) -> bool:
        return await super().on_tick(counter) or self.backend.failed is not None
