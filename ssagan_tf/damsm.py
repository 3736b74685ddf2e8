"""DAMSM: text and image encoder trained to find each other (AttnGAN, Xu et al., CVPR 2018), before the GAN is."""

from __future__ import annotations

import keras
import tensorflow as tf

from ssagan_tf import distribution, losses, saving
from ssagan_tf.config import ModelConfig
from ssagan_tf.errors import UserError
from ssagan_tf.networks import CompactImageEncoder, ImageEncoder, TextEncoder
from ssagan_tf.optimizers import Adam
from ssagan_tf.text.vocabulary import Vocabulary

_TEXT_NORM = 0.25  # the text encoder's gradients are clipped to this norm, as published


class DAMSM(keras.Model):
    """Text and image encoder with the loss that brings a caption and its picture together.

    Args:
        text_encoder: reads captions.
        image_encoder: pictures to (regions, code) of the text encoder's size.
    """

    def __init__(self, text_encoder: TextEncoder, image_encoder: keras.Model, **kwargs):
        super().__init__(**kwargs)
        self.text_encoder = text_encoder
        self.image_encoder = image_encoder
        self.built = True

    @classmethod
    def from_model_config(cls, config: ModelConfig, vocabulary: Vocabulary) -> DAMSM:
        """New encoders, untrained, of a model's sizes. Raises UserError if the model has no image encoder."""
        text_encoder = TextEncoder(
            len(vocabulary), config.sentence_dim, config.dropout, config.embedding_dim, name="text_encoder"
        )
        if config.image_encoder == "inception":
            return cls(text_encoder, ImageEncoder(config.sentence_dim, name="image_encoder"))
        if config.image_encoder == "compact":
            return cls(text_encoder, CompactImageEncoder(config.sentence_dim, config.image_size, name="image_encoder"))
        raise UserError("DAMSM needs an image encoder. Received: image_encoder=None. Use 'compact' or 'inception'.")

    def compile(self, optimizer=None, **kwargs) -> None:
        """Default: the published Adam (2e-3, beta1 0.5), but one for the whole training and its rate kept.

        Published is a new one for each epoch, its rate 2 % lower each time.
        """
        super().compile(optimizer=optimizer or Adam(2e-3, beta_1=0.5, beta_2=0.999, epsilon=1e-8), **kwargs)
        self.optimizer.build(self._variables())

    def encoder_variables(self) -> dict[str, keras.Variable]:
        """The weights of both encoders, by name."""
        return saving.named_variables("text_encoder", self.text_encoder.variables) | saving.named_variables(
            "image_encoder", self.image_encoder.variables
        )

    def state_variables(self) -> dict[str, keras.Variable]:
        """All that training changes, by name."""
        named = saving.random_states("text_encoder", self.text_encoder.variables)
        return named | self.encoder_variables() | saving.named_variables("optimizer", self.optimizer.variables)

    def _variables(self) -> list[keras.Variable]:
        return self.text_encoder.trainable_variables + self.image_encoder.trainable_variables

    def call(self, images, ids, training=False):
        """(regions, code, words, sentence) of pictures and captions."""
        return *self.image_encoder(images, training=training), *self.text_encoder(ids, training=training)

    def train_step(self, batch: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """One step on {"image", "caption", "class_id"}; see `SSAGAN.train_step`.

        Returns:
            "damsm_loss", and "found": the share of captions whose picture is the nearest of the batch.
        """
        lengths = tf.math.count_nonzero(batch["caption"], -1)
        with tf.GradientTape() as tape:
            regions, code, words, sentence = self(batch["image"], batch["caption"], training=True)
            parts = (regions, code, words, sentence, lengths, tf.convert_to_tensor(batch["class_id"]))
            regions, code, words, sentence, lengths, class_ids = map(distribution.gather, parts)
            loss = losses.damsm_loss(regions, code, words, sentence, lengths, class_ids, gamma1=4.0)
            share = loss / distribution.replicas()
        variables = self._variables()
        gradients = tape.gradient(share, variables)
        text = len(self.text_encoder.trainable_variables)
        self.optimizer.apply([*_clipped(gradients[:text]), *gradients[text:]], variables)
        cosine = tf.matmul(tf.math.l2_normalize(sentence, -1), tf.math.l2_normalize(code, -1), transpose_b=True)
        hit = tf.argmax(cosine, -1, tf.int32) == tf.range(tf.shape(cosine)[0])
        return {"damsm_loss": loss, "found": tf.reduce_mean(tf.cast(hit, tf.float32))}


def _clipped(gradients: list) -> list[tf.Tensor]:
    """This replica's share of the global batch's gradients, clipped by their norm."""
    # Made dense first: the norm of sparse rows would count each place of a word that occurs several times by itself.
    whole = [distribution.sum_over_replicas(tf.convert_to_tensor(gradient)) for gradient in gradients]
    clipped, _ = tf.clip_by_global_norm(whole, _TEXT_NORM)
    return [gradient / distribution.replicas() for gradient in clipped]
