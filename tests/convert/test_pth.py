"""Checkpoints of PyTorch: those it wrote, those made here instruction by instruction, and those that mean harm."""

import collections
import io
import os
import pickle
import struct
import sys
import types
import zipfile

import numpy as np
import pytest
from processes import ROOT

from ssagan_tf.errors import UserError
from ssagan_tf.weights import pth

_FIXTURES = ROOT / "tests" / "fixtures"

_LEGACY = (0x1950A86A20F9469CFC6C, 1001, {"protocol_version": 1001, "little_endian": True, "type_sizes": {}})


# === A writer of checkpoints, by names that stand for PyTorch's ===


class _Storage:
    def __init__(self, kind, key, values):
        self.kind, self.key, self.values = kind, key, values


class _Pickled:
    """Is pickled as a call of a function by arguments, and maybe a state."""

    def __init__(self, function, arguments, state=None):
        self.reduced = (function, arguments) if state is None else (function, arguments, state)

    def __reduce__(self):
        return self.reduced


@pytest.fixture
def torch_names(monkeypatch):
    """Modules that hold PyTorch's names, so that `pickle` writes them."""
    torch, utils = types.ModuleType("torch"), types.ModuleType("torch._utils")
    for name in ("FloatStorage", "LongStorage", "BFloat16Storage"):
        setattr(torch, name, type(name, (), {"__module__": "torch"}))
    for name in ("_rebuild_tensor_v2", "_rebuild_parameter"):
        function = types.FunctionType((lambda *_: None).__code__, {}, name)
        function.__module__, function.__qualname__ = "torch._utils", name
        setattr(utils, name, function)
    monkeypatch.setitem(sys.modules, "torch", torch)
    monkeypatch.setitem(sys.modules, "torch._utils", utils)
    torch._utils = utils
    return torch


def _tensor(torch, storage, shape, strides, offset=0):
    function = torch._utils._rebuild_tensor_v2
    return _Pickled(function, (storage, offset, shape, strides, False, collections.OrderedDict()))


def _program(value, legacy):
    class Pickler(pickle.Pickler):
        def persistent_id(self, item):
            if isinstance(item, _Storage):
                last = (None,) if legacy else ()
                return ("storage", item.kind, item.key, "cuda:0", len(item.values), *last)

    buffer = io.BytesIO()
    Pickler(buffer, protocol=2).dump(value)
    return buffer.getvalue()


def _write_zip(path, value, storages, compression=zipfile.ZIP_STORED, order=b"little"):
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr("net/data.pkl", _program(value, legacy=False))
        archive.writestr("net/byteorder", order)
        for storage in storages:
            archive.writestr(f"net/data/{storage.key}", storage.values.tobytes())
    return path


def _write_legacy(path, value, storages):
    parts = [pickle.dumps(part, protocol=2) for part in _LEGACY]
    parts += [_program(value, legacy=True), pickle.dumps([storage.key for storage in storages], protocol=2)]
    parts += [struct.pack("<q", len(storage.values)) + storage.values.tobytes() for storage in storages]
    path.write_bytes(b"".join(parts))
    return path


def _floats(torch, key="0", count=12):
    return _Storage(torch.FloatStorage, key, np.arange(count, dtype=np.float32))


# === What PyTorch wrote ===


def test_a_whole_network_is_read_bit_by_bit(monkeypatch):
    monkeypatch.syspath_prepend(_FIXTURES.parent / "parity")
    import reference

    state = pth.read(_FIXTURES / "netD_nf2.pth")
    assert len(state) == 34
    for key, value in state.items():
        expected = reference.tensor(key, value.shape, seed=1)
        assert (value.dtype, value.tobytes()) == (expected.dtype, expected.tobytes()), key


@pytest.mark.parametrize("name", ["malicious_zip", "malicious_legacy"])
def test_real_checkpoints_that_run_code_are_refused_and_run_none(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="io.open"):
        pth.read(_FIXTURES / f"{name}.pth")
    assert not list(tmp_path.iterdir())


