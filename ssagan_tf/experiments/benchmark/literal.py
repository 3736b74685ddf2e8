"""The published order of computation, with TensorFlow's and Keras's own operations: what a plain program does, to
compare ours with, in all or in one thing at a time. Weights are ours, and so are results, but for rounding.

What the mask predictor and the generator's last layer compute again for the gradient stays as in ours."""

from __future__ import annotations

from collections.abc import Collection

import keras
import tensorflow as tf

from ssagan_tf import losses
from ssagan_tf.networks import Discriminator, Generator, SentenceEncoder
from ssagan_tf.networks.layers import SSCBN, DownBlock, SSACNBlock
from ssagan_tf.networks.primitives import leaky_relu
from ssagan_tf.ssagan import SSAGAN

# What a plain program does in another way than ours.
_OF_GENERATOR = {
    "enlarging": "features are enlarged before shortcut, batch norm, scale and shift",
    "resizing": "and by tf.image.resize",
    "modulation": "the published formula of SSCBN, whose features are all kept for the gradient",
    "gating": "the residual gate multiplies features, not the last convolution's weights",
}
OF_SAMPLING = {**_OF_GENERATOR, "winograd": "no convolution by Winograd's filtering"}
OF_TRAINING = {
    **_OF_GENERATOR,
    "shortcuts": "the discriminator's 1x1 shortcut comes before its pool",
    "leaky_relu": "TensorFlow's, whose second derivative is a tensor of zeros",
    "passes": "the discriminator judges real, mismatched and generated pairs one after the other",
    "step": "the generator's tape records the discriminator, too; what is not finite is not taken back",
    "adam": "Keras's",
}
_LEAK = 0.2


def _resized(x):
    return tf.image.resize(x, [2 * size for size in x.shape[1:3]], "nearest")


class LiteralSSCBN(SSCBN):
    plain: Collection[str] = ()

    def call(self, x, sentence, mask, training=False):
        if "modulation" not in self.plain:
            return super().call(x, sentence, mask, training=training)
        scale = self.scale_out(self.scale_hidden(sentence))[:, None, None, :]
        shift = self.shift_out(self.shift_hidden(sentence))[:, None, None, :]
        x = self.norm(x, training=training, copies=4 if self.enlarge else 1)
        x = self.enlarged(x) if self.enlarge else x
        return x * (scale * mask + 1.0) + shift * mask

    def convolved(self, x, sentence, mask, kernel, bias, training=False):
        if "modulation" not in self.plain:
            return super().convolved(x, sentence, mask, kernel, bias, training=training)
        features = tf.nn.relu(self(x, sentence, mask, training=training))
        return tf.nn.bias_add(self._conv3x3(features, kernel, training), bias)

    def _conv3x3(self, x, kernel, training):
        # Training does without Winograd's filtering.
        return super()._conv3x3(x, kernel, training or "winograd" in self.plain)


class LiteralBlock(SSACNBlock):
    plain: Collection[str] = ()

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.enlarges_first = self.enlarge and "enlarging" in self.plain
        self.norm1.enlarge = self.enlarge and not self.enlarges_first

    def call(self, x, sentence, mask, training=False):
        x = self.enlarged(x) if self.enlarges_first else x
        kernel, bias = tf.convert_to_tensor(self.conv1.kernel), tf.convert_to_tensor(self.conv1.bias)
        residual = self.norm1.convolved(x, sentence, mask, kernel, bias, training=training)
        kernel, bias = tf.convert_to_tensor(self.conv2.kernel), tf.convert_to_tensor(self.conv2.bias)
        gate = tf.convert_to_tensor(self.gate)
        if "gating" in self.plain:
            residual = gate * self.norm2.convolved(residual, sentence, mask, kernel, bias, training=training)
        else:
            residual = self.norm2.convolved(residual, sentence, mask, gate * kernel, gate * bias, training=training)
        shortcut = x if self.shortcut is None else self.shortcut(x)
        out = (self.enlarged(shortcut) if self.norm1.enlarge else shortcut) + residual
        return out, None if self.mask is None else self.mask(out, training=training)


