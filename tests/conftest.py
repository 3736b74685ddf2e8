"""What many tests share: weights that are not at their start, and the smallest model there is."""

import contextlib
import os
import pathlib
import signal
from collections.abc import Callable

import numpy as np
import processes
import pytest

if "PYTEST_XDIST_WORKER" in os.environ:
    # Several processes share the processors: TensorFlow, imported after this, keeps to one each.
    os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    # In the background of a shell, whose children would inherit it; tests interrupt themselves and their children.
    signal.signal(signal.SIGINT, signal.default_int_handler)


def _randomize(part, seed: int = 0):
    """Gives every weight of a layer or network a random value, so that nothing is zero that is zero at the start."""
    random = np.random.default_rng(seed)
    for variable in part.variables:
        if "seed_generator" in variable.path or variable.path.endswith("/batches"):
            continue
        fan_in = max(1, int(np.prod(variable.shape[:-1])))
        value = random.normal(0, fan_in**-0.5, variable.shape)
        if variable.path.endswith(("/scale", "/running_variance")):
            value = random.uniform(0.5, 1.5, variable.shape)
        variable.assign(value)
    return part


@pytest.fixture(scope="session")
def randomize():
    """`randomize(part, seed=0)` -> part."""
    return _randomize


@pytest.fixture(scope="session")
def tiny_model():
    """`tiny_model(image_size=8, random=False, **options)` -> SSAGAN that knows "a red bird with yellow wings".

    `random`: whether what it draws with has random weights.
    """
    from ssagan_tf import SSAGAN, Vocabulary
    from ssagan_tf.networks import Discriminator, Generator, TextEncoder

    def make(image_size: int = 8, dtype=None, random: bool = False, **options):
        vocabulary = Vocabulary.build(["a red bird with yellow wings"])
        model = SSAGAN(
            Generator(2, image_size, 5, 6, 3, name="generator", dtype=dtype),
            Discriminator(2, image_size, 6, name="discriminator", dtype=dtype),
            TextEncoder(len(vocabulary), 6, 0.5, 5, name="text_encoder", dtype=dtype),
            **{"vocabulary": vocabulary, **options},
        )
        if random:
            _randomize(model.generator)
            _randomize(model.text_encoder)
        return model

    return make


@pytest.fixture(scope="session")
def random_sampler(randomize):
    """`random_sampler(caption)` -> SSAGAN for sampling that knows its words, whose pictures are no plain colour."""
    from ssagan_tf import SSAGAN, Vocabulary
    from ssagan_tf.networks import Generator, TextEncoder

    def make(caption: str):
        vocabulary = Vocabulary.build([caption])
        return SSAGAN(
            randomize(Generator(2, 64, 5, 16, 3, name="generator")),
            None,
            randomize(TextEncoder(len(vocabulary), 16, 0.5, 5, name="text_encoder")),
            vocabulary=vocabulary,
        )

    return make


@pytest.fixture(scope="session")
def device_export(tiny_model, tmp_path_factory):
    """(SSAGAN with random weights, the folder with its TFLite files): conversion takes seconds, so it is done once."""
    from ssagan_tf.export import tflite

    model = tiny_model(64, random=True, max_words=6)
    folder = tmp_path_factory.mktemp("export")
    tflite.export(model, folder)
    return model, folder


@contextlib.contextmanager
def _eagerly():
    import tensorflow as tf

    tf.config.run_functions_eagerly(True)
    try:
        yield
    finally:
        tf.config.run_functions_eagerly(False)


@pytest.fixture(scope="session")
def eagerly():
    """`with eagerly():` no graph is built: that of a training step takes ten times as long as the step itself."""
    return _eagerly


@contextlib.contextmanager
def _mounted(folder: pathlib.Path, options: str):
    folder.mkdir()
    mount = processes.run("mount", "-t", "tmpfs", "-o", options, "none", folder)
    if mount.returncode:
        pytest.skip(f"mounting a small file system is not allowed here: {mount.stderr.strip()}")
    try:
        yield folder
    finally:
        processes.run("umount", "--lazy", folder, check=True)


@pytest.fixture(scope="session")
def mounted():
    """`with mounted(folder, options):` a file system of its own, in memory."""
    return _mounted


@pytest.fixture
def full_disk(tmp_path):
    """A file system of 64 KB."""
    with _mounted(tmp_path / "small", "size=64k") as folder:
        yield folder


@pytest.fixture
def allocated() -> Callable[[], int]:
    """Bytes that TensorFlow's tensors have on the CPU; its allocator counts them with oneDNN alone."""
    import tensorflow as tf

    def count() -> int:
        return tf.config.experimental.get_memory_info("CPU:0")["current"]

    try:
        count()
    except ValueError:
        pytest.skip("TensorFlow counts no memory here: oneDNN is off, as on processors without AVX-512")
    return count
