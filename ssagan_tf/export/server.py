"""A small server that speaks TensorFlow Serving's REST API, of the standard library and TensorFlow alone.

For trying a client, for tests and for demonstrations on one machine; TensorFlow Serving itself is for the rest. Paths,
bodies, formats ("instances" and "inputs"), error codes and `{"error": ...}` are TensorFlow Serving's.

    from ssagan_tf.export.server import serve

    with serve("saved_models/birds", port=8501) as server:
        server.serve_forever()
"""

from __future__ import annotations

import contextlib
import http.server
import json
import os
import pathlib
import re
import sys
import threading
import typing
import urllib.parse

import numpy as np
import tensorflow as tf
from absl import logging
from google.protobuf import json_format

from ssagan_tf.core import third_party_models
from ssagan_tf.errors import UserError
from ssagan_tf.export import serving
from ssagan_tf.export.rest import HTTP_STATUS, ServingError, answer_of, arrays_of, invalid
from ssagan_tf.weights.versions import newest_version

_LARGEST_BODY = 32 * 2**20  # bytes; 32 captions of the longest kind fit
_LARGE_BODY = 64 * 2**10  # bytes; bodies above it are read a few at a time, so that callers cannot fill the memory
_LARGE_AT_ONCE = 8
_AT_ONCE = 2  # requests read, computed and answered at a time; each may take hundreds of MB
_PATIENCE = 30.0  # seconds that a request waits for its turn, and a connection for the next bytes
_PREDICT = re.compile(r"/v1/models/([^/:]+)(?:/versions/(\d{1,18}))?:predict")
_STATUS = re.compile(r"/v1/models/([^/:]+)(?:/versions/(\d{1,18}))?(/metadata)?")


# === The model ===


