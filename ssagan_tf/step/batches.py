"""The batches that Keras's methods hand to `SSAGAN` and `DAMSM`: checked before anything is learned from them."""

from __future__ import annotations

import contextlib
import dataclasses
import re
import sys
from collections.abc import Callable, Iterator, Mapping

import numpy as np
import tensorflow as tf

from ssagan_tf.errors import UserError

_MARK = " ssagan_tf: "  # around our words, in the error of a graph
_FAR = 2.0  # no pixel in [-1, 1] is as far from 0
_TOO_MANY = 0.1  # share of such pixels


@dataclasses.dataclass(frozen=True)
class BatchForm:
    """The dictionary that a model takes as a batch.

    Args:
        image_size: height and width of the pictures; None: any.
        vocabulary_size: number of words with padding.
        noise_dim: of the noise; None: there is none.
        reads_text: whether captions stay text.
        to_ids: (B,) strings -> ids (B, T); may raise `UserError`.
    """

    image_size: int | None
    vocabulary_size: int
    noise_dim: int | None
    reads_text: bool
    to_ids: Callable[[tf.Tensor], tf.Tensor]

    def __str__(self) -> str:
        size = self.image_size or "S"
        captions = "text (B,)" if self.reads_text else "ids (B, T), 0 at the end is padding, or text (B,)"
        noise = f', "noise": float (B, {self.noise_dim}), optional' if self.noise_dim else ""
        return (
            f'{{"image": float (B, {size}, {size}, 3) in [-1, 1], "caption": {captions}, '
            f'"class_id": int (B,), optional{noise}}}'
        )

    def _refuse(self, received: str):
        raise UserError(f"The batch does not fit the model. Received: {received}. Give {self}.")

    def check(self, batch) -> dict:
        """The batch's dictionary, of tensors, arrays or their specs.

        Keras hands a dictionary over alone, or in a tuple that could hold targets, too.

        Raises:
            UserError: dtype, shape or name of something in it is wrong.
        """
        if isinstance(batch, list | tuple) and batch and all(part is None for part in batch[1:]):
            batch = batch[0]
        if not isinstance(batch, Mapping):
            told = f"a {type(batch).__name__}" + (f" of {len(batch)}" if isinstance(batch, list | tuple) else "")
            self._refuse(told)
        batch = {name: _with_dtype(value) for name, value in batch.items()}
        missing = {"image", "caption"} - set(batch)
        known = {"image", "caption", "class_id", "key"} | ({"noise"} if self.noise_dim else set())
        # A name that nobody reads is harmless, unless it is one that was meant to be read.
        if missing or ("class_id" not in batch and set(batch) - known):
            self._refuse(f"{', '.join(map(repr, batch)) or 'nothing'}")
        self._check_image(batch["image"])
        self._check_caption(batch["caption"])
        if "class_id" in batch:
            dtype, shape = _form(batch["class_id"])
            if not (dtype.is_integer or dtype == tf.string) or shape.rank not in (None, 1):
                self._refuse(f'"class_id": {_told(batch["class_id"])}')
        if "noise" in batch and self.noise_dim:
            dtype, shape = _form(batch["noise"])
            if not dtype.is_floating or not shape.is_compatible_with([None, self.noise_dim]):
                self._refuse(f'"noise": {_told(batch["noise"])}')
        read = [name for name in ("image", "caption", "class_id", "noise") if name in batch]
        counts = {_form(batch[name])[1][0] for name in read if _form(batch[name])[1].rank} - {None}
        if len(counts) > 1:
            told = ", ".join(f'"{name}": {_told(batch[name])}' for name in read)
            raise UserError(f"Pictures, captions and labels are not as many. Received: {told}. Give {self}.")
        return batch

    def _check_image(self, image) -> None:
        dtype, shape = _form(image)
        if not dtype.is_floating:
            self._refuse(f'"image": {_told(image)}; bring pixels to floats: pictures / 127.5 - 1')
        if not shape.is_compatible_with([None, self.image_size, self.image_size, 3]):
            first = shape.rank == 4 and shape[1] == 3
            self._refuse(f'"image": {_told(image)}' + ("; channels come last" if first else ""))

    def _check_caption(self, caption) -> None:
        dtype, shape = _form(caption)
        rank = 1 if dtype == tf.string else 2
        fits = dtype == tf.string if self.reads_text else dtype.is_integer or dtype == tf.string
        if not fits or shape.rank not in (None, rank):
            self._refuse(f'"caption": {_told(caption)}')

    def completed(self, batch) -> dict[str, tf.Tensor]:
        """The batch as the step wants it: text made ids, labels numbers; without labels each picture is its own class.

        Raises:
            UserError: as `check`; and where it is called eagerly for values that cannot be meant. Inside of a graph
                those end the step with an error that `told` translates.
        """
        batch = {name: tf.convert_to_tensor(value) for name, value in self.check(batch).items()}
        batch = self.with_ids(batch)
        if "class_id" not in batch:
            batch["class_id"] = -tf.ones(tf.shape(batch["caption"])[:1], tf.int64)
        elif batch["class_id"].dtype == tf.string:
            batch["class_id"] = tf.strings.to_hash_bucket_fast(batch["class_id"], 2**62)
        self._check_values(batch)
        return batch

    def with_ids(self, batch) -> dict:
        """The batch, its captions as ids unless the model reads text."""
        if self.reads_text or batch["caption"].dtype != tf.string:
            return batch
        return {**batch, "caption": self.to_ids(batch["caption"])}

    def _check_values(self, batch) -> None:
        # Rarely wrong, so few and cheap; one pixel that is not finite is for the step to find.
        image = tf.cast(batch["image"], tf.float32)
        far = tf.reduce_mean(tf.cast(tf.abs(image) > _FAR, tf.float32))
        _require(
            far < _TOO_MANY, f'"image" has pixels far beyond [-1, 1]. Received: floats, perhaps 0 to 255. Give {self}.'
        )
        sizes = [tf.shape(batch[name])[0] for name in ("image", "caption", "class_id")]
        same = (sizes[0] == sizes[1]) & (sizes[0] == sizes[2])
        _require(
            same, f"Pictures, captions and labels are not as many. Received: a batch of unequal parts. Give {self}."
        )
        if batch["caption"].dtype == tf.string:
            return
        ids = batch["caption"]
        inside = tf.reduce_all((ids >= 0) & (ids < self.vocabulary_size))
        _require(
            inside,
            f"A word id is not in the vocabulary. Received: ids below 0, or {self.vocabulary_size} or above. "
            "Encode captions with the model's caption_encoder.",
        )
        gap = tf.reduce_any((ids[:, :-1] == 0) & (ids[:, 1:] != 0))
        _require(~gap, f"Padding, 0, comes after a caption's words. Received: zeros before words. Give {self}.")


