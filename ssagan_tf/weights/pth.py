"""PyTorch's checkpoints (.pth): read without PyTorch and without ever running what is in them.

Both formats hold a pickle, which is a program, beside the numbers themselves: the newer one in a zip archive, the
legacy one (PyTorch before 1.6) in a row. The pickle is read by the machine of `data.restricted_pickle`, which here
knows the names of tensors alone and answers them by functions of this module.
"""

from __future__ import annotations

import io
import os
import pathlib
import pickle
import typing
import zipfile
from collections.abc import Callable, Mapping

import numpy as np

from ssagan_tf.core import files
from ssagan_tf.data import restricted_pickle
from ssagan_tf.data.reading import read_bytes
from ssagan_tf.errors import UserError

MAX_BYTES = 4 * 2**30
_MAGIC = 0x1950A86A20F9469CFC6C
_PROTOCOL = 1001
_TOLD = 5  # keys of networks, in an error
_TYPES = {"Float": "f4", "Double": "f8", "Half": "f2", "Long": "i8", "Int": "i4", "Short": "i2", "Byte": "u1"}


class _Type(typing.NamedTuple):
    """Stands for a storage class such as `torch.FloatStorage`; as a tuple it cannot be called."""

    code: str


class _Storage(typing.NamedTuple):
    """Numbers in a row, which several tensors may share."""

    kind: _Type
    key: str
    size: int


class _Tensor(typing.NamedTuple):
    """A view of a storage; offset and strides count numbers."""

    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


def _rebuild_tensor(storage, offset, shape, strides, *_) -> _Tensor:
    """Stands for `torch._utils._rebuild_tensor` and `_rebuild_tensor_v2`; hooks and the like are left out."""
    return _Tensor(storage, offset, tuple(shape), tuple(strides))


def _rebuild_parameter(tensor, *_) -> _Tensor:
    """Stands for `torch._utils._rebuild_parameter`."""
    return tensor


def _ordered_dict(items=()) -> dict:
    """Stands for `collections.OrderedDict`; Python 2 gives its items at once."""
    result = {}
    for key, value in items:
        restricted_pickle.check_key(key)
        result[key] = value
    return result


class _Machine(restricted_pickle.Machine):
    names = {
        ("collections", "OrderedDict"): _ordered_dict,
        ("torch._utils", "_rebuild_tensor"): _rebuild_tensor,
        ("torch._utils", "_rebuild_tensor_v2"): _rebuild_tensor,
        ("torch._utils", "_rebuild_parameter"): _rebuild_parameter,
        **{
            (module, f"{name}Storage"): _Type(code)
            for module in ("torch", "torch.cuda")
            for name, code in _TYPES.items()
        },
    }

    def __init__(self, stream: typing.BinaryIO):
        super().__init__(stream, encoding="latin1")
        self.storages: list[_Storage] = []  # all of them, used by the tensors wanted or not

    def persistent_load(self, pid: typing.Any) -> _Storage:
        word, kind, key, _, size, *view = pid
        known = word == "storage" and isinstance(kind, _Type) and isinstance(key, str | int)
        if not known or any(part is not None for part in view):
            raise pickle.UnpicklingError("a reference to something other than a storage")
        storage = _Storage(kind, str(key), size)
        self.storages.append(storage)
        return storage

    def load_build(self) -> None:
        # Only a state_dict's `_metadata`, which says nothing about the numbers.
        self.stack.pop()
        if not isinstance(self.stack[-1], dict):
            raise pickle.UnpicklingError("an object with a state")

    dispatch = restricted_pickle.Machine.dispatch | {
        pickle.BINPERSID[0]: restricted_pickle.Machine.load_binpersid,
        pickle.BUILD[0]: load_build,
    }


def read(path: str | os.PathLike) -> dict[str, np.ndarray]:
    """The tensors of a checkpoint: a dictionary of them, as `torch.save(network.state_dict(), path)` makes, alone or
    as one value beside an epoch and the like.

    Args:
        path: zip or legacy format, written by Python 2 or 3, on a GPU or not.

    Returns:
        Read-only arrays by name.

    Raises:
        UserError: missing, larger than `MAX_BYTES`, damaged, of several networks, or a program, which is not run.
    """
    path = pathlib.Path(path)
    data = read_bytes(path, MAX_BYTES)
    try:
        if data.startswith(b"PK\x03\x04"):
            return _read_zip(data)
        return _read_legacy(data)
    except pickle.UnpicklingError as error:
        raise _refusal(path, f"holds {error}") from error
    except KeyError as error:
        raise _refusal(path, "holds an instruction that no tensor needs, or is damaged") from error
    except Exception as error:  # What a damaged file makes the readers raise is no closed list.
        raise _refusal(path, "is damaged, or no checkpoint of PyTorch") from error


def write(path: str | os.PathLike, state: Mapping[str, np.ndarray]) -> None:
    """Writes a checkpoint as `torch.save` does. Needs PyTorch.

    Raises:
        UserError: PyTorch is not installed; the disk is full or read-only.
    """
    try:
        import torch
    except ImportError as error:
        raise UserError(
            f"Writing .pth needs PyTorch. Received: {error}. Do pip install -e '.[torch]', or write .safetensors."
        ) from error
    buffer = io.BytesIO()
    torch.save({name: torch.from_numpy(np.array(value)) for name, value in state.items()}, buffer)
    files.write_atomically(path, buffer.getvalue())


