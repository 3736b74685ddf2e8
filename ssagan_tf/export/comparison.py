"""How exports compare with the model that they were made from: size, pictures, time and memory.

Each one draws in a process of its own, so that none has the memory or the threads of another. A further format is a
function here that makes a `Loaded`, and a line in `_LOADERS` and `_found`.
"""

from __future__ import annotations

import dataclasses
import json
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time
import typing
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from ssagan_tf import on_device, pictures
from ssagan_tf.core.progress import Bar
from ssagan_tf.errors import UserError
from ssagan_tf.export import exported
from ssagan_tf.text.vocabulary import Vocabulary

THREADS = (1, 2)
_WARM_UPS = 2
_STATUS = pathlib.Path("/proc/self/status")


@dataclasses.dataclass(frozen=True)
class Row:
    """What was measured of one export.

    Attributes:
        name: what it is.
        size: bytes of its files; of Keras, of its weights.
        largest, mean: difference of the pictures to Keras's, in 255ths.
        psnr: ratio of 255 to the root of the mean squared difference, in decibels; infinite where all are equal.
        seconds: for a picture, from its caption, the median; one number for each of `THREADS`.
        memory: most bytes that the process held with one thread, Python and the runtime included; None: not known.
    """

    name: str
    size: int
    largest: int
    mean: float
    psnr: float
    seconds: tuple[float, ...]
    memory: int | None


@dataclasses.dataclass(frozen=True)
class Loaded:
    """A loaded export.

    Attributes:
        draw: caption and seed to uint8 (1, S, S, 3).
        size: bytes.
    """

    draw: Callable[[str, int], np.ndarray]
    size: int


def compare(
    model: pathlib.Path, folder: pathlib.Path, captions: Sequence[str], count: int = 4, progress: bool = False
) -> list[Row]:
    """Measures a model and all its exports.

    Args:
        model: run folder or model folder.
        folder: what `export` wrote, in whatever formats.
        captions: to draw.
        count: pictures of each caption, of seeds 0, 1, ...
        progress: whether to show how far it is.

    Raises:
        UserError: nothing to compare, or one of them cannot be drawn with.
    """
    found = dict(_found(pathlib.Path(model), pathlib.Path(folder)))
    if len(found) < 2:
        raise UserError(f"No export found. Received: {folder}. Give a folder that export.py wrote.")
    rows, reference = [], None
    with Bar(len(found) * len(THREADS), "measurements", progress) as bar:
        for name, (kind, path) in found.items():
            measured = []
            for threads in THREADS:
                measured.append(_in_a_process(name, kind, path, threads, captions, count))
                bar.step()
            drawn = measured[0]["drawn"]
            reference = drawn if reference is None else reference
            seconds = tuple(each["seconds"] for each in measured)
            rows.append(Row(name, measured[0]["size"], *_difference(drawn, reference), seconds, measured[0]["memory"]))
    return rows


def table(rows: Sequence[Row]) -> str:
    """The rows in Markdown."""
    latencies = [f"ms, {threads} thread{'s' * (threads > 1)}" for threads in THREADS]
    lines = [["format", "MB", "largest", "mean", "PSNR, dB", *latencies, "peak MB"]]
    lines.append(["---"] + ["---:"] * (len(lines[0]) - 1))
    for row in rows:
        memory = "-" if row.memory is None else f"{row.memory / 1e6:.0f}"
        psnr = "equal" if row.psnr == float("inf") else f"{row.psnr:.1f}"
        seconds = [f"{1000 * value:.1f}" for value in row.seconds]
        lines.append([row.name, f"{row.size / 1e6:.2f}", str(row.largest), f"{row.mean:.3f}", psnr, *seconds, memory])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _found(model: pathlib.Path, folder: pathlib.Path) -> Iterator[tuple[str, tuple[str, pathlib.Path]]]:
    """Name of each, and its kind and path; Keras first."""
    yield "Keras", ("keras", model)
    found = exported(folder)
    if "saved_model" in found:
        yield "SavedModel", ("saved_model", found["saved_model"])
    if "onnx" in found:
        yield "ONNX", ("onnx", found["onnx"])
    for variant in on_device.VARIANTS:
        path = found.get("tflite", folder) / f"{variant}.tflite"
        if path.is_file():
            yield f"TFLite {variant}", ("tflite", path)


def _difference(drawn: np.ndarray, reference: np.ndarray) -> tuple[int, float, float]:
    """(largest, mean, PSNR)."""
    difference = np.abs(drawn.astype(np.float64) - reference)
    squares = np.mean(difference**2)
    psnr = float("inf") if squares == 0 else 10 * np.log10(255**2 / squares)
    return int(difference.max()), float(difference.mean()), float(psnr)


