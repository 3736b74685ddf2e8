"""Discriminator overfitting: its logits for training, test and generated pictures."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import tensorflow as tf

from ssagan_tf.data.records import Prepared
from ssagan_tf.data.source import Source
from ssagan_tf.evaluation.reference import described, real_pictures
from ssagan_tf.networks import Generator
from ssagan_tf.ssagan import SSAGAN

_TOGETHER = 50


@dataclasses.dataclass(frozen=True)
class Memory:
    """Mean logits of pictures with captions of their own.

    Attributes:
        train: of pictures that the discriminator was trained on.
        test: of real ones that it has not seen.
        drawn: of drawn ones, of the test captions.
    """

    train: float
    test: float
    drawn: float

    @property
    def gap(self) -> float:
        """How much surer it is of pictures that it has seen."""
        return self.train - self.test

    @property
    def memorised(self) -> float:
        """The gap as a share of that between seen and drawn ones (r_v of Karras et al., NeurIPS 2020).

        About 0: unseen pictures look as real as seen ones. About 1: they look as false as drawn ones, so that the
        discriminator overfits its training pictures. Clipped to [0, 1]; 0 where it does not tell seen from drawn.
        """
        between = self.train - self.drawn
        return 0.0 if between <= 0 else min(1.0, max(0.0, self.gap / between))


class MemoryTest:
    """Measures `Memory` of a model as it is, again and again on the same pictures, captions and noise.

    Args:
        model: one that can be trained.
        data: a prepared folder or a source, with both splits.
        count: pictures of each kind, fewer where a split has fewer.
        generator: to draw with; None: the model's.

    Raises:
        UserError: a split is empty.
    """

    def __init__(self, model: SSAGAN, data: Prepared | Source, count: int = 500, generator: Generator | None = None):
        size, discriminator = model.generator.image_size, model.require_discriminator()
        self._real = {split: _pairs(data, split, size, count) for split in ("train", "test")}
        self._noise = model.noise_of(range(len(self._real["test"][1])))

        def logits_of(pictures, captions):
            sentence = model.text_encoder(model.to_ids(captions), training=False)[1]
            return discriminator(_scaled(pictures), sentence)

        def draw(captions, noise):
            return model.with_masks(captions, noise, generator=generator)[0]

        self._logits = tf.function(logits_of, reduce_retracing=True)
        self._draw = tf.function(draw, reduce_retracing=True)

    def __call__(self) -> Memory:
        captions = self._real["test"][1]
        drawn = np.concatenate([self._draw(*part).numpy() for part in _parts(captions, self._noise)])
        kinds = {**self._real, "drawn": (drawn, captions)}
        means = {}
        for kind, (pictures, captions) in kinds.items():
            logits = [self._logits(*part).numpy() for part in _parts(pictures, captions)]
            means[kind] = float(np.mean(np.concatenate(logits), dtype=np.float64))
        return Memory(**means)


def _pairs(data, split, image_size, count):
    """uint8 (N, S, S, 3), and a caption of each."""
    known = described(data, split)[:count]
    pictures = itertools.chain.from_iterable(real_pictures(data, split, image_size))
    taken = np.stack(list(itertools.islice(pictures, len(known))))
    captions = [each.captions[index % len(each.captions)].text for index, each in enumerate(known)]
    return taken, np.array([text.encode(errors="replace") for text in captions])


def _scaled(pictures):
    return tf.cast(pictures, tf.float32) / 127.5 - 1.0 if pictures.dtype == tf.uint8 else pictures


def _parts(*rows):
    return [
        [tf.constant(row[first : first + _TOGETHER]) for row in rows] for first in range(0, len(rows[0]), _TOGETHER)
    ]
