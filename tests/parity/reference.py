"""Reference cases of the published SSA-GAN: weights and inputs by rule, results from files.

Weights and inputs are not stored: `tensor(key, shape, seed)` makes them, the same on every machine and NumPy version
(the stream of `RandomState` is frozen). What the published PyTorch code computes from them in float64 is stored in
`cases/*.npz`, in PyTorch's layout; of large gradients and weight changes the L2 norm and `DIGEST` inner products with
fixed random vectors. `tolerance` is what float32 may differ: ten times what the published code itself differs between
float32 and float64, for gradients at least 3 % of the norm, for losses and pictures of the training steps 0.1 % in the
first iteration and 1 % in the second.
"""

from __future__ import annotations

import dataclasses
import json
import pathlib
import zlib

import numpy as np

DIGEST = 32  # products that stand for a large array, beside its norm
CASES = pathlib.Path(__file__).parent / "cases"


def tensor(key: str, shape: tuple[int, ...], seed: int) -> np.ndarray:
    """The float32 tensor that stands under `key`: a weight's published name or an input's name.

    Healthy at any width: kernels N(0, 2 / fan_in), matrices N(0, 1 / fan_in), biases 0.1 N,
    running variances in [0.5, 1.5], batch-norm scales 1 + 0.1 N, residual gates 0.5 + 0.1 N.
    """
    leaf = key.rsplit(".", 1)[-1]
    normal = stream(f"{seed}:{key}").standard_normal(int(np.prod(shape, dtype=np.int64)))
    normal = normal.reshape(shape)
    if leaf == "num_batches_tracked":
        return np.zeros(shape, np.int64)
    if leaf == "gamma":
        value = 0.5 + 0.1 * normal
    elif leaf == "running_var":
        value = 0.5 + np.abs(np.tanh(normal))
    elif leaf == "running_mean":
        value = 0.1 * normal
    elif leaf == "weight" and len(shape) == 1:
        value = 1.0 + 0.1 * normal
    elif leaf.startswith("bias"):
        value = 0.1 * normal
    elif leaf.startswith("weight") and key != "encoder.weight":
        gain = 2.0 if len(shape) == 4 else 1.0
        value = normal * np.sqrt(gain / np.prod(shape[1:]))
    else:  # inputs and the word embedding
        value = normal
    return value.astype(np.float32)


def images(name: str, shape: tuple[int, int, int, int], seed: int) -> np.ndarray:
    """Smooth pictures in [-1, 1], NCHW float32: sums of a few waves, so that resizing is tame."""
    batch, channels, height, width = shape
    draw = stream(f"{seed}:{name}")
    y, x = np.mgrid[0:height, 0:width] / max(height, width)
    picture = np.zeros(shape)
    for _ in range(6):
        frequency = draw.uniform(-6, 6, (2, batch, channels, 1, 1))
        phase = draw.uniform(0, 2 * np.pi, (batch, channels, 1, 1))
        picture += np.sin(2 * np.pi * (frequency[0] * y + frequency[1] * x) + phase)
    return np.tanh(picture / 2).astype(np.float32)


def captions(name: str, lengths: list[int], vocabulary_size: int, width: int, seed: int) -> np.ndarray:
    """Word ids (batch, width) int64 in 1..vocabulary_size-1, zeros after each length."""
    draw = stream(f"{seed}:{name}")
    ids = draw.randint(1, vocabulary_size, (len(lengths), width))
    return np.where(np.arange(width) < np.array(lengths)[:, None], ids, 0).astype(np.int64)


@dataclasses.dataclass(frozen=True)
class Case:
    name: str
    seed: int
    states: dict[str, dict[str, np.ndarray]]  # network -> published key -> weight
    inputs: dict[str, np.ndarray]
    expected: dict[str, np.ndarray]
    tolerance: dict[str, float]  # largest allowed |yours - expected|, absolute


def load(name: str) -> Case:
    """One case; `names()` lists them."""
    entry = json.loads((CASES / f"{name}.json").read_text())
    with np.load(CASES / f"{name}.npz") as stored:
        expected = {key: stored[key] for key in stored.files}
    seed = entry["seed"]
    return Case(
        name=name,
        seed=seed,
        states={
            network: {key: tensor(key, tuple(shape), seed) for key, shape in keys.items()}
            for network, keys in entry["states"].items()
        },
        inputs={key: make_input(key, spec, seed) for key, spec in entry["inputs"].items()},
        expected=expected,
        tolerance=entry["tolerance"],
    )


def names() -> list[str]:
    return sorted(path.stem for path in CASES.glob("*.json"))


def make_input(name: str, spec: dict, seed: int) -> np.ndarray:
    kind = spec["kind"]
    if kind == "normal":
        return tensor(name, tuple(spec["shape"]), seed) * np.float32(spec.get("scale", 1.0))
    if kind == "images":
        return images(name, tuple(spec["shape"]), seed)
    if kind == "captions":
        return captions(name, spec["lengths"], spec["vocabulary_size"], spec["width"], seed)
    return np.array(spec["values"])


def stream(text: str) -> np.random.RandomState:
    return np.random.RandomState(zlib.crc32(text.encode()))
