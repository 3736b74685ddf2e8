"""Where words look: DAMSM's attention of a caption's words over its own picture, as figures and as a sheet."""

from __future__ import annotations

import collections
from typing import NamedTuple

import numpy as np
import tensorflow as tf
from PIL import Image

from ssagan_tf import losses, pictures
from ssagan_tf.damsm import DAMSM, GAMMA1
from ssagan_tf.data.synthbirds import PLUMAGE, Bird, Caption, part_masks
from ssagan_tf.errors import UserError
from ssagan_tf.evaluation.held_out import HeldOut
from ssagan_tf.text.captions import CaptionEncoder
from ssagan_tf.text.tokenizer import tokenize
from ssagan_tf.text.vocabulary import Vocabulary

# The last word of what a part of a rendered bird is called.
_NOUNS = {
    "crown": ("crown", "head", "cap"),
    "wing": ("wings",),
    "belly": ("belly", "tummy", "underside"),
    "breast": ("breast", "chest"),
    "tail": ("tail",),
}


def attention_of(damsm: DAMSM, ids: np.ndarray, images: np.ndarray) -> np.ndarray:
    """Attention of each caption's words over its own picture.

    Args:
        damsm: with word features.
        ids: (N, T), 0 is padding.
        images: uint8 (N, S, S, 3).

    Returns:
        float32 (N, T, h, w), each word's summing to 1; what stands at padding means nothing.

    Raises:
        UserError: the text encoder has no word features.
    """
    regions, _ = damsm.encode_pictures(images)
    words, *sentence = damsm.encode_captions(ids)
    if not sentence:
        raise UserError("The text encoder has no word features. Received: sentences alone. Use the LSTM.")
    lengths = np.count_nonzero(ids, -1)
    found = [
        losses.word_attention(regions[i : i + 1], words[i : i + 1], lengths[i : i + 1], GAMMA1)[0, 0].numpy()
        for i in range(len(ids))
    ]
    return np.moveaxis(np.stack(found), -1, 1)


class Share(NamedTuple):
    """How much of their attention words give to what they name, means over all of them.

    Attributes:
        colours: of the words for a part's colour.
        nouns: of the words for the part itself.
        area: the part's share of the picture, which attention that knows nothing would give it.
    """

    colours: float
    nouns: float
    area: float


def part_attention(damsm: DAMSM, encoder: CaptionEncoder, held: HeldOut) -> dict[str, Share]:
    """How much of their attention the words for a part of a rendered bird give to that part.

    The ground truth is the part's mask, brought to the size of a region. The published softmax cannot give a part all:
    a region gets at most e^4 = 55 times what another gets.

    Args:
        damsm: with word features.
        encoder: of captions, which knows all their words.
        held: rendered birds; one caption of each is read.

    Returns:
        Of each part that captions name with its colour, and of "all".

    Raises:
        UserError: no rendered birds, or no caption names a part.
    """
    captions = [texts[index % len(texts)] for index, texts in enumerate(held.captions)]
    ids = encoder(tf.constant([caption.text for caption in captions]))[0].numpy()
    found = collections.defaultdict(list)
    for bird, caption, attention in zip(held.birds, captions, attention_of(damsm, ids, held.pictures), strict=True):
        masks = part_masks(bird, held.pictures.shape[1])
        for part, (colour, noun) in words_of_parts(caption, bird).items():
            cover = _by_region(masks[part], attention.shape[-1])
            if max(colour, noun) < ids.shape[1]:  # else it was cut off
                found[part].append([(attention[place] * cover).sum() for place in (colour, noun)] + [cover.mean()])
    if not found:
        raise UserError("No caption names a part of a rendered bird. Received: other pictures. Use synthbirds.")
    shares = {part: found[part] for part in PLUMAGE if found[part]}
    shares["all"] = [share for each in shares.values() for share in each]
    return {part: Share(*np.mean(each, 0).tolist()) for part, each in shares.items()}


def words_of_parts(caption: Caption, bird: Bird) -> dict[str, tuple[int, int]]:
    """Places among a caption's words of the parts that it names with their colours: {part: (colour, noun)}.

    The colour is the nearest word of that colour: "a red crown", "its crown is red".
    """
    words, places = tokenize(caption.text), {}
    for part in PLUMAGE:
        nouns = [place for place, word in enumerate(words) if word in _NOUNS[part]]
        colours = [place for place, word in enumerate(words) if word == getattr(bird, part)]
        if part in caption.attributes and nouns and colours:
            # Of two as near, the one before it.
            places[part] = (min(colours, key=lambda colour: (abs(colour - nouns[0]), colour)), nouns[0])
    return places


def _by_region(mask: np.ndarray, regions: int) -> np.ndarray:
    """(S, S) -> (regions, regions): the share of each region that the mask covers."""
    return np.asarray(Image.fromarray(mask).resize((regions, regions), Image.Resampling.BOX))


def attention_sheet(
    damsm: DAMSM, encoder: CaptionEncoder, vocabulary: Vocabulary, held: HeldOut, rows: int
) -> Image.Image:
    """A row for each of some pictures: the picture with its caption, then where each word looks.

    Args:
        damsm: with word features.
        encoder, vocabulary: of captions.
        held: pictures with captions; of each of the first few, one caption is shown.
        rows: how many.
    """
    shown = held.pictures[:rows]
    texts = [captions[index % len(captions)].text for index, captions in enumerate(held.captions[:rows])]
    ids = encoder(tf.constant(texts))[0].numpy()
    attention = attention_of(damsm, ids, shown)
    words = [[vocabulary.words[number] for number in row if number] for row in ids]
    maps = [each[: len(row)] for each, row in zip(attention, words, strict=True)]
    return pictures.attention_sheet(shown, texts, words, maps)
