"""Reads the pickles that data sets come with, without ever running what a pickle says.

A pickle is a program for a small machine. Here that machine knows only the instructions that build lists, dicts,
tuples, text and numbers, and of all names that a pickle may ask for only those by which NumPy writes a number. Even
these are answered by functions of this module: nothing is imported, and no object other than these plain ones
comes out.
"""

from __future__ import annotations

import io
import os
import pathlib
import pickle
import pickletools
import typing

import numpy as np

from ssagan_tf.data.reading import read_bytes
from ssagan_tf.errors import UserError

MAX_BYTES = 32 * 2**20

_INSTRUCTIONS = """
    PROTO FRAME STOP MARK POP POP_MARK DUP NONE
    INT BININT BININT1 BININT2 LONG LONG1 LONG4 FLOAT BINFLOAT NEWTRUE NEWFALSE
    STRING SHORT_BINSTRING BINSTRING UNICODE SHORT_BINUNICODE BINUNICODE BINUNICODE8 SHORT_BINBYTES BINBYTES
    EMPTY_LIST LIST APPEND APPENDS EMPTY_DICT DICT SETITEM SETITEMS EMPTY_TUPLE TUPLE TUPLE1 TUPLE2 TUPLE3
    GET BINGET LONG_BINGET PUT BINPUT LONG_BINPUT MEMOIZE GLOBAL STACK_GLOBAL REDUCE BUILD
""".split()

# Byte order, then kind and bytes, of the number types admitted.
_NUMBER_TYPES = {f"{kind}{size}" for kind in "iu" for size in (1, 2, 4, 8)} | {"f2", "f4", "f8", "b1"}


class _NumberType:
    """Stands for `numpy.dtype`, of plain numbers only (an object type would let anything in)."""

    def __init__(self, code: str, align: int = 0, copy: int = 1):
        if not isinstance(code, str) or code not in _NUMBER_TYPES:
            raise pickle.UnpicklingError(f"NumPy type {code!r}" if isinstance(code, str) else "a NumPy type of objects")
        self.code, self.order = code, "|"

    def set(self, state: tuple) -> None:
        _, order, subarray, names, fields, *_ = state
        if order not in ("<", ">", "=", "|") or (subarray, names, fields) != (None, None, None):
            raise pickle.UnpicklingError("a NumPy type with parts")
        self.order = order


def _number(kind: _NumberType, data: bytes | str) -> int | float | bool:
    """Stands for `numpy.core.multiarray.scalar`; Python 2 wrote the bytes as a string."""
    data = data.encode("latin1") if isinstance(data, str) else data
    (value,) = np.frombuffer(data, np.dtype(kind.order + kind.code))
    return value.item()


def _latin1(text: str, encoding: str) -> bytes:
    """Stands for `_codecs.encode`, by which protocols 0 to 2 write bytes."""
    if encoding not in ("latin1", "latin-1"):
        raise pickle.UnpicklingError("another text encoding than Latin-1")
    return text.encode("latin1")


_NAMES = {
    ("numpy", "dtype"): _NumberType,
    ("numpy.core.multiarray", "scalar"): _number,
    ("numpy._core.multiarray", "scalar"): _number,
    ("_codecs", "encode"): _latin1,
}


def check_key(key: object) -> None:
    """Raises UnpicklingError for keys that may take for ever to hash: tuples that share their parts."""
    if type(key) not in (str, bytes, int, float, bool, type(None)):
        raise pickle.UnpicklingError(f"a key of type {type(key).__name__.strip('_')}")


# Python's own: the one in C sets memory aside for any memo index that a pickle claims to use.
_Unpickler: typing.Any = pickle._Unpickler


class Machine(_Unpickler):
    """The small machine; `names` are those that a pickle may ask for, with what is answered."""

    names = _NAMES

    def find_class(self, module: str, name: str) -> object:
        if (module, name) not in self.names:
            raise pickle.UnpicklingError(f"the name {module}.{name}")
        return self.names[module, name]

    def load_dict(self) -> None:
        items = self.pop_mark()
        self.append({})
        self._set_items(items)

    def load_setitem(self) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        self._set_items([key, value])

    def load_setitems(self) -> None:
        self._set_items(self.pop_mark())

    def _set_items(self, items: list) -> None:
        """Keys and values in turn, into the dict that is on top."""
        into = self.stack[-1]
        if type(into) is not dict or len(items) % 2:
            raise pickle.UnpicklingError("items of something else than a dict")
        for key, value in zip(items[::2], items[1::2], strict=True):
            check_key(key)
            into[key] = value

    def load_build(self) -> None:
        state = self.stack.pop()
        if not isinstance(self.stack[-1], _NumberType):
            raise pickle.UnpicklingError("an object with a state")
        self.stack[-1].set(state)

    dispatch = {
        ord(instruction.code): _Unpickler.dispatch[ord(instruction.code)]
        for instruction in pickletools.opcodes
        if instruction.name in _INSTRUCTIONS
    }
    dispatch |= {
        pickle.DICT[0]: load_dict,
        pickle.SETITEM[0]: load_setitem,
        pickle.SETITEMS[0]: load_setitems,
        pickle.BUILD[0]: load_build,
    }


def load(path: str | os.PathLike) -> typing.Any:
    """Reads a pickle of lists, dicts, tuples, text and numbers, of Python 2 (text as Latin-1) or 3.

    NumPy numbers come out as Python's.

    Raises:
        UserError: missing, larger than `MAX_BYTES`, damaged, or with anything else in it.
    """
    path = pathlib.Path(path)
    data = read_bytes(path, MAX_BYTES)
    try:
        value = Machine(io.BytesIO(data), encoding="latin1").load()
        _check_plain(value)
    except pickle.UnpicklingError as error:
        raise _refusal(path, f"holds {error}") from error
    except KeyError as error:
        raise _refusal(path, "holds an instruction that no list, text or number needs, or is damaged") from error
    except Exception as error:  # What a damaged pickle makes the machine raise is no closed list.
        raise _refusal(path, "is damaged, or no pickle") from error
    return value


def _refusal(path: pathlib.Path, reason: str) -> UserError:
    return UserError(
        "A pickle may hold lists, dicts, tuples, text and numbers alone, and was not read. "
        f"Received: {path}, which {' '.join(reason.split())}. Get the file anew from where the data comes from."
    )


def _check_plain(value: object) -> None:
    seen: set[int] = set()
    waiting: list[typing.Any] = [value]
    while waiting:
        item = waiting.pop()
        if type(item) in (str, int, float, bool) or id(item) in seen:
            continue
        if type(item) not in (list, tuple, dict):
            raise pickle.UnpicklingError(f"a value of type {type(item).__name__.strip('_')}")
        seen.add(id(item))
        waiting.extend(item)
        if type(item) is dict:
            waiting.extend(item.values())
