"""Pretrained word vectors in GloVe's text format: a word and its numbers on each line."""

from __future__ import annotations

import os
import pathlib

import numpy as np

from ssagan_tf.errors import UserError
from ssagan_tf.text.vocabulary import Vocabulary

_LONGEST = 2**16  # bytes of a line


def dimension(path: str | os.PathLike) -> int:
    """How many numbers a word has. Raises UserError if it is no such file."""
    for _, _, numbers in _lines(path):
        return len(numbers)
    raise UserError(f"The file has no word vectors. Received: {path}. Give one in GloVe's text format.")


def read(path: str | os.PathLike, vocabulary: Vocabulary) -> dict[int, np.ndarray]:
    """Vectors of the vocabulary's words that the file has: id -> float32 (D,). The file may be larger than memory.

    Raises:
        UserError: it is no such file, or has numbers of another count or not finite ones.
    """
    ids = {word: index for index, word in enumerate(vocabulary.words) if index}
    size, found = dimension(path), {}
    for number, word, numbers in _lines(path):
        index = ids.get(word)
        if index is None or index in found:
            continue
        try:
            vector = np.array(numbers, np.float32)
        except ValueError:
            vector = np.array([])
        if vector.shape != (size,) or not np.isfinite(vector).all():
            raise UserError(
                f"A line is no word vector of {size} numbers. Received: {path}, line {number}. Get the file anew."
            )
        found[index] = vector
    return found


def start_words(embedding: np.ndarray, found: dict[int, np.ndarray], seed: int) -> np.ndarray:
    """(words, D): the vectors found, and for other words random ones with the mean and spread of those."""
    if len(found) < 2:
        return embedding
    known = np.stack(list(found.values()))
    random = np.random.default_rng(seed % 2**64)
    rows = random.normal(known.mean(0), known.std(0), embedding.shape).astype(np.float32)
    rows[list(found)] = known
    return rows


def _lines(path):
    try:
        with pathlib.Path(path).open("rb") as file:
            for number, line in enumerate(iter(lambda: file.readline(_LONGEST), b""), start=1):
                word, *numbers = line.decode("utf-8", errors="replace").rstrip().split(" ")
                if number == 1 and len(numbers) == 1:  # word2vec's text format begins with counts
                    continue
                if not numbers:
                    raise UserError(
                        f"The file is not in GloVe's text format. Received: {path}, line {number}. "
                        "Give one with a word and its numbers on each line, such as glove.6B.300d.txt."
                    )
                yield number, word, numbers
    except OSError as error:
        raise UserError(
            f"No word vectors could be read. Received: {path}: {error.strerror}. Download glove.6B.zip from "
            "https://nlp.stanford.edu/projects/glove/, unpack it and give one of its files as --word_vectors=FILE."
        ) from error
