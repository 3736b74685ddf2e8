"""Asks a TensorFlow Serving server for pictures, by REST (standard library alone) or gRPC (tensorflow-serving-api).

client = connect("http://127.0.0.1:8501", "birds")
pictures = client.draw(["a red bird"], [7])
"""

from __future__ import annotations

import base64
import concurrent.futures
import dataclasses
import http.client
import json
import random
import time
import typing
import urllib.parse
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from ssagan_tf.errors import UserError
from ssagan_tf.export import MOST_PICTURES

_SIGNATURE = "generate_png"
_LARGEST_ANSWER = 256 * 2**20  # bytes
_ALONE = 10  # requests one at a time, to compare with
_FIRST_PAUSE = 0.5  # seconds before the second try; each further one waits twice as long
_RETRIED_STATUS = {429, 503, 504}
_RETRIED_CODES = {"RESOURCE_EXHAUSTED", "UNAVAILABLE", "DEADLINE_EXCEEDED"}


@dataclasses.dataclass(frozen=True)
class Picture:
    """A picture that a server drew.

    Attributes:
        png: the file.
        known_words, unknown_words: of its caption; unknown ones were left out.
    """

    png: bytes
    known_words: int
    unknown_words: int


class _Again(Exception):
    """It did not work this time."""


class Client(typing.Protocol):
    """Calls a signature of a model."""

    def predict(self, inputs: dict[str, Sequence]) -> dict[str, Sequence]: ...


def connect(server: str, model: str, timeout: float = 60.0, tries: int = 4) -> Drawer:
    """A client of a server.

    Args:
        server: http://HOST:PORT, https://HOST:PORT or grpc://HOST:PORT.
        model: its name there.
        timeout: seconds that one try may take; with REST, that the server may be silent.
        tries: in all, where the server is not there, busy or slow.

    Raises:
        UserError: an address of another kind; gRPC without tensorflow-serving-api.
    """
    address = urllib.parse.urlsplit(server)
    kinds: dict[str, Callable[[urllib.parse.SplitResult, str, float], Client]] = {
        "http": _Rest,
        "https": _Rest,
        "grpc": _Grpc,
    }
    try:
        complete = address.scheme in kinds and address.hostname and address.port
    except ValueError:  # a port that is no number
        complete = False
    if not complete:
        raise UserError(
            f"No such address. Received: {server}. Use http://HOST:PORT (REST, usually 8501) or grpc://HOST:PORT "
            "(usually 8500)."
        )
    return Drawer(kinds[address.scheme](address, model, timeout), server, tries)


class Drawer:
    """Draws with a server; tries again where that helps.

    Args:
        client: how it is asked.
        server: its address, for errors.
        tries: in all.
    """

    def __init__(self, client: Client, server: str, tries: int):
        self.client = client
        self.server = server
        self.tries = tries

    def draw(self, captions: Sequence[str], seeds: Sequence[int], truncation: float = 1.0) -> list[Picture]:
        """Pictures of captions, each with its seed.

        Raises:
            UserError: the server does not answer, or refuses.
        """
        if not captions or len(captions) != len(seeds):
            raise UserError(
                f"Nothing to draw. Received: {len(captions)} captions, {len(seeds)} seeds. Give as many, one at least."
            )
        wrong = [seed for seed in seeds if not -(2**63) <= seed < 2**63]
        if wrong:
            raise UserError(f"Seeds have 64 bits. Received: {wrong[0]}. Use a smaller one.")
        return [picture for part in _parts(captions, seeds, truncation) for picture in self._ask(part)]

    def _ask(self, inputs: dict[str, Sequence]) -> list[Picture]:
        for attempt in range(self.tries):
            if attempt:
                # Not all at the same moment, where many wait for the same server.
                time.sleep(_FIRST_PAUSE * 2 ** (attempt - 1) * random.uniform(0.5, 1.0))
            try:
                outputs = self.client.predict(inputs)
                break
            except _Again as error:
                reason = error
        else:
            raise UserError(
                f"The server does not answer. Received: {self.server}: {reason}, {self.tries} times. "
                "Check that it runs, or give it more time with --timeout and --tries."
            )
        return _pictures(outputs, len(inputs["seed"]))


def _pictures(outputs: dict[str, Sequence], wanted: int) -> list[Picture]:
    """What a signature gave, if it is as many pictures as were asked for."""
    try:
        rows = zip(outputs["png_bytes"], outputs["known_words"], outputs["unknown_words"], strict=True)
        pictures = [Picture(png, int(known), int(unknown)) for png, known, unknown in rows]
    except (ValueError, KeyError, TypeError, OverflowError) as error:
        raise _refused("an answer that is none of this model's") from error
    if len(pictures) != wanted or not all(isinstance(picture.png, bytes) for picture in pictures):
        raise _refused(f"{len(pictures)} pictures, or none, where {wanted} were asked for")
    return pictures


def _parts(captions: Sequence[str], seeds: Sequence[int], truncation: float) -> Iterator[dict[str, Sequence]]:
    """The inputs of as many requests as it takes."""
    # Half of a surrogate pair has no UTF-8: it becomes a question mark, which is no word either.
    texts = [caption.encode(errors="replace") for caption in captions]
    for first in range(0, len(texts), MOST_PICTURES):
        part = slice(first, first + MOST_PICTURES)
        numbers = [int(seed) for seed in seeds[part]]
        yield {"captions": texts[part], "seed": numbers, "truncation": [truncation] * len(numbers)}


