"""SavedModel: captions in, pictures out, tokenizer and vocabulary included, for TensorFlow Serving and TensorFlow.

Nothing in it needs Keras or this package. Every input and output has the batch as its first dimension, and a row of the
outputs depends on the same row of the inputs alone, so a server may merge and split requests as it likes. What a
caption says never makes a request fail, because others may share its batch: unknown words are left out and counted.

Pictures are drawn one by one. That bounds the memory, costs no time on a CPU from 128 pixels on, and gives a picture
the same bits in every batch.
"""

from __future__ import annotations

import pathlib
import tempfile
from collections.abc import Callable, Sequence

import tensorflow as tf

from ssagan_tf import noise
from ssagan_tf.export import MOST_PICTURES, serving
from ssagan_tf.export.graph import ImageGraph, TextGraph
from ssagan_tf.networks.generator import FIRST_SIZE
from ssagan_tf.networks.hub_encoder import HubEncoder, HubGraph
from ssagan_tf.on_device import MAX_CHARACTERS, PADDINGS
from ssagan_tf.ssagan import SSAGAN
from ssagan_tf.text.captions import CaptionEncoder
from ssagan_tf.weights.model_folder import VOCABULARY_FILE

_PICTURES_AT_A_TIME = 4
_MOST_BYTES = 4 * MAX_CHARACTERS  # of a caption are read; a character has four bytes at most


def export(model: SSAGAN, folder: pathlib.Path, captions: Sequence[str] = ()) -> None:
    """Writes a SavedModel with the signatures of `Served`, and requests to warm a server up.

    Raises:
        UserError: a text encoder that it cannot copy, or a parent folder whose name no server takes.
    """
    name = serving.check_name(folder.resolve().parent)
    with tempfile.TemporaryDirectory() as scratch:
        vocabulary = pathlib.Path(scratch) / VOCABULARY_FILE
        model.require_vocabulary().save(vocabulary)
        served = Served(model, vocabulary)
        tf.saved_model.save(served, str(folder), signatures=served.signatures())
    serving.write_warmup(folder, name, model.require_vocabulary())


