"""The module for devices: alone, it draws what Keras draws."""

import ast
import concurrent.futures
import logging
import pathlib
import random
import re
import sys
import textwrap
import zipfile

import numpy as np
import processes
import pytest

from ssagan_tf import noise, on_device
from ssagan_tf.errors import UserError
from ssagan_tf.on_device import OnDeviceError, Sampler

NO_INTEGERS = [None, "7", 1.5, float("nan"), b"7", True]
NO_FACTORS = ["0.7", float("nan"), float("inf"), -0.5, b"1", True, 3e38]
CAPTIONS = ["a red bird", "yellow wings", "Bird, with RED wings!", "red"]


@pytest.fixture(scope="module")
def model(device_export):
    return device_export[0]


@pytest.fixture(scope="module")
def sampler(device_export):
    return Sampler(device_export[1] / "float32.tflite")


def difference(one: np.ndarray, other: np.ndarray) -> int:
    return np.abs(one.astype(int) - other).max()


# === Pictures ===


@pytest.mark.parametrize("variant, most", [("float32", 2), ("float16", 4)])
def test_the_same_caption_and_seed_give_the_picture_that_keras_draws(device_export, variant, most):
    model, folder = device_export
    drawn, masks = Sampler(folder / f"{variant}.tflite").generate_with_masks(CAPTIONS, seed=-3, count=2)
    expected, expected_masks = model.generate_with_masks(CAPTIONS, seed=-3, count=2)
    assert drawn.dtype == np.uint8 and expected.std() > 10
    assert difference(drawn, expected) <= most
    assert [mask.shape for mask in masks] == [mask.shape for mask in expected_masks]
    for mask, wanted in zip(masks, expected_masks, strict=True):
        np.testing.assert_allclose(mask, wanted, atol=most / 255)


def test_seeds_and_truncation_are_those_of_keras(model, sampler):
    for options in ({"seed": 2**63 - 1}, {"seed": -(2**63)}, {"seed": 5, "truncation": 0.5}, {"truncation": 0.0}):
        assert difference(sampler.generate("a red bird", **options), model.generate("a red bird", **options)) <= 2


def test_a_picture_depends_neither_on_its_neighbours_nor_on_what_was_drawn_before(sampler):
    alone = sampler.generate("a red bird", seed=7)[0]
    together = sampler.generate(["yellow wings", "a red bird"], seed=6, count=2)
    np.testing.assert_array_equal(together[3], alone)
    assert difference(together[2], alone) > 0


def test_odd_captions_give_the_picture_that_keras_draws(model, sampler):
    captions = ["a RED\ufffd\ufffdbird", "r\u00e9d \ud800 bird\0wings", "\u212a red", "bird " * 30, "red " * 5000]
    assert difference(sampler.generate(captions), model.generate(captions)) <= 2


def test_the_most_accurate_file_of_a_folder_is_taken(device_export, sampler, tmp_path):
    folder = device_export[1]
    np.testing.assert_array_equal(Sampler(folder).generate("a red bird"), sampler.generate("a red bird"))
    for variant in ("int8", "float16"):
        (tmp_path / f"{variant}.tflite").write_bytes((folder / f"{variant}.tflite").read_bytes())
    float16 = Sampler(folder / "float16.tflite")
    np.testing.assert_array_equal(Sampler(tmp_path).encode("a red bird"), float16.encode("a red bird"))


# === What is odd ===


def test_unknown_words_and_words_too_many_are_told_and_left_out(sampler, caplog):
    with caplog.at_level(logging.WARNING):
        odd = sampler.generate("a zorbly bird")
        long = sampler.generate("red " * 7 + "bird")
    assert "zorbly" in caplog.text and "first 6 of 8" in caplog.text
    np.testing.assert_array_equal(odd, sampler.generate("a bird"))
    np.testing.assert_array_equal(long, sampler.generate("red " * 6))


@pytest.mark.parametrize(
    "arguments, problem",
    [
        (([],), "no caption"),
        (("",), "no word"),
        ((["a red bird", "..."],), "no word"),
        (("xyzzy",), "no word"),
        (([3],), "A caption is text. Received: 3"),
        ((None,), "A caption is text. Received: None"),
        ((b"a red bird",), "A caption is text. Received: b'a red bird'"),
        ((["red", b"bird"],), "A caption is text. Received: b'bird'"),
        (("x" * 200_000,), "200,000 characters"),
        *((("red", seed), f"A seed is a whole number. Received: seed={seed!r}") for seed in NO_INTEGERS),
        *(
            (("red", 0, count), f"A count is a whole number, 1 or more. Received: count={count!r}")
            for count in [0, *NO_INTEGERS]
        ),
        *(
            (("red", 0, 1, factor), f"The truncation is a factor. Received: truncation={factor!r}")
            for factor in NO_FACTORS
        ),
        (("red", 2**63), "Seeds have 64 bits"),
        (("red", 2**63 - 1, 2), "Seeds have 64 bits"),
    ],
)
def test_what_cannot_be_drawn_is_refused_in_one_line(model, sampler, arguments, problem):
    for sampling, error in ((sampler, OnDeviceError), (model, UserError)):
        with pytest.raises(error, match=re.escape(problem)) as refused:
            sampling.generate(*arguments)
        assert "Received: " in str(refused.value) and "\n" not in str(refused.value)


