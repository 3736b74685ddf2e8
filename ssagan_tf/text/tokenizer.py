r"""From a caption to words, inside a TensorFlow graph as in plain Python, and which characters are lost on the way.

The rules are those of `tokenize`. The published one keeps ASCII letters alone; the one for letters of all scripts is
for data sets that are not in English.
"""

from __future__ import annotations

import functools
import re
import typing
import unicodedata
from collections.abc import Callable

import numpy as np

# A device has that module alone, so the rules in plain Python are written there.
from ssagan_tf.on_device import PADDINGS, UNSPACED, tokenize

if typing.TYPE_CHECKING:
    import tensorflow as tf

__all__ = ["TOKENIZERS", "lost_characters", "tokenize", "tokenize_in_graph"]

TOKENIZERS = tuple(PADDINGS.values())
# The only characters outside ASCII whose lower case has an ASCII letter in it: the Kelvin sign becomes "k", the
# dotted capital I becomes "i" and a combining dot, which ends a word. All others are dropped in the end, in either
# case, so lowering ASCII alone gives the same words as lowering everything.
_LOWER_BEYOND_ASCII = {"\u212a": "k", "\u0130": "i "}
_MOST_MARKS = 3  # of a letter that Unicode can write as one character
_POINT_BITS = 21
_POINTS = (*range(0x32400), *range(0xE0000, 0xE0200))  # where Unicode has characters that it says something of


def lost_characters(text: str, rule: str) -> list[str]:
    """Letters, numbers, marks and pictographs of a caption that its words have not, each once, in order.

    Punctuation and U+FFFD, which stands for what could not be read, are not counted.
    """
    if text.isascii():
        return []
    kept = set("".join(tokenize(text, rule)))
    composed = unicodedata.normalize("NFC", text.lower())
    meant = (each for each in dict.fromkeys(composed) if unicodedata.category(each) == "So" or _category(each) in "LN")
    return [each for each in meant if each not in kept and each != "\ufffd"]


def _category(character: str) -> str:
    return unicodedata.category(character)[0]


def tokenize_in_graph(texts: tf.Tensor, rule: str = "published") -> tf.RaggedTensor:
    """The same words as `tokenize`, for string tensors.

    Args:
        texts: (B,) UTF-8 strings; bytes that are not UTF-8 count as U+FFFD, as in Python's `errors="replace"`.
        rule: `"published"` or `"unicode"`.

    Returns:
        (B, None) strings.
    """
    import tensorflow as tf

    texts = tf.strings.unicode_transcode(texts, "UTF-8", "UTF-8", errors="replace")
    ascii_only = tf.reduce_all(tf.strings.length(texts) == tf.strings.length(texts, "UTF8_CHAR"))
    beyond_ascii = _spaced_unicode if rule == "unicode" else _spaced_published
    # All of Unicode's word characters make a pattern thirty times as slow as ASCII's.
    spaced = tf.cond(
        ascii_only,
        lambda: tf.strings.regex_replace(tf.strings.lower(texts), "[^0-9a-z_]+", " "),
        lambda: beyond_ascii(texts),
    )
    return tf.strings.split(spaced)


def _spaced_published(texts: tf.Tensor) -> tf.Tensor:
    import tensorflow as tf

    for character, lowered in _LOWER_BEYOND_ASCII.items():
        texts = tf.strings.regex_replace(texts, character, lowered)
    spaced = tf.strings.regex_replace(tf.strings.lower(texts), f"[^{_class_of(_is_word)}]+", " ")
    return tf.strings.regex_replace(spaced, r"[^\x00-\x7f]+", "")


def _spaced_unicode(texts: tf.Tensor) -> tf.Tensor:
    import tensorflow as tf

    letters, marks = _class_of(_is_letter), _class_of(_is_mark)
    texts = tf.strings.regex_replace(texts, r"\x00", " ")  # would end a text when it is lowered
    spaced = tf.strings.regex_replace(_composed(tf.strings.lower(texts, "utf-8")), f"[^{letters}{marks}]+", " ")
    spaced = tf.strings.regex_replace(spaced, f"(^| )[{marks}]+", " ")
    return tf.strings.regex_replace(spaced, f"[{_class_of(_is_unspaced)}][{marks}]*", r" \0 ")


