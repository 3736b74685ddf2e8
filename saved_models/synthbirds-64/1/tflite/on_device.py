"""Pictures of captions on a device: a `.tflite` file, LiteRT and NumPy, and nothing else of this package.

The module stands alone: copy it to the device with a file that `export.py --format=tflite` wrote.

    from on_device import Sampler
    from PIL import Image

    pictures = Sampler("float16.tflite").generate("a small bird with a red crown", seed=7)
    Image.fromarray(pictures[0]).save("bird.png")

The rules from a caption to words and from a seed to noise are written here, and here alone: the rest of the package
takes them from this module.
"""

from __future__ import annotations

import logging
import os
import pathlib
import re
import zipfile
from collections.abc import Sequence

import numpy as np

VOCABULARY_FILE = "vocabulary.txt"
VARIANTS = ("float32", "float16", "dynamic", "int8")  # falling accuracy
MAX_CHARACTERS = 100_000
_MAX_VOCABULARY_BYTES = 64 * 2**20

_WORD = re.compile(r"\w+")
_NOT_ASCII = re.compile(r"[^\x00-\x7f]")

_MULTIPLIERS = (np.uint64(0xD2511F53), np.uint64(0xCD9E8D57))
_WEYL = (np.uint64(0x9E3779B9), np.uint64(0xBB67AE85))
_LOW = np.uint64(0xFFFFFFFF)
_WORD_BITS = np.uint64(32)
_ROUNDS = 10

_log = logging.getLogger(__name__)


class OnDeviceError(ValueError):
    """Something from outside is wrong, a file or a caption; the message is one line that says what to do."""


# === The two rules ===


def tokenize(text: str) -> list[str]:
    """The words of a caption by the published rule; all ASCII, none empty.

    Published (`datasets.py`, NLTK's `RegexpTokenizer(r"\\w+")`): lower case; every pair of U+FFFD becomes a space;
    runs of `\\w`; characters outside ASCII are dropped from each word; empty words are dropped.
    """
    runs = _WORD.findall(text.replace("\ufffd\ufffd", " ").lower())
    return [word for run in runs if (word := _NOT_ASCII.sub("", run))]


