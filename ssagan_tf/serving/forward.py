"""Hands requests on to a server that speaks TensorFlow Serving's REST API."""

from __future__ import annotations

import urllib.parse

import httpx

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
        try:
            self.url = httpx.URL(address.rstrip("/"))
        except httpx.InvalidURL:
            self.url = httpx.URL()
        if self.url.scheme not in ("http", "https") or not self.url.host:
            raise UserError(f"No such address. Received: {address}. Use http://HOST:PORT, usually with 8501.")

    def start(self) -> None:
        self._client = httpx.Client(timeout=_PATIENCE, trust_env=False)

    def stop(self) -> None:
        self._client.close()

    def answer(self, name: str, version: int | None, what: str, body: bytes) -> tuple[int, bytes]:
        """The server's status and answer. Raises ServingError if it gives none, or too much."""
        at = "" if version is None else f"/versions/{version}"
        url = f"{self.url}/v1/models/{urllib.parse.quote(name, safe='')}{at}{what}"
        method, content = "POST" if what == ":predict" else "GET", bytearray()
        try:
            with self._client.stream(
                method, url, content=body or None, headers={"Content-Type": "application/json"}
            ) as response:
                for part in response.iter_bytes():
                    content += part
                    if len(content) > _LARGEST_ANSWER:
                        raise ServingError("INTERNAL", "The server that draws answers too much.")
        except httpx.HTTPError as error:
            raise ServingError("UNAVAILABLE", "The server that draws does not answer.") from error
        return response.status_code, bytes(content)
