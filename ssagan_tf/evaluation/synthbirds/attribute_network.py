"""A small network that reads a bird's attributes from its picture."""

from __future__ import annotations

import functools
import pathlib
from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf

from ssagan_tf.data.synthbirds import ATTRIBUTES, Caption
from ssagan_tf.errors import UserError
from ssagan_tf.evaluation.resizing import pillow_bilinear
from ssagan_tf.networks.layers import BatchNorm
from ssagan_tf.networks.primitives import conv, dense, leaky_relu, register, stated
from ssagan_tf.weights import tensor_files

WEIGHTS = pathlib.Path(__file__).parent / "attribute_network.safetensors"
IMAGE_SIZE = 64
FEATURES = 128
# What captions can say; the others of `ATTRIBUTES` (pose, facing, background) are learnt for the features' sake.
NAMED = tuple(name for name in ATTRIBUTES if name not in ("pose", "facing", "background"))
# Filters, size and stride of each convolution; 64 x 64 pixels end as 4 x 4.
_CONVS = ((24, 4, 2), (32, 3, 1), (48, 4, 2), (48, 3, 1), (64, 4, 2), (64, 3, 1), (64, 4, 2))
_BATCH = 100


@register
class AttributeNetwork(keras.Model):
    """Seven convolutions, one hidden layer, and a softmax for each attribute of `ATTRIBUTES`.

    Call: images (B, 64, 64, 3) in [-1, 1] -> (features (B, 128), {attribute: logits (B, values)}).
    """

    def __init__(self, **kwargs):
        super().__init__(**stated(kwargs))
        widths = [3, *(filters for filters, _, _ in _CONVS)]
        policy = self.dtype_policy
        self.convs = [
            conv(before, filters, size, strides=stride, use_bias=False, name=f"conv_{index}", dtype=policy)
            for index, (before, (filters, size, stride)) in enumerate(zip(widths, _CONVS, strict=False))
        ]
        self.norms = [BatchNorm(name=f"norm_{index}", dtype=policy) for index in range(len(_CONVS))]
        self.hidden = dense(16 * widths[-1], FEATURES, name="hidden", dtype=policy)
        self.heads = {
            name: dense(FEATURES, len(values), name=name, dtype=policy) for name, values in ATTRIBUTES.items()
        }
        self.build()

    def build(self, *_):
        size, filters = IMAGE_SIZE, 3
        for layer, norm in zip(self.convs, self.norms, strict=True):
            layer.build((None, size, size, filters))
            size, filters = size // layer.strides[0], layer.filters
            norm.build((None, size, size, filters))
        self.hidden.build((None, size * size * filters))
        for head in self.heads.values():
            head.build((None, FEATURES))
        self.built = True

    def call(self, images, training=False):
        x = images
        for layer, norm in zip(self.convs, self.norms, strict=True):
            x = leaky_relu(norm(layer(x), training=training))
        features = leaky_relu(self.hidden(tf.reshape(x, [-1, self.hidden.kernel.shape[0]])))
        return features, {name: head(features) for name, head in self.heads.items()}

    def embed(self, pictures: np.ndarray) -> np.ndarray:
        """Features of pictures, which `pillow_bilinear` brings to 64 x 64 pixels first.

        Args:
            pictures: uint8 (N, S, S, 3).

        Returns:
            float32 (N, 128).
        """
        parts = [pictures[first : first + _BATCH] for first in range(0, len(pictures), _BATCH)]
        features = [self._embedded(pillow_bilinear(part, IMAGE_SIZE)) for part in parts]
        return np.concatenate([np.zeros([0, FEATURES], np.float32), *features])

    def attributes(self, features: np.ndarray) -> dict[str, np.ndarray]:
        """The likeliest value of each attribute, as its place (N,) in `ATTRIBUTES`, told from features (N, 128)."""
        found = {}
        for name, head in self.heads.items():
            found[name] = (features @ head.kernel.numpy() + head.bias.numpy()).argmax(-1)
        return found

    def _embedded(self, images: np.ndarray) -> np.ndarray:
        # Always a whole batch, filled up with black: the arithmetic of a picture is the same in any batch.
        filled = np.pad(images, [(0, _BATCH - len(images)), (0, 0), (0, 0), (0, 0)])
        return self._embedder(filled).numpy()[: len(images)]

    @functools.cached_property
    def _embedder(self):
        signature = [tf.TensorSpec([_BATCH, IMAGE_SIZE, IMAGE_SIZE, 3])]
        return tf.function(lambda images: self(scaled(images))[0], input_signature=signature)


def scaled(images: tf.Tensor) -> tf.Tensor:
    """[0, 255], of any type -> float32 in [-1, 1]."""
    return tf.cast(images, tf.float32) / 127.5 - 1.0


@functools.cache
def attribute_network() -> AttributeNetwork:
    """The network with the weights that come with the package; made by `scripts/train_attribute_network.py`."""
    network = AttributeNetwork(name="attribute_network")
    tensor_files.assign_state(named_variables(network), tensor_files.read_state(WEIGHTS), str(WEIGHTS))
    return network


def named_variables(network: AttributeNetwork) -> dict[str, keras.Variable]:
    """The weights by their names in the weights file."""
    return tensor_files.named_variables("attribute_network", network.variables)


def attribute_accuracy(
    network: AttributeNetwork, pictures: np.ndarray, captions: Sequence[Caption]
) -> dict[str, tuple[float, int]]:
    """How often the pictures show what their captions name.

    Args:
        network: see `attribute_network`.
        pictures: uint8 (N, S, S, 3).
        captions: one for each picture, with the attributes that it names.

    Returns:
        For each attribute of `NAMED` (share that is right, captions that name it), those that none names left out;
        and "overall": the mean over everything named, with its count.

    Raises:
        UserError: not as many captions as pictures, or captions that name nothing.
    """
    return accuracy_of(network.attributes(network.embed(pictures)), captions)


def accuracy_of(found: dict[str, np.ndarray], captions: Sequence[Caption]) -> dict[str, tuple[float, int]]:
    """As `attribute_accuracy`, from what `AttributeNetwork.attributes` found."""
    right: dict[str, list[bool]] = {name: [] for name in NAMED}
    for hits in hits_of(found, captions):
        for name, hit in hits.items():
            right[name].append(hit)
    right["overall"] = [hit for hits in right.values() for hit in hits]
    return {name: (float(np.mean(hits)), len(hits)) for name, hits in right.items() if hits}


def hits_of(found: dict[str, np.ndarray], captions: Sequence[Caption]) -> list[dict[str, bool]]:
    """For each picture whether it shows each attribute that its caption names, as `AttributeNetwork.attributes` found.

    Raises:
        UserError: not as many captions as pictures, or captions that name nothing.
    """
    count = len(next(iter(found.values())))
    if count != len(captions):
        raise UserError(
            f"Each picture needs its caption. Received: {count} pictures, {len(captions)} captions. Give as many."
        )
    hits = [
        {name: ATTRIBUTES[name][found[name][index]] == value for name, value in caption.attributes.items()}
        for index, caption in enumerate(captions)
    ]
    if not any(hits):
        raise UserError("The captions name no attribute. Received: nothing to score. Use captions of synthbirds.")
    return hits
