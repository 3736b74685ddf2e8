"""Words and their ids: built from captions, saved as one word a line."""

from __future__ import annotations

import collections
import difflib
import os
import pathlib
from collections.abc import Iterable, Sequence

from ssagan_tf.core import files
from ssagan_tf.core.arguments import check_path, check_texts
from ssagan_tf.errors import UserError
from ssagan_tf.on_device import PADDINGS, tokenize

END = "<end>"
MAX_BYTES = 64 * 2**20


class Vocabulary:
    """Word ids as published: 0 is padding, words count from 1 in order of first appearance.

    Args:
        words: the word of each id, none twice; `words[0]` names padding and says by which rule captions become words:
            `"<end>"` published, ASCII letters alone; `"<end:unicode>"` letters of all scripts.
        origin: where they come from, for errors.

    Attributes:
        tokenizer: the rule, `"published"` or `"unicode"`, see `tokenize`.

    Raises:
        UserError: padding missing, a word twice, something that is no word.
    """

    def __init__(self, words: Sequence[str], origin: str = "a list of words"):
        check_texts("The words of a vocabulary", words)
        words = tuple(words)
        if problem := _problem(words):
            raise UserError(f"{problem}. Received: {origin}. Build a vocabulary with Vocabulary.build(captions).")
        self.words = words
        self.tokenizer = PADDINGS[self.words[0]]
        self._ids = {word: index for index, word in enumerate(self.words)}

    @classmethod
    def build(cls, captions: Iterable[str], tokenizer: str = "published") -> Vocabulary:
        """All words of the captions, in order of first appearance.

        Args:
            captions: texts.
            tokenizer: the rule that makes words of them, see `tokenize`.

        Raises:
            UserError: there is no word in them.
        """
        check_texts("Captions", captions)
        words = dict.fromkeys(word for caption in captions for word in tokenize(caption, tokenizer))
        if not words:
            raise UserError("The captions hold no words. Received: 0 words. Check that the right files are read.")
        return cls([_padding(tokenizer), *words])

    @classmethod
    def load(cls, path: str | os.PathLike) -> Vocabulary:
        """Reads `vocabulary.txt`. Raises UserError if it is missing, too large or not such a file."""
        check_path(path)
        path = pathlib.Path(path)
        try:
            words = files.read_regular(path, MAX_BYTES).decode().replace("\r\n", "\n").split("\n")
        except OSError as error:
            raise UserError(
                f"No vocabulary could be read. Received: {path}: {error.strerror}. Check the folder."
            ) from error
        except UnicodeDecodeError as error:
            raise UserError(f"The vocabulary file is not UTF-8. Received: {path}. Save it as UTF-8.") from error
        return cls(words[:-1] if words[-1] == "" else words, str(path))

    def merged(self, other: Vocabulary) -> Vocabulary:
        """The words of both: these keep their ids, and the other's new ones follow.

        Captions become words by the Unicode rule if either has it: of ASCII text both make the same.
        """
        if not isinstance(other, Vocabulary):
            raise UserError(f"This is no vocabulary. Received: {other!r:.80}. Give a Vocabulary.")
        tokenizer = "unicode" if "unicode" in (self.tokenizer, other.tokenizer) else "published"
        new = (word for word in other.words[1:] if word not in self)
        return Vocabulary([_padding(tokenizer), *self.words[1:], *new])

    def tokenize(self, caption: str) -> list[str]:
        """The caption's words, known or not, by the rule of this vocabulary."""
        if not isinstance(caption, str):
            raise UserError(f"A caption is a text. Received: {caption!r:.80}. Give one str.")
        return tokenize(caption, self.tokenizer)

    def save(self, path: str | os.PathLike) -> None:
        """Writes one word a line, in order of ids, UTF-8."""
        check_path(path)
        files.write_atomically(path, "\n".join(self.words) + "\n")

    def __len__(self) -> int:
        return len(self.words)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Vocabulary) and self.words == other.words

    def __hash__(self) -> int:
        return hash(self.words)

    def __contains__(self, word: object) -> bool:
        return word in self._ids

    def __repr__(self) -> str:
        return f"Vocabulary({len(self)} words)"

    def encode(self, caption: str) -> list[int]:
        """Ids of the caption's known words, in order; unknown ones are left out (see `unknown`)."""
        return [self._ids[word] for word in self.tokenize(caption) if word in self._ids]

    def unknown(self, caption: str) -> list[str]:
        """The caption's words that the vocabulary does not have, each once, in order."""
        return [word for word in dict.fromkeys(self.tokenize(caption)) if word not in self._ids]

    def suggest(self, word: str, count: int = 3) -> list[str]:
        """The known words spelled most like `word`, nearest first; may be empty."""
        if not isinstance(word, str):
            raise UserError(f"A word is a text. Received: {word!r:.80}. Give one str.")
        return difflib.get_close_matches(word.lower(), self.words[1:], n=count, cutoff=0.6)


def _padding(tokenizer: str) -> str:
    return next(padding for padding, rule in PADDINGS.items() if rule == tokenizer)


def _problem(words: Sequence[str]) -> str | None:
    """Why the words are no vocabulary, or None."""
    if not words or words[0] not in PADDINGS:
        return f"A vocabulary's first word must be the padding {' or '.join(map(repr, PADDINGS))}"
    twice = [word for word, count in collections.Counter(words).items() if count > 1]
    if twice:
        return f"The vocabulary names {twice[0]!r} twice"
    odd = [word for word in words if word.split() != [word] or not word.isprintable()]
    if odd:
        return f"The vocabulary names {odd[0]!r}, which is no word"
    return None
