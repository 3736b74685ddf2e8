"""What the discriminator sees of pictures when there are few: varied ones, real and drawn alike.

A discriminator that overfits teaches the generator nothing. If all that it sees is varied in the same way, it
cannot know them, and the generator still learns to draw them as they are (Karras et al., "Training generative
adversarial networks with limited data", NeurIPS 2020; Zhao et al., "Differentiable augmentation for data-efficient GAN
training", NeurIPS 2020). All of it is differentiable by the pictures, as often as you like: the generator's gradient
and the gradient penalty go through it.

Every function takes pictures (B, S, S, 3) in [-1, 1] of any float dtype and numbers of (B,) in the same dtype.
"""

from __future__ import annotations

import math

import keras
import tensorflow as tf

from ssagan_tf.networks.primitives import at_least_float32, register, stated
from ssagan_tf.step import random, replicas

TARGET = 0.6  # of the mean sign of real pictures' logits, as published
FIXED = 0.5  # probability of each kind of variation if nothing steers it

_BRIGHTNESS, _CONTRAST, _SATURATION = 0.5, 0.5, 1.0  # most that is added, and most that a factor is off 1
_SHIFT = 1 / 8  # of the side, the most
_DOUBLINGS = 0.4  # the most that a picture grows or shrinks, as a power of two
_CUT = 0.5  # side of the square that is cut out
_KINDS, _NUMBERS = 4, 8  # variations, each with its own chance, and the numbers that they take
_SMOOTHED = 256  # pictures: half-life of the signal's average


def colour(pictures: tf.Tensor, brightness: tf.Tensor, contrast: tf.Tensor, saturation: tf.Tensor) -> tf.Tensor:
    """Adds brightness, then multiplies what differs from the picture's mean and from each pixel's grey.

    There is no change of hue: captions name colours.
    """
    brightness, contrast, saturation = (number[:, None, None, None] for number in (brightness, contrast, saturation))
    pictures = pictures + brightness
    mean = tf.reduce_mean(pictures, [1, 2, 3], keepdims=True)
    pictures = pictures + (contrast - 1) * (pictures - mean)
    grey = tf.reduce_mean(pictures, 3, keepdims=True)
    return pictures + (saturation - 1) * (pictures - grey)


def move(pictures: tf.Tensor, down: tf.Tensor, right: tf.Tensor, scale: tf.Tensor) -> tf.Tensor:
    """Enlarges about the middle, then shifts by parts of the side; bilinear, mirrored where the picture ends.

    As products with one matrix of weights for the rows and one for the columns: linear in the picture, so it has
    gradients of every order, and no slower than anything else on a GPU or with XLA.
    """
    rows, columns = (_weights(shift, scale, pictures.shape[1]) for shift in (down, right))
    return tf.einsum("bih,bhwc,bjw->bijc", rows, pictures, columns)


def _weights(shift: tf.Tensor, scale: tf.Tensor, size: int) -> tf.Tensor:
    """(B, size, size): row i holds the weights of the pixels that pixel i is made of."""
    pixels = tf.range(size, dtype=shift.dtype)
    middle = (size - 1) / 2
    position = (pixels - middle - size * shift[:, None]) / scale[:, None] + middle
    # A triangle wave of period 2 (size - 1): 0, 1, ..., size - 1, size - 2, ..., 0, 1, ...
    position = tf.abs(tf.math.floormod(position + (size - 1), 2 * (size - 1)) - (size - 1))
    return tf.nn.relu(1 - tf.abs(position[:, :, None] - pixels))


def cut_out(pictures: tf.Tensor, row: tf.Tensor, column: tf.Tensor, side: tf.Tensor) -> tf.Tensor:
    """Greys a square; its middle and side in parts of the picture's side. A side of 0 cuts nothing."""
    middles = (tf.range(pictures.shape[1], dtype=pictures.dtype) + 0.5) / pictures.shape[1]
    inside = [tf.abs(middles - middle[:, None]) * 2 < side[:, None] for middle in (row, column)]
    cut = inside[0][:, :, None] & inside[1][:, None, :]
    return pictures * tf.cast(~cut, pictures.dtype)[..., None]


