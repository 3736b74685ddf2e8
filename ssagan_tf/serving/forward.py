"""Hands requests on to a server that speaks TensorFlow Serving's REST API."""

from __future__ import annotations

import urllib.parse

import httpx
from starlette.responses import Response

from ssagan_tf.errors import UserError
from ssagan_tf.serving.rest import ServingError

_LARGEST_ANSWER = 256 * 2**20  # bytes
_PATIENCE = 60.0  # seconds


class Forward:
    """A backend elsewhere. A path is not passed on but written anew, from the model's name and version.

    Args:
        address: http:// or https://HOST:PORT.

    Raises:
        UserError: it is no such address.
    """

    failed = None
    ready = True

    def __init__(self, address: str):
        parts = urllib.parse.urlsplit(address)
        try:
            complete = parts.scheme in ("http", "https") and parts.hostname and (parts.port or True)
        except ValueError:  # a port that is no number
            complete = False
        if not complete:
            raise UserError(f"No such address. Received: {address}. Use http://HOST:PORT, usually with 8501.")
        self.address = address.rstrip("/")

    def start(self) -> None:
        self._client = httpx.AsyncClient(timeout=_PATIENCE, trust_env=False)

    def stop(self) -> None:
        pass

    async def answer(self, app, name: str, version: int | None, what: str, body: bytes) -> Response:
        """What the server answers. Raises ServingError if it does not, or too much."""
        at = "" if version is None else f"/versions/{version}"
        url = f"{self.address}/v1/models/{urllib.parse.quote(name, safe='')}{at}{what}"
        json = {"Content-Type": "application/json"}
        method = "POST" if what == ":predict" else "GET"
        content = bytearray()
        try:
            async with self._client.stream(method, url, content=body or None, headers=json) as response:
                async for part in response.aiter_bytes():
                    content += part
                    if len(content) > _LARGEST_ANSWER:
                        raise ServingError("INTERNAL", "The server that draws answers too much.")
        except httpx.HTTPError as error:
            raise ServingError("UNAVAILABLE", "The server that draws does not answer.") from error
        return Response(bytes(content), response.status_code, media_type="application/json")
