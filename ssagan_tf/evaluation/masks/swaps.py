"""Swaps a word of a caption and measures what changes in the picture."""

from __future__ import annotations

import re
from collections.abc import Container
from typing import NamedTuple

import numpy as np

from ssagan_tf.data.synthbirds import COLOURS, PLUMAGE, Caption
from ssagan_tf.errors import UserError
from ssagan_tf.text.tokenizer import tokenize

CHANGED = 0.1  # of the whole range of a pixel: more than that is a change
CHANGED_RULE = f"mean over channels of |before - after| > {CHANGED} * 255"
SWAP_RULE = "one colour word that occurs once, of a drawn bird one of its plumage, for one that the caption lacks"


class Swap(NamedTuple):
    """One word of a caption put in place of another.

    Attributes:
        old: the word that goes.
        new: the word that comes.
        caption: the text with it.
        parts: those of `PLUMAGE` whose colour the word names; () where that is not known.
    """

    old: str
    new: str
    caption: str
    parts: tuple[str, ...]


def swap_word(caption: str, old: str, new: str) -> str:
    """The caption with another word wherever the old one stands; "a" and "an" before it are put right.

    Raises:
        UserError: the caption does not have the word.
    """
    article = "an" if new[:1].lower() in tuple("aeiou") else "a"

    def put(match: re.Match) -> str:
        before = match["article"]
        if before is None:
            return new
        return (article.capitalize() if before[0].isupper() else article) + match["space"] + new

    pattern = rf"(?:\b(?P<article>an?)(?P<space>\s+))?\b{re.escape(old)}\b"
    text, count = re.subn(pattern, put, caption, flags=re.IGNORECASE)
    if not count or not old:
        raise UserError(f"The caption does not have that word. Received: {old!r} for {caption!r}. Name a word of it.")
    return text


def choose_swap(caption: Caption, turn: int, known: Container[str]) -> Swap | None:
    """A swap of two colour words by `SWAP_RULE`; None: the caption has no such word.

    Args:
        caption: with its attributes if they are known.
        turn: any whole number; another one, another of the possible swaps.
        known: the words that the model knows.
    """
    words = tokenize(caption.text)
    plumage = {part: caption.attributes[part] for part in PLUMAGE if part in caption.attributes}
    names = [word for word in COLOURS if word in known]
    # What occurs twice may be the colour of the beak too, and then more would change than is meant.
    olds = [w for w in names if words.count(w) == 1 and (not caption.attributes or w in plumage.values())]
    news = [word for word in names if word not in words]
    if not olds or not news:
        return None
    old, new = olds[turn % len(olds)], news[turn // len(olds) % len(news)]
    parts = tuple(part for part, colour in plumage.items() if colour == old)
    return Swap(old, new, swap_word(caption.text, old, new), parts)


def difference(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """How much each pixel changed: uint8 (..., H, W, 3) twice -> float32 (..., H, W) in [0, 1], mean over channels."""
    return np.abs(before.astype(np.float32) - after).mean(-1) / np.float32(255)
