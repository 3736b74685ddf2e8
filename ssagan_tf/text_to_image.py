"""The sampling half of the model: a text encoder and a generator."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence

import keras
import numpy as np
import tensorflow as tf
from absl import logging

from ssagan_tf import noise
from ssagan_tf.core.arguments import check_sizes
from ssagan_tf.errors import UserError
from ssagan_tf.networks import Generator, SentenceEncoder
from ssagan_tf.networks.generator import FIRST_SIZE, overrides_at
from ssagan_tf.networks.primitives import stated
from ssagan_tf.on_device import OnDeviceError, caption_list, check_request
from ssagan_tf.pictures import to_uint8
from ssagan_tf.text.captions import CaptionEncoder, PlainCaptions, check_text, notes
from ssagan_tf.text.vocabulary import Vocabulary

# Pictures that are drawn at once. A GPU wants many; a CPU is nearly as fast with few, which take less memory.
_AT_ONCE = {"GPU": 16, "CPU": 3}


def check_layers(**layers: object) -> None:
    """Raises UserError for parts of a model that are no Keras layers."""
    for name, layer in layers.items():
        if not isinstance(layer, keras.Layer):
            raise UserError(f"A part of a model is a Keras layer. Received: {name}={layer!r:.80}. Give one.")


class TextToImage(keras.Model):
    """Draws captions; `SSAGAN` is one that can be trained.

    Args:
        generator: makes pictures.
        text_encoder: reads captions.
        vocabulary: needed wherever captions are text.
        max_words: width of a caption when sampling.
    """

    def __init__(
        self,
        generator: Generator,
        text_encoder: SentenceEncoder,
        vocabulary: Vocabulary | None = None,
        max_words: int = 18,
        **kwargs,
    ):
        if vocabulary is not None and not isinstance(vocabulary, Vocabulary):
            raise UserError(f"This is no vocabulary. Received: {vocabulary!r:.80}. Give a Vocabulary, as of a file.")
        check_layers(generator=generator, text_encoder=text_encoder)
        check_sizes(max_words=max_words)
        super().__init__(**stated({"autocast": False, **kwargs}))
        self.generator = generator
        self.text_encoder = text_encoder
        self.vocabulary = vocabulary
        self.max_words = max_words
        self._caption_encoder: CaptionEncoder | PlainCaptions | None = None
        if self.reads_text:
            self._caption_encoder = PlainCaptions()
        elif vocabulary is not None:
            self._caption_encoder = CaptionEncoder(vocabulary, max_words)

    @property
    def reads_text(self) -> bool:
        """Whether the text encoder reads captions as they are, known words or not."""
        return getattr(self.text_encoder, "reads_text", False)

    @property
    def caption_encoder(self) -> CaptionEncoder | PlainCaptions:
        """What makes ids of captions. Raises UserError if there is no vocabulary."""
        if self._caption_encoder is None:
            raise UserError("The model has no vocabulary. Received: captions as text. Give ids, or a vocabulary.")
        return self._caption_encoder

    def require_vocabulary(self) -> Vocabulary:
        """The vocabulary. Raises UserError if there is none."""
        if self.vocabulary is None:
            raise UserError("The model has no vocabulary. Received: captions as text. Build it with a vocabulary.")
        return self.vocabulary

    def call(self, captions, noise, training=False):
        """Pictures of captions.

        Args:
            captions: tensor of (B,) strings or (B, T) ids.
            noise: (B, noise_dim).

        Returns:
            (B, S, S, 3) in [-1, 1].
        """
        return self.with_masks(captions, noise, training)[0]

    def with_masks(self, captions, noise, training=False, generator: Generator | None = None):
        """As `call`, with the masks: (image, masks), see `Generator`; drawn by another generator if one is given."""
        _, sentence = self.text_encoder(self.to_ids(captions), training=False)
        return (generator or self.generator)(noise, sentence, training=training)

    def predict(self, x, batch_size: int | None = None, **kwargs) -> np.ndarray:
        """As Keras's, and of a caption or a list of captions, too: see `predict_step`.

        Raises:
            UserError: as `generate`, of captions that are given as text.
        """
        captions = [x] if isinstance(x, str) else x
        sized = isinstance(captions, list | tuple | np.ndarray | Mapping)
        if captions is None or isinstance(captions, int | float) or (sized and not len(captions)):
            raise UserError(f"There is nothing to draw. Received: {x!r}. Give captions, as text or ids (B, T).")
        if isinstance(captions, list | tuple | np.ndarray) and len(captions) and isinstance(captions[0], str):
            texts = [caption.encode(errors="replace") for caption in self._noted(list(captions))]
            x = tf.data.Dataset.from_tensor_slices(texts).batch(batch_size or 32).map(self.to_ids)
            batch_size = None
        return super().predict(x, batch_size, **kwargs)

    def predict_step(self, data) -> tf.Tensor:
        """Pictures of a batch of captions, each with the noise of seed 0, as `generate` has it by default.

        Args:
            data: captions, (B,) strings or (B, T) ids; or a dictionary of "caption" and, optionally, "noise".

        Returns:
            (B, S, S, 3) in [-1, 1].
        """
        data = data[0] if isinstance(data, list | tuple) else data
        if not isinstance(data, Mapping):
            data = {"caption": data}
        if "caption" not in data:
            raise UserError(f'There are no captions. Received: {", ".join(map(repr, data))}. Give {{"caption": ...}}.')
        try:
            captions = tf.convert_to_tensor(data["caption"])
        except (TypeError, ValueError) as error:
            raise UserError(f"These are no captions. Received: {data['caption']!r:.80}. Give text or ids.") from error
        rank = 1 if captions.dtype == tf.string else 2
        if captions.shape.rank not in (None, rank) or not (captions.dtype.is_integer or rank == 1):
            raise UserError(
                f"These are no captions. Received: {captions.dtype.name} {captions.shape}. Give text or ids (B, T)."
            )
        drawn = data.get("noise")
        if drawn is None:
            drawn = tf.repeat(tf.constant(self.noise_of([0])), tf.shape(captions)[0], 0)
        return self(captions, drawn, training=False)

    def export(self, filepath, *args, **kwargs):
        """Refuses: a model's captions, tokenizer and server files are more than what Keras exports.

        Raises:
            UserError: always; names what exports.
        """
        raise UserError(
            f"Keras cannot export the tokenizer and the noise. Received: export({str(filepath)!r}). "
            "Use ssagan_tf.export.export(model, folder, ['saved_model']), or scripts/export.py."
        )

    def to_ids(self, captions: tf.Tensor) -> tf.Tensor:
        """What the text encoder reads: (B,) strings -> (B, T) ids, or the strings if it reads text; ids stay."""
        return self.caption_encoder(captions)[0] if captions.dtype == tf.string else captions

    def generate(
        self,
        captions: str | Sequence[str],
        seed: int = 0,
        count: int = 1,
        truncation: float | None = None,
        mask_overrides: np.ndarray | None = None,
    ) -> np.ndarray:
        """Pictures of captions; a picture depends on its caption and its seed alone.

        Args:
            captions: one or several.
            seed: of a caption's first picture; the next ones have seed + 1, seed + 2, ...
            count: pictures for each caption.
            truncation: factor on the noise: below 1, more usual and less varied pictures.
            mask_overrides: (S, S), or (captions * count, S, S), where the text may act: 0 holds the masks of all stages
                closed there, 1 open, what is between in part; a negative number leaves them as predicted.

        Returns:
            uint8 (captions * count, S, S, 3), all of the first caption first.

        Raises:
            UserError: no vocabulary, a caption without a known word, and what `on_device.check_request` refuses;
                `mask_overrides` of another shape, or that are not numbers up to 1.
        """
        return self.generate_with_masks(captions, seed, count, truncation, mask_overrides)[0]

    def generate_with_masks(
        self,
        captions: str | Sequence[str],
        seed: int = 0,
        count: int = 1,
        truncation: float | None = None,
        mask_overrides: np.ndarray | None = None,
    ) -> tuple[np.ndarray, tuple[np.ndarray, ...]]:
        """As `generate`, with the masks: tuple of float32 (captions * count, h, h, 1) in [0, 1], 4x4 first."""
        _checked(check_request, seed, count, truncation)
        sentences = self.encode(captions)
        seeds = np.tile(np.arange(count, dtype=np.int64) + seed, len(sentences))
        held = None if mask_overrides is None else self._overrides(mask_overrides, len(seeds))
        return self._draw(np.repeat(sentences, count, axis=0), self.noise_of(seeds, truncation), held)

    def _overrides(self, overrides: np.ndarray, count: int) -> np.ndarray:
        """Those of each picture: float32 (count, S, S, 1)."""
        size = self.generator.image_size
        try:
            given = np.asarray(overrides, np.float32)
        except (TypeError, ValueError) as error:
            raise UserError(f"Mask overrides are numbers. Received: {error}. Give an array.") from error
        if given.shape not in ((size, size), (count, size, size)):
            raise UserError(
                f"Mask overrides have the size of the pictures. Received: shape {given.shape}. "
                f"Give ({size}, {size}), or ({count}, {size}, {size})."
            )
        if not (given <= 1).all() or np.isinf(given).any():
            raise UserError(
                f"Mask overrides go from 0 for closed to 1 for open. Received: numbers from {given.min()} to "
                f"{given.max()}. Use -1 where the mask is to stay as predicted."
            )
        return np.broadcast_to(given, (count, size, size))[..., None]

    def noise_of(self, seeds: Sequence[int] | np.ndarray, truncation: float | str | None = None) -> np.ndarray:
        """Noise of each seed, float32 (B, noise_dim), truncated as `noise.truncated` does.

        Raises:
            UserError: a seed of more than 64 bits.
        """
        try:
            seeds = np.asarray(seeds, np.int64)
        except OverflowError as error:
            raise UserError(f"Seeds have 64 bits. Received: {list(seeds)}. Use smaller ones.") from error
        except (TypeError, ValueError):
            seeds = np.array(None)
        if seeds.ndim != 1 or not len(seeds):
            raise UserError(f"Seeds are a list of whole numbers. Received: {seeds!r:.80}. Give [0] for one.")
        return noise.truncated(noise.normals(seeds, self.generator.noise_dim), truncation)

    def encode(self, captions: str | Sequence[str]) -> np.ndarray:
        """Sentence embeddings of captions: float32 (B, sentence_dim). Logs unknown and truncated words.

        Raises:
            UserError: no vocabulary, no caption, or one without a known word.
        """
        captions = self._noted(captions)
        # Half of a surrogate pair has no UTF-8: it becomes a question mark, which is no word either.
        texts = [caption.encode(errors="replace") for caption in captions]
        return np.concatenate([self._encoder(tf.constant(part)).numpy() for part in _parts(texts)])

    def _noted(self, captions: str | Sequence[str]) -> list[str]:
        """Captions as a list; what is odd in one is logged. Raises as `encode`."""
        texts: list[str] = _checked(caption_list, captions)
        vocabulary = self.require_vocabulary()
        for caption in texts:
            for note in self._notes(caption, vocabulary):
                logging.warning("%s", note)
        return texts

    def _notes(self, caption, vocabulary):
        if not self.reads_text:
            return notes(caption, vocabulary, self.max_words)
        check_text(caption)
        return []

    def generate_from_embeddings(self, sentences: np.ndarray, noise_batch: np.ndarray) -> np.ndarray:
        """float32 (B, sentence_dim) and (B, noise_dim) -> uint8 (B, S, S, 3).

        Raises:
            UserError: arrays of other shapes, or of no numbers.
        """
        sizes = (getattr(self.text_encoder, "sentence_dim", None), self.generator.noise_dim)
        try:
            given = [np.asarray(each, np.float32) for each in (sentences, noise_batch)]
        except (TypeError, ValueError) as error:
            raise UserError(f"Embeddings and noise are numbers. Received: {error}. Give two arrays.") from error
        shapes = [each.shape for each in given]
        wanted = [(*shape[:1], size or shape[-1]) for shape, size in zip(shapes, sizes, strict=True) if shape]
        if shapes != wanted or len(given[0]) != len(given[1]) or not len(given[0]):
            raise UserError(
                f"Embeddings and noise are (B, {sizes[0]}) and (B, {sizes[1]}). Received: {shapes}. Give such arrays."
            )
        return self._draw(*given)[0]

    def _draw(self, sentences, noise_batch, overrides=None):
        drawer, inputs = self._drawer, [noise_batch, sentences]
        if overrides is not None:
            drawer, inputs = self._overridden_drawer, [*inputs, overrides]
        drawn = [drawer(*part) for part in zip(*map(_parts, inputs), strict=True)]
        images = np.concatenate([to_uint8(image) for image, _ in drawn])
        masks = zip(*(part_masks for _, part_masks in drawn), strict=True)
        return images, tuple(np.concatenate([part.numpy() for part in stage]) for stage in masks)

    @functools.cached_property
    def _encoder(self):
        def encode(captions):
            return self.text_encoder(self.to_ids(captions), training=False)[1]

        return tf.function(encode, input_signature=[tf.TensorSpec([None], tf.string)])

    @functools.cached_property
    def _drawer(self):
        sizes = (self.generator.noise_dim, self.generator.sentence_dim)
        signature = [tf.TensorSpec([None, size]) for size in sizes]
        return tf.function(lambda *inputs: self.generator(*inputs, training=False), input_signature=signature)

    @functools.cached_property
    def _overridden_drawer(self):
        def draw(noise_batch, sentences, overrides):
            sizes = [FIRST_SIZE * 2**index for index in range(len(self.generator.blocks))]
            held = [overrides_at(overrides, size) for size in sizes]
            return self.generator(noise_batch, sentences, training=False, mask_overrides=held)

        size = self.generator.image_size
        specs = [[None, self.generator.noise_dim], [None, self.generator.sentence_dim], [None, size, size, 1]]
        return tf.function(draw, input_signature=list(map(tf.TensorSpec, specs)))


def _checked(check: Callable, *arguments):
    """What a check of `on_device` returns; its error is raised as a UserError."""
    try:
        return check(*arguments)
    except OnDeviceError as error:
        raise UserError(str(error)) from error


def _parts(rows: Sequence) -> list[Sequence]:
    """Rows in parts of as many as are drawn at once on this machine."""
    size = _AT_ONCE["GPU" if tf.config.list_physical_devices("GPU") else "CPU"]
    return [rows[first : first + size] for first in range(0, len(rows), size)]
