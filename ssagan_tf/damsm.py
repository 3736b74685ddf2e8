"""DAMSM: text and image encoder trained to find each other (AttnGAN, Xu et al., CVPR 2018), before the GAN is."""

from __future__ import annotations

import functools
import os
import pathlib

import keras
import numpy as np
import tensorflow as tf

from ssagan_tf import losses
from ssagan_tf.config import Config, ModelConfig
from ssagan_tf.core import files
from ssagan_tf.core.arguments import check_weights
from ssagan_tf.errors import UserError
from ssagan_tf.networks import SentenceEncoder, image_encoder_of, text_encoder_of
from ssagan_tf.networks.primitives import register, stated
from ssagan_tf.step import replicas
from ssagan_tf.step.batches import BatchForm
from ssagan_tf.step.model import BatchModel
from ssagan_tf.step.optimizers import Adam, chosen_optimizers
from ssagan_tf.text.captions import lengths_of
from ssagan_tf.text.vocabulary import Vocabulary
from ssagan_tf.text_to_image import check_layers
from ssagan_tf.weights import tensor_files
from ssagan_tf.weights.model_folder import CONFIG_FILE, VOCABULARY_FILE

DAMSM_FILE = "damsm.safetensors"
GAMMA1 = 4.0  # sharpness of the attention in pretraining, as published; 5 when a generator learns
LOSSES = ("damsm_loss", "found")
_TEXT_NORM = 0.25  # the text encoder's gradients are clipped to this norm, as published
_PARTS, _OPTIONS = ("text_encoder", "image_encoder"), ("global_negatives", "gamma3", "word_group")
_BATCH = 50  # pictures or captions that are encoded at a time


