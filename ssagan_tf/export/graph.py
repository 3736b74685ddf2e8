"""The networks as a server or a phone runs them: plain TensorFlow, without Keras, nothing of training left.

Batch norm and the residual gate are folded into the convolutions before them. A block's first norm has none before it:
a factor and an offset are left, which like the 1x1 shortcut come before the enlargement. The scales and shifts of all
blocks are computed once, before the first block. Folding is done in float64; the results are float32 and equal to the
Keras networks' to rounding.
"""

from __future__ import annotations

import functools
import typing
from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf

from ssagan_tf.errors import UserError
from ssagan_tf.networks import Generator, SentenceEncoder, TextEncoder
from ssagan_tf.networks.generator import FIRST_SIZE, draw_blocks, overrides_at
from ssagan_tf.networks.layers import SSCBN, BatchNorm, MaskPredictor, SSACNBlock, modulated
from ssagan_tf.networks.primitives import LEAK
from ssagan_tf.ssagan import SSAGAN


class TextGraph(tf.Module):
    """`TextEncoder` for inference.

    Args:
        encoder: its weights are copied.
        max_words: width T of ids; the graph has this many steps.
        product: of rows (..., I) with a matrix; a plain one may round a row differently in a batch of another size.

    Call: ids (B, T) -> (words (B, T, D), sentence (B, D)), float32.

    Raises:
        UserError: an encoder of another kind.
    """

    def __init__(self, encoder: SentenceEncoder, max_words: int, product: Callable = tf.matmul):
        super().__init__()
        if not isinstance(encoder, TextEncoder):
            raise UserError(
                f"This text encoder cannot be exported so. Received: {type(encoder).__name__}. Use the LSTM; a "
                "SavedModel of strings can be exported with --format=saved_model alone."
            )
        self.max_words = max_words
        self.embedding = _variable(_value(encoder.embedding.embeddings), "embedding")
        self.forwards = _Direction(encoder.forwards.cell, product, "forwards")
        self.backwards = _Direction(encoder.backwards.cell, product, "backwards")

    def __call__(self, ids: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        embedded = tf.gather(self.embedding, ids)
        present = tf.cast(ids > 0, tf.float32)[..., None]
        steps = range(self.max_words)
        forward_words, forward_last = self.forwards(embedded, present, steps)
        # At padding the state stands still, so the backward direction starts at a caption's last word.
        backward_words, backward_last = self.backwards(embedded, present, steps[::-1])
        words = tf.concat([tf.stack(forward_words, 1), tf.stack(backward_words[::-1], 1)], -1)
        return words, tf.concat([forward_last, backward_last], -1)


class _Direction(tf.Module):
    """One direction of the LSTM."""

    def __init__(self, cell: keras.layers.Layer, product: Callable, name: str):
        super().__init__()
        self.units = cell.units
        self.product = product
        self.kernel = _variable(_value(cell.kernel), f"{name}_kernel")
        self.recurrent_kernel = _variable(_value(cell.recurrent_kernel), f"{name}_recurrent_kernel")
        self.bias = _variable(_value(cell.bias) + _value(cell.recurrent_bias), f"{name}_bias")

    def __call__(self, embedded: tf.Tensor, present: tf.Tensor, steps: range) -> tuple[list[tf.Tensor], tf.Tensor]:
        """(B, T, E), (B, T, 1), order of steps -> (features of each step (B, U), in that order; last state (B, U))."""
        gates_by_words = self.product(embedded, self.kernel) + self.bias
        hidden = cell = tf.zeros([tf.shape(embedded)[0], self.units])
        words = []
        for step in steps:
            gates = gates_by_words[:, step] + self.product(hidden, self.recurrent_kernel)
            enter, forget, new, leave = tf.split(gates, 4, axis=-1)
            new_cell = tf.sigmoid(forget) * cell + tf.sigmoid(enter) * tf.tanh(new)
            new_hidden = tf.sigmoid(leave) * tf.tanh(new_cell)
            here = present[:, step]
            words.append(here * new_hidden)
            cell = here * new_cell + (1 - here) * cell
            hidden = here * new_hidden + (1 - here) * hidden
        return words, hidden


class ImageGraph(tf.Module):
    """`Generator` for inference.

    Args:
        generator: its weights are copied.

    Call: noise (B, noise_dim), sentence (B, D) -> (image (B, S, S, 3), masks), as `Generator`, float32; with overrides
    (B, S, S, 1) of the masks of all blocks, see `overrides_at`, if they are given.
    """

    def __init__(self, generator: Generator):
        super().__init__()
        self.first_filters = generator.first_filters
        # The published reshape is to channels, height, width: done once, in the weights.
        order = np.arange(FIRST_SIZE**2 * self.first_filters).reshape(self.first_filters, -1).T.ravel()
        self.project = _Dense(
            _value(generator.project.kernel)[:, order], _value(generator.project.bias)[order], "project"
        )
        self.first_mask = _mask(generator.first_mask, "first_mask")
        self.styles = _Styles([norm for block in generator.blocks for norm in (block.norm1, block.norm2)])
        *others, last = generator.blocks
        self.blocks = [_Block(block, _Affine()) for block in others] + [_Block(last, _Affine(generator.norm))]
        self.to_rgb = _conv(generator.to_rgb, "to_rgb")

    def __call__(
        self, noise: tf.Tensor, sentence: tf.Tensor, overrides: tf.Tensor | None = None
    ) -> tuple[tf.Tensor, tuple[tf.Tensor, ...]]:
        styles = self.styles(sentence)
        x = tf.reshape(self.project(noise), [-1, FIRST_SIZE, FIRST_SIZE, self.first_filters])
        blocks = [
            functools.partial(block, styles=styles[2 * index : 2 * index + 2])
            for index, block in enumerate(self.blocks)
        ]
        stages = None
        if overrides is not None:
            stages = [overrides_at(overrides, FIRST_SIZE * 2**index) for index in range(len(blocks))]
        x, masks = draw_blocks(x, self.first_mask and self.first_mask(x), blocks, stages)
        return tf.tanh(self.to_rgb(tf.nn.leaky_relu(x, LEAK))), masks


class DeviceGraphs(tf.Module):
    """What a device runs, as two functions: it makes ids of captions, and noise of seeds, by itself.

    "text": ids (B, T) int32, 0 after a caption's end -> sentence (B, D). "image": noise (B, noise_dim) and sentence ->
    image (B, S, S, 3) in [-1, 1] and masks in [0, 1]: mask_4 (B, 4, 4, 1), mask_8, ...

    Args:
        model: its weights are copied.
        batch: B, once and for all; None: any.
        overrides: whether "image" takes `mask_overrides` (B, S, S, 1), too; see `overrides_at`.
    """

    def __init__(self, model: SSAGAN, batch: int | None = None, overrides: bool = False):
        super().__init__()
        self.batch = batch
        self.encode = TextGraph(model.text_encoder, model.max_words)
        self.draw = ImageGraph(model.generator)
        self.sizes = (model.max_words, model.generator.noise_dim, model.generator.sentence_dim)
        self.overridden_size = model.generator.image_size if overrides else None

    def functions(self) -> dict[str, tf.types.experimental.GenericFunction]:
        """ "text" and "image"."""
        max_words, noise_dim, sentence_dim = self.sizes
        ids = tf.TensorSpec([self.batch, max_words], tf.int32, "ids")
        noise = tf.TensorSpec([self.batch, noise_dim], name="noise")
        sentence = tf.TensorSpec([self.batch, sentence_dim], name="sentence")
        image = [noise, sentence]
        if self.overridden_size:
            size = self.overridden_size
            image.append(tf.TensorSpec([self.batch, size, size, 1], name="mask_overrides"))
        return {
            "text": tf.function(self.text, [ids], autograph=False),
            "image": tf.function(self.image, image, autograph=False),
        }

    def text(self, ids):
        return {"sentence": self.encode(ids)[1]}

    def image(self, noise, sentence, mask_overrides=None):
        image, masks = self.draw(noise, sentence, mask_overrides)
        return {"image": image, **{f"mask_{mask.shape[1]}": mask for mask in masks}}


class _Styles(tf.Module):
    """The scales and shifts that a sentence gives to all normalised features, in one place and computed once.

    Call: sentence (B, D) -> for each norm the scale and the shift of `modulated`, (B, 1, 1, C).
    """

    def __init__(self, norms: list[SSCBN]):
        super().__init__()
        hidden = [layer for norm in norms for layer in (norm.scale_hidden, norm.shift_hidden)]
        kernel = np.concatenate([_value(layer.kernel) for layer in hidden], -1)
        self.hidden = _Dense(kernel, np.concatenate([_value(layer.bias) for layer in hidden]), "styles_hidden")
        layers = [layer for norm in norms for layer in (norm.scale_out, norm.shift_out)]
        self.outs = [_Dense(_value(layer.kernel), _value(layer.bias), "styles_out") for layer in layers]

    def __call__(self, sentence: tf.Tensor) -> list[tuple[tf.Tensor, tf.Tensor]]:
        hidden = tf.split(tf.nn.relu(self.hidden(sentence)), len(self.outs), -1)
        made = [out(part)[:, None, None, :] for out, part in zip(self.outs, hidden, strict=True)]
        return list(zip(made[0::2], made[1::2], strict=True))


class _Block(tf.Module):
    """`SSACNBlock` and the batch norm that follows it, if one does.

    norm1 alone is left, as a factor and an offset before the enlargement: its input goes to the shortcut, too, so that
    it cannot be folded into the convolution before.
    """

    def __init__(self, block: SSACNBlock, after: _Affine):
        super().__init__()
        name = block.name
        self.enlarge = block.enlarge
        norm1, norm2 = _Affine(block.norm1.norm), _Affine(block.norm2.norm)
        self.factor = _variable(norm1.factor, f"{name}_factor")
        self.shift = _variable(norm1.shift, f"{name}_shift")
        self.conv1 = _conv(block.conv1, f"{name}_conv1", norm2)
        gate = _value(block.gate)
        self.conv2 = _conv(block.conv2, f"{name}_conv2", _Affine(factor=gate * after.factor, shift=after.shift))
        self.shortcut = None
        if block.shortcut is not None:
            self.shortcut = _conv(block.shortcut, f"{name}_shortcut", _Affine(factor=after.factor, shift=0.0))
        self.mask = _mask(block.mask, f"{name}_mask")

    def __call__(self, x: tf.Tensor, mask: tf.Tensor, styles: list[tuple[tf.Tensor, tf.Tensor]]):
        """x (B, h, w, C), mask (B, H, W, 1) -> (B, H, W, F) and the next mask's logits; H is 2 h if it enlarges."""
        shortcut = x if self.shortcut is None else self.shortcut(x)
        x = x * self.factor + self.shift
        if self.enlarge:
            x, shortcut = _enlarged(x), _enlarged(shortcut)
        residual = self.conv1(tf.nn.relu(modulated(x, *styles[0], mask)))
        residual = self.conv2(tf.nn.relu(modulated(residual, *styles[1], mask)))
        out = shortcut + residual
        return out, self.mask and self.mask(out)


def _enlarged(x: tf.Tensor) -> tf.Tensor:
    """(B, h, w, C) -> (B, 2h, 2w, C), each pixel four times.

    Not by broadcasting as in training: without gradients the plain resize will do. TFLite is several times as fast with
    it, and can calibrate it. Not by `tf.image.resize`, which counts from the pixels' centres: that is the same where
    sizes double, but a way of counting that ONNX has given up.
    """
    return tf.raw_ops.ResizeNearestNeighbor(images=x, size=[2 * x.shape[1], 2 * x.shape[2]])


class _Mask(tf.Module):
    """`MaskPredictor`: (B, h, w, C) -> logits (B, h, w, 1)."""

    def __init__(self, predictor: MaskPredictor, name: str):
        super().__init__()
        self.hidden = _conv(predictor.hidden, f"{name}_hidden", _Affine(predictor.norm))
        self.out = _conv(predictor.out, f"{name}_out")

    def __call__(self, x: tf.Tensor) -> tf.Tensor:
        return self.out(tf.nn.relu(self.hidden(x)))


def _mask(predictor: MaskPredictor | None, name: str) -> _Mask | None:
    return None if predictor is None else _Mask(predictor, name)


class _Affine:
    """What batch norm is in inference, x * factor + shift, float64 (C,); or the one that is given."""

    def __init__(
        self, norm: BatchNorm | None = None, factor: np.ndarray | float = 1.0, shift: np.ndarray | float = 0.0
    ):
        self.factor: typing.Any = factor
        self.shift: typing.Any = shift
        if norm is not None:
            self.factor = _value(norm.scale) / np.sqrt(_value(norm.running_variance) + norm.epsilon)
            self.shift = _value(norm.shift) - _value(norm.running_mean) * self.factor


class _Conv(tf.Module):
    """A convolution that keeps height and width."""

    def __init__(self, kernel: np.ndarray, bias: np.ndarray, name: str):
        super().__init__()
        self.kernel = _variable(kernel, f"{name}_kernel")
        self.bias = _variable(bias, f"{name}_bias")

    def __call__(self, x: tf.Tensor) -> tf.Tensor:
        return tf.nn.bias_add(tf.nn.conv2d(x, self.kernel, 1, "SAME"), self.bias)


def _conv(layer: keras.layers.Conv2D, name: str, after: _Affine | None = None) -> _Conv:
    """The layer with what follows it folded in."""
    after = after or _Affine()
    return _Conv(_value(layer.kernel) * after.factor, _value(layer.bias) * after.factor + after.shift, name)


class _Dense(tf.Module):
    """A linear layer."""

    def __init__(self, kernel: np.ndarray, bias: np.ndarray, name: str):
        super().__init__()
        self.kernel = _variable(kernel, f"{name}_kernel")
        self.bias = _variable(bias, f"{name}_bias")

    def __call__(self, x: tf.Tensor) -> tf.Tensor:
        return tf.nn.bias_add(tf.matmul(x, self.kernel), self.bias)


def _value(weight: keras.Variable | np.ndarray) -> np.ndarray:
    return tf.convert_to_tensor(weight).numpy().astype(np.float64)


def _variable(value: np.ndarray, name: str) -> tf.Variable:
    """Not a constant: SavedModel has a file of their own for variables, and all signatures share them."""
    return tf.Variable(value.astype(np.float32), trainable=False, name=name)
