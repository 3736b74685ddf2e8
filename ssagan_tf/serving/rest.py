"""Bodies of TensorFlow Serving's REST API: JSON to a signature's inputs, its outputs to JSON, and what goes wrong."""

from __future__ import annotations

import base64
import json
import typing

import numpy as np

HTTP_STATUS = {
    "INVALID_ARGUMENT": 400,
    "FAILED_PRECONDITION": 400,
    "OUT_OF_RANGE": 400,
    "NOT_FOUND": 404,
    "DEADLINE_EXCEEDED": 504,
    "RESOURCE_EXHAUSTED": 429,
    "UNIMPLEMENTED": 501,
    "UNAVAILABLE": 503,
}  # 500 for all others
_LARGEST_FLOAT = float(np.finfo(np.float32).max)
_KINDS: dict[int, typing.Any] = {
    1: np.float32,
    3: np.int32,
    7: object,
    9: np.int64,
}  # of TensorFlow's DataType; an object is a string
_NAMES: dict[typing.Any, str] = {np.float32: "float32", np.int32: "int32", object: "string", np.int64: "int64"}


class ServingError(Exception):
    """What a server answers instead of a result.

    Args:
        code: name of a canonical code, such as "INVALID_ARGUMENT".
        message: for whoever asked.
    """

    def __init__(self, code: str, message: str):
        super().__init__(message)
        self.code = code


def invalid(message: str) -> ServingError:
    """The error of a request that is wrong."""
    return ServingError("INVALID_ARGUMENT", message)


def arrays_of(body: bytes, inputs_of: typing.Callable[[str], dict]) -> tuple[str, dict[str, np.ndarray], bool]:
    """A request's body -> (signature, its inputs, whether the answer is to be in rows).

    Raises:
        ServingError: it is no such request.
    """
    try:
        request = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise invalid(f"JSON Parse error: {error}") from error
    if not isinstance(request, dict):
        raise invalid("The request is not a JSON object")
    signature = request.get("signature_name", "")
    if not isinstance(signature, str):
        raise invalid("'signature_name' key must be a string value")
    signature = signature or "serving_default"
    wanted = inputs_of(signature)
    if ("instances" in request) == ("inputs" in request):
        raise invalid("Expecting one of 'instances' and 'inputs'")
    if "inputs" in request:
        return signature, _from_columns(request["inputs"], wanted), False
    return signature, _from_rows(request["instances"], wanted), True


def _from_columns(given: typing.Any, wanted: dict) -> dict[str, np.ndarray]:
    if not isinstance(given, dict) or _is_base64(given):
        given = {_only(wanted, "inputs"): given}
    missing = sorted(set(wanted) - set(given))
    if missing:
        raise invalid(f"Missing named input: {missing[0]} in 'inputs' object")
    # As in TensorFlow Serving, what is not wanted is not looked at.
    return {name: _array(given[name], info) for name, info in wanted.items()}


def _from_rows(rows: typing.Any, wanted: dict) -> dict[str, np.ndarray]:
    if not isinstance(rows, list):
        raise invalid("Expecting 'instances' to be a list/array")
    if not rows:
        raise invalid("No values in 'instances' array")
    if not isinstance(rows[0], dict) or _is_base64(rows[0]):
        return {_only(wanted, "instances"): _array(rows, wanted[_only(wanted, "instances")])}
    for index, row in enumerate(rows):
        if not isinstance(row, dict) or set(row) != set(wanted):
            raise invalid(
                f"Failed to process element: {index} of 'instances' list. Keys must be equal to: "
                f"{','.join(sorted(wanted))}"
            )
    return {name: _array([row[name] for row in rows], info) for name, info in wanted.items()}


def _only(wanted: dict, key: str) -> str:
    if len(wanted) > 1:
        raise invalid(f"{key} is a plain list, but the signature has several inputs: {', '.join(sorted(wanted))}")
    return next(iter(wanted))


def _array(value: typing.Any, info) -> np.ndarray:
    """Nested lists as an array of the input's type."""
    shape, probe = [], value
    while isinstance(probe, list):
        shape.append(len(probe))
        probe = probe[0] if probe else None
    if len(shape) != len(info.tensor_shape.dim):
        raise invalid(f"Expecting lists of depth {len(info.tensor_shape.dim)} but got {len(shape)}")
    if info.dtype not in _KINDS:
        raise ServingError("UNIMPLEMENTED", f"Inputs of DataType {info.dtype} are not read from JSON")
    dtype = _KINDS[info.dtype]
    flat: list = []
    _flatten(value, shape, dtype, flat)
    array = np.empty(len(flat), dtype)
    array[:] = flat
    return array.reshape(shape)


def _flatten(value: typing.Any, shape: list[int], dtype: typing.Any, flat: list) -> None:
    if not shape and not isinstance(value, list):
        flat.append(_scalar(value, dtype))
    elif not shape or not isinstance(value, list) or len(value) != shape[0]:
        raise invalid(f"Lists of one input differ in depth or length: {_short(value)}")
    else:
        for part in value:
            _flatten(part, shape[1:], dtype, flat)


def _scalar(value: typing.Any, dtype: typing.Any) -> typing.Any:
    if dtype is object and isinstance(value, str):
        try:
            return value.encode()
        except UnicodeEncodeError as error:
            raise invalid("JSON Parse error: The surrogate pair in string is invalid.") from error
    if dtype is object and _is_base64(value):
        try:
            return base64.b64decode(value["b64"], validate=True)
        except ValueError as error:
            raise invalid("Unable to base64 decode") from error
    number = isinstance(value, int | float) and not isinstance(value, bool)
    bits = {np.int32: 31, np.int64: 63}.get(dtype)
    if bits and number and isinstance(value, int) and -(2**bits) <= value < 2**bits:
        return value
    if dtype is np.float32 and number and abs(value) <= _LARGEST_FLOAT:
        return value
    raise invalid(f"JSON Value: {_short(value)} is not of expected type: {_NAMES[dtype]}")


def _is_base64(value: typing.Any) -> bool:
    return isinstance(value, dict) and set(value) == {"b64"} and isinstance(value["b64"], str)


def _short(value: typing.Any) -> str:
    # Cut before it is printed: an integer of many digits cannot be.
    text = json.dumps(value) if not isinstance(value, int) or abs(value) < 2**70 else "an integer of many digits"
    return text if len(text) <= 100 else text[:97] + "..."


def example(info) -> np.ndarray:
    """An input of nothing, for one picture."""
    return np.full([abs(dim.size) for dim in info.tensor_shape.dim], b"" if info.dtype == 7 else 0, _KINDS[info.dtype])


def answer_of(outputs: dict[str, np.ndarray], rows: bool) -> dict:
    """A signature's outputs as the body of an answer."""
    listed = {name: _listed(name, value) for name, value in outputs.items()}
    if not rows:
        return {"outputs": listed if len(listed) > 1 else next(iter(listed.values()))}
    if len(listed) == 1:
        return {"predictions": next(iter(listed.values()))}
    return {"predictions": [dict(zip(listed, row, strict=True)) for row in zip(*listed.values(), strict=True)]}


def _listed(name: str, value: np.ndarray) -> list:
    if value.dtype != object:
        return value.tolist()
    if name.endswith("_bytes"):
        return [{"b64": base64.b64encode(content).decode()} for content in value]
    return [content.decode(errors="replace") for content in value]
