"""What the names of files and folders say: a caption, a class, a split."""

from __future__ import annotations

import pathlib
import re

# What cameras, programs and data sets call pictures, and what folders of them are called.
_SAY_NOTHING = frozenset(
    "copy dsc dscf dscn image img jpg jpeg png mvimg new photo pic picture pxl screenshot coco ilsvrc flickr "
    "data dataset images imgs photos pics pictures set split folder file files all".split()
)
_SPLITS = {
    **dict.fromkeys(("train", "training", "trainset", "restval"), "train"),
    **dict.fromkeys(("test", "testing", "testset", "val", "valid", "validation", "valset"), "test"),
    **dict.fromkeys(("dev", "eval", "evaluation", "holdout", "heldout"), "test"),
}
_PIECE = re.compile(r"[^\W_]+")
_LETTERS = re.compile(r"\d*([^\W\d_]+)\d*")
_CAMEL = re.compile(r"(?<=[^\W\d_A-Z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_HEXADECIMAL = re.compile(r"[0-9a-f]{8,}")
_UUID = re.compile(r"[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}", re.IGNORECASE)
_SHORTEST_NUMBERED = 3  # letters beside digits: "owl12" is a word, "n02119789" and "4f" are none


def words_of(name: str) -> list[str]:
    """The words of a name as "001.Black_footed_Albatross" or "redBird-12" have them, in lower case.

    Hexadecimal and other numbers with letters in them are no words, nor is a letter on its own.
    """
    words = _all_words(name)
    words = [word for word in words if word not in _SAY_NOTHING and word not in _SPLITS]
    return words if any(len(word) > 1 or not word.isascii() for word in words) else []


def caption_by_name(key: str) -> tuple[list[str], str | None]:
    """Captions and class of a picture by the names of its folders and its own; no caption if they say nothing."""
    path = pathlib.PurePosixPath(key)
    kind = next((words for part in reversed(path.parts[:-1]) if (words := words_of(part))), [])
    own = words_of(path.stem)
    if not kind:
        return [" ".join(own)] if own else [], None
    sentence = f"a photo of a {' '.join(kind)}"
    more = [word for word in own if word not in kind]
    return [sentence, f"{sentence}, {' '.join(more)}"] if more else [sentence], " ".join(kind)


def split_by_name(path: str) -> str | None:
    """The split that a folder or a file of a path is named after, "train" or "test", or None.

    "train2014", "val", "Test Set" and "captions_train" name one; "train station" names none.
    """
    for part in pathlib.PurePosixPath(path).parts:
        words = _all_words(part)
        named = {_SPLITS[word] for word in words if word in _SPLITS}
        if len(named) == 1 and all(word in _SPLITS or word in _SAY_NOTHING or word in _OF_TABLES for word in words):
            return named.pop()
    return None


_OF_TABLES = frozenset("captions caption metadata annotations labels token csv tsv json jsonl txt parquet k".split())


def _all_words(name: str) -> list[str]:
    words = []
    for piece in _PIECE.findall(_UUID.sub(" ", name)):
        match = _LETTERS.fullmatch(piece)
        if match is None or _HEXADECIMAL.fullmatch(piece.lower()):
            continue
        if len(match[1]) == len(piece) or len(match[1]) >= _SHORTEST_NUMBERED:
            words += [word.lower() for word in _CAMEL.split(match[1])]
    return words
