"""COCO: `captions_<split>.json` and a folder of pictures of the same name, `train2014` and `val2014` or any others.

The JSON files lie in `annotations/` or in the data folder itself, the pictures in `<split>/` or `images/<split>/`.
Splits whose name starts with "train" are for training, those with "val" or "test" for testing. Pictures are taken
whole.
"""

from __future__ import annotations

import functools
import json
import os
import pathlib
from collections.abc import Sequence

from ssagan_tf.data.decoding import load_picture
from ssagan_tf.data.reading import clean_captions, path_problem, read_bytes
from ssagan_tf.data.source import Example, Findings, check_split, some
from ssagan_tf.errors import UserError

MAX_JSON_BYTES = 2**30
_PREFIXES = {"train": ("train",), "test": ("val", "test")}


class Coco:
    """COCO captions as a `Source`.

    Args:
        data_dir: the folder that holds `annotations/` and the folders of pictures.
        skip_broken: leave out what is broken and say so in `findings`, instead of refusing it; pictures that are
            missing are listed (their `load` raises).
        tokenizer: the rule by which captions become words, see `tokenize`.

    Raises:
        UserError: the folder is not such a data set; or, from `examples`, something in it is broken or missing.
    """

    name = "coco"

    def __init__(self, data_dir: str | os.PathLike, skip_broken: bool = False, tokenizer: str = "published"):
        self._root = pathlib.Path(data_dir)
        self._skip_broken = skip_broken
        self.tokenizer = tokenizer
        self.findings = Findings()
        self._examples: dict[str, list[Example]] = {}
        found = [*self._root.glob("annotations/captions_*.json"), *self._root.glob("captions_*.json")]
        self._files = {path.stem.removeprefix("captions_"): path for path in sorted(found, reverse=True)}
        if not self._files:
            raise UserError(
                f"The folder does not look like COCO. Received: {self._root}. "
                "Give the folder that holds annotations/captions_train2014.json or the like."
            )
        known = tuple(prefix for prefixes in _PREFIXES.values() for prefix in prefixes)
        lone = [str(path) for name, path in self._files.items() if not name.startswith(known) or not self._folder(name)]
        repair = "Put a folder train..., val... or test... of the same name beside each."
        self.findings.leave_out("Files of captions have no folder of pictures", lone, repair)

    def examples(self, split: str) -> Sequence[Example]:
        check_split(split)
        if split not in self._examples:
            found = Findings()
            self._examples[split] = self._list(split, found)
            found.refuse(self._skip_broken)
            self.findings.problems += found.problems
            self.findings.notes += found.notes
        return self._examples[split]

    def _list(self, split: str, findings: Findings) -> list[Example]:
        names = sorted(name for name in self._files if name.startswith(_PREFIXES[split]))
        examples = [
            example
            for name in names
            if (folder := self._folder(name))
            for example in self._read(name, folder, findings)
        ]
        if not examples:
            wanted = " or ".join(f"captions_{prefix}*.json" for prefix in _PREFIXES[split])
            raise UserError(
                f"There are no {split} pictures. Received: {self._root}. "
                f"Put a {wanted} with captions there and its folder of pictures beside it."
            )
        return examples

    def vocabulary(self) -> None:
        return None

    def _folder(self, name: str) -> pathlib.Path | None:
        return next((path for path in (self._root / name, self._root / "images" / name) if path.is_dir()), None)

    def _read(self, name: str, folder: pathlib.Path, findings: Findings) -> list[Example]:
        files, texts = _read_annotations(self._files[name])
        if not self._skip_broken:
            missing = [file for file in files.values() if not (folder / file).is_file()]
            findings.add("Pictures are missing", missing, f"Put them into {folder}.")
        examples, wrong = [], []
        for number, file in files.items():
            if number not in texts:
                continue
            key = f"{name}/{os.path.splitext(file)[0]}"
            try:
                captions = clean_captions(texts[number], key, self.tokenizer)
            except UserError as error:
                wrong.append(f"{key}: {str(error).split('. Received:')[0]}")
                continue
            load = functools.partial(load_picture, folder / file)
            examples.append(Example(key, captions, -1, load, wordless=len(texts[number]) - len(captions)))
        findings.add("Pictures have no caption that can be used", wrong, "Write one for each.")
        # Some of COCO's lists name pictures that nobody described.
        findings.note(f"pictures of {name} that nobody described", [files[n] for n in files if n not in texts])
        return examples


def _read_annotations(path: pathlib.Path) -> tuple[dict[int, str], dict[int, list[str]]]:
    """File name and captions of each picture number, pictures in the file's order."""
    try:
        content = json.loads(read_bytes(path, MAX_JSON_BYTES))
        files = {image["id"]: image["file_name"] for image in content["images"]}
        pairs = [(annotation["image_id"], annotation["caption"]) for annotation in content["annotations"]]
    except UserError:
        raise
    except (ValueError, RecursionError) as error:
        raise UserError(f"The file is no JSON. Received: {path}: {error}. Get it anew.") from error
    except (TypeError, KeyError) as error:
        raise UserError(
            "COCO captions must have images (id, file_name) and annotations (image_id, caption). "
            f"Received: {path}: {type(error).__name__} {error}. Get the file anew."
        ) from error
    _check(path, files, pairs, len(content["images"]))
    texts: dict[int, list[str]] = {}
    for number, text in pairs:
        texts.setdefault(number, []).append(text)
    return files, texts


def _check(path: pathlib.Path, files: dict, pairs: list[tuple], listed: int) -> None:
    problems = [f"file_name {file!r}" for file in files.values() if not isinstance(file, str)]
    problems = problems or [f"{file!r}: {why}" for file in files.values() if (why := path_problem(file))]
    problems += [f"caption {text!r}" for _, text in pairs if not isinstance(text, str)]
    problems += [f"a caption of the unknown picture {number!r}" for number, _ in pairs if number not in files]
    if listed != len(files) or len(set(map(str, files.values()))) != len(files):
        problems.append("a picture listed twice")
    if problems:
        raise UserError(
            f"COCO captions are not right ({len(problems):,} problems). Received: {some(problems)}, in {path}. "
            "Get the file anew."
        )