def _composed(texts: tf.Tensor) -> tf.Tensor:
    """Unicode's composed form, NFC; marks are taken in the order in which they come."""
    import tensorflow as tf

    points = tf.strings.unicode_decode(texts, "UTF-8")
    changed, others = map(tf.constant, _replacements())
    place, found = _find(changed, points.values)
    alone = tf.pad(points.values[:, None], [[0, 0], [0, _MOST_MARKS - 1]], constant_values=-1)
    points = points.with_values(tf.where(found[:, None], tf.gather(others, place), alone)).merge_dims(1, 2)
    points = tf.ragged.boolean_mask(points, points >= 0)
    pairs, composites = map(tf.constant, _composites())
    for _ in range(_MOST_MARKS):
        flat, rows = points.values, points.value_rowids()
        following = tf.where(tf.equal(rows[1:], rows[:-1]), flat[1:], 0)
        wanted = tf.bitwise.left_shift(tf.cast(flat[:-1], tf.int64), _POINT_BITS) + tf.cast(following, tf.int64)
        place, found = _find(pairs, wanted)
        flat = tf.concat([tf.where(found, tf.gather(composites, place), flat[:-1]), flat[-1:]], 0)
        kept = tf.concat([tf.fill(tf.minimum(tf.shape(flat), 1), True), ~found], 0)
        points = tf.ragged.boolean_mask(points.with_values(flat), points.with_values(kept))
    return tf.strings.unicode_encode(points, "UTF-8")


def _find(table: tf.Tensor, values: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Places of values in a sorted table, and whether they are there."""
    import tensorflow as tf

    place = tf.minimum(tf.searchsorted(table, values), table.shape[0] - 1)
    return place, tf.equal(tf.gather(table, place), values)


@functools.cache
def _replacements() -> tuple[np.ndarray, np.ndarray]:
    """Sorted int32 (N,) of characters that NFC replaces, and int32 (N, 3) of what by, -1 after the end."""
    found = {point: nfc for point in _POINTS if (nfc := unicodedata.normalize("NFC", chr(point))) != chr(point)}
    rows = [[ord(each) for each in nfc] + [-1] * (_MOST_MARKS - len(nfc)) for nfc in found.values()]
    return np.array(list(found), np.int32), np.array(rows, np.int32)


@functools.cache
def _composites() -> tuple[np.ndarray, np.ndarray]:
    """Sorted int64 of (first << 21) + second for pairs that NFC composes, and int32 of what they become."""
    found = {}
    for point in _POINTS:
        apart = unicodedata.normalize("NFD", chr(point))
        if len(apart) > 1 and unicodedata.normalize("NFC", apart) == chr(point):
            first = unicodedata.normalize("NFC", apart[:-1])
            if len(first) == 1:
                found[(ord(first) << _POINT_BITS) + ord(apart[-1])] = point
    pairs = sorted(found)
    return np.array(pairs, np.int64), np.array([found[pair] for pair in pairs], np.int32)


def _is_word(character: str) -> bool:
    return re.match(r"\w", character) is not None


def _is_letter(character: str) -> bool:
    return character == "_" or _category(character) in "LN"


def _is_unspaced(character: str) -> bool:
    return _is_letter(character) and re.match(f"[{UNSPACED}]", character) is not None


def _is_mark(character: str) -> bool:
    return _category(character) == "M"


@functools.cache
def _class_of(belongs: Callable[[str], bool]) -> str:
    """The inside of an RE2 character class: RE2's own classes are ASCII, or of another version of Unicode."""
    ranges: list[list[int]] = []
    for point in filter(lambda point: belongs(chr(point)), _POINTS):
        if ranges and ranges[-1][1] == point - 1:
            ranges[-1][1] = point
        else:
            ranges.append([point, point])
    return "".join(f"\\x{{{first:x}}}-\\x{{{last:x}}}" for first, last in ranges)