def _with_dtype(value):
    """Lists as tensors; NumPy's own strings too, which Keras does not know."""
    text = isinstance(value, np.ndarray) and value.dtype.kind in "USO"
    return tf.convert_to_tensor(value) if text or not hasattr(value, "dtype") else value


def _form(value) -> tuple[tf.DType, tf.TensorShape]:
    return tf.as_dtype(value.dtype), tf.TensorShape(value.shape)


def _told(value) -> str:
    dtype, shape = _form(value)
    sides = ", ".join("?" if side is None else str(side) for side in shape) if shape.rank is not None else "?"
    return f"{dtype.name} ({sides}{',' if shape.rank == 1 else ''})"


def _require(condition: tf.Tensor, message: str) -> None:
    if not tf.executing_eagerly():
        tf.debugging.Assert(condition, [_MARK + message + _MARK], summarize=1)
    elif not bool(condition):
        raise UserError(message)


@contextlib.contextmanager
def told() -> Iterator[None]:
    """Raises as `UserError` what `BatchForm.completed` found inside of a graph; other errors pass."""
    try:
        yield
    except tf.errors.InvalidArgumentError as error:
        parts = error.message.split(_MARK)
        if len(parts) < 3:
            raise
    else:
        return
    raise UserError(re.sub(r"\\(.)", r"\1", parts[1]))  # a graph escapes quotes


def warn_of_bright(batch, index) -> dict:
    """Says on stderr, at the batch of index 0, if no pixel is below 0: pictures in [0, 1] are a frequent slip.

    It is for the data, not for the step: XLA cannot compile what prints.

    Args:
        batch: with its "image" (B, S, S, 3), floats.
        index: of the batch, from 0.

    Returns:
        The batch.
    """

    def look():
        return tf.cond(
            tf.reduce_min(batch["image"]) >= 0,
            lambda: tf.print(
                'warning: no pixel of "image" is below 0. If pictures are in [0, 1], give 2 * pictures - 1.',
                output_stream=sys.stderr,
            ),
            tf.no_op,
        )

    tf.cond(tf.equal(index, 0), look, tf.no_op)
    return batch