# === One measurement, in its own process ===


def _in_a_process(
    name: str, kind: str, path: pathlib.Path, threads: int, captions: Sequence[str], count: int
) -> dict[str, typing.Any]:
    """What `_measure` gives, with "drawn": uint8 (pictures, S, S, 3)."""
    with tempfile.TemporaryDirectory() as scratch:
        out = pathlib.Path(scratch) / "drawn.npy"
        task = {"kind": kind, "path": str(path), "threads": threads, "captions": captions, "count": count}
        task |= {"out": str(out)}
        done = subprocess.run([sys.executable, "-m", __name__], input=json.dumps(task), capture_output=True, text=True)
        if done.returncode:
            reason = (done.stderr.strip() or "no message").splitlines()[-1].removeprefix("error: ")
            raise UserError(f"{name} cannot be measured. Received: {path}: {reason}")
        return json.loads(done.stdout.splitlines()[-1]) | {"drawn": np.load(out)}


def _measure(kind: str, path: str, threads: int, captions: Sequence[str], count: int, out: str) -> dict[str, object]:
    loaded = _LOADERS[kind](pathlib.Path(path), threads)
    for _ in range(_WARM_UPS):
        loaded.draw(captions[0], 0)
    drawn, seconds = [], []
    for caption in captions:
        for seed in range(count):
            started = time.perf_counter()
            drawn.append(loaded.draw(caption, seed))
            seconds.append(time.perf_counter() - started)
    np.save(out, np.concatenate(drawn))
    return {"size": loaded.size, "seconds": statistics.median(seconds), "memory": _peak_memory()}


def _keras(path: pathlib.Path, threads: int) -> Loaded:
    _limit_tensorflow(threads)
    from ssagan_tf.training.run import load_model

    model = load_model(path)
    return Loaded(model.generate, sum(variable.numpy().nbytes for variable in model.sampling_variables().values()))


def _saved_model(path: pathlib.Path, threads: int) -> Loaded:
    _limit_tensorflow(threads)
    import tensorflow as tf

    from ssagan_tf.core import third_party_models

    loaded = third_party_models.load(path)
    generate = loaded.signatures["generate"]

    def draw(caption: str, seed: int) -> np.ndarray:
        outputs = generate(captions=tf.constant([caption]), seed=tf.constant([seed], tf.int64))
        return pictures.to_uint8(outputs["images"].numpy())

    parts = [*path.glob("*.pb"), *path.glob("variables/*"), *path.glob("assets/*")]
    return Loaded(draw, sum(part.stat().st_size for part in parts))


def _tflite(path: pathlib.Path, threads: int) -> Loaded:
    return Loaded(on_device.Sampler(path, threads).generate, path.stat().st_size)


def _onnx(path: pathlib.Path, threads: int) -> Loaded:
    try:
        import onnxruntime
    except ImportError as error:
        raise UserError(
            f"ONNX files are drawn with ONNX Runtime. Received: {error}. Run pip install -e '.[runtimes]'."
        ) from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    files = [path / "text.onnx", path / "image.onnx"]
    text, image = (onnxruntime.InferenceSession(file, options, ["CPUExecutionProvider"]) for file in files)
    vocabulary = Vocabulary.load(path / on_device.VOCABULARY_FILE)
    (max_words,), (noise_dim,) = (session.get_inputs()[0].shape[1:] for session in (text, image))

    def draw(caption: str, seed: int) -> np.ndarray:
        known = vocabulary.encode(caption)[:max_words]
        ids = np.array([known + [0] * (max_words - len(known))], np.int32)
        (sentence,) = text.run(["sentence"], {"ids": ids})
        noise = on_device.normals([seed], noise_dim)
        return pictures.to_uint8(image.run(["image"], {"noise": noise, "sentence": sentence})[0])

    return Loaded(draw, sum(file.stat().st_size for file in files))


_LOADERS: dict[str, Callable[[pathlib.Path, int], Loaded]] = {
    "keras": _keras,
    "saved_model": _saved_model,
    "tflite": _tflite,
    "onnx": _onnx,
}


def _limit_tensorflow(threads: int) -> None:
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(1)


def _peak_memory() -> int | None:
    # Not from getrusage, which in a child process begins with what its parent held.
    if not _STATUS.is_file():
        return None
    peak = next(line for line in _STATUS.read_text().splitlines() if line.startswith("VmHWM:"))
    return int(peak.split()[1]) * 1024


if __name__ == "__main__":
    try:
        print(json.dumps(_measure(**json.load(sys.stdin))))
    except (UserError, on_device.OnDeviceError) as error:
        sys.exit(f"error: {error}")
