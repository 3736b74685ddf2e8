"""Small data sets made on the fly."""

import json
import pathlib
import pickle

import numpy as np
from PIL import Image


def write_picture(path: pathlib.Path, number: int, size: tuple[int, int] = (40, 30)) -> None:
    """A picture of noise that differs from number to number."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(number).integers(0, 256, (size[1], size[0], 3), np.uint8)
    Image.fromarray(pixels).save(path)


def write_cub(root: pathlib.Path, classes=(1, 2, 3), each: int = 3, lists: bool = True) -> list[str]:
    """A CUB folder, by default in AttnGAN's layout; its keys. Class 1 is for testing."""
    keys = [f"{number:03d}.Class/Bird_{number}_{index}" for number in classes for index in range(each)]
    birds = root / "CUB_200_2011"
    for number, key in enumerate(keys):
        write_picture(birds / "images" / f"{key}.jpg", number)
        text = root / "text" / f"{key}.txt"
        text.parent.mkdir(parents=True, exist_ok=True)
        text.write_text(f"A bird number {number}.\nit has {key[-1]} wings\n")
    rows = list(enumerate(keys, start=1))
    (birds / "images.txt").write_text("".join(f"{number} {key}.jpg\n" for number, key in rows))
    (birds / "bounding_boxes.txt").write_text("".join(f"{number} 10.0 5.0 12.0 20.0\n" for number, _ in rows))
    if lists:
        for split in ("train", "test"):
            mine = [key for key in keys if key.startswith("001.") == (split == "test")]
            (root / split).mkdir()
            (root / split / "filenames.pickle").write_bytes(pickle.dumps(mine, 2))
            (root / split / "class_info.pickle").write_bytes(pickle.dumps([int(key[:3]) for key in mine], 2))
    return keys


def write_folder(root: pathlib.Path, count: int = 12, size=(40, 30), captions=None, **fields) -> pathlib.Path:
    """A folder of pictures with metadata.jsonl.

    Args:
        captions: those of a picture, by its number.
    """
    captions = captions or (lambda number: [f"picture {number}", "noise of dots"])
    for number in range(count):
        write_picture(root / f"{number}.png", number, size)
    write_rows(root, [{"file_name": f"{n}.png", "captions": captions(n)} | fields for n in range(count)])
    return root


def write_rows(root: pathlib.Path, rows: list[dict]) -> None:
    """The metadata.jsonl of a folder of pictures."""
    (root / "metadata.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
