"""CUB-200-2011 birds with the captions of Reed et al., in the layouts that circulate.

Below the data folder: `CUB_200_2011/` (or its content) with `images/`, `images.txt` and `bounding_boxes.txt`; captions
as `text/<class>/<name>.txt`, ten lines each, or in `captions.pickle`; and, in AttnGAN's layout,
`train|test/filenames.pickle` and `class_info.pickle`. Without these pickles the split follows `TEST_CLASSES`.
"""

from __future__ import annotations

import dataclasses
import functools
import os
import pathlib
import re
from collections.abc import Callable, Sequence

from PIL import Image

from ssagan_tf.data import restricted_pickle
from ssagan_tf.data.decoding import load_picture
from ssagan_tf.data.reading import clean_captions, path_problem, read_lines, read_text
from ssagan_tf.data.source import SPLITS, Example, Findings, check_split, some
from ssagan_tf.errors import UserError
from ssagan_tf.text.vocabulary import Vocabulary

# The 50 classes held out in the zero-shot split of Reed et al. (CVPR 2016), which AttnGAN and its successors use: the
# classes of `test/class_info.pickle` as AttnGAN published it. The other 150 are for training.
TEST_CLASSES = frozenset(
    (1, 4, 6, 8, 9, 14, 23, 29, 31, 33, 34, 35, 36, 37, 38, 43, 49, 51, 53, 66, 72, 79, 83, 84, 86)
    + (91, 95, 96, 98, 101, 102, 103, 112, 114, 119, 121, 130, 135, 138, 147, 156, 163, 165, 166, 180)
    + (183, 185, 186, 187, 197)
)
CLASSES = 200
# The 59 birds of ImageNet: cock to great grey owl, black grouse to black swan, white stork to albatross.
IMAGENET_CLASSES = frozenset((*range(7, 25), *range(80, 101), *range(127, 147)))
MAX_TABLE_BYTES = 16 * 2**20
_TEXT_FOLDERS = ("text", "text_c10", "cvpr2016_cub/text_c10")

Box = tuple[float, float, float, float]


@dataclasses.dataclass(frozen=True)
class _Picture:
    file: str  # below images/
    box: Box  # left, top, width, height in pixels


