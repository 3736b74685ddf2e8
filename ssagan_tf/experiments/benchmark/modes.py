"""What is measured: a training iteration, drawing at once and in parts, the text's part, reading of data, and the first
picture of a cold process. Each mode returns its sides by name, as functions to be timed, with their operations."""

from __future__ import annotations

import dataclasses
import pathlib
import subprocess
import sys
import tempfile
from collections.abc import Callable

import numpy as np
import tensorflow as tf
from PIL import Image

from ssagan_tf import SSAGAN, losses, on_device
from ssagan_tf.config import Config
from ssagan_tf.core import files
from ssagan_tf.experiments.benchmark import machine, operations
from ssagan_tf.export import exported
from ssagan_tf.networks import Discriminator, Generator, TextEncoder, fast
from ssagan_tf.noise import normals

_WORDS, _CAPTION = 5450, 18
_REGIONS = 17  # of Inception, a side


@dataclasses.dataclass(frozen=True)
class Settings:
    """Sizes, as the flags of `scripts/benchmark.py`."""

    mode: str
    nf: int = 32
    batch: int = 4
    image_size: int = 256
    precision: str = "float32"
    fused: bool = False
    gradient_checkpointing: bool = False
    jit: bool = False
    variant: str = "ours"
    repeats: int = 5


@dataclasses.dataclass(frozen=True)
class Side:
    """Something to be timed.

    Attributes:
        call: does it and waits for the result.
        operations: floating-point operations of a call; 0: not counted.
        pictures: of a call.
    """

    call: Callable[[], object]
    operations: int
    pictures: int


def _sentences(count: int) -> np.ndarray:
    return normals(range(1000, 1000 + count), 256)


def _batch(settings: Settings) -> dict[str, tf.Tensor]:
    random, shape = np.random.default_rng(0), (settings.batch, settings.image_size, settings.image_size, 3)
    return {
        "image": tf.constant(random.uniform(-1, 1, shape), tf.float32),
        "caption": tf.constant(random.integers(1, _WORDS, (settings.batch, _CAPTION))),
        "class_id": tf.range(settings.batch),
        "noise": tf.constant(normals(range(settings.batch), 100)),
    }


def _model(settings: Settings) -> SSAGAN:
    sizes: dict = {"base_filters": settings.nf, "image_size": settings.image_size, "dtype": settings.precision}
    options = {"fused": settings.fused, "gradient_checkpointing": settings.gradient_checkpointing}
    made = SSAGAN(Generator(**sizes), Discriminator(**sizes), TextEncoder(_WORDS), **options)
    made.compile()
    blocks: list = [*made.generator.blocks, *made.require_discriminator().blocks]
    for block in blocks:
        block.gate.assign(0.5)  # at 0 the residual branches would have gradients of zero
    return made


