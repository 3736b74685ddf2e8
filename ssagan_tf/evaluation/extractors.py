"""Networks that turn pictures into the features whose distances are scored. Each says what it is, to the last bit."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import os
import pathlib
from collections.abc import Callable, Iterable

import numpy as np
import tensorflow as tf

from ssagan_tf.core import files, third_party_models
from ssagan_tf.errors import UserError
from ssagan_tf.evaluation.resizing import FILTERS
from ssagan_tf.networks import ImageEncoder
from ssagan_tf.networks.primitives import keras_defaults
from ssagan_tf.weights import pth

# The Inception of 2015-12-05, on which FID and the Inception Score were defined, as TF-GAN offers it.
TFGAN_INCEPTION = "https://tfhub.dev/tensorflow/tfgan/eval/inception/1"
EXTRACTORS = ("synthbirds", "inception_keras", "inception_torchvision", "efficientnet_lite0")
_INCEPTION_SIZE = 299
_BATCH = 50
_FEATURES, _LOGITS = ("pool_3", "features", "feature_vector"), ("logits",)


@dataclasses.dataclass(frozen=True)
class Extractor:
    """A feature extractor.

    Attributes:
        name: as given to `open_extractor`.
        sha256: of its weights.
        image_size: pixels on a side of the pictures it takes.
        mean, deviation: what pixels in [0, 255] are normalised by, one number each or one a channel.
        call: normalised float32 (B, S, S, 3) -> (features (B, D), logits (B, classes) or None).
        imagenet: whether the logits are those of ImageNet's 1,000 classes, in its order.
    """

    name: str
    sha256: str
    image_size: int
    mean: float | tuple[float, ...]
    deviation: float | tuple[float, ...]
    call: Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor | None]]
    imagenet: bool = False

    @property
    def value_range(self) -> str:
        """What is done to pixels x, in words."""
        return f"(x - {_numbers(self.mean)}) / {_numbers(self.deviation)}"


def _numbers(values: float | tuple[float, ...]) -> str:
    return f"{values:g}" if isinstance(values, float) else f"({', '.join(f'{value:g}' for value in values)})"


def open_extractor(name: str) -> Extractor:
    """An extractor by its name.

    Args:
        name: "synthbirds": the small network that reads attributes off rendered birds, its logits the colour of the
            breast. "inception_keras": Keras Applications' Inception v3 of ImageNet. "inception_torchvision":
            torchvision's, with pixels as early PyTorch FID scripts normalised them. "efficientnet_lite0": see
            `efficientnet`. Else the folder of a SavedModel, or the address of one (https://...), fetched with
            tensorflow-hub. A SavedModel takes float32 pictures as `(x - 128) / 128`, as TF-GAN's Inception does, and
            gives features, (features, logits), or a dictionary with "pool_3" or "features" and perhaps "logits".

    Raises:
        UserError: it is not there and cannot be fetched: says what to put where.
    """
    if name == "synthbirds":
        return _synthbirds()
    if name == "inception_keras":
        return _inception_keras()
    if name == "inception_torchvision":
        return _inception_torchvision()
    if name == "efficientnet_lite0":
        return _efficientnet_lite0()
    if name.startswith("https://"):
        return _saved_model(name, third_party_models.fetched(name, "--extractor"))
    if third_party_models.is_saved_model(name):
        return _saved_model(name, pathlib.Path(name))
    raise UserError(
        f"There is no such feature extractor. Received: {name!r}. Use one of {', '.join(EXTRACTORS)}, the folder of a "
        "SavedModel or its https:// address."
    )


def embed(
    extractor: Extractor, resize: str, pictures: Iterable[np.ndarray]
) -> Iterable[tuple[np.ndarray, np.ndarray | None]]:
    """Features of pictures, a batch at a time.

    Batches are always of the same size, the last filled up: the arithmetic of a picture is the same in any batch.

    Args:
        extractor: see `open_extractor`.
        resize: one of `FILTERS`.
        pictures: uint8 arrays (n, H, W, 3) of any n.

    Yields:
        float32 features (b, D) and logits (b, classes), or None where the extractor has none.
    """
    for batch in _batches(pictures):
        images = FILTERS[resize](batch, extractor.image_size)
        images = (images - np.array(extractor.mean, np.float32)) / np.array(extractor.deviation, np.float32)
        filled = np.pad(images, [(0, _BATCH - len(images)), (0, 0), (0, 0), (0, 0)])
        features, logits = extractor.call(tf.constant(filled))
        yield features.numpy()[: len(batch)], None if logits is None else logits.numpy()[: len(batch)]


def _batches(arrays: Iterable[np.ndarray]) -> Iterable[np.ndarray]:
    """The same pictures, `_BATCH` at a time."""
    waiting: list[np.ndarray] = []
    for array in arrays:
        waiting.extend(array)
        while len(waiting) >= _BATCH:
            yield np.stack(waiting[:_BATCH])
            del waiting[:_BATCH]
    if waiting:
        yield np.stack(waiting)


# === The extractors ===


def _synthbirds() -> Extractor:
    from ssagan_tf.evaluation.synthbirds.attribute_network import IMAGE_SIZE, WEIGHTS, attribute_network

    network = attribute_network()

    @tf.function(input_signature=[tf.TensorSpec([None, IMAGE_SIZE, IMAGE_SIZE, 3])])
    def call(images):
        features, logits = network(images)
        return features, logits["breast"]

    return Extractor("synthbirds", files.sha256(WEIGHTS), IMAGE_SIZE, 127.5, 127.5, call)


def _inception_keras() -> Extractor:
    import keras

    try:
        with keras_defaults():
            whole = keras.applications.InceptionV3(weights="imagenet", classifier_activation=None)
    except Exception as error:  # Keras raises a bare Exception if a download fails.
        name = "inception_v3_weights_tf_dim_ordering_tf_kernels.h5"
        home = pathlib.Path(os.environ.get("KERAS_HOME") or pathlib.Path.home() / ".keras")
        raise UserError(
            f"The weights of Keras's Inception are not here. Received: {' '.join(str(error).split())}. Download "
            f"https://storage.googleapis.com/tensorflow/keras-applications/inception_v3/{name} to "
            f"{home / 'models' / name}."
        ) from error
    return _keras_extractor(whole)


def _inception_torchvision() -> Extractor:
    """What PyTorch ports of FID used before they had TTUR's weights: torchvision's network and weights.

    They treat pixels in [0, 1] as if these were normalised by ImageNet's mean and deviation, and undo that.
    """
    home = pathlib.Path(os.environ.get("TORCH_HOME") or pathlib.Path.home() / ".cache" / "torch")
    folder = home / "hub" / "checkpoints"
    path = next(iter(sorted(folder.glob("inception_v3_google-*.pth"))), None)
    if path is None:
        raise UserError(
            f"The weights of torchvision's Inception are not here. Received: no inception_v3_google-*.pth in {folder}. "
            "Download https://download.pytorch.org/models/inception_v3_google-0cc3c7bd.pth to there."
        )
    state = pth.read(path)
    encoder = ImageEncoder(1)
    try:
        for name, unit in encoder.units.items():
            unit.conv.kernel.assign(state[f"{name}.conv.weight"].transpose(2, 3, 1, 0))
            norm = unit.norm
            for variable, part in (
                (norm.scale, "weight"),
                (norm.shift, "bias"),
                (norm.running_mean, "running_mean"),
                (norm.running_variance, "running_var"),
            ):
                variable.assign(state[f"{name}.bn.{part}"])
        kernel, bias = state["fc.weight"].T.reshape(2048, 1000), state["fc.bias"].reshape(1000)
    except (KeyError, ValueError) as error:
        raise UserError(
            f"This is not torchvision's Inception. Received: {path}: {' '.join(str(error).split())}. Download it anew."
        ) from error

    @tf.function(input_signature=[tf.TensorSpec([None, _INCEPTION_SIZE, _INCEPTION_SIZE, 3])])
    def call(images):
        _, pooled = encoder.trunk(images)
        return pooled, tf.matmul(pooled, kernel) + bias

    mean, deviation = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    scale = 127.5 / deviation
    shift = (1 - 2 * mean) * scale
    return Extractor(
        "inception_torchvision", files.sha256(path), _INCEPTION_SIZE, tuple(shift), tuple(scale), call, imagenet=True
    )


def _efficientnet_lite0() -> Extractor:
    from ssagan_tf.evaluation import efficientnet

    model, path = efficientnet.load()
    size, mean, deviation = efficientnet.IMAGE_SIZE, efficientnet.MEAN, efficientnet.DEVIATION

    @tf.function(input_signature=[tf.TensorSpec([None, size, size, 3])])
    def call(images):
        return tuple(model(images, training=False))

    return Extractor("efficientnet_lite0", files.sha256(path), size, mean, deviation, call, True)


def _keras_extractor(whole) -> Extractor:
    import keras

    model = keras.Model(whole.input, [whole.get_layer("avg_pool").output, whole.output])
    digest = hashlib.sha256()
    for value in whole.get_weights():
        digest.update(np.ascontiguousarray(value).tobytes())

    @tf.function(input_signature=[tf.TensorSpec([None, _INCEPTION_SIZE, _INCEPTION_SIZE, 3])])
    def call(images):
        return tuple(model(images, training=False))

    return Extractor("inception_keras", digest.hexdigest(), _INCEPTION_SIZE, 127.5, 127.5, call, True)


def _saved_model(name: str, folder: pathlib.Path) -> Extractor:
    loaded = third_party_models.load(folder)
    function, signature = third_party_models.function_of(loaded, folder), third_party_models.signature_of(loaded)
    size = _input_size(signature)

    # Without autograph an error in here arrives as it is.
    @functools.partial(tf.function, input_signature=[tf.TensorSpec([None, size, size, 3])], autograph=False)
    def call(images):
        return _features_and_logits(function(images), folder)

    call.get_concrete_function()  # so that what does not fit is told before any picture is drawn
    return Extractor(name, _folder_sha256(folder), size, 128.0, 128.0, call)


def _input_size(signature) -> int:
    """Pixels on a side, where the signature says so; else Inception's."""
    for spec in signature.structured_input_signature[1].values() if signature is not None else ():
        if spec.shape.rank == 4 and spec.shape[1] is not None:
            return spec.shape[1]
    return _INCEPTION_SIZE


def _features_and_logits(found, folder: pathlib.Path) -> tuple[tf.Tensor, tf.Tensor | None]:
    if isinstance(found, dict):
        features = [found[key] for key in _FEATURES if key in found] or (
            list(found.values()) if len(found) == 1 else []
        )
        logits = [found[key] for key in _LOGITS if key in found]
    else:
        features, *logits = found if isinstance(found, list | tuple) else [found]
        features = [features]
    if not features:
        raise UserError(
            f"The SavedModel gives no features. Received: {folder} with {', '.join(sorted(found))}. Name them "
            f"{' or '.join(_FEATURES)}."
        )
    flat = [tf.reshape(x, [tf.shape(x)[0], int(np.prod(x.shape[1:]))]) for x in features[:1] + logits[:1]]
    return flat[0], flat[1] if len(flat) > 1 else None


def _folder_sha256(folder: pathlib.Path) -> str:
    """Of the names and contents of graph and weights; not of fingerprint.pb and the like, which copies may lack."""
    digest = hashlib.sha256()
    for path in [folder / third_party_models.SAVED_MODEL, *sorted((folder / "variables").glob("*"))]:
        digest.update(f"{path.name} {files.sha256(path)}\n".encode())
    return digest.hexdigest()