class Cub:
    """CUB-200-2011 as a `Source`.

    Args:
        data_dir: the folder that holds `CUB_200_2011/` and the captions, or `CUB_200_2011` itself.
        skip_broken: leave out what is broken and say so in `findings`, instead of refusing it; pictures that are
            missing are listed (their `load` raises).
        tokenizer: the rule by which captions become words, see `tokenize`.

    Raises:
        UserError: the folder is not such a data set; or, from `examples`, something in it is broken or missing.
    """

    name = "cub"

    def __init__(self, data_dir: str | os.PathLike, skip_broken: bool = False, tokenizer: str = "published"):
        self._root = pathlib.Path(data_dir)
        self._skip_broken = skip_broken
        self.tokenizer = tokenizer
        self.findings = Findings()
        self._examples: dict[str, list[Example]] = {}
        nested = self._root / "CUB_200_2011"
        self._birds = nested if nested.is_dir() else self._root
        if not (self._birds / "images.txt").is_file():
            raise UserError(
                f"The folder does not look like CUB-200-2011. Received: {self._root}. "
                "Give the folder that holds CUB_200_2011/images.txt."
            )

    def examples(self, split: str) -> Sequence[Example]:
        check_split(split)
        if split not in self._examples:
            found = Findings()
            self._examples[split] = self._list(split, found)
            found.refuse(self._skip_broken)
            self.findings.problems += found.problems
        return self._examples[split]

    def _list(self, split: str, findings: Findings) -> list[Example]:
        keys = self._keys(split)
        unknown = [key for key in keys if key not in self._pictures]
        if unknown:
            raise UserError(
                f"{split}/filenames.pickle names pictures that images.txt does not ({len(unknown):,}). "
                f"Received: {some(unknown)}. Take both files from the same copy of the data set."
            )
        if not self._skip_broken:
            missing = [key for key in keys if not self._path(key).is_file()]
            findings.add("Pictures are missing", missing, f"Put them into {self._birds / 'images'}.")
        examples, wrong = [], []
        for key, text, class_id in zip(keys, self._texts(split, keys), self._class_ids(split, keys), strict=True):
            try:
                examples.append(self._example(key, text(), class_id))
            except UserError as error:
                wrong.append(f"{key}: {str(error).split('. Received:')[0]}")
        findings.add("Pictures have no captions that can be used", wrong, "Get their text files anew.")
        return examples

    def vocabulary(self) -> Vocabulary | None:
        return self._pickled_captions[1] if self._pickled_captions else None

    def _example(self, key: str, texts: list[str], class_id: int) -> Example:
        captions = clean_captions(texts, key, self.tokenizer)
        load = functools.partial(_load_cropped, self._path(key), self._pictures[key].box)
        return Example(key, captions, class_id, load, wordless=len(texts) - len(captions))

    def _path(self, key: str) -> pathlib.Path:
        return self._birds / "images" / self._pictures[key].file

    @functools.cached_property
    def _pictures(self) -> dict[str, _Picture]:
        files = dict(_table(self._birds / "images.txt", 1))
        boxes = dict(_table(self._birds / "bounding_boxes.txt", 4))
        pictures = {}
        for number, (file,) in files.items():
            if problem := path_problem(file):
                raise UserError(f"images.txt holds {problem}. Received: {file!r}. Use the data set's own file.")
            if number not in boxes:
                raise UserError(
                    f"bounding_boxes.txt lacks a picture of images.txt. Received: {number} {file}. "
                    "Take both files from the same copy of the data set."
                )
            pictures[os.path.splitext(file)[0]] = _Picture(file, _box(boxes[number], number))
        return pictures

    @property
    def _has_lists(self) -> bool:
        return any((self._root / split / "filenames.pickle").exists() for split in SPLITS)

    def _keys(self, split: str) -> list[str]:
        if self._has_lists:
            return _file_names(self._root / split / "filenames.pickle")
        wanted = [key for key in self._pictures if (_class_of(key) in TEST_CLASSES) == (split == "test")]
        if not wanted:
            raise UserError(
                f"There is no {split} picture. Received: {self._birds / 'images.txt'}, classes of the other split "
                "alone. Use the whole data set."
            )
        return wanted

    def _class_ids(self, split: str, keys: list[str]) -> list[int]:
        path = self._root / split / "class_info.pickle"
        if not path.exists():
            return [_class_of(key) for key in keys]
        class_ids = restricted_pickle.load(path)
        if not isinstance(class_ids, list) or not all(type(class_id) is int for class_id in class_ids):
            raise UserError(f"The file must hold a list of class numbers. Received: {path}. Get it anew.")
        if len(class_ids) != len(keys):
            raise UserError(
                f"class_info.pickle and filenames.pickle differ in length. Received: {len(class_ids):,} and "
                f"{len(keys):,} entries in {path.parent}. Take both from the same copy of the data set."
            )
        return class_ids

    def _texts(self, split: str, keys: list[str]) -> list[Callable[[], list[str]]]:
        """What reads the captions of each picture."""
        if self._pickled_captions:
            shares = _share_out(self._pickled_captions[0][split], keys, self._root / "captions.pickle")
            return [functools.partial(list, share) for share in shares]
        folders = [base / name for base in (self._root, self._birds) for name in _TEXT_FOLDERS]
        folder = next((folder for folder in folders if folder.is_dir()), None)
        if folder is None:
            raise UserError(
                f"There are no captions. Received: {self._root} without captions.pickle and text/. "
                "Put Reed's text/<class>/<name>.txt there."
            )
        return [functools.partial(read_lines, folder / f"{key}.txt") for key in keys]

    @functools.cached_property
    def _pickled_captions(self) -> tuple[dict[str, list[str]], Vocabulary] | None:
        path = self._root / "captions.pickle"
        if not path.exists():
            return None
        if not self._has_lists:
            raise UserError(
                f"captions.pickle says nothing without the order of pictures. Received: {self._root}. "
                "Put train/filenames.pickle and test/filenames.pickle beside it, or remove it."
            )
        return read_captions_pickle(path)


def crop_box(box: Box, size: tuple[int, int]) -> tuple[int, int, int, int]:
    """The published square around a bird, clipped to the picture (so not always square).

    Half its side is r = int(0.75 * max(w, h)), its centre int((2x + w) / 2), int((2y + h) / 2).

    Args:
        box: left, top, width and height of the bird in pixels.
        size: width and height of the picture in pixels.

    Returns:
        left, top, right, bottom in pixels, right and bottom excluded.
    """
    left, top, width, height = box
    half = int(0.75 * max(width, height))
    x, y = int((2 * left + width) / 2), int((2 * top + height) / 2)
    return max(0, x - half), max(0, y - half), min(size[0], x + half), min(size[1], y + half)