class LiteralDownBlock(DownBlock):
    plain: Collection[str] = ()

    def call(self, x):
        residual = self._leaky_relu(self.conv2(self._leaky_relu(self.conv1(x))))
        widens, shortcut = self.in_filters != self.filters, x
        if widens and "shortcuts" in self.plain:
            shortcut = self.shortcut(shortcut)
        shortcut = tf.nn.avg_pool2d(shortcut, 2, 2, "VALID")
        if widens and "shortcuts" not in self.plain:
            shortcut = self.shortcut(shortcut)
        return shortcut + self.gate * residual

    def _leaky_relu(self, x):
        return tf.nn.leaky_relu(x, _LEAK) if "leaky_relu" in self.plain else leaky_relu(x)


class LiteralSSAGAN(SSAGAN):
    """Trains with frozen encoders and without DAMSM."""

    plain: Collection[str] = ()

    def compile(self, **optimizers):  # type: ignore[override]
        if "adam" in self.plain:
            rates = {"generator_optimizer": 1e-4, "discriminator_optimizer": 4e-4, "encoder_optimizer": 4e-5}
            optimizers = {
                name: keras.optimizers.Adam(rate, 0.0, 0.9, 1e-8) for name, rate in rates.items()
            } | optimizers
        super().compile(**optimizers)

    def train_step(self, batch):
        if "step" not in self.plain:
            return super().train_step(batch)
        image, discriminator = batch["image"], self.require_discriminator()
        _, sentence = self.text_encoder(batch["caption"], training=False)
        with tf.GradientTape() as generator_tape:
            fake, _ = self.generator(batch["noise"], sentence, training=True)
            with generator_tape.stop_recording():
                hinge = self._update(lambda: self._hinge_of(image, fake, sentence))
                penalty = self._update(lambda: losses.matching_aware_gradient_penalty(discriminator, image, sentence))
            loss = -tf.reduce_mean(discriminator(fake, sentence))
        variables = self.generator.trainable_variables
        self.generator_optimizer.apply(generator_tape.gradient(loss, variables), variables)
        return {"discriminator_loss": hinge, "gradient_penalty": penalty, "generator_loss": loss}

    def _hinge_of(self, image, fake, sentence):
        real, (mismatched,), drawn = self._judged(image, fake, sentence)
        return losses.hinge_discriminator_loss(real, mismatched, drawn)

    def _judged(self, image, fake, sentence):
        if "passes" not in self.plain:
            return super()._judged(image, fake, sentence)
        discriminator = self.require_discriminator()
        features = discriminator.features(image)
        real = discriminator.logits(features, sentence)
        mismatched = discriminator.logits(features[:-1], sentence[1:])
        return real, [mismatched], discriminator(fake, sentence)

    def _update(self, loss_of):
        with tf.GradientTape() as tape:
            loss = loss_of()
        self._update_discriminator(tape, loss)
        return loss


def generator(plain: Collection[str], **sizes) -> Generator:
    """A generator that does what `plain` names as a plain program."""
    enlarged = {"enlarged": staticmethod(_resized)} if "resizing" in plain else {}
    norm = _with(LiteralSSCBN, plain, **enlarged)
    block = _with(LiteralBlock, plain, norm_class=norm, **enlarged)
    return type("LiteralGenerator", (Generator,), {"block_class": block})(**sizes)


def model(plain: Collection[str], text_encoder: SentenceEncoder, generator_sizes: dict, sizes: dict) -> SSAGAN:
    """A model whose parts do what `plain` names as a plain program.

    Args:
        plain: names in `OF_TRAINING`.
        text_encoder: stays frozen.
        generator_sizes, sizes: arguments of generator and discriminator.
    """
    block = _with(LiteralDownBlock, plain)
    discriminator = type("LiteralDiscriminator", (Discriminator,), {"block_class": block})(**sizes)
    return _with(LiteralSSAGAN, plain)(generator(plain, **generator_sizes), discriminator, text_encoder)


def _with(cls, plain, **attributes):
    return type(cls.__name__, (cls,), {"plain": frozenset(plain), **attributes})
