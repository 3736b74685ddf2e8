"""From a caption's text to a row of word ids, in a graph, and what to tell whoever wrote the caption."""

from __future__ import annotations

import tensorflow as tf

from ssagan_tf.errors import UserError
from ssagan_tf.on_device import MAX_CHARACTERS
from ssagan_tf.text.tokenizer import tokenize_in_graph
from ssagan_tf.text.vocabulary import Vocabulary

_TOLD = 10  # unknown words, each with its nearest known ones; looking those up takes time


class CaptionEncoder(tf.Module):
    """Captions to padded ids inside a graph; unknown words are left out and counted.

    Args:
        vocabulary: words and ids.
        max_words: width T of the result; 18 as published.
    """

    def __init__(self, vocabulary: Vocabulary, max_words: int = 18):
        super().__init__()
        self.max_words, self.tokenizer = max_words, vocabulary.tokenizer
        words = tf.constant(vocabulary.words[1:], tf.string)
        ids = tf.range(1, len(vocabulary), dtype=tf.int64)
        self.table = tf.lookup.StaticHashTable(tf.lookup.KeyValueTensorInitializer(words, ids), default_value=0)

    def known_ids(self, texts: tf.Tensor) -> tuple[tf.RaggedTensor, tf.Tensor]:
        """(B,) strings -> (ids of the known words (B, None) int64, number of unknown words (B,) int64)."""
        words = tokenize_in_graph(texts, self.tokenizer)
        ids = words.with_values(self.table.lookup(words.values))
        known = tf.ragged.boolean_mask(ids, ids > 0)
        return known, words.row_lengths() - known.row_lengths()

    def __call__(self, texts: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """For sampling: the first `max_words` known words.

        Args:
            texts: (B,) strings.

        Returns:
            ids (B, max_words) int64, zeros after the end, and the number of unknown words (B,) int64.
        """
        known, unknown = self.known_ids(texts)
        return known.to_tensor(shape=[None, self.max_words]), unknown

    def sample(self, text: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """For training: of a longer caption, `max_words` positions at random, their order kept, as published.

        Args:
            text: scalar string.
            seed: (2,) integers.

        Returns:
            (max_words,) int64, zeros after the end.
        """
        known = self.known_ids(text[None])[0].values
        order = tf.argsort(tf.random.stateless_uniform(tf.shape(known), seed, alg="philox"))
        kept = tf.gather(known, tf.sort(order[: self.max_words]))
        kept = tf.pad(kept, [[0, self.max_words - tf.size(kept)]])
        return tf.ensure_shape(kept, [self.max_words])


class PlainCaptions:
    """In the place of a `CaptionEncoder` where captions are read as they are: nothing is unknown."""

    def __call__(self, texts: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """(B,) strings -> the same, and zeros (B,) int64."""
        return texts, tf.zeros_like(texts, tf.int64)

    def sample(self, text: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """For training: the text as it is."""
        del seed
        return text


def lengths_of(captions: tf.Tensor) -> tf.Tensor:
    """Words of ids (B, T), 0 is padding; of strings (B,), whose words are not told apart, 1: (B,) int64."""
    ids = captions[:, None] if captions.dtype == tf.string else captions
    return tf.math.count_nonzero(ids, -1)


def check_text(caption: str) -> None:
    """Raises UserError unless it is text, and no longer than anyone can mean."""
    if not isinstance(caption, str):
        raise UserError(f"A caption must be text. Received: {caption!r}. Give a str for each picture.")
    if len(caption) > MAX_CHARACTERS:
        raise UserError(
            f"The caption is too long. Received: {len(caption):,} characters. Use at most {MAX_CHARACTERS:,}."
        )


def notes(caption: str, vocabulary: Vocabulary, max_words: int) -> list[str]:
    """What whoever wrote the caption should know before sampling: unknown words with suggestions, words cut off.

    Raises:
        UserError: no text, too long, or no word of it is known.
    """
    check_text(caption)
    words = vocabulary.tokenize(caption)
    unknown = vocabulary.unknown(caption)
    if len(unknown) == len(dict.fromkeys(words)):
        hint = f" Nearest known words: {', '.join(_nearest(unknown, vocabulary))}." if unknown else ""
        raise UserError(
            f"The caption holds no word that the model knows. Received: {_short(caption)!r}. "
            f"Describe the picture in words of its vocabulary.{hint}"
        )
    found = [_about(word, vocabulary) for word in unknown[:_TOLD]]
    if len(unknown) > _TOLD:
        found.append(f"{len(unknown) - _TOLD:,} more unknown words are left out.")
    known_count = len(vocabulary.encode(caption))
    if known_count > max_words:
        found.append(f"Only the first {max_words} of {known_count} known words count: {_short(caption)!r}.")
    return found


def _about(word: str, vocabulary: Vocabulary) -> str:
    nearest = vocabulary.suggest(word)
    hint = f"Did you mean: {', '.join(nearest)}?" if nearest else "No known word is like it."
    return f"Unknown word {_short(word)!r} is left out. {hint}"


def _nearest(unknown: list[str], vocabulary: Vocabulary) -> list[str]:
    found = [nearest for word in unknown[:_TOLD] for nearest in vocabulary.suggest(word, 1)]
    return list(dict.fromkeys(found)) or list(vocabulary.words[1:6])


def _short(text: str) -> str:
    return text if len(text) <= 80 else text[:77] + "..."
