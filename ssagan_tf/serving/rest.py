"""Bodies of TensorFlow Serving's REST API: JSON to a signature's inputs, its outputs to JSON, and what goes wrong."""

from __future__ import annotations

import base64
import json
import typing

import numpy as np
from starlette.exceptions import HTTPException

_HTTP_STATUS = {
    "INVALID_ARGUMENT": 400,
    "FAILED_PRECONDITION": 400,
    "OUT_OF_RANGE": 400,
    "NOT_FOUND": 404,
    "DEADLINE_EXCEEDED": 504,
    "RESOURCE_EXHAUSTED": 429,
    "UNIMPLEMENTED": 501,
    "UNAVAILABLE": 503,
}  # 500 for all others
# By TensorFlow's names of types; strings are objects.
_KINDS: dict[str, typing.Any] = {
    "DT_FLOAT": np.float32,
    "DT_INT32": np.int32,
    "DT_INT64": np.int64,
    "DT_STRING": object,
}
_LARGEST_FLOAT = float(np.finfo(np.float32).max)
# JSON's types that become a type, and their bounds. True is an int, too, but no number.
_NUMBERS: dict[typing.Any, tuple] = {
    np.float32: ((int, float), -_LARGEST_FLOAT, _LARGEST_FLOAT),
    np.int32: ((int,), -(2**31), 2**31 - 1),
    np.int64: ((int,), -(2**63), 2**63 - 1),
}


class ServingError(HTTPException):
    """What a server answers instead of a result.

    Args:
        code: name of a canonical code, such as "INVALID_ARGUMENT".
        message: for whoever asked.
    """

    def __init__(self, code: str, message: str):
        super().__init__(_HTTP_STATUS.get(code, 500), message)
        self.code = code

    def __str__(self) -> str:
        return self.detail


def invalid(message: str) -> ServingError:
    """The error of a request that is wrong."""
    return ServingError("INVALID_ARGUMENT", message)


def tensor_info(name: str, dtype: str, shape: typing.Sequence[int]) -> dict:
    """An input or output as metadata describe it; a dimension of -1 has any size."""
    dims = [{"size": str(size), "name": ""} for size in shape]
    return {"dtype": dtype, "tensor_shape": {"dim": dims, "unknown_rank": False}, "name": name}


def _shape_of(info: dict) -> tuple[int, ...]:
    return tuple(int(dim["size"]) for dim in info["tensor_shape"]["dim"])


def arrays_of(body: bytes, inputs_of: typing.Callable[[str], dict]) -> tuple[str, dict[str, np.ndarray], bool]:
    """A request's body -> (signature, its inputs, whether the answer is to be in rows).

    Args:
        body: JSON.
        inputs_of: metadata of each input, see `tensor_info`, by the name of a signature.

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


def _array(value: typing.Any, info: dict) -> np.ndarray:
    """Nested lists as an array of the input's type."""
    if info["dtype"] not in _KINDS:
        raise ServingError("UNIMPLEMENTED", f"Inputs of {info['dtype']} are not read from JSON")
    given, rank = np.array(value, object), len(_shape_of(info))
    if given.ndim != rank:
        raise invalid(f"Expecting lists of depth {rank} but got {given.ndim}")
    kind, flat = _KINDS[info["dtype"]], given.ravel().tolist()
    array = np.empty(len(flat), kind)
    array[:] = [_text(item) for item in flat] if kind is object else _numbers(flat, kind)
    return array.reshape(given.shape)


def _numbers(values: list, kind: typing.Any) -> list:
    types, low, high = _NUMBERS[kind]
    for value in values:
        if type(value) not in types or not low <= value <= high:
            raise invalid(f"JSON Value: {_short(value)} is not of expected type: {kind.__name__}")
    return values


def _text(value: typing.Any) -> bytes:
    try:
        if isinstance(value, str):
            return value.encode()
        if _is_base64(value):
            return base64.b64decode(value["b64"], validate=True)
    except UnicodeEncodeError as error:
        raise invalid("JSON Parse error: The surrogate pair in string is invalid.") from error
    except ValueError as error:
        raise invalid("Unable to base64 decode") from error
    raise invalid(f"JSON Value: {_short(value)} is not of expected type: string")


def _is_base64(value: typing.Any) -> bool:
    return isinstance(value, dict) and set(value) == {"b64"} and isinstance(value["b64"], str)


def _short(value: typing.Any) -> str:
    if isinstance(value, list | dict):  # may be as large and as deep as a request
        return "a list" if isinstance(value, list) else "an object"
    # An integer of many digits cannot be printed.
    text = json.dumps(value) if not isinstance(value, int) or abs(value) < 2**70 else "an integer of many digits"
    return text if len(text) <= 100 else text[:97] + "..."


def check_array(name: str, value: np.ndarray, info: dict) -> None:
    """Raises ServingError unless an array has the type and the shape of an input."""
    kind, shape = _KINDS.get(info["dtype"]), _shape_of(info)
    if kind is None or value.dtype != kind:
        raise invalid(f"Input {name} must be {info['dtype']} but was {value.dtype}")
    if value.ndim != len(shape) or any(want not in (-1, got) for want, got in zip(shape, value.shape, strict=True)):
        wanted = ", ".join("any" if size < 0 else str(size) for size in shape)
        raise invalid(f"Input {name} must be of shape ({wanted}) but was {value.shape}")


def example(info: dict) -> np.ndarray:
    """An input of nothing, for one picture."""
    kind = _KINDS[info["dtype"]]
    return np.full([abs(size) for size in _shape_of(info)], b"" if kind is object else 0, kind)


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


def local_answer(loaded, what: str, name: str, body: bytes) -> bytes:
    """An answer of a model that is loaded here, as JSON."""
    if what == ":predict":
        signature, inputs, rows = arrays_of(body, loaded.inputs_of)
        return json.dumps(answer_of(loaded.predict(signature, inputs), rows), allow_nan=False).encode()
    if what == "/metadata":
        spec = {"name": name, "signature_name": "", "version": str(loaded.version)}
        table = {"signature_def": {"signature_def": loaded.signatures}}
        return json.dumps({"model_spec": spec, "metadata": table}).encode()
    status = {"error_code": "OK", "error_message": ""}
    state = {"version": str(loaded.version), "state": "AVAILABLE", "status": status}
    return json.dumps({"model_version_status": [state]}).encode()
