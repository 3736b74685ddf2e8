"""The embedded data set "synthbirds": rendered birds with captions, and the truth about both.

Everything follows from (seed, split, index) alone; nothing is stored or downloaded.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

from ssagan_tf.data.source import Example, Findings, check_split
from ssagan_tf.data.synthbirds.attributes import ATTRIBUTES, COLOURS, PLUMAGE, Bird, Dice, held_out, random_bird
from ssagan_tf.data.synthbirds.canvas import check_size
from ssagan_tf.data.synthbirds.captions import FIXED_CAPTIONS, Caption, captions, captions_with_attributes
from ssagan_tf.data.synthbirds.drawing import draw, part_masks
from ssagan_tf.data.synthbirds.plumage import PARTS
from ssagan_tf.errors import UserError

__all__ = [
    "ATTRIBUTES",
    "COLOURS",
    "FIXED_CAPTIONS",
    "PARTS",
    "PLUMAGE",
    "Bird",
    "Caption",
    "SynthBirds",
    "captions",
    "captions_with_attributes",
    "draw",
    "held_out",
    "part_masks",
    "random_bird",
]


class SynthBirds:
    """The source: 20,000 birds to train on and 2,000 to test with, unless `count` says otherwise.

    Args:
        image_size: pixels on a side; pictures are drawn at this size, never resized.
        seed: another seed, other birds.
        count: number of birds of "train" and "test".
        family: so many birds in a row have crown, wing and belly in common: they are told apart by all the rest.

    Raises:
        UserError: a size that cannot be drawn, no such split, or no bird at all in one.
    """

    name = "synthbirds"
    tokenizer = "published"
    FAMILY = 8  # of a pretraining that has the time for what it teaches

    def __init__(self, image_size: int, seed: int = 0, count: dict[str, int] | None = None, family: int = 1) -> None:
        check_size(image_size)
        self.findings = Findings()
        self.family = family
        self.image_size = image_size
        self.seed = seed
        self.count = {"train": 20_000, "test": 2_000} | (count or {})
        for split, number in self.count.items():
            check_split(split)
            if number < 1:
                raise UserError(f"A split needs birds. Received: {number} for {split}. Give at least 1.")

    def examples(self, split: str) -> Sequence[Example]:
        """All examples of "train" or "test", each made when it is asked for. `class_id` is the breast's colour,
        counted in `COLOURS`. Raises UserError for another split."""
        check_split(split)
        return _Examples(self, split)

    def bird(self, split: str, index: int) -> Bird:
        """What example `index` of the split shows."""
        eldest = index - index % self.family
        return random_bird(split, Dice(self.seed, split, index), Dice(self.seed, split, eldest))

    def vocabulary(self) -> None:
        """None: it is built from the training captions."""


class _Examples(Sequence):
    def __init__(self, source: SynthBirds, split: str) -> None:
        self._source = source
        self._split = split
        self._indices = range(source.count[split])

    def __len__(self) -> int:
        return len(self._indices)

    def __getitem__(self, index):
        if isinstance(index, slice):
            return [self[i] for i in self._indices[index]]
        index = self._indices[index]
        bird = self._source.bird(self._split, index)
        return Example(
            key=f"{self._split}-{index:06d}",
            captions=captions(bird),
            class_id=ATTRIBUTES["breast"].index(bird.breast),
            load=functools.partial(draw, bird, self._source.image_size),
        )