def _variants(settings: Settings, tricks: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
    """The sides' names, and what each has switched off of those tricks that play a part."""
    known = {"ours": (), "plain": tricks}
    if settings.variant == "each":
        return known | {f"without {name}": (name,) for name in tricks if name != "reorder"}
    return known if settings.variant == "both" else {settings.variant: known[settings.variant]}


def _traced(function: tf.types.experimental.GenericFunction, off: tuple[str, ...], *inputs) -> Callable:
    """The function, traced with tricks off."""
    with fast.without(*off):
        return function.get_concrete_function(*inputs)


def train(settings: Settings) -> dict[str, Side]:
    """The training iteration, with frozen encoders and without DAMSM."""
    given, sides = _batch(settings), {}
    for name, off in _variants(settings, ("reorder", "remat")).items():
        model = _model(settings)
        step = _traced(tf.function(model.train_step, jit_compile=settings.jit), off, given)
        count = operations.iteration_count(model.generator, model.discriminator, settings.batch, settings.fused)

        def call(step=step):
            return {name: float(value) for name, value in step(given).items()}

        sides[name] = Side(call, count, settings.batch)
    return sides


def sample(settings: Settings) -> dict[str, Side]:
    """Pictures from noise and sentences."""
    generator = Generator(settings.nf, settings.image_size, dtype=settings.precision)
    given = tf.constant(normals(range(settings.batch), 100)), tf.constant(_sentences(settings.batch))
    count = settings.batch * operations.generator_count(generator).forward
    sides = {}
    for name, off in _variants(settings, ("reorder", "winograd")).items():
        draw = tf.function(lambda *inputs: generator(*inputs)[0], jit_compile=settings.jit)
        draw = _traced(draw, off, *given)

        def call(draw=draw):
            return draw(*given).numpy()

        sides[name] = Side(call, count, settings.batch)
    return sides


def generate(settings: Settings) -> dict[str, Side]:
    """Pictures as `SSAGAN.generate` draws them, many in parts."""
    generator = Generator(settings.nf, settings.image_size, dtype=settings.precision)
    model = SSAGAN(generator, None, TextEncoder(_WORDS))
    noise, sentence = normals(range(settings.batch), 100), _sentences(settings.batch)
    count = settings.batch * operations.generator_count(generator).forward
    return {"ours": Side(lambda: model.generate_from_embeddings(sentence, noise), count, settings.batch)}


def text(settings: Settings) -> dict[str, Side]:
    """What the text costs in joint training: the encoder and DAMSM's losses, there and back."""
    encoder, given, random = TextEncoder(_WORDS), _batch(settings), np.random.default_rng(1)
    regions = tf.constant(random.normal(size=(settings.batch, _REGIONS, _REGIONS, 256)), tf.float32)
    code = tf.constant(random.normal(size=(settings.batch, 256)), tf.float32)
    lengths, class_ids = tf.fill([settings.batch], _CAPTION), given["class_id"]

    @tf.function
    def step():
        with tf.GradientTape() as tape:
            tape.watch([regions, code])
            words, sentence = encoder(given["caption"], training=True)
            loss = losses.damsm_loss(regions, code, words, sentence, lengths, class_ids)
        by_weights = tape.gradient(loss, [*encoder.trainable_variables, regions, code])
        return tf.add_n([tf.reduce_sum(tf.convert_to_tensor(each)) for each in by_weights])

    @tf.function
    def on_fakes():
        words, sentence = (tf.zeros([settings.batch, *shape]) + 0.1 for shape in ((_CAPTION, 256), (256,)))
        with tf.GradientTape() as tape:
            tape.watch([regions, code])
            loss = losses.damsm_loss(regions, code, words, sentence, lengths, class_ids)
        return tf.add_n([tf.reduce_sum(each) for each in tape.gradient(loss, [regions, code])])

    # Real pictures teach the encoder, generated ones the generator: two losses an iteration.
    return {"text": Side(lambda: (step().numpy(), on_fakes().numpy()), 0, settings.batch)}


def data(settings: Settings) -> dict[str, Side]:
    """Batches from prepared photographs, and what decoding their pictures alone takes."""
    from ssagan_tf.data import open_source
    from ssagan_tf.data.pipeline import training_batches, vocabulary_of
    from ssagan_tf.data.records import prepare
    from ssagan_tf.text.captions import CaptionEncoder

    folder = pathlib.Path(tempfile.mkdtemp(prefix="ssagan-benchmark-"))
    raw, prepared = folder / "raw", folder / "prepared"
    _photographs(raw, settings.image_size)
    source = open_source("folder", str(raw), settings.image_size)
    records = prepare(source, prepared, settings.image_size)[0]
    config = Config().override(dataset="folder", image_size=settings.image_size, batch_size=settings.batch)
    encoder = CaptionEncoder(vocabulary_of(records), 18)
    batches = iter(training_batches(records, encoder, config))
    pictures = [path.read_bytes() for path in sorted(raw.glob("*.jpg"))]
    encoded = tf.data.Dataset.from_tensor_slices(pictures).repeat()
    decoded_pictures = iter(encoded.map(tf.io.decode_jpeg, num_parallel_calls=tf.data.AUTOTUNE))

    def decoded():
        for _ in range(16 * settings.batch):
            next(decoded_pictures)

    def batched():
        for _ in range(16):
            next(batches)

    return {"batches": Side(batched, 0, 16 * settings.batch), "jpeg": Side(decoded, 0, 16 * settings.batch)}


def _photographs(folder: pathlib.Path, size: int) -> None:
    """Sixty-four JPEGs as large as the pictures of CUB, half a megapixel or less, smooth as photographs are."""
    folder.mkdir()
    random, rows = np.random.default_rng(0), []
    for number in range(64):
        small = random.integers(0, 256, (24, 32, 3), np.uint8)
        picture = Image.fromarray(small).resize((max(500, size), max(375, size)), Image.Resampling.BICUBIC)
        noisy = np.asarray(picture, np.int16) + random.integers(-8, 9, (picture.height, picture.width, 3))
        Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(folder / f"{number:02}.jpg", quality=90)
        rows.append(f'{{"file_name": "{number:02}.jpg", "captions": ["picture number {number}"]}}\n')
    (folder / "metadata.jsonl").write_text("".join(rows))


_COLD = {
    "tensorflow": "from ssagan_tf.training.run import load_model\n"
    "load_model({model!r}).generate('a bird with a red crown', seed=1)",
    "tflite": "from ssagan_tf.on_device import Sampler\nSampler({tflite!r}).generate('a bird with a red crown', 1)",
}


def first_picture(settings: Settings) -> dict[str, Side]:
    """From a cold process to the first picture of the bundled model."""
    model = files.BUNDLED_MODEL
    tflite = exported(model)["tflite"] / f"{on_device.VARIANTS[0]}.tflite"

    def cold(code: str):
        command = [sys.executable, "-c", code.format(model=str(model), tflite=str(tflite))]
        return lambda: subprocess.run(command, check=True, capture_output=True)

    return {name: Side(cold(code), 0, 1) for name, code in _COLD.items()}


MODES = {
    "train": train,
    "sample": sample,
    "generate": generate,
    "data": data,
    "text": text,
    "first_picture": first_picture,
}


def measure(settings: Settings) -> dict:
    """All figures of a run: seconds, pictures a second, memory, operations and their share of the machine's rate."""
    before = machine.forget_peak()
    sides = MODES[settings.mode](settings)
    product = {"matmul": machine.matmul()} if any(side.operations for side in sides.values()) else {}
    timed = {name: side.call for name, side in sides.items()} | product
    seconds = machine.in_turn(timed, settings.repeats, warm_up=0 if settings.mode == "first_picture" else 2)
    report = {**dataclasses.asdict(settings), "sides": {}}
    if product:
        report["matmul_rate"] = machine.MATMUL_COUNT / machine.summary(seconds["matmul"])["median"]
    for name, side in sides.items():
        times = machine.summary(seconds[name])
        figures = {"seconds": times, "pictures_per_second": side.pictures / times["median"]}
        if side.operations:
            share = side.operations / times["median"] / report["matmul_rate"]
            figures |= {"operations": side.operations, "share": share}
        report["sides"][name] = figures
    if "ours" in sides and len(sides) > 1:
        others = {name: seconds[name] for name in sides if name != "ours"}
        report["gains"] = {name: machine.summary(_ratios(each, seconds["ours"])) for name, each in others.items()}
    elif len(sides) == 1 and before is not None:
        report |= {"peak_memory": machine.peak_memory(), "memory_before": before}
        report["peak_of_tensors"] = machine.peak_of_tensors()
    return report


def _ratios(seconds: list[float], ours: list[float]) -> list[float]:
    return [one / other for one, other in zip(seconds, ours, strict=True)]