# The tensors of `_written_by_torch`; each is filled with numbers that count on through all of them.
_WRITTEN = {
    "module.0.weight": ("f4", (3, 2, 3, 3)),
    "module.0.bias": ("f4", (3,)),
    "module.1.weight": ("f4", (3,)),
    "module.1.bias": ("f4", (3,)),
    "module.1.running_mean": ("f4", (3,)),
    "module.1.running_var": ("f4", (3,)),
    "module.1.num_batches_tracked": ("i8", ()),
    "module.2.weight": ("f2", (2, 4)),
    "module.2.bias": ("f2", (2,)),
    "double": ("f8", (2,)),
    "int": ("i4", (2,)),
    "short": ("i2", (2,)),
    "byte": ("u1", (2,)),
    "empty": ("f4", (0, 3)),
    "whole": ("f4", (4, 5)),
}
_VIEWS = {
    "transposed": lambda whole: whole.T,
    "column": lambda whole: whole[:, 3],
    "every_second": lambda whole: whole[1::2, ::2],
}


def _counting(first, kind, shape):
    return np.arange(first, first + int(np.prod(shape))).astype(kind).reshape(shape)


def _expected():
    first, state = 0, {}
    for name, (kind, shape) in _WRITTEN.items():
        state[name] = _counting(first, kind, shape)
        first += state[name].size
    return state | {name: view(state["whole"]) for name, view in _VIEWS.items()}


def _written_by_torch(torch, path, **options):
    """A network's state as the published training saves it, and tensors of every type and with shared storages."""
    layers = torch.nn.Conv2d(2, 3, 3), torch.nn.BatchNorm2d(3), torch.nn.Linear(4, 2).half()
    state = torch.nn.DataParallel(torch.nn.Sequential(*layers)).state_dict()
    expected = _expected()
    for name, tensor in state.items():
        tensor.copy_(torch.from_numpy(expected[name]))
    state |= {name: torch.from_numpy(expected[name]) for name in _WRITTEN.keys() - state.keys()}
    state |= {name: view(state["whole"]) for name, view in _VIEWS.items() if name != "every_second"}
    state["every_second"] = torch.nn.Parameter(_VIEWS["every_second"](state["whole"]))
    torch.save(state, path, **options)


def _assert_as_written(state):
    expected = _expected()
    assert state.keys() == expected.keys()
    for name, value in expected.items():
        assert (state[name].dtype, state[name].shape) == (value.dtype, value.shape), name
        assert state[name].tobytes() == value.tobytes(), name


@pytest.mark.parametrize("name", ["torch_zip", "torch_legacy"])
def test_files_that_pytorch_2_13_wrote_are_read_bit_by_bit(name):
    _assert_as_written(pth.read(_FIXTURES / f"{name}.pth"))


@pytest.mark.parametrize("zipped", [True, False])
def test_what_the_installed_pytorch_writes_is_read_bit_by_bit(zipped, tmp_path):
    torch = pytest.importorskip("torch")
    _written_by_torch(torch, tmp_path / "net.pth", _use_new_zipfile_serialization=zipped)
    _assert_as_written(pth.read(tmp_path / "net.pth"))


def test_what_we_write_pytorch_reads_bit_by_bit(tmp_path):
    torch = pytest.importorskip("torch")
    expected = _expected()
    pth.write(tmp_path / "ours.pth", expected)
    theirs = torch.load(tmp_path / "ours.pth", weights_only=True)
    _assert_as_written({name: tensor.numpy() for name, tensor in theirs.items()})
    assert list(theirs) == list(expected)


