"""Held-out pictures with their captions, and how well two encoders bring them together."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np

from ssagan_tf.damsm import DAMSM
from ssagan_tf.data.records import Prepared
from ssagan_tf.data.source import Source
from ssagan_tf.data.synthbirds import Bird, Caption, SynthBirds
from ssagan_tf.evaluation.reference import described, matching, real_pictures
from ssagan_tf.evaluation.retrieval import Matches, Precision, retrieval_precision
from ssagan_tf.text.captions import CaptionEncoder

SPLIT = "test"
MOST = 500  # pictures; the deviation of a share of so many is 2 % at most


@dataclasses.dataclass(frozen=True)
class HeldOut:
    """Pictures of the split "test".

    Attributes:
        pictures: uint8 (N, S, S, 3), the central square of each.
        captions: all captions of each, with what they claim if that is known (synthbirds).
        matches: which of `texts` are no mismatch for a picture: see `reference.matching`.
        matches_near: the same, but captions of its own class are not excused.
        birds: what each shows, if it is drawn on the fly (synthbirds); else none.
    """

    pictures: np.ndarray
    captions: tuple[tuple[Caption, ...], ...]
    matches: Matches
    matches_near: Matches
    birds: tuple[Bird, ...] = ()

    @property
    def texts(self) -> list[str]:
        """Every caption of every picture, a picture's own side by side."""
        return [caption.text for captions in self.captions for caption in captions]

    @property
    def own(self) -> np.ndarray:
        """(N,) int, the place in `texts` of one caption of each picture: its first, second, ... in turn."""
        counts = np.array([len(captions) for captions in self.captions])
        starts = np.cumsum(counts) - counts
        return starts + np.arange(len(counts)) % counts

    def enough(self, mismatched: int) -> bool:
        """Whether each picture has so many captions to choose from that do not match it."""
        every = np.arange(len(self.texts))
        return all(np.count_nonzero(~self.matches(i, every)) >= mismatched for i in range(len(self.pictures)))


def held_out(data: Prepared | Source, image_size: int, half: int, most: int = MOST) -> HeldOut | None:
    """Every other picture to test with: what chooses among weights (half 0) must not be what judges them (half 1).

    Args:
        data: a prepared folder, or a source.
        image_size: height and width S.
        half: 0 or 1.
        most: pictures.

    Returns:
        None if there is no such picture.
    """
    count = data.examples(SPLIT) if isinstance(data, Prepared) else len(data.examples(SPLIT))
    indices = np.arange(count)[half::2][:most]
    if not len(indices):
        return None
    known = described(data, SPLIT)
    batches = real_pictures(data, SPLIT, image_size)
    pictures = itertools.islice((picture for batch in batches for picture in batch), half, indices[-1] + 1, 2)
    captions = tuple(known[index].captions for index in indices)
    chosen = [known[index] for index in indices]
    candidates = [(picture, caption) for picture in chosen for caption in picture.captions]
    own, near = (matching(chosen, candidates, same_class) for same_class in (False, True))
    birds = tuple(data.bird(SPLIT, int(index)) for index in indices) if isinstance(data, SynthBirds) else ()
    return HeldOut(np.stack(list(pictures)), captions, own, near, birds)


def retrieval(damsm: DAMSM, encoder: CaptionEncoder, held: HeldOut, draws: int = 1, near: bool = False) -> Precision:
    """R@1 of each picture's caption among 99 mismatched ones, by code and sentence: see `retrieval_precision`.

    With `near`, captions of the picture's own class are among them.

    Raises:
        UserError: there are not 99 mismatched captions.
    """
    _, codes = damsm.encode_pictures(held.pictures)
    *_, sentences = damsm.encode_captions(encoder(np.array(held.texts, object))[0].numpy())
    return retrieval_precision(codes, sentences, held.own, held.matches_near if near else held.matches, draws)