def varied(pictures: tf.Tensor, chance: tf.Tensor, uniform: tf.Tensor) -> tf.Tensor:
    """All variations, each with its chance.

    Args:
        pictures: (B, S, S, 3).
        chance: scalar, of each kind: colour, translation, scaling, cutout.
        uniform: (B, 12) random numbers in [0, 1) that decide what happens.

    Returns:
        (B, S, S, 3). With a chance of 0 the pictures as they are, to the last bit.
    """
    happens, numbers = tf.split(uniform, [_KINDS, _NUMBERS], 1)
    happens = tf.cast(happens < tf.cast(chance, uniform.dtype), uniform.dtype)
    coloured, shifted, scaled, cut = tf.unstack(happens, axis=1)
    signed = 2 * numbers - 1
    brightness, contrast, saturation, down, right, doublings, *_ = tf.unstack(signed, axis=1)
    pictures = colour(
        pictures,
        coloured * _BRIGHTNESS * brightness,
        1 + coloured * _CONTRAST * contrast,
        1 + coloured * _SATURATION * saturation,
    )
    scale = tf.exp(math.log(2) * scaled * _DOUBLINGS * doublings)
    pictures = move(pictures, shifted * _SHIFT * down, shifted * _SHIFT * right, scale)
    return cut_out(pictures, numbers[:, 6], numbers[:, 7], cut * _CUT)


@register
class Augmentation(keras.layers.Layer):
    """What the discriminator sees, and how often it is varied.

    Args:
        adaptive: the chance rises while the discriminator is too sure of the real pictures that it sees, and falls
            while it is not, as in ADA: its signal is the mean sign of their logits. Else it stays as it is.
        pictures: that must be seen for the chance to go from 0 to 1.

    Attributes:
        chance: of each kind of variation; a variable, kept in checkpoints.
        signal: the mean sign of real pictures' logits, averaged over the last few hundred; a variable, too.
    """

    def __init__(self, adaptive: bool = True, pictures: int = 500_000, **kwargs):
        super().__init__(**stated({"autocast": False, **kwargs}))  # what is seen has the pictures' dtype
        self.adaptive = adaptive
        self.pictures = pictures
        kept = {"shape": (), "trainable": False, "autocast": False, "dtype": "float32", "aggregation": "mean"}
        self.chance = self.add_weight(
            initializer=keras.initializers.Constant(0.0 if adaptive else FIXED), name="chance", **kept
        )
        self.signal = self.add_weight(initializer="zeros", name="signal", **kept)
        self.built = True

    @classmethod
    def from_settings(cls, kind: str, pictures: int) -> Augmentation | None:
        """Of the settings `augment`, "none", "fixed" or "adaptive", and `augment_pictures`."""
        return None if kind == "none" else cls(kind == "adaptive", pictures)

    @staticmethod
    def setting(augmentation: Augmentation | None) -> str:
        """The setting `augment` that makes it."""
        if augmentation is None:
            return "none"
        return "adaptive" if augmentation.adaptive else "fixed"

    def call(self, pictures: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """(B, S, S, 3) of this replica -> the same shape and dtype, by `seed` (2,) int64 on any number of them."""
        precise = at_least_float32(pictures)
        shape = [tf.shape(pictures)[0] * replicas.replicas(), _KINDS + _NUMBERS]
        uniform = replicas.own_part(random.uniform(shape, seed))
        seen = varied(precise, tf.convert_to_tensor(self.chance), tf.cast(uniform, precise.dtype))
        return tf.cast(seen, pictures.dtype)

    def learn(self, real: tf.Tensor) -> None:
        """Steers by the logits (B,) of the real pictures that D has just seen."""
        batch = tf.cast(tf.size(real) * replicas.replicas(), tf.float32)
        signs = replicas.sum_over_replicas(tf.reduce_sum(tf.cast(tf.sign(real), tf.float32)))
        kept = 0.5 ** (batch / _SMOOTHED)
        signal = kept * self.signal + (1 - kept) * signs / batch
        self.signal.assign(signal)
        if self.adaptive:
            step = tf.sign(signal - TARGET) * batch / self.pictures
            self.chance.assign(tf.clip_by_value(self.chance + step, 0.0, 1.0))

    def logs(self) -> dict[str, tf.Tensor]:
        """Its two variables by the names under which they are logged."""
        return {"augment_chance": tf.identity(self.chance), "real_signs": tf.identity(self.signal)}

    def get_config(self):
        return {**super().get_config(), "adaptive": self.adaptive, "pictures": self.pictures}
