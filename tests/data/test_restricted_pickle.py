import os
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ssagan_tf.data import restricted_pickle
from ssagan_tf.errors import UserError

PLAIN = st.recursive(
    st.integers() | st.floats(allow_nan=False) | st.text() | st.booleans(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4) | st.tuples(inner, inner),
    max_leaves=20,
)


@pytest.fixture
def read(tmp_path, monkeypatch):
    """Reads a pickle's bytes, in an empty folder in which nothing may appear."""
    folder = tmp_path / "empty"
    folder.mkdir()
    monkeypatch.chdir(folder)
    path = tmp_path / "a.pickle"

    def load(data: bytes):
        path.write_bytes(data)
        return restricted_pickle.load(path)

    yield load
    assert not list(folder.iterdir())


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@settings(max_examples=30, deadline=None)
@given(value=PLAIN)
def test_plain_values_come_back_as_they_were(tmp_path_factory, protocol, value):
    path = tmp_path_factory.getbasetemp() / "plain.pickle"
    path.write_bytes(pickle.dumps(value, protocol))
    assert restricted_pickle.load(path) == value


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("kind", ["int8", "uint16", ">i4", "int64", "uint64", "float16", "float32", ">f8", "bool"])
def test_numpy_numbers_become_pythons(read, protocol, kind):
    values = [np.dtype(kind).type(1), *np.array([0, 1, 7], kind)]
    loaded = read(pickle.dumps(values, protocol))
    assert loaded == [value.item() for value in values]
    assert all(type(one) in (int, float, bool) for one in loaded)


def test_what_python_2_and_its_numpy_wrote_is_read(read):
    scalar = (
        b"(lp0\ncnumpy.core.multiarray\nscalar\np1\n(cnumpy\ndtype\np2\n(S'i8'\np3\nI0\nI1\ntp4\nRp5\n"
        b"(I3\nS'<'\np6\nNNNI-1\nI-1\nI0\ntp7\nbS'\\x05\\x01\\x00\\x00\\x00\\x00\\x00\\x00'\np8\ntp9\nRp10\na"
        b"g1\n(g5\nS'\\xff\\xff\\xff\\xff\\xff\\xff\\xff\\xff'\ntRaS'caf\\xe9'\naI01\na."
    )
    assert read(scalar) == [261, -1, "café", True]
    assert read(b"\x80\x02]q\x00(U\x03a/bq\x01K\x05e.") == ["a/b", 5]


