"""One rule from caption to words, in plain Python and inside a TensorFlow graph.

The published rule (`datasets.py`, NLTK's `RegexpTokenizer(r"\\w+")`): lower case; every pair of U+FFFD becomes a
space; runs of `\\w`; characters outside ASCII are dropped from each word; empty words are dropped.
"""

from __future__ import annotations

import functools
import re
import sys
import typing

# A device has that module alone, so the rule in plain Python is written there.
from ssagan_tf.on_device import tokenize

if typing.TYPE_CHECKING:
    import tensorflow as tf

__all__ = ["tokenize", "tokenize_in_graph"]

# The only characters outside ASCII whose lower case has an ASCII letter in it: the Kelvin sign becomes "k", the
# dotted capital I becomes "i" and a combining dot, which ends a word. All others are dropped in the end, in either
# case, so lowering ASCII alone gives the same words as lowering everything.
_LOWER_BEYOND_ASCII = {"\u212a": "k", "\u0130": "i "}


@functools.cache
def _word_characters() -> str:
    """What Python's `\\w` matches, as the inside of an RE2 character class (RE2's own `\\w` is ASCII only)."""
    ranges: list[list[int]] = []
    for match in re.finditer(r"\w+", "".join(map(chr, range(sys.maxunicode + 1)))):
        ranges.append([ord(match[0][0]), ord(match[0][-1])])
    return "".join(f"\\x{{{first:x}}}-\\x{{{last:x}}}" for first, last in ranges)


def tokenize_in_graph(texts: tf.Tensor) -> tf.RaggedTensor:
    """The same words as `tokenize`, for string tensors.

    Args:
        texts: (B,) UTF-8 strings; bytes that are not UTF-8 count as U+FFFD, as in Python's `errors="replace"`.

    Returns:
        (B, None) strings.
    """
    import tensorflow as tf

    texts = tf.strings.unicode_transcode(texts, "UTF-8", "UTF-8", errors="replace")
    ascii_only = tf.reduce_all(tf.strings.length(texts) == tf.strings.length(texts, "UTF8_CHAR"))
    # All of Unicode's word characters make a pattern thirty times as slow as ASCII's.
    spaced = tf.cond(
        ascii_only,
        lambda: tf.strings.regex_replace(tf.strings.lower(texts), "[^0-9a-z_]+", " "),
        lambda: _spaced_unicode(texts),
    )
    return tf.strings.split(spaced)


def _spaced_unicode(texts: tf.Tensor) -> tf.Tensor:
    import tensorflow as tf

    for character, lowered in _LOWER_BEYOND_ASCII.items():
        texts = tf.strings.regex_replace(texts, character, lowered)
    spaced = tf.strings.regex_replace(tf.strings.lower(texts), f"[^{_word_characters()}]+", " ")
    return tf.strings.regex_replace(spaced, r"[^\x00-\x7f]+", "")