class Served(tf.Module):
    """What a server runs. Its public methods are the signatures; arguments are named as the inputs are.

    `captions` are (B,) strings, `seed` (B,) int64, `truncation` (B,) a factor on the noise: below 1, more usual and
    less varied pictures. Images are (B, S, S, 3) in [-1, 1], masks (B, h, h, 1) in [0, 1], both float32.

    Args:
        model: its weights are copied.
        vocabulary: file with the model's words; it becomes an asset of the SavedModel.
    """

    def __init__(self, model: SSAGAN, vocabulary: pathlib.Path):
        super().__init__()
        self.words = _WordsOfFile(vocabulary, model.max_words)
        if isinstance(model.text_encoder, HubEncoder):
            self.text = HubGraph(model.text_encoder)
        else:
            self.text = TextGraph(model.text_encoder, model.max_words, _row_by_row)
        self.image = ImageGraph(model.generator)
        self.noise_dim = model.generator.noise_dim
        self.sentence_dim = model.generator.sentence_dim
        self.image_size = model.generator.image_size
        self.mask_sizes = [FIRST_SIZE * 2**index for index in range(len(model.generator.blocks))]
        # Traced once, whatever the number of signatures that call them.
        self._encode = _graph(self._encode_rows, [tf.TensorSpec([None], tf.string)])
        shapes = [[None, self.noise_dim], [None, self.sentence_dim], [None, self.image_size, self.image_size, 1]]
        self._draw = _graph(self._draw_rows, list(map(tf.TensorSpec, shapes[:2])))
        self._draw_overridden = _graph(self._draw_rows, list(map(tf.TensorSpec, shapes)))

    def signatures(self) -> dict[str, Callable]:
        """All signatures by name."""
        text, seed, number = (tf.TensorSpec([None], dtype) for dtype in (tf.string, tf.int64, tf.float32))
        sentence = tf.TensorSpec([None, self.sentence_dim])
        overrides = tf.TensorSpec([None, self.image_size, self.image_size])
        return {
            "serving_default": _graph(self.png_of_captions, [text]),
            "generate": _graph(self.generate, [text, seed]),
            "generate_truncated": _graph(self.generate_truncated, [text, seed, number]),
            "generate_with_masks": _graph(self.generate_with_masks, [text, seed]),
            "generate_with_overrides": _graph(self.generate_with_overrides, [text, seed, overrides]),
            "generate_png": _graph(self.generate_png, [text, seed, number]),
            "encode_text": _graph(self.encode_text, [text]),
            "generate_from_embedding": _graph(self.generate_from_embedding, [sentence, seed]),
            "interpolate": _graph(self.interpolate, [text, text, seed, seed, number]),
        }

    # === Signatures ===

    def png_of_captions(self, captions):
        """PNG files of captions, with seed 0."""
        [captions] = _checked(captions)
        seed = tf.zeros_like(captions, tf.int64)
        return {"png_bytes": _pngs(self._draw(self._noise(seed), self._encode(captions)["sentence"])[0])}

    def generate(self, captions, seed):
        """Images, their finest masks, and how many words of each caption were known and unknown."""
        captions, seed = _checked(captions, seed)
        return self._pictures(captions, self._noise(seed))

    def generate_truncated(self, captions, seed, truncation):
        """As `generate`, with truncation."""
        captions, seed, truncation = _checked(captions, seed, truncation)
        return self._pictures(captions, self._noise(seed, truncation))

    def generate_with_masks(self, captions, seed):
        """As `generate`, with the masks of all stages: `mask_4`, `mask_8`, ..."""
        captions, seed = _checked(captions, seed)
        encoded = self._encode(captions)
        return self._stages(self._draw(self._noise(seed), encoded["sentence"]), encoded)

    def generate_with_overrides(self, captions, seed, mask_overrides):
        """As `generate_with_masks`, with `mask_overrides` (B, S, S): 0 holds the masks of all stages closed there, 1
        open, what is between in part; a negative number leaves them as predicted."""
        captions, seed, mask_overrides = _checked(captions, seed, mask_overrides)
        encoded = self._encode(captions)
        held = tf.where(mask_overrides >= 0, tf.minimum(mask_overrides, 1.0), -1.0)[..., None]
        return self._stages(self._draw_overridden(self._noise(seed), encoded["sentence"], held), encoded)

    def generate_png(self, captions, seed, truncation):
        """As `generate_truncated`, but PNG files and no masks."""
        drawn = self.generate_truncated(captions, seed, truncation)
        return {"png_bytes": _pngs(drawn["images"]), **_counts(drawn)}

    def encode_text(self, captions):
        """Ids (B, T), features of words (B, T, D), zero after a caption's end, sentences (B, D) and counts of words.

        A text encoder of others gives no features of words.
        """
        [captions] = _checked(captions)
        return self._encode(captions)

    def generate_from_embedding(self, sentence, seed):
        """Images and finest masks of sentences (B, D), such as mixtures of those that `encode_text` gives."""
        sentence, seed = _checked(sentence, seed)
        images, masks = self._draw(self._noise(seed), sentence)
        return {"images": images, "masks": masks[-1]}

    def interpolate(self, captions, to_captions, seed, to_seed, along):
        """Images on the way from one caption and seed to another; `along` (B,) in [0, 1] says how far.

        Sentences are mixed linearly, noises along the sphere.
        """
        captions, to_captions, seed, to_seed, along = _checked(captions, to_captions, seed, to_seed, along)
        start, end = self._encode(captions)["sentence"], self._encode(to_captions)["sentence"]
        along = along[:, None]
        noise_batch = _along_sphere(self._noise(seed), self._noise(to_seed), along)
        images, masks = self._draw(noise_batch, start * (1 - along) + end * along)
        return {"images": images, "masks": masks[-1]}

    # === Parts of them ===

    def _encode_rows(self, captions):
        captions = tf.strings.substr(captions, 0, _MOST_BYTES)
        ids, unknown = self.words(captions)
        known = tf.math.count_nonzero(ids, -1)
        if isinstance(self.text, HubGraph):
            encoded = {"sentence": self.text(captions)}
            # It reads the words that the vocabulary lacks, too.
            known, unknown = known + unknown, tf.zeros_like(unknown)
        else:
            encoded = dict(zip(("words", "sentence"), self.text(ids), strict=True))
        return {
            "ids": ids,
            **encoded,
            "known_words": known,
            "unknown_words": unknown,
        }

    def _noise(self, seed, truncation=None):
        drawn = tf.ensure_shape(noise.normals_in_graph(seed, self.noise_dim), [None, self.noise_dim])
        return drawn if truncation is None else drawn * truncation[:, None]

    def _pictures(self, captions, noise_batch):
        encoded = self._encode(captions)
        images, masks = self._draw(noise_batch, encoded["sentence"])
        return {"images": images, "masks": masks[-1], **_counts(encoded)}

    def _stages(self, drawn, encoded):
        images, masks = drawn
        stages = {f"mask_{size}": mask for size, mask in zip(self.mask_sizes, masks, strict=True)}
        return {"images": images, **stages, **_counts(encoded)}

    def _draw_rows(self, *inputs):
        """As `ImageGraph`, picture by picture."""

        def draw(row):
            image, masks = self.image(*(value[None] for value in row))
            return tuple(tf.squeeze(value, 0) for value in (image, *masks))

        shapes = [(self.image_size, self.image_size, 3), *((size, size, 1) for size in self.mask_sizes)]
        signature = tuple(map(tf.TensorSpec, shapes))
        image, *masks = tf.map_fn(draw, inputs, parallel_iterations=_PICTURES_AT_A_TIME, fn_output_signature=signature)
        return image, tuple(masks)