def test_a_whole_network_is_refused_and_the_weights_of_a_training_s_checkpoint_are_taken(tmp_path):
    torch = pytest.importorskip("torch")
    network = torch.nn.Linear(2, 2)
    torch.save(network, tmp_path / "network.pth")
    with pytest.raises(UserError, match="the name torch.nn.modules.linear.Linear"):
        pth.read(tmp_path / "network.pth")
    optimizer = torch.optim.Adam(network.parameters())
    network(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    wrapped = {"net": network.state_dict(), "epoch": 3, "optimizer": optimizer.state_dict(), "loss": torch.ones(())}
    for zipped in (True, False):
        torch.save(wrapped, tmp_path / "training.pth", _use_new_zipfile_serialization=zipped)
        state = pth.read(tmp_path / "training.pth")
        assert {name: value.tolist() for name, value in state.items()} == {
            name: tensor.tolist() for name, tensor in network.state_dict().items()
        }


# === Every feature of the format ===


@pytest.mark.parametrize("write", [_write_zip, _write_legacy])
def test_tensors_that_share_a_storage_transposed_and_with_an_offset(torch_names, tmp_path, write):
    storage = _floats(torch_names)
    counter = _Storage(torch_names.LongStorage, "1", np.array([2**40 + 1]))
    value = collections.OrderedDict(
        plain=_tensor(torch_names, storage, (3, 4), (4, 1)),
        transposed=_tensor(torch_names, storage, (4, 3), (1, 4)),
        part=_tensor(torch_names, storage, (2, 2), (4, 1), offset=5),
        parameter=_Pickled(
            torch_names._utils._rebuild_parameter, (_tensor(torch_names, storage, (3,), (1,)), True, {})
        ),
        counter=_tensor(torch_names, counter, (), ()),
        none=_tensor(torch_names, storage, (0, 3), (3, 1)),
    )
    state = pth.read(write(tmp_path / "net.pth", value, [storage, counter]))
    rows = np.arange(12, dtype=np.float32).reshape(3, 4)
    np.testing.assert_array_equal(state["plain"], rows)
    np.testing.assert_array_equal(state["transposed"], rows.T)
    np.testing.assert_array_equal(state["part"], rows[1:, 1:3])
    np.testing.assert_array_equal(state["parameter"], rows[0, :3])
    assert state["counter"] == 2**40 + 1 and state["counter"].shape == ()
    assert state["none"].shape == (0, 3)
    assert list(state) == list(value)


@pytest.mark.parametrize("write", [_write_zip, _write_legacy])
def test_weights_beside_an_epoch_are_taken_and_several_networks_named(torch_names, tmp_path, write):
    storages = [_floats(torch_names, "0"), _floats(torch_names, "1", 3)]
    state, other = ({"w": _tensor(torch_names, one, (3,), (1,))} for one in storages)
    value = {"epoch": 3, "netG": state, "beside": _tensor(torch_names, storages[1], (3,), (1,)), "args": {"lr": 0.1}}
    np.testing.assert_array_equal(pth.read(write(tmp_path / "one.pth", value, storages))["w"], [0, 1, 2])
    with pytest.raises(UserError, match="several networks, under 'netG', 'netD': save one of them alone"):
        pth.read(write(tmp_path / "two.pth", {"netG": state, "netD": other}, storages))


def test_metadata_of_a_state_dict_is_left_out(torch_names, tmp_path):
    storage = _floats(torch_names)
    value = collections.OrderedDict(weight=_tensor(torch_names, storage, (12,), (1,)))
    value._metadata = collections.OrderedDict({"": {"version": 1}})
    assert list(pth.read(_write_zip(tmp_path / "net.pth", value, [storage]))) == ["weight"]


def test_a_big_endian_archive(torch_names, tmp_path):
    storage = _Storage(torch_names.FloatStorage, "0", np.array([1.5, -2.0], ">f4"))
    value = {"weight": _tensor(torch_names, storage, (2,), (1,))}
    state = pth.read(_write_zip(tmp_path / "net.pth", value, [storage], order=b"big"))
    assert state["weight"].tolist() == [1.5, -2.0] and state["weight"].dtype == np.dtype("=f4")


# === What is no dictionary of tensors, or lies about its sizes ===


@pytest.mark.parametrize("write", [_write_zip, _write_legacy])
@pytest.mark.parametrize(
    ("shape", "strides", "offset"),
    [
        ((13,), (1,), 0),
        ((12,), (1,), 1),
        ((2, 2), (-1, 1), 4),
        ((10**15,), (0,), 0),
        ((2, 3), (1,), 0),
        ((2.0,), (1,), 0),
        ((-1,), (1,), 0),
        ((2,), (1,), -1),
    ],
)
def test_views_beyond_their_storage_are_refused(torch_names, tmp_path, write, shape, strides, offset):
    storage = _floats(torch_names)
    value = {"weight": _tensor(torch_names, storage, shape, strides, offset)}
    with pytest.raises(UserError, match="damaged"):
        pth.read(write(tmp_path / "net.pth", value, [storage]))


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ([1, 2], "a list, not a dictionary"),
        ({"epoch": 3}, "something other than a tensor under 'epoch'"),
        ({"nested": {}}, "something other than a tensor under 'nested'"),
        ({"x": _Pickled(os.getcwd, ())}, "the name posix.getcwd"),
        ({"x": _Pickled(collections.Counter, ())}, "the name collections.Counter"),
    ],
)
@pytest.mark.parametrize("write", [_write_zip, _write_legacy])
def test_other_values_are_refused_by_name(tmp_path, write, value, words):
    with pytest.raises(UserError) as caught:
        pth.read(write(tmp_path / "net.pth", value, []))
    assert words in str(caught.value)


