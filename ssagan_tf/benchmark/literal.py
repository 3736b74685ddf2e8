"""The published order of computation, step by step, with TensorFlow's and Keras's own operations: what a plain program
does, to compare ours with. Weights are ours, and so are the results, but for rounding."""

from __future__ import annotations

import keras
import tensorflow as tf

from ssagan_tf import losses
from ssagan_tf.networks import Discriminator, Generator
from ssagan_tf.networks.layers import SSCBN, DownBlock, SSACNBlock
from ssagan_tf.ssagan import SSAGAN

_LEAK = 0.2


class LiteralSSCBN(SSCBN):
    def call(self, x, sentence, mask, training=False):
        scale = self.scale_out(self.scale_hidden(sentence))[:, None, None, :]
        shift = self.shift_out(self.shift_hidden(sentence))[:, None, None, :]
        return self.norm(x, training=training) * (scale * mask + 1.0) + shift * mask


class LiteralBlock(SSACNBlock):
    norm_class = LiteralSSCBN

    def call(self, x, sentence, mask, training=False):
        if self.enlarge:
            x = tf.image.resize(x, [2 * size for size in x.shape[1:3]], "nearest")
        residual = self.conv1(tf.nn.relu(self.norm1(x, sentence, mask, training=training)))
        residual = self.conv2(tf.nn.relu(self.norm2(residual, sentence, mask, training=training)))
        out = (x if self.shortcut is None else self.shortcut(x)) + self.gate * residual
        return out, None if self.mask is None else self.mask(out, training=training)


class LiteralDownBlock(DownBlock):
    def call(self, x):
        residual = tf.nn.leaky_relu(self.conv2(tf.nn.leaky_relu(self.conv1(x), _LEAK)), _LEAK)
        shortcut = self.shortcut(x) if self.in_filters != self.filters else x
        return tf.nn.avg_pool2d(shortcut, 2, 2, "VALID") + self.gate * residual


class LiteralGenerator(Generator):
    block_class = LiteralBlock


class LiteralDiscriminator(Discriminator):
    block_class = LiteralDownBlock


class LiteralSSAGAN(SSAGAN):
    """Trains with frozen encoders and without DAMSM; Keras's Adam."""

    def compile(self, **optimizers):  # type: ignore[override]
        rates = {"generator_optimizer": 1e-4, "discriminator_optimizer": 4e-4, "encoder_optimizer": 4e-5}
        adams = {name: keras.optimizers.Adam(rate, 0.0, 0.9, 1e-8) for name, rate in rates.items()}
        super().compile(**{**adams, **optimizers})

    def train_step(self, batch):
        image, discriminator = batch["image"], self.needed_discriminator()
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
        discriminator = self.needed_discriminator()
        features = discriminator.features(image)
        real = discriminator.logits(features, sentence)
        mismatched = discriminator.logits(features[:-1], sentence[1:])
        return losses.hinge_discriminator_loss(real, mismatched, discriminator(fake, sentence))

    def _update(self, loss_of):
        variables = self.needed_discriminator().trainable_variables
        with tf.GradientTape() as tape:
            loss = loss_of()
        sources = [variable.value for variable in variables]
        gradients = tape.gradient(loss, sources, unconnected_gradients="zero")
        self.discriminator_optimizer.apply(gradients, variables)
        return loss