def _refused(reason: str) -> UserError:
    return UserError(
        f"The server refused the request. Received: {reason}. Change the request or check the model's name."
    )


class _Rest:
    """REST."""

    def __init__(self, address: urllib.parse.SplitResult, model: str, timeout: float):
        kind = http.client.HTTPSConnection if address.scheme == "https" else http.client.HTTPConnection
        self.connection = lambda: kind(str(address.hostname), address.port, timeout=timeout)
        self.path = f"{address.path.rstrip('/')}/v1/models/{urllib.parse.quote(model, safe='')}:predict"

    def predict(self, inputs: dict[str, Sequence]) -> dict[str, Sequence]:
        columns = {**inputs, "captions": [text.decode() for text in inputs["captions"]]}
        body = json.dumps({"signature_name": _SIGNATURE, "inputs": columns})
        status, content = self._post(body.encode())
        if status in _RETRIED_STATUS:
            raise _Again(f"{status} {_error_in(content)}")
        if status != 200:
            raise _refused(f"{status} {_error_in(content)}")
        try:
            outputs = json.loads(content)["outputs"]
            pngs = [base64.b64decode(png["b64"]) for png in outputs["png_bytes"]]
            return {**outputs, "png_bytes": pngs}
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise _refused(f"an answer that is none of TensorFlow Serving's: {content[:80]!r}") from error

    def _post(self, body: bytes) -> tuple[int, bytes]:
        connection = self.connection()
        try:
            connection.request("POST", self.path, body, {"Content-Type": "application/json"})
            response = connection.getresponse()
            content = response.read(_LARGEST_ANSWER + 1)
        except (OSError, http.client.HTTPException) as error:
            raise _Again(str(error) or type(error).__name__) from error
        finally:
            connection.close()
        if len(content) > _LARGEST_ANSWER:
            raise _refused(f"an answer of more than {_LARGEST_ANSWER:,} bytes")
        if response.length:  # http.client itself tells only answers without a Content-Length that they broke off
            raise _Again(f"the answer broke off {response.length:,} bytes before its end")
        return response.status, content


def _error_in(content: bytes) -> str:
    """What TensorFlow Serving says of an error, or the beginning of what another server says."""
    try:
        return str(json.loads(content)["error"])
    except (ValueError, KeyError, TypeError, RecursionError):
        return repr(content[:80])


class _Grpc:
    """gRPC."""

    def __init__(self, address: urllib.parse.SplitResult, model: str, timeout: float):
        try:
            import grpc
            from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc
        except ImportError as error:
            raise UserError(
                f"gRPC needs tensorflow-serving-api. Received: {error}. Run pip install -e '.[serving]', or use "
                "http://HOST:PORT."
            ) from error
        options = [("grpc.max_receive_message_length", _LARGEST_ANSWER)]
        channel = grpc.insecure_channel(f"{address.hostname}:{address.port}", options)
        self.call = prediction_service_pb2_grpc.PredictionServiceStub(channel).Predict
        self.request = lambda: predict_pb2.PredictRequest(model_spec={"name": model, "signature_name": _SIGNATURE})
        self.error = grpc.RpcError
        self.timeout = timeout

    def predict(self, inputs: dict[str, Sequence]) -> dict[str, Sequence]:
        import tensorflow as tf

        types = {"captions": tf.string, "seed": tf.int64, "truncation": tf.float32}
        request = self.request()
        for name, values in inputs.items():
            request.inputs[name].CopyFrom(tf.make_tensor_proto(values, types[name]))
        try:
            outputs = self.call(request, timeout=self.timeout).outputs
        except self.error as error:
            reason = f"{error.code().name}: {error.details()}"
            if error.code().name in _RETRIED_CODES:
                raise _Again(reason) from error
            raise _refused(reason) from error
        try:
            return {name: tf.make_ndarray(value) for name, value in outputs.items()}
        except (ValueError, TypeError) as error:
            raise _refused("tensors whose numbers are not as many as they say") from error


def load(draw: Callable[[int], object], requests: int, at_once: int) -> str:
    """How fast a server is.

    Args:
        draw: sends the request of this number.
        requests: how many.
        at_once: how many at the same time.

    Returns:
        Latencies and throughput, for a person.
    """

    def timed(number: int) -> float:
        start = time.perf_counter()
        draw(number)
        return time.perf_counter() - start

    alone = np.median([timed(0) for _ in range(_ALONE)])
    start = time.perf_counter()
    with concurrent.futures.ThreadPoolExecutor(at_once) as pool:
        seconds = list(pool.map(timed, range(requests)))
    throughput = requests / (time.perf_counter() - start)
    marks = {"median": 50, "90 %": 90, "99 %": 99, "longest": 100}
    shown = ", ".join(f"{name} {1000 * np.percentile(seconds, mark):.1f}" for name, mark in marks.items())
    return (
        f"{requests} requests, {at_once} at once. Latency in ms: {shown}. Throughput: {throughput:.1f} pictures/s. "
        f"One at a time: median {1000 * alone:.1f} ms; the 99 % is {np.percentile(seconds, 99) / alone / at_once:.2f} "
        f"times that times {at_once}."
    )