@register
class DAMSM(BatchModel):
    """Text and image encoder with the loss that brings a caption and its picture together.

    Args:
        text_encoder: reads captions; without word features the word loss is left out.
        image_encoder: pictures to (regions, code) of the text encoder's size.
        global_negatives: under a `tf.distribute` strategy, whether a caption is told apart from those of all replicas,
            so that the step is that of one device with the global batch; else from those of its own replica alone:
            the word loss, whose memory grows with the square of the batch, then stays small.
        gamma3: sharpness of the matching; 10 as published.
        word_group: pairs that the word loss tells apart at a time; 0, as published: all.
    """

    def __init__(
        self,
        text_encoder: SentenceEncoder,
        image_encoder: keras.Model,
        global_negatives: bool = True,
        gamma3: float = 10.0,
        word_group: int = 0,
        **kwargs,
    ):
        check_layers(text_encoder=text_encoder, image_encoder=image_encoder)
        check_weights(gamma3=gamma3, word_group=word_group)
        super().__init__(**stated({"autocast": False, **kwargs}))
        self.text_encoder = text_encoder
        self.image_encoder = image_encoder
        self.global_negatives = global_negatives
        self.gamma3 = gamma3
        self.word_group = word_group
        self.built = True

    @classmethod
    def from_model_config(cls, config: ModelConfig, vocabulary: Vocabulary, **kwargs) -> DAMSM:
        """New encoders, untrained, of a model's sizes; further arguments go to the constructor.

        Raises:
            UserError: the model has no image encoder.
        """
        text_encoder = text_encoder_of(config, len(vocabulary))
        image_encoder = image_encoder_of(config)
        if image_encoder is None:
            raise UserError("DAMSM needs an image encoder. Received: image_encoder=None. Use 'compact' or 'inception'.")
        return cls(text_encoder, image_encoder, config.global_negatives, **kwargs)

    @property
    def batch_form(self) -> BatchForm:
        size, reads_text = (
            getattr(self.image_encoder, "image_size", None),
            getattr(self.text_encoder, "reads_text", False),
        )
        return BatchForm(size, self.text_encoder.vocabulary_size, None, reads_text, _no_vocabulary)

    def compile(self, optimizer=None, **kwargs) -> None:
        """Default: the published Adam (2e-3, beta1 0.5); its published schedule is `training.pretraining.schedules`."""
        optimizer = optimizer or Adam(2e-3, beta_1=0.5, beta_2=0.999, epsilon=1e-8)
        super().compile(optimizer=chosen_optimizers(optimizer=optimizer)[0], **kwargs)
        self.optimizer.build(self._variables())
        self._average_losses(LOSSES, self.image_encoder.variable_dtype)

    def get_config(self):
        parts = {name: keras.saving.serialize_keras_object(getattr(self, name)) for name in _PARTS}
        return {"name": self.name, **parts, **{name: getattr(self, name) for name in _OPTIONS}}

    @classmethod
    def from_config(cls, config):
        return cls(**config | {name: keras.saving.deserialize_keras_object(config[name]) for name in _PARTS})

    def encoder_variables(self) -> dict[str, keras.Variable]:
        """The weights of both encoders, by name."""
        text = tensor_files.named_variables("text_encoder", self.text_encoder.variables)
        return text | tensor_files.named_variables("image_encoder", self.image_encoder.variables)

    def state_variables(self) -> dict[str, keras.Variable]:
        """All that training changes, by name."""
        named = tensor_files.random_states("text_encoder", self.text_encoder.variables)
        return named | self.encoder_variables() | tensor_files.named_variables("optimizer", self.optimizer.variables)

    def _variables(self) -> list[keras.Variable]:
        return self.text_encoder.trainable_variables + self.image_encoder.trainable_variables

    def call(self, images, ids, training=False):
        """(regions, code, words, sentence) of pictures and captions."""
        return *self.image_encoder(images, training=training), *self.text_encoder(ids, training=training)

    def export(self, filepath, *args, **kwargs):
        """Refuses: Keras exports models of one input; the encoders are two. Raises UserError, which names the way."""
        raise UserError(
            f"Keras cannot export two encoders as one. Received: export({str(filepath)!r}). Export each by itself, as "
            "damsm.text_encoder.export(folder), or keep the folder of pretrain_damsm.py."
        )

    def predict(self, x, *args, **kwargs):
        """Refuses: nothing is predicted. Raises UserError, which says what is."""
        raise UserError(
            f"DAMSM compares, and predicts nothing. Received: predict({type(x).__name__}). Call damsm(images, ids) for "
            "embeddings, or damsm.evaluate(batches) for its loss."
        )

    # === Training ===

    def train_step(self, batch: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """One step on {"image", "caption" (ids), "class_id"}; see `SSAGAN.train_step`.

        Returns:
            "damsm_loss", and "found": the share of captions whose picture is the nearest of the batch.

        Raises:
            UserError: a batch of another form.
        """
        batch = self.batch_form.completed(batch)
        with tf.GradientTape() as tape:
            share, found = self._shares(batch, training=True)
        variables = self._variables()
        gradients = tape.gradient(share, variables)
        text = len(self.text_encoder.trainable_variables)
        self.optimizer.apply([*_clipped(gradients[:text]), *gradients[text:]], variables)
        return _told(share, found)

    def test_step(self, batch: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """What `train_step` tells, with both encoders in inference mode: the means of the evaluation so far."""
        batch = self.batch_form.completed(batch)
        count = tf.shape(batch["image"])[0] * replicas.replicas()
        return self._mean_so_far(_told(*self._shares(batch, training=False)), count)

    def predict_step(self, batch: dict[str, tf.Tensor]):
        """{"image", "caption" (ids)} -> (regions, code, words, sentence), without words if there are none."""
        batch = self.batch_form.completed(batch)
        return tuple(part for part in self(batch["image"], batch["caption"], training=False) if part is not None)

    def _shares(self, batch, training: bool):
        """This replica's shares of the loss and of the share found."""
        regions, code, *text = self(batch["image"], batch["caption"], training=training)
        parts = [regions, code, lengths_of(batch["caption"]), batch["class_id"]]
        parts += [part for part in text if part is not None]
        if self.global_negatives:
            parts = [replicas.gather(part) for part in parts]
        regions, code, lengths, class_ids, *words, sentence = parts
        pairs = regions, code, words[0] if words else None, sentence, lengths, class_ids
        loss = losses.damsm_loss(*pairs, gamma1=GAMMA1, gamma3=self.gamma3, word_group=self.word_group)
        return loss / replicas.replicas(), _found(code, sentence) / replicas.replicas()

    # === Use ===

    def encode_pictures(self, pictures: np.ndarray) -> tuple[np.ndarray, ...]:
        """uint8 (N, S, S, 3) -> float32 regions (N, h, w, D) and codes (N, D)."""
        return self._encode(self._picture_encoder, pictures)

    def encode_captions(self, ids: np.ndarray) -> tuple[np.ndarray, ...]:
        """Ids (N, T), 0 is padding -> float32 words (N, T, D), if the encoder has them, and sentences (N, D)."""
        return self._encode(self._caption_encoder, ids)

    @staticmethod
    def _encode(encoder, rows: np.ndarray) -> tuple[np.ndarray, ...]:
        parts = [encoder(rows[first : first + _BATCH]) for first in range(0, len(rows), _BATCH)]
        return tuple(np.concatenate([each.numpy() for each in part]) for part in zip(*parts, strict=True))

    @functools.cached_property
    def _picture_encoder(self):
        def encode(pictures):
            return self.image_encoder(tf.cast(pictures, tf.float32) / 127.5 - 1.0, training=False)

        return tf.function(encode, reduce_retracing=True)

    @functools.cached_property
    def _caption_encoder(self):
        def encode(ids):
            return [part for part in self.text_encoder(ids, training=False) if part is not None]

        return tf.function(encode, reduce_retracing=True)


def _no_vocabulary(_):
    raise UserError(
        "DAMSM reads ids. Received: captions as text. Encode them: SSAGAN's caption_encoder(captions)[0] does."
    )


def _told(*values: tf.Tensor) -> dict[str, tf.Tensor]:
    return {name: replicas.sum_over_replicas(value) for name, value in zip(LOSSES, values, strict=True)}


def _found(code: tf.Tensor, sentence: tf.Tensor) -> tf.Tensor:
    cosine = tf.matmul(tf.math.l2_normalize(sentence, -1), tf.math.l2_normalize(code, -1), transpose_b=True)
    hit = tf.argmax(cosine, -1, tf.int32) == tf.range(tf.shape(cosine)[0])
    return tf.reduce_mean(tf.cast(hit, tf.float32))


def _clipped(gradients: list) -> list[tf.Tensor]:
    """This replica's share of the global batch's gradients, clipped by their norm."""
    # Made dense first: the norm of sparse rows would count each place of a word that occurs several times by itself.
    whole = [replicas.sum_over_replicas(tf.convert_to_tensor(gradient)) for gradient in gradients]
    clipped, _ = tf.clip_by_global_norm(whole, _TEXT_NORM)
    return [gradient / replicas.replicas() for gradient in clipped]


def load_damsm(folder: str | os.PathLike, trust: bool = False) -> tuple[DAMSM, Vocabulary, Config]:
    """Reads what `pretrain_damsm.py` wrote: both encoders, the words they know, and the settings.

    Args:
        folder: where.
        trust: as for `SSAGAN.from_preset`.

    Raises:
        UserError: something is missing, damaged or does not fit together.
    """
    folder = pathlib.Path(folder)
    config = Config.load(files.inside(folder, CONFIG_FILE))
    config.refuse_programs(folder, trust)
    vocabulary = Vocabulary.load(files.inside(folder, VOCABULARY_FILE))
    path = files.inside(folder, DAMSM_FILE)
    if config.model.text_encoder == "lstm":
        wanted = tensor_files.shapes_of(lambda: DAMSM.from_model_config(config.model, vocabulary).encoder_variables())
        tensor_files.check_shapes(wanted, tensor_files.read_shapes(path), str(path))
    damsm = DAMSM.from_model_config(config.model, vocabulary)
    tensor_files.assign_state(damsm.encoder_variables(), tensor_files.read_state(path), str(path))
    return damsm, vocabulary, config