class _Calls:
    """Pickles as a call of a function."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (_Calls(open, "PWNED", "w"), f"the name {open.__module__}.open"),
        ([1, {"a": (_Calls(os.system, "touch PWNED"),)}], "the name posix.system"),
        (_Calls(eval, "open('PWNED', 'w')"), "eval"),
        (_Calls(np.dtype, "O"), "'O'"),
        (np.dtype("i4"), "NumberType"),
        (np.dtype([("a", "i4"), ("b", "O")]), "'V12'"),
        (np.arange(3), "reconstruct"),
        (np.array(["a", None], object), "reconstruct"),
        (b"bytes", "bytes"),
        ([None], "NoneType"),
        ({1, 2}, "."),
        (frozenset("a"), "."),
        (1j, "complex"),
        (bytearray(b"a"), "."),
        (ValueError("a"), "ValueError"),
        (_Calls, "_Calls"),
    ],
)
@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_anything_else_is_refused_in_one_line_and_not_run(read, value, reason, protocol):
    with pytest.raises(UserError, match="lists, dicts, tuples, text and numbers alone") as error:
        read(pickle.dumps(value, protocol))
    message = str(error.value)
    assert reason in message and "a.pickle" in message and "\n" not in message


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b".",
        b"0",
        b"hello, I am no pickle",
        b"\x80\x02]q\x00(",
        b"\x80\x02](X\x05\x00",
        b"\x80\x63].",
        b"g5\n.",
        b"S'\\x'\n.",
        pickle.dumps(["a"] * 10)[:-3],
        b"Pperson\n.",  # a persistent id
        b"\x80\x02\x82\x01.",  # the extension registry
        b"(ios\nsystem\nS'touch PWNED'\n.",  # INST
        b"(cos\nsystem\nS'touch PWNED'\no.",  # OBJ
        b"\x80\x04\x8c\x05numpy\x8c\x05dtype\x93)\x81.",  # NEWOBJ
        b"cnumpy\ndtype\n}S'set'\nS'x'\nsb.",  # a state for an admitted name itself
        b"cnumpy\ndtype\n(S'i8'\nI0\nI1\ntR(I3\nS'O'\nNNNI-1\nI-1\nI0\ntb.",
        b"c_codecs\nencode\n(S'x'\nS'rot13'\ntR.",
        b"\x80\x05\x96\xff\xff\xff\xff\xff\xff\xff\x7f.",  # a byte array that claims to be huge
    ],
)
def test_damaged_and_devious_pickles_are_refused(read, data):
    with pytest.raises(UserError, match="was not read"):
        read(data)


def test_a_huge_memo_index_takes_no_memory(read):
    assert read(b"\x80\x02]r\xff\xff\xff\xff.") == []


def test_lists_within_themselves_and_deep_ones_are_no_trap(read):
    itself = []
    itself.append(itself)
    loaded = read(pickle.dumps(itself, 2))
    assert loaded[0] is loaded
    assert read(b"]" * 100_000 + b"a" * 99_999 + b".")[0][0][0]
    doubling = b"]" + b"q\x00]h\x00ah\x00a" * 100 + b"."
    assert len(read(doubling)) == 2


# A tuple of twice the one before, two hundred times: to hash or to print it would take for ever.
DOUBLED = b")" + b"q\x000h\x00h\x00\x86" * 200


@pytest.mark.parametrize(
    "program",
    [
        b"}" + DOUBLED + b"K\x01s.",
        b"}(" + DOUBLED + b"K\x01u.",
        b"(" + DOUBLED + b"K\x01d.",
        b"cnumpy\ndtype\n" + DOUBLED + b"\x85R.",
        b"c_codecs\nencode\nX\x01\x00\x00\x00a" + DOUBLED + b"\x86R.",
    ],
)
def test_tuples_that_grow_without_end_are_refused_at_once(read, program):
    with pytest.raises(UserError, match="was not read"):
        read(b"\x80\x02" + program)


def test_tuples_that_grow_without_end_may_be_values(read):
    assert len(read(b"\x80\x02" + DOUBLED + b".")) == 2


def test_a_file_that_is_too_large_is_not_read(tmp_path, monkeypatch):
    monkeypatch.setattr(restricted_pickle, "MAX_BYTES", 10)
    path = tmp_path / "large.pickle"
    path.write_bytes(pickle.dumps(list(range(10))))
    with pytest.raises(UserError, match="too large"):
        restricted_pickle.load(path)


@settings(max_examples=300, deadline=None)
@given(data=st.binary(max_size=60))
def test_any_bytes_are_read_or_refused(tmp_path_factory, data):
    path = tmp_path_factory.getbasetemp() / "any.pickle"
    path.write_bytes(data)
    try:
        value = restricted_pickle.load(path)
    except UserError:
        return
    assert type(value) in (list, dict, tuple, str, int, float, bool)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("malicious_global", "the name io.open"),
        ("malicious_nested", "the name io.open"),
        ("truncated", "damaged"),
        ("not_a_pickle", "damaged"),
        ("wrong_types", "bytes"),
        ("empty", "damaged"),
    ],
)
def test_the_shared_broken_pickles_are_refused(shared_data, read, name, reason):
    with pytest.raises(UserError, match=reason):
        read((shared_data / "broken" / "pickles" / name / "filenames.pickle").read_bytes())
