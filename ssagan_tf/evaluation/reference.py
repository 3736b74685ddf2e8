"""What a model is measured against: a data set's captions, and its real pictures as a training sees them."""

from __future__ import annotations

import hashlib
from collections.abc import Hashable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import tensorflow as tf
from PIL import Image

from ssagan_tf.data.records import CAPTIONS, IMAGE, KEY, LABEL, Prepared, features
from ssagan_tf.data.source import DRAWN, Source, resize_short_side, working_size
from ssagan_tf.data.synthbirds import ATTRIBUTES, Caption, SynthBirds, captions_with_attributes
from ssagan_tf.errors import UserError
from ssagan_tf.evaluation.retrieval import Matches, same_class, same_text, true_of

_TOGETHER = 64  # pictures


class Described(NamedTuple):
    """What is known of a real picture without looking at it.

    Attributes:
        captions: with the attributes that they name; of data other than synthbirds, none.
        truth: all of its attributes; of other data, none.
        key: its name within the data set, the same from raw data and from prepared ones.
        kind: its class; of synthbirds the colours of crown, wing and belly, the combination that is held out. None if
            the data has no classes.
    """

    captions: tuple[Caption, ...]
    truth: dict[str, str]
    key: str
    kind: Hashable = None


def described(data: Prepared | Source, split: str) -> list[Described]:
    """Captions and truth of every picture of a split. Raises UserError if it is empty."""
    found = list(_described(data, split))
    if not found:
        raise UserError(f"There is nothing to measure against. Received: {data.name} without {split!r}. Add pictures.")
    return found


def _described(data: Prepared | Source, split: str) -> Iterator[Described]:
    if isinstance(data, Prepared):
        for record in tf.data.TFRecordDataset(data.files(split)):
            parsed = tf.io.parse_single_example(record, features())
            captions = tuple(Caption(text.decode(), {}) for text in parsed[CAPTIONS].numpy())
            yield Described(captions, {}, parsed[KEY].numpy().decode(), _kind(int(parsed[LABEL])))
    elif isinstance(data, SynthBirds):
        for index, example in enumerate(data.examples(split)):
            bird = data.bird(split, index)
            truth = {name: getattr(bird, name) for name in ATTRIBUTES}
            captions, kind = tuple(captions_with_attributes(bird)), (bird.crown, bird.wing, bird.belly)
            yield Described(captions, truth, example.key, kind)
    else:
        for example in data.examples(split):
            captions = tuple(Caption(text, {}) for text in example.captions)
            yield Described(captions, {}, example.key, _kind(example.class_id))


def _kind(class_id: int) -> int | None:
    return class_id if class_id >= 0 else None


def matching(pictures: Sequence[Described], candidates: Sequence[tuple[Described, Caption]], near: bool) -> Matches:
    """Which captions are no mismatch for a picture: those that are true of it, or its own where that is not known.

    Args:
        pictures: that look for their caption.
        candidates: the captions to choose from, each with the picture that it was written for.
        near: whether captions of the picture's own class may be mismatched ones too. Not published, and harder: of
            rendered birds, all that is wrong may be the beak.
    """
    if pictures[0].truth:
        rule = true_of([picture.truth for picture in pictures], [caption.attributes for _, caption in candidates])
    else:
        own = [[caption.text for caption in picture.captions] for picture in pictures]
        rule = same_text(own, [caption.text for _, caption in candidates])
    if near:
        return rule
    kinds = same_class([picture.kind for picture in pictures], [owner.kind for owner, _ in candidates])
    return lambda picture, captions: rule(picture, captions) | kinds(picture, captions)


MISMATCH_RULE = "of another class, not true of the picture, nor the words of one of its own captions"


def crop_rule(data: Prepared | Source) -> str:
    """What is done to real pictures, in words."""
    if data.name in DRAWN:
        return "as drawn"
    room = f"{data.short_side} / {data.image_size}" if isinstance(data, Prepared) else "76 / 64"
    # A source of CUB crops to the box when it loads a picture, see `cub.crop_box`.
    box = "bounding box (square of 1.5 times its long side, clipped), " if data.name == "cub" else ""
    return f"{box}short side to size * {room}, central square"


def fingerprint(data: Prepared | Source, split: str, size: int) -> str:
    """SHA-256 of a split's real pictures: of its records where there are some, else of the pixels."""
    digest = hashlib.sha256()
    if isinstance(data, Prepared):
        for shard in data.shards:
            digest.update(shard.sha256.encode() if shard.split == split else b"")
    else:
        for part in real_pictures(data, split, size):
            digest.update(part.tobytes())
    return digest.hexdigest()


def real_pictures(data: Prepared | Source, split: str, size: int) -> Iterator[np.ndarray]:
    """The pictures of a split, in the order of `described`, a few at a time: uint8 (n, size, size, 3).

    The short side is brought to what it is for training, by default size * 76 / 64, and the central square taken.

    Raises:
        UserError: prepared pictures are smaller than `size`, or one cannot be read.
    """
    waiting = []
    for picture in _pictures(data, split, size):
        waiting.append(_central(picture, size))
        if len(waiting) == _TOGETHER:
            yield np.stack(waiting)
            waiting = []
    if waiting:
        yield np.stack(waiting)


def _pictures(data: Prepared | Source, split: str, size: int) -> Iterator[np.ndarray]:
    if isinstance(data, Prepared):
        target = data.short_side * size // data.image_size
        if data.image_size < size:
            raise UserError(
                f"The real pictures are smaller than the model's. Received: {data.name} prepared at {data.image_size} "
                f"pixels, not {size}. Prepare it with --image_size={size}."
            )
        for record in tf.data.TFRecordDataset(data.files(split)):
            png = tf.io.parse_single_example(record, features())[IMAGE]
            picture = Image.fromarray(tf.io.decode_png(png, channels=3).numpy())
            yield np.asarray(picture if data.image_size == size else resize_short_side(picture, target))
    else:
        target = working_size(data.name, size)
        for example in data.examples(split):
            yield np.asarray(resize_short_side(example.load(), target))


def _central(picture: np.ndarray, size: int) -> np.ndarray:
    top, left = ((side - size) // 2 for side in picture.shape[:2])
    return picture[top : top + size, left : left + size]
