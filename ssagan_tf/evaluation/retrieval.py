"""Whether pictures find their captions: R@1 of one right caption among 99 mismatched ones.

Of held-out pictures it tells how well two encoders were trained together; of generated pictures it is AttnGAN's
R-precision (Xu et al., CVPR 2018, section 4), how well a picture shows what its caption asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import NamedTuple

import numpy as np

from ssagan_tf.core.progress import Bar
from ssagan_tf.errors import UserError
from ssagan_tf.text.tokenizer import tokenize

MISMATCHED = 99  # captions beside the right one
_SMALLEST_NORM = 1e-12
_ROUNDING = 1e-9  # cosines that differ by less are the same

# matches(picture, captions): which of the captions, indices (n,), are true of a picture, an index -> bool (n,).
Matches = Callable[[int, np.ndarray], np.ndarray]


class Precision(NamedTuple):
    """The share of pictures that found their caption: mean and standard deviation over the draws, in [0, 1]."""

    mean: float
    deviation: float


def retrieval_precision(
    picture_codes: np.ndarray,
    caption_codes: np.ndarray,
    own: np.ndarray,
    matches: Matches,
    draws: int = 10,
    mismatched: int = MISMATCHED,
    seed: int = 0,
    progress: bool = False,
) -> Precision:
    """R@1 of 1 + 99: the right caption's cosine with the picture must be above those of all mismatched ones.

    Mismatched captions are drawn anew for each picture and draw, without replacement, from all captions but its own
    and those that `matches` says are no mismatch: see `same_class`, `same_text` and `true_of`. Where several captions
    are equally near, the picture finds its own by chance, so that an encoder that tells nothing apart scores 1 %.

    Args:
        picture_codes: (N, D) of the pictures, any float.
        caption_codes: (M, D) of the captions.
        own: (N,) int, the right caption of each picture.
        matches: captions that are no mismatch for a picture.
        draws: how often all pictures are asked.
        mismatched: captions beside the right one.
        seed: of the draws.
        progress: show a progress bar.

    Raises:
        UserError: nothing to ask, codes that are not finite, or a picture without enough mismatched captions.
    """
    pictures, captions = _unit(picture_codes, "picture"), _unit(caption_codes, "caption")
    if not len(pictures) or draws < 1:
        raise UserError(f"Nothing to look for. Received: {len(pictures)} pictures, {draws} draws. Give one at least.")
    dice = np.random.default_rng(seed)
    shares = []
    with Bar(draws, "draws", progress) as bar:
        for _ in range(draws):
            found = 0.0
            for index, picture in enumerate(pictures):
                others = _mismatched(dice, index, int(own[index]), len(captions), matches, mismatched)
                cosines, right = captions[others] @ picture, captions[own[index]] @ picture
                if not (cosines > right + _ROUNDING).any():
                    found += 1 / (1 + np.count_nonzero(cosines > right - _ROUNDING))
            shares.append(found / len(pictures))
            bar.step()
    return Precision(float(np.mean(shares)), float(np.std(shares)))


def check_mismatched(own: Sequence[int], captions: int, matches: Matches, mismatched: int = MISMATCHED) -> None:
    """Before there are codes: raises UserError where `retrieval_precision` would, for a picture without enough."""
    dice = np.random.default_rng(0)
    for index, caption in enumerate(own):
        _mismatched(dice, index, int(caption), captions, matches, mismatched)


def _unit(codes: np.ndarray, what: str) -> np.ndarray:
    codes = np.asarray(codes, np.float64)
    if not np.isfinite(codes).all():
        raise UserError(
            f"A {what} has no code. Received: values that are not finite. "
            "The model has diverged: use an earlier checkpoint."
        )
    return codes / np.maximum(np.linalg.norm(codes, axis=-1, keepdims=True), _SMALLEST_NORM)


def _mismatched(
    dice: np.random.Generator, picture: int, own: int, total: int, matches: Matches, count: int
) -> np.ndarray:
    """`count` captions that do not belong to the picture. A few are tried first: seldom do many match."""
    for tried in (min(total, 2 * count), total):
        candidates = dice.choice(total, tried, replace=False)
        candidates = candidates[(candidates != own) & ~matches(picture, candidates)]
        if len(candidates) >= count:
            return candidates[:count]
    raise UserError(
        f"There are too few captions to choose from. Received: {len(candidates)} of {total} that do not match "
        f"picture {picture}, and {count} are wanted. Give more pictures (--count), or pictures of other things."
    )


def same_class(pictures: Sequence[Hashable], candidates: Sequence[Hashable]) -> Matches:
    """The rule of DM-GAN (Zhu et al., CVPR 2019, `get_mis_caption`): only captions of other classes are mismatched.

    AttnGAN, which brought R-precision up, came without code for it.

    Args:
        pictures: the class of each picture; None: it has none, and matches nothing by this rule.
        candidates: the class of each candidate's own picture.
    """
    numbers = {kind: number for number, kind in enumerate(dict.fromkeys([*pictures, *candidates])) if kind is not None}
    theirs = np.array([numbers.get(kind, -1) for kind in candidates])
    return lambda picture, captions: theirs[captions] == numbers.get(pictures[picture], -2)


def same_text(captions_of: Sequence[Sequence[str]], candidates: Sequence[str]) -> Matches:
    """The rule for data of which only captions are known: a candidate matches a picture if it is one of its captions,
    or the same words as one of them, whichever picture it was written for.

    Args:
        captions_of: all captions of each picture.
        candidates: the captions to choose from.
    """
    words = [tuple(tokenize(text, "unicode")) for text in candidates]
    numbers = {text: number for number, text in enumerate(dict.fromkeys(words))}
    which = np.array([numbers[text] for text in words])
    known = [
        np.array(
            [numbers[text] for text in {tuple(tokenize(text, "unicode")) for text in texts} if text in numbers], int
        )
        for texts in captions_of
    ]
    return lambda picture, captions: np.isin(which[captions], known[picture])


def true_of(truths: Sequence[dict[str, str]], claims: Sequence[dict[str, str]]) -> Matches:
    """The rule where the truth is known: a candidate matches a picture if all that it says is true of it, whichever
    picture it was written for: "a bird with a yellow belly" is true of many.

    Args:
        truths: of each picture, its attributes.
        claims: of each candidate, the attributes that it names, with their values.
    """
    names = sorted({name for truth in truths for name in truth})
    numbers: dict[str, int] = {}

    def table(rows: Sequence[dict[str, str]]) -> np.ndarray:
        return np.array([[numbers.setdefault(row[n], len(numbers)) if n in row else -1 for n in names] for row in rows])

    shown, said = table(truths), table(claims)

    def matches(picture: int, captions: np.ndarray) -> np.ndarray:
        claimed = said[captions]
        return ((claimed < 0) | (claimed == shown[picture])).all(-1)

    return matches