def philox_words(seeds: Sequence[int] | np.ndarray, count: int) -> np.ndarray:
    """The first `count` words of each seed's stream.

    Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", 2011) with key = (low, high word of
    the seed) and counter = (block, 0, 0, 0), four 32-bit words a block.

    Args:
        seeds: (B,) int64.
        count: words wanted.

    Returns:
        (B, count) uint32.
    """
    seeds = np.asarray(seeds, np.int64).view(np.uint64)[:, None]
    key = [seeds & _LOW, seeds >> _WORD_BITS]
    blocks = np.arange(-(-count // 4), dtype=np.uint64)[None, :]
    zero = np.zeros(np.broadcast_shapes(seeds.shape, blocks.shape), np.uint64)
    counter = [zero + blocks, zero, zero, zero]
    for _ in range(_ROUNDS):
        product0, product1 = _MULTIPLIERS[0] * counter[0], _MULTIPLIERS[1] * counter[2]
        counter = [
            (product1 >> _WORD_BITS) ^ counter[1] ^ key[0],
            product1 & _LOW,
            (product0 >> _WORD_BITS) ^ counter[3] ^ key[1],
            product0 & _LOW,
        ]
        key = [(k + weyl) & _LOW for k, weyl in zip(key, _WEYL, strict=True)]
    words = np.stack(counter, -1).reshape(len(seeds), -1)[:, :count]
    return words.astype(np.uint32)


def normals(seeds: Sequence[int] | np.ndarray, count: int) -> np.ndarray:
    """Standard normal noise of each seed.

    Two words (w, w') give two normals by Box-Muller: u1 = (w + 1) / 2^32, u2 = w' / 2^32, r = sqrt(-2 ln u1),
    r cos(2 pi u2) and r sin(2 pi u2), computed in float64 and rounded to float32.

    Args:
        seeds: (B,) int64.
        count: numbers for each seed.

    Returns:
        (B, count) float32; a row depends on its seed alone, and its start does not depend on `count`.
    """
    words = philox_words(seeds, count + count % 2).astype(np.float64)
    radius = np.sqrt(-2.0 * np.log((words[:, 0::2] + 1.0) / 2.0**32))
    angle = 2.0 * np.pi * (words[:, 1::2] / 2.0**32)
    pairs = np.stack([radius * np.cos(angle), radius * np.sin(angle)], -1)
    return pairs.reshape(len(words), -1)[:, :count].astype(np.float32)


# === Sampling ===


class Sampler:
    """Draws pictures with a `.tflite` file; the vocabulary is inside it.

    Args:
        path: the file, or a folder of such files, of which the most accurate is taken.
        threads: of the interpreter.

    Attributes:
        vocabulary: id of each known word.
        max_words, noise_dim, image_size: sizes of the model.

    Raises:
        OnDeviceError: no such file, or not one that this package exported.
    """

    def __init__(self, path: str | os.PathLike, threads: int = 2):
        path = _file(pathlib.Path(path))
        self.vocabulary = _read_vocabulary(path)
        interpreter = _interpreter(path, threads)
        try:
            self._text = interpreter.get_signature_runner("text")
            self._image = interpreter.get_signature_runner("image")
            self.max_words = int(self._text.get_input_details()["ids"]["shape"][1])
            self.noise_dim = int(self._image.get_input_details()["noise"]["shape"][1])
            image = self._image.get_output_details()["image"]
        except (ValueError, KeyError, IndexError, RuntimeError) as error:
            raise OnDeviceError(_not_ours(path, error)) from error
        self.image_size = int(image["shape"][1])

    def generate(
        self,
        captions: str | Sequence[str],
        seed: int = 0,
        count: int = 1,
        truncation: float | None = None,
    ) -> np.ndarray:
        """Pictures of captions; a picture depends on its caption and its seed alone.

        Args:
            captions: one or several.
            seed: of a caption's first picture; the next ones have seed + 1, seed + 2, ...
            count: pictures for each caption.
            truncation: factor on the noise: below 1, more usual and less varied pictures.

        Returns:
            uint8 (captions * count, S, S, 3), all of the first caption first.

        Raises:
            OnDeviceError: no caption, one without a known word, a count below 1, a seed of more than 64 bits.
        """
        return self.generate_with_masks(captions, seed, count, truncation)[0]

    def generate_with_masks(
        self,
        captions: str | Sequence[str],
        seed: int = 0,
        count: int = 1,
        truncation: float | None = None,
    ) -> tuple[np.ndarray, tuple[np.ndarray, ...]]:
        """As `generate`, with the masks: tuple of float32 (captions * count, h, h, 1) in [0, 1], 4x4 first."""
        if count < 1 or not -(2**63) <= seed <= 2**63 - count:
            raise OnDeviceError(
                f"No such pictures. Received: seed={seed}, count={count}. Use a count of 1 or more and 64-bit seeds."
            )
        noise = normals(np.arange(count, dtype=np.int64) + seed, self.noise_dim)
        if truncation is not None:
            noise = noise * np.float32(truncation)
        # One at a time: a batch is no faster, and its memory grows.
        drawn = [
            self._image(noise=row[None], sentence=sentence[None]) for sentence in self.encode(captions) for row in noise
        ]
        images = np.concatenate([_to_uint8(outputs["image"]) for outputs in drawn])
        stages = sorted((name for name in drawn[0] if name.startswith("mask_")), key=lambda name: int(name[5:]))
        return images, tuple(np.concatenate([outputs[name] for outputs in drawn]) for name in stages)

    def encode(self, captions: str | Sequence[str]) -> np.ndarray:
        """Sentence embeddings of captions: float32 (B, sentence_dim). What is odd in a caption is logged.

        Raises:
            OnDeviceError: no caption, or one without a known word.
        """
        captions = [captions] if isinstance(captions, str) else list(captions)
        if not captions:
            raise OnDeviceError("Nothing to draw. Received: no caption. Give one at least.")
        return np.concatenate([self._text(ids=self._ids(caption))["sentence"] for caption in captions])

    def _ids(self, caption: str) -> np.ndarray:
        """Ids of a caption's first known words: int32 (1, max_words), zeros after the end."""
        if not isinstance(caption, str) or len(caption) > MAX_CHARACTERS:
            received = f"{len(caption):,} characters" if isinstance(caption, str) else repr(caption)
            raise OnDeviceError(
                f"A caption is text. Received: {received}. Give a str of at most {MAX_CHARACTERS:,} characters."
            )
        words = tokenize(caption)
        known = [self.vocabulary[word] for word in words if word in self.vocabulary]
        if not known:
            raise OnDeviceError(
                f"The caption holds no word that the model knows. Received: {caption[:80]!r}. "
                "Describe the picture in words of its vocabulary."
            )
        if len(known) < len(words):
            unknown = [word[:80] for word in dict.fromkeys(words) if word not in self.vocabulary]
            _log.warning("Unknown words are left out: %s.", ", ".join(unknown[:10]))
        if len(known) > self.max_words:
            _log.warning("Only the first %d of %d known words count: %r.", self.max_words, len(known), caption[:80])
        ids = np.zeros((1, self.max_words), np.int32)
        ids[0, : len(known)] = known[: self.max_words]
        return ids


def _file(path: pathlib.Path) -> pathlib.Path:
    """The file itself, or the most accurate one of a folder."""
    if path.is_dir():
        path = next((file for name in VARIANTS if (file := path / f"{name}.tflite").is_file()), path)
    if not path.is_file():
        raise OnDeviceError(
            f"No model found. Received: {path}. Give a .tflite file, or a folder with {VARIANTS[0]}.tflite."
        )
    return path


def _read_vocabulary(path: pathlib.Path) -> dict[str, int]:
    """The words inside the file; a `.tflite` file carries its associated files as a ZIP archive at its end."""
    try:
        with zipfile.ZipFile(path) as archive:
            if archive.getinfo(VOCABULARY_FILE).file_size > _MAX_VOCABULARY_BYTES:
                raise ValueError("the vocabulary is too large")
            words = archive.read(VOCABULARY_FILE).decode().split("\n")
    except Exception as error:  # What a damaged archive raises is no closed list.
        raise OnDeviceError(_not_ours(path, error)) from error
    return {word: index for index, word in enumerate(words) if index and word}


def _interpreter(path: pathlib.Path, threads: int):
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ImportError as error:
        raise OnDeviceError(f"LiteRT is missing. Received: {error}. Run: pip install ai-edge-litert") from error
    try:
        return Interpreter(str(path), num_threads=threads)
    except (ValueError, RuntimeError) as error:
        raise OnDeviceError(_not_ours(path, error)) from error


def _not_ours(path: pathlib.Path, error: Exception) -> str:
    reason = " ".join(str(error).split())
    return f"The file cannot be used. Received: {path}: {reason}. Give one that export.py --format=tflite wrote."


def _to_uint8(image: np.ndarray) -> np.ndarray:
    """Pictures in [-1, 1] to 8 bits by the published rule `(x + 1) * 127.5`, truncated."""
    return ((np.clip(image, -1.0, 1.0) + np.float32(1.0)) * np.float32(127.5)).astype(np.uint8)