def _graph(function: Callable, signature: list[tf.TensorSpec]) -> tf.types.experimental.GenericFunction:
    # There is no Python in them that depends on a tensor, so nothing for autograph to do.
    return tf.function(function, signature, autograph=False)


def _row_by_row(rows: tf.Tensor, matrix: tf.Tensor) -> tf.Tensor:
    """The product of rows (..., I) and (I, J), each computed as if it were alone."""
    return tf.squeeze(tf.matmul(rows[..., None, :], matrix), -2)


class _WordsOfFile(CaptionEncoder):
    """A `CaptionEncoder` that reads its words from a file: an asset, where a person can read them too."""

    def __init__(self, vocabulary: pathlib.Path, max_words: int):
        tf.Module.__init__(self)
        with vocabulary.open(encoding="utf-8") as file:
            self.max_words, self.tokenizer = max_words, PADDINGS[file.readline().rstrip("\n")]
        # A line's number is its word's id. The first is padding, whose name no tokenizer makes, so 0 is free.
        words = tf.lookup.TextFileInitializer(
            str(vocabulary),
            tf.string,
            tf.lookup.TextFileIndex.WHOLE_LINE,
            tf.int64,
            tf.lookup.TextFileIndex.LINE_NUMBER,
        )
        self.table = tf.lookup.StaticHashTable(words, default_value=0)


def _checked(*inputs: tf.Tensor) -> list[tf.Tensor]:
    """The inputs, of a request that is not too large and has as many of each; others would be broadcast.

    What follows waits for the checks, so a request that is refused has cost nothing.
    """
    counts = [tf.shape(rows)[0] for rows in inputs]
    what = "A request draws too many pictures. Received:"
    few = tf.debugging.Assert(counts[0] <= MOST_PICTURES, [what, counts[0], f"Send at most {MOST_PICTURES} at once."])
    checks = [few]
    for count in counts[1:]:
        what = "Every picture has one of each input. Received inputs of lengths:"
        lengths = [what, counts[0], count, "Send as many of each."]
        checks.append(tf.debugging.Assert(tf.equal(counts[0], count), lengths))
    with tf.control_dependencies(checks):
        return [tf.identity(rows) for rows in inputs]


def _counts(encoded: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
    return {name: encoded[name] for name in ("known_words", "unknown_words")}


def _pngs(images: tf.Tensor) -> tf.Tensor:
    """(B, S, S, 3) in [-1, 1] -> (B,) PNG files, by the published rule of 8 bits; see `pictures.to_uint8`."""
    pixels = tf.cast((tf.clip_by_value(images, -1.0, 1.0) + 1.0) * 127.5, tf.uint8)
    return tf.map_fn(tf.io.encode_png, pixels, fn_output_signature=tf.TensorSpec([], tf.string))


def _along_sphere(start: tf.Tensor, end: tf.Tensor, along: tf.Tensor) -> tf.Tensor:
    """(B, D), (B, D), (B, 1) -> (B, D); as `sampling.interpolate` does it."""
    lengths = tf.norm(start, axis=-1, keepdims=True) * tf.norm(end, axis=-1, keepdims=True)
    cosine = tf.reduce_sum(start * end, -1, keepdims=True) / lengths
    angle = tf.acos(tf.clip_by_value(cosine, -1.0, 1.0))
    near = angle < 1e-4
    # Where the ends are one, a sine of 1 keeps the unused branch finite.
    sine = tf.where(near, tf.ones_like(angle), tf.sin(angle))
    on_sphere = (tf.sin((1 - along) * angle) * start + tf.sin(along * angle) * end) / sine
    return tf.where(near, start * (1 - along) + end * along, on_sphere)