class ServedModel:
    """A SavedModel behind a server: its newest version, its name, and its signatures called by name.

    Args:
        folder: of all versions, as export.py writes it.

    Raises:
        UserError: there is no version in it, or it is damaged.
    """

    def __init__(self, folder: str | os.PathLike):
        folder = pathlib.Path(folder)
        newest = newest_version(folder)
        if newest is None:
            raise UserError(
                f"No model found. Received: {folder}. Give a folder that export.py wrote: it holds 1, 2, ..."
            )
        self.name = folder.resolve().name
        self.version = int(newest.name)
        self.signatures = serving.signatures(newest)
        self._loaded = third_party_models.load(newest)
        self._turn = threading.Semaphore(_AT_ONCE)

    @contextlib.contextmanager
    def turn(self) -> typing.Iterator[None]:
        """Waits until few enough others are at work. Raises ServingError if that takes too long."""
        if not self._turn.acquire(timeout=_PATIENCE):
            raise ServingError("UNAVAILABLE", "The server has too much to do. Try again later.")
        try:
            yield
        finally:
            self._turn.release()

    def check(self, name: str, version: int | None = None) -> None:
        """Raises ServingError if this is not the model that is asked for."""
        if name != self.name or version not in (None, self.version):
            which = name if version is None else f"{name}, version {version}"
            raise ServingError("NOT_FOUND", f"Servable not found for request: {which}")

    def inputs_of(self, signature: str) -> dict[str, typing.Any]:
        """TensorInfo of each input. Raises ServingError for an unknown signature."""
        if signature not in self.signatures:
            raise invalid(f'Serving signature name: "{signature}" not found in signature def')
        return dict(self.signatures[signature].inputs)

    def predict(self, signature: str, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Runs a signature on arrays of the right types, strings as objects.

        Raises:
            ServingError: wrong inputs, or what the graph refuses.
        """
        wanted = self.inputs_of(signature)
        if set(inputs) != set(wanted):
            raise invalid(
                f"input size does not match signature: {len(inputs)}!={len(wanted)}. "
                f"Sent extra: {sorted(set(inputs) - set(wanted))}. "
                f"Missing but required: {sorted(set(wanted) - set(inputs))}."
            )
        tensors = {name: _as_tensor(name, inputs[name], info) for name, info in wanted.items()}
        try:
            outputs = self._loaded.signatures[signature](**tensors)
            return {name: value.numpy() for name, value in outputs.items()}
        except tf.errors.OpError as error:
            code = next(name for name, number in _CODES.items() if number == error.error_code)
            raise ServingError(code, _reason(error)) from error


_CODES = {name: value for name, value in vars(tf.errors).items() if name.isupper() and isinstance(value, int)}


def _as_tensor(name: str, value: np.ndarray, info) -> tf.Tensor:
    """The array as a tensor, if it fits the signature."""
    wanted = tf.TensorSpec(info.tensor_shape, info.dtype)
    tensor = tf.constant(value, tf.string) if value.dtype == object else tf.constant(value)
    if tensor.dtype != wanted.dtype:
        raise invalid(f"Input {name} must be {wanted.dtype.name} but was {tensor.dtype.name}")
    if not wanted.shape.is_compatible_with(tensor.shape):
        raise invalid(f"Input {name} must be of shape {wanted.shape} but was {tensor.shape}")
    return tensor


def _reason(error: tf.errors.OpError) -> str:
    """What an operation said, without where in the graph it stands."""
    return error.message.split("<stack traces unavailable>")[-1].split("\n\t [[")[0].strip()


# === HTTP ===


class RestHandler(http.server.BaseHTTPRequestHandler):
    """Answers `predict`, status and metadata."""

    protocol_version = "HTTP/1.1"
    timeout = _PATIENCE
    large = threading.Semaphore(_LARGE_AT_ONCE)
    model: ServedModel

    def do_GET(self) -> None:
        self._answer(self._status)

    def do_POST(self) -> None:
        self._answer(self._predict)

    def _answer(self, make: typing.Callable[[], dict]) -> None:
        status = 200
        try:
            answer = make()
        except ServingError as error:
            status, answer = HTTP_STATUS.get(error.code, 500), {"error": str(error)}
        except (TimeoutError, ConnectionError):
            raise  # of the connection, which is closed
        except Exception:
            logging.exception("A request failed by a mistake of the server.")
            status, answer = 500, {"error": "The server failed."}
        try:
            self.send_json(status, answer)
        except ConnectionError:
            self.close_connection = True  # whoever asked has gone

    def send_json(self, status: int, answer: dict) -> None:
        content = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(content)

    def _predict(self) -> dict:
        body = self._body()
        model, _ = self._asked(_PREDICT)
        with model.turn():
            signature, inputs, rows = arrays_of(body, model.inputs_of)
            return answer_of(model.predict(signature, inputs), rows)

    def _body(self) -> bytes:
        length = self.headers.get("Content-Length", "")
        # Python makes no number of thousands of digits.
        if not length.isdecimal() or len(length) > 15 or int(length) > _LARGEST_BODY:
            self.close_connection = True  # what follows is the body, not another request
            raise invalid(
                f"The body must have a length of at most {_LARGEST_BODY:,} bytes. Received: {length[:80] or 'none'}"
            )
        with self.large if int(length) > _LARGE_BODY else contextlib.nullcontext():
            return self.rfile.read(int(length))

    def _status(self) -> dict:
        if not self.path.startswith("/v1/"):
            raise ServingError("NOT_FOUND", f"There is nothing at {self.path}")
        model, found = self._asked(_STATUS)
        if found[3]:
            spec = {"name": model.name, "signature_name": "", "version": str(model.version)}
            return {"model_spec": spec, "metadata": {"signature_def": {"signature_def": _as_json(model.signatures)}}}
        state = {"version": str(model.version), "state": "AVAILABLE"}
        return {"model_version_status": [{**state, "status": {"error_code": "OK", "error_message": ""}}]}

    def _asked(self, pattern: re.Pattern) -> tuple[ServedModel, re.Match]:
        found = pattern.fullmatch(self.path)
        if not found:
            raise invalid(f"Malformed request: {self.command} {self.path}")
        self.model.check(urllib.parse.unquote(found[1]), int(found[2]) if found[2] else None)
        return self.model, found

    def log_message(self, *_) -> None:
        pass


def _as_json(signatures: dict) -> dict:
    options = {"preserving_proto_field_name": True, "always_print_fields_with_no_presence": True}
    return {name: json_format.MessageToDict(signature, **options) for name, signature in signatures.items()}


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256  # that many may call at the same moment

    def handle_error(self, request: typing.Any, client_address: typing.Any) -> None:
        # A client that hangs up without a word is no mistake of ours.
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


def serve(folder: str | os.PathLike, port: int = 8501, host: str = "127.0.0.1") -> http.server.ThreadingHTTPServer:
    """A server of a model's newest version; `serve_forever` starts it, `shutdown` ends it.

    Args:
        folder: of all versions, as export.py writes it.
        port: 0 for any that is free; `server_address` tells which.
        host: address to listen at; the default is this machine alone.

    Raises:
        UserError: no model, or the port is taken.
    """
    model = ServedModel(folder)
    try:
        return _Server((host, port), type("Handler", (RestHandler,), {"model": model}))
    except OSError as error:
        raise UserError(f"Could not listen. Received: {host}:{port}: {error.strerror}. Use another port.") from error