# A tuple of twice the one before, two hundred times: to hash or to print it would take for ever.
DOUBLED = b")" + b"q\x000h\x00h\x00\x86" * 200


@pytest.mark.parametrize(
    "program",
    [
        b"}" + DOUBLED + b"K\x01s.",
        b"ccollections\nOrderedDict\n((" + DOUBLED + b"K\x01tl\x85R.",
        b"ccollections\nOrderedDict\n]" + DOUBLED + b"K\x01\x86a\x85R.",
        b"(X\x07\x00\x00\x00storagectorch\nFloatStorage\n" + DOUBLED + b"X\x03\x00\x00\x00cpuK\x01tQ.",
    ],
)
def test_tuples_that_grow_without_end_are_refused_at_once(tmp_path, program):
    with zipfile.ZipFile(tmp_path / "net.pth", "w") as archive:
        archive.writestr("net/data.pkl", b"\x80\x02" + program)
    with pytest.raises(UserError, match="was not read"):
        pth.read(tmp_path / "net.pth")


def test_types_that_numpy_does_not_have_are_refused_by_name(torch_names, tmp_path):
    storage = _Storage(torch_names.BFloat16Storage, "0", np.zeros(2, np.int16))
    value = {"weight": _tensor(torch_names, storage, (2,), (1,))}
    with pytest.raises(UserError, match="the name torch.BFloat16Storage"):
        pth.read(_write_zip(tmp_path / "net.pth", value, [storage]))


def test_compressed_archives_are_refused_before_they_are_unpacked(torch_names, tmp_path):
    storage = _Storage(torch_names.FloatStorage, "0", np.zeros(10**6, np.float32))
    value = {"weight": _tensor(torch_names, storage, (10**6,), (1,))}
    path = _write_zip(tmp_path / "net.pth", value, [storage], zipfile.ZIP_DEFLATED)
    with pytest.raises(UserError, match="compressed"):
        pth.read(path)


@pytest.mark.parametrize("write", [_write_zip, _write_legacy])
def test_every_truncation_is_refused_and_every_flipped_bit_is_read_or_refused(torch_names, tmp_path, write):
    storage = _floats(torch_names)
    value = {"weight": _tensor(torch_names, storage, (3, 4), (4, 1))}
    whole = write(tmp_path / "net.pth", value, [storage]).read_bytes()
    broken = tmp_path / "broken.pth"
    for length in range(len(whole)):
        broken.write_bytes(whole[:length])
        with pytest.raises(UserError):
            pth.read(broken)
    random = np.random.default_rng(0)
    for _ in range(300):
        flipped = bytearray(whole)
        flipped[random.integers(len(whole))] ^= 1 << random.integers(8)
        broken.write_bytes(flipped)
        try:
            state = pth.read(broken)
        except UserError:
            continue
        assert sum(array.size for array in state.values()) <= 12


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"\x80\x02K\x01.", b"<html>Not found</html>"])
def test_what_is_no_checkpoint_is_refused(tmp_path, content):
    (tmp_path / "net.pth").write_bytes(content)
    with pytest.raises(UserError, match="is damaged"):
        pth.read(tmp_path / "net.pth")


def test_a_missing_and_a_too_large_file_are_told(tmp_path, monkeypatch):
    with pytest.raises(UserError, match="could not be read"):
        pth.read(tmp_path / "none.pth")
    (tmp_path / "net.pth").write_bytes(b"PK\x03\x04" + bytes(100))
    monkeypatch.setattr(pth, "MAX_BYTES", 50)
    with pytest.raises(UserError, match="too large"):
        pth.read(tmp_path / "net.pth")


def test_writing_without_pytorch_says_how(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(UserError, match=r"pip install -e '\.\[torch\]'"):
        pth.write(tmp_path / "net.pth", {"a": np.zeros(1, np.float32)})
    assert not list(tmp_path.iterdir())