@pytest.mark.parametrize("threads", [0, -1, 10**9, *NO_INTEGERS])
def test_threads_are_a_number_of_them(device_export, threads):
    with pytest.raises(OnDeviceError, match=re.escape(f"threads is a whole number. Received: threads={threads!r}")):
        Sampler(device_export[1], threads)


@pytest.mark.parametrize("path", [None, 3, b"float32.tflite"])
def test_a_model_is_a_path(path):
    with pytest.raises(OnDeviceError, match=re.escape(f"Received: {path!r}. Give its path.")):
        Sampler(path)


@pytest.mark.parametrize("per_thread", [False, True])
def test_threads_that_share_a_sampler_get_the_pictures_they_asked_for(device_export, sampler, per_thread):
    shared = Sampler(device_export[1] / "float32.tflite", 1, per_thread)
    asked = [(CAPTIONS[index % len(CAPTIONS)], index) for index in range(40)]
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        drawn = list(pool.map(lambda one: shared.generate(*one), asked))
    for pictures, (caption, seed) in zip(drawn, asked, strict=True):
        np.testing.assert_array_equal(pictures, sampler.generate(caption, seed))


def without_vocabulary(content: bytes, path: pathlib.Path) -> bytes:
    with zipfile.ZipFile(path) as archive:
        return content[: min(entry.header_offset for entry in archive.infolist())]


def half_of_the_model(content: bytes, path: pathlib.Path) -> bytes:
    archive = content[len(without_vocabulary(content, path)) :]
    return content[: len(content) // 2] + archive


def encrypted(content: bytes, path: pathlib.Path) -> bytes:
    # The flags of the archive's only entry, in its directory.
    at = content.rindex(b"PK\x01\x02") + 8
    return content[:at] + b"\x01" + content[at + 1 :]


@pytest.mark.parametrize(
    "damaged", [without_vocabulary, half_of_the_model, encrypted, lambda *_: b"", lambda *_: b"x" * 1000]
)
def test_a_file_that_is_not_ours_is_refused_in_one_line(device_export, tmp_path, damaged):
    whole = device_export[1] / "float16.tflite"
    path = tmp_path / "float16.tflite"
    path.write_bytes(damaged(whole.read_bytes(), whole))
    with pytest.raises(OnDeviceError, match="Received: ") as refused:
        Sampler(path)
    assert str(path) in str(refused.value) and "\n" not in str(refused.value)


def test_no_file_is_told(tmp_path):
    for path in (tmp_path, tmp_path / "none.tflite"):
        with pytest.raises(OnDeviceError, match="No model found. Received: "):
            Sampler(path)


# === The module alone ===


def test_it_imports_nothing_but_numpy_and_the_runtime():
    tree = ast.parse(pathlib.Path(on_device.__file__).read_text())
    imported = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            imported |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            imported.add(node.module.split(".")[0] if node.level == 0 else ".")
    assert imported - set(sys.stdlib_module_names) == {"numpy", "ai_edge_litert", "tflite_runtime"}


def test_copied_to_a_folder_without_tensorflow_and_this_package_it_draws_the_same(device_export, sampler, tmp_path):
    # The copy is the one that lies beside the exported files.
    for name in ("on_device.py", "float32.tflite"):
        (tmp_path / name).write_bytes((device_export[1] / name).read_bytes())
    program = """
        import sys
        sys.modules |= dict.fromkeys(["tensorflow", "keras", "ssagan_tf", "absl"])  # None: may not be imported
        import numpy
        from on_device import Sampler
        numpy.save("drawn.npy", Sampler("float32.tflite").generate("a red bird", seed=3))
    """
    processes.python("-c", textwrap.dedent(program), cwd=tmp_path, check=True)
    np.testing.assert_array_equal(np.load(tmp_path / "drawn.npy"), sampler.generate("a red bird", seed=3))


def test_noise_and_words_of_the_package_are_those_of_the_module():
    from ssagan_tf.text import tokenizer

    assert noise.normals is on_device.normals and noise.philox_words is on_device.philox_words
    assert tokenizer.tokenize is on_device.tokenize


def test_a_thousand_odd_captions_have_the_words_that_the_graph_reads():
    import tensorflow as tf

    from ssagan_tf.text.tokenizer import tokenize_in_graph

    captions = [odd_caption(random.Random(seed)) for seed in range(1000)]
    words = tf.function(tokenize_in_graph)(tf.constant([caption.encode() for caption in captions])).to_list()
    assert [[word.decode() for word in row] for row in words] == [on_device.tokenize(text) for text in captions]
    assert sum(map(len, words)) > 3000


def odd_caption(dice: random.Random) -> str:
    """Words, with characters from anywhere in Unicode thrown in."""
    alphabets = ["abcXYZ019_", " .,;-'\"\t\n\0", "éïßÅ\u0130\u212aﬁ", "鸟🐦ΑΣς", "\ufffd\u0301\u200d\u2028\u00a0"]
    pieces = []
    for _ in range(dice.randrange(40)):
        point = dice.choice([dice.randrange(0xD800), dice.randrange(0xE000, sys.maxunicode + 1)])
        pieces.append(dice.choice([*dice.choice(alphabets), dice.choice("abc "), chr(point), "bird", "\ufffd\ufffd"]))
    return "".join(pieces)