def _refusal(path: pathlib.Path, reason: str) -> UserError:
    return UserError(
        "A checkpoint may hold a dictionary of tensors alone, and was not read. "
        f"Received: {path}, which {' '.join(reason.split())}. Get the file anew from where it comes from."
    )


def _read_zip(data: bytes) -> dict[str, np.ndarray]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        (program,) = [name for name in archive.namelist() if name == "data.pkl" or name.endswith("/data.pkl")]
        folder = program.removesuffix("data.pkl")
        left = len(data)

        def member(name: str) -> bytes:
            nonlocal left
            info = archive.getinfo(folder + name)
            # PyTorch never compresses, so that nothing can be larger than the file itself.
            left -= info.file_size
            if info.compress_type != zipfile.ZIP_STORED or left < 0:
                raise pickle.UnpicklingError("compressed or overlapping members")
            return archive.read(info)

        order = "<"
        if folder + "byteorder" in archive.namelist():
            order = {b"little": "<", b"big": ">"}[member("byteorder")]
        tensors = _tensors_of(_Machine(io.BytesIO(member("data.pkl"))).load())
        return _arrays(tensors, order, lambda storage: member(f"data/{storage.key}"))


def _read_legacy(data: bytes) -> dict[str, np.ndarray]:
    stream = io.BytesIO(data)
    if _Machine(stream).load() != _MAGIC or _Machine(stream).load() != _PROTOCOL:
        raise ValueError("another format")
    order = "<" if _Machine(stream).load()["little_endian"] else ">"
    machine = _Machine(stream)
    tensors = _tensors_of(machine.load())
    kinds = {storage.key: storage.kind for storage in machine.storages}
    contents = {}
    for key in _Machine(stream).load():
        (size,) = np.frombuffer(stream.read(8), f"{order}i8")
        # One that no tensor uses has no type, so that its end is not known: PyTorch writes none.
        length = int(size) * np.dtype(kinds[key].code).itemsize
        contents[key] = memoryview(data)[stream.tell() : stream.tell() + length]
        stream.seek(length, io.SEEK_CUR)
    return _arrays(tensors, order, lambda storage: contents[storage.key])


def _is_tensor(value: object) -> bool:
    return isinstance(value, _Tensor) and isinstance(value.storage, _Storage)


def _tensors_of(value: object) -> dict[str, _Tensor]:
    if not isinstance(value, dict):
        raise pickle.UnpicklingError(f"a {type(value).__name__.strip('_')}, not a dictionary")
    # A training's checkpoint has the weights beside an epoch, an optimizer and the like.
    inner = [
        key for key, part in value.items() if isinstance(part, dict) and part and all(map(_is_tensor, part.values()))
    ]
    if len(inner) > 1:
        keys = ", ".join(repr(key)[:80] for key in inner[:_TOLD] if isinstance(key, str))
        raise pickle.UnpicklingError(f"the weights of several networks, under {keys}: save one of them alone")
    value = value[inner[0]] if inner else value
    for name, tensor in value.items():
        if not isinstance(name, str) or not _is_tensor(tensor):
            shown = repr(name[:80]) if isinstance(name, str) else f"a {type(name).__name__}"
            raise pickle.UnpicklingError(f"something other than a tensor under {shown}")
    return value


def _arrays(
    tensors: Mapping[str, _Tensor], order: str, content: Callable[[_Storage], bytes | memoryview]
) -> dict[str, np.ndarray]:
    rows: dict[_Storage, np.ndarray] = {}
    arrays = {}
    for name, tensor in tensors.items():
        if tensor.storage not in rows:
            row = np.frombuffer(content(tensor.storage), order + tensor.storage.kind.code)
            if len(row) != tensor.storage.size:
                raise ValueError("a storage of another size")
            rows[tensor.storage] = row.astype(row.dtype.newbyteorder("="), copy=False)
        arrays[name] = _view(rows[tensor.storage], tensor)
    return arrays


def _view(row: np.ndarray, tensor: _Tensor) -> np.ndarray:
    """The tensor's view of its storage; within it, and showing no number more often than it is there."""
    shape, strides = tensor.shape, tensor.strides
    # Not only what cannot be: numbers of a million digits take long to multiply.
    if not all(type(number) is int and 0 <= number < 2**63 for number in (tensor.offset, *shape, *strides)):
        raise ValueError("not numbers of a view")
    steps = [(size - 1) * stride for size, stride in zip(shape, strides, strict=True)]
    if 0 in shape:
        return np.zeros(shape, row.dtype)
    if tensor.offset + sum(steps) >= len(row) or int(np.prod(shape, dtype=object)) > len(row):
        raise ValueError("a view beyond its storage")
    in_bytes = [stride * row.itemsize for stride in strides]
    return np.lib.stride_tricks.as_strided(row[tensor.offset :], shape, in_bytes, writeable=False)
