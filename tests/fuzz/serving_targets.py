"""What servers and clients say to each other, for `fuzz_targets`."""

from __future__ import annotations

import json

import numpy as np

from ssagan_tf.errors import UserError
from ssagan_tf.serving import client


def take_answer(data: bytes) -> None:
    """The first byte stands for the status."""
    drawer = client.connect("http://127.0.0.1:1", "birds", tries=1)
    status = {0: 400, 1: 503, 2: 500}.get(data[0] if data else 3, 200)
    drawer.client._post = lambda _: (status, data[1:])
    (picture,) = drawer.draw(["a red bird"], [1])
    assert isinstance(picture.png, bytes) and isinstance(picture.known_words, int)


def answers() -> list[bytes]:
    answer = {"outputs": {"png_bytes": [{"b64": "UE5H"}], "known_words": [1], "unknown_words": [0]}}
    return [b"\3" + json.dumps(answer).encode(), b'\0{"error": "no such input"}', b'\1{"error": "busy"}']


def take_request(data: bytes) -> None:
    from ssagan_tf.serving.rest import ServingError, arrays_of

    try:
        _, arrays, _ = arrays_of(data, _inputs_of)
    except ServingError as error:
        raise UserError(str(error)) from error
    assert all(isinstance(array, np.ndarray) for array in arrays.values())


def _inputs_of(signature: str) -> dict:
    from ssagan_tf.serving.rest import ServingError, tensor_info

    if signature != "serving_default":
        raise ServingError("INVALID_ARGUMENT", "no such signature")
    types = {"captions": "DT_STRING", "seed": "DT_INT64", "truncation": "DT_FLOAT"}
    return {name: tensor_info(name, dtype, [-1]) for name, dtype in types.items()}


def requests() -> list[bytes]:
    row = {"captions": "a red bird", "seed": 7, "truncation": 0.5}
    columns = {"captions": [{"b64": "YQ=="}, "b"], "seed": [1, 2], "truncation": [1, 0.5]}
    return [json.dumps({"instances": [row, row]}).encode(), json.dumps({"inputs": columns}).encode()]