def _load_cropped(path: pathlib.Path, box: Box) -> Image.Image:
    image = load_picture(path)
    left, top, right, bottom = crop_box(box, image.size)
    if right <= left or bottom <= top:
        raise UserError(
            f"The bird's box lies outside its picture. Received: {path}, {image.size[0]} x {image.size[1]}, box {box}. "
            "Use the bounding_boxes.txt that belongs to these pictures."
        )
    return image.crop((left, top, right, bottom))


def _table(path: pathlib.Path, columns: int) -> list[tuple[str, list[str]]]:
    """Rows of `<number> <value> ...`; the last value may hold spaces."""
    rows = []
    for number, line in enumerate(read_text(path, MAX_TABLE_BYTES).splitlines(), start=1):
        values = line.split(maxsplit=columns)
        if values and len(values) != columns + 1:
            raise UserError(
                f"{path.name} line {number} must have {columns + 1} columns. Received: {line[:80]!r}. "
                "Get the file anew."
            )
        if values:
            rows.append((values[0], [value.strip() for value in values[1:]]))
    return rows


def _box(values: list[str], number: str) -> Box:
    try:
        left, top, width, height = (float(value) for value in values)
        if not (0 < width < 1e6 and 0 < height < 1e6 and abs(left) < 1e6 and abs(top) < 1e6):
            raise ValueError
    except ValueError as error:
        raise UserError(
            f"bounding_boxes.txt must give left, top, width and height in pixels. Received: {' '.join(values)!r} for "
            f"picture {number}. Get the file anew."
        ) from error
    return left, top, width, height


def _class_of(key: str) -> int:
    match = re.match(r"(\d{3})\.", key)
    if not match or not 1 <= int(match[1]) <= CLASSES:
        raise UserError(
            "Without train|test/filenames.pickle the split is told by CUB's class numbers, 001 to 200. "
            f"Received: {key}. Use CUB's folder names, or add the lists."
        )
    return int(match[1])


def _file_names(path: pathlib.Path) -> list[str]:
    keys = restricted_pickle.load(path)
    if not isinstance(keys, list) or not keys or not all(isinstance(key, str) for key in keys):
        raise UserError(f"The file must hold a list of file names. Received: {path}. Get it anew.")
    problems = [f"{key!r}: {problem}" for key in keys if (problem := path_problem(key))]
    if problems:
        raise UserError(f"The file names may not be used. Received: {some(problems)}, in {path}. Get the file anew.")
    if len(set(keys)) != len(keys):
        raise UserError(f"The file names a picture twice. Received: {path}. Get it anew.")
    return keys


def read_captions_pickle(path: pathlib.Path) -> tuple[dict[str, list[str]], Vocabulary]:
    """Captions of each split as text, and the vocabulary with the published ids."""
    try:
        train, test, word_of, _ = restricted_pickle.load(path)
        if not all(type(index) is int for caption in (*train, *test) for index in caption):
            raise TypeError("word ids must be whole numbers")
        words = [word_of[index] for index in range(len(word_of))]
        if not all(isinstance(word, str) for word in words):
            raise TypeError("words must be text")
        texts = {
            split: [" ".join(word_of[index] for index in caption) for caption in captions]
            for split, captions in zip(SPLITS, (train, test), strict=True)
        }
        return texts, Vocabulary(words, str(path))
    except UserError:
        raise
    except (TypeError, ValueError, KeyError, IndexError) as error:
        raise UserError(
            "The file must hold [training captions, test captions, id to word, word to id]. "
            f"Received: {path}. Get it anew, or remove it to use text/."
        ) from error


def _share_out(texts: list[str], keys: list[str], path: pathlib.Path) -> list[list[str]]:
    """Captions are listed picture by picture, equally many for each."""
    each, rest = divmod(len(texts), len(keys))
    if rest or not each:
        raise UserError(
            f"The captions do not come out even. Received: {len(texts):,} for {len(keys):,} pictures in {path}. "
            "Take captions.pickle and filenames.pickle from the same copy of the data set."
        )
    return [texts[i * each : (i + 1) * each] for i in range(len(keys))]
