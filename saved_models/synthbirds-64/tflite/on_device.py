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

import contextlib
import logging
import numbers
import os
import pathlib
import re
import threading
import types
import typing
import unicodedata
import zipfile
from collections.abc import Sequence

import numpy as np

VOCABULARY_FILE = "vocabulary.txt"
VARIANTS = ("float32", "float16", "dynamic", "int8")  # falling accuracy
MAX_CHARACTERS = 100_000
MAX_TRUNCATION = 1000  # far above what makes sense, far below what overflows
_MAX_VOCABULARY_BYTES = 64 * 2**20
_MOST_THREADS = 1024

# The name of padding, the first line of a vocabulary, says by which rule its captions become words.
PADDINGS = {"<end>": "published", "<end:unicode>": "unicode"}
# Thai, Lao, Burmese, Khmer, kana and Han are written without spaces: each letter is a word.
UNSPACED = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3005\u3007\u3041-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff"
    "\uf900-\ufaff\uff66-\uff9f\U00020000-\U000323af"
)

_WORD = re.compile(r"\w+")
_NOT_ASCII = re.compile(r"[^\x00-\x7f]")
_UNSPACED = re.compile(f"[{UNSPACED}]")

_MULTIPLIERS = (np.uint64(0xD2511F53), np.uint64(0xCD9E8D57))
_WEYL = (np.uint64(0x9E3779B9), np.uint64(0xBB67AE85))
_LOW = np.uint64(0xFFFFFFFF)
_WORD_BITS = np.uint64(32)
_ROUNDS = 10

_log = logging.getLogger(__name__)


class OnDeviceError(ValueError):
    """Something from outside is wrong, a file or a caption; the message is one line that says what to do."""


# === The two rules ===


def tokenize(text: str, rule: str = "published") -> list[str]:
    """The words of a caption, in lower case; none empty.

    - `"published"` (`datasets.py`, NLTK's `RegexpTokenizer(r"\\w+")`): every pair of U+FFFD becomes a space; runs of
      `\\w`; characters outside ASCII are dropped from each word; empty words are dropped.
    - `"unicode"`: Unicode's composed form (NFC); runs of letters, numbers, underscores and the marks that follow them;
      each letter of a script without spaces (`UNSPACED`) is a word. Of ASCII text both rules make the same words.
    """
    if rule == "unicode" and not text.isascii():
        return _unicode_words(text)
    runs = _WORD.findall(text.replace("\ufffd\ufffd", " ").lower())
    return [word for run in runs if (word := _NOT_ASCII.sub("", run))]


def _unicode_words(text: str) -> list[str]:
    spaced, alone, inside = [], False, False  # alone: the last letter was a word of its own; inside: a word
    for character in unicodedata.normalize("NFC", text.lower()):
        kind = unicodedata.category(character)[0]
        if kind == "M":
            spaced.append(character if inside else " ")
            continue
        inside = kind in "LN" or character == "_"
        was_alone, alone = alone, inside and _UNSPACED.match(character) is not None
        spaced.append((" " if alone or was_alone else "") + (character if inside else " "))
    return "".join(spaced).split()


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


# === What may be asked for ===


def check_request(seed: int, count: int, truncation: float | None) -> None:
    """Checks what pictures are asked for by, but for their captions.

    Raises:
        OnDeviceError: a seed of more than 64 bits, a count below 1, a truncation out of its range; or one of them has
            another type.
    """
    if not _is_whole(seed):
        raise OnDeviceError(f"A seed is a whole number. Received: seed={seed!r}. Give an int of at most 64 bits.")
    if not _is_whole(count) or count < 1:
        raise OnDeviceError(f"A count is a whole number, 1 or more. Received: count={count!r}. Give an int.")
    if not -(2**63) <= seed <= 2**63 - count:
        raise OnDeviceError(
            f"Seeds have 64 bits. Received: seed={seed}, count={count}. Use a seed and a count that fit."
        )
    if truncation is not None and not (_is_real(truncation) and 0 <= truncation <= MAX_TRUNCATION):
        raise OnDeviceError(
            f"The truncation is a factor. Received: truncation={truncation!r}. Give 0 to {MAX_TRUNCATION}, or None."
        )


def caption_list(captions: str | Sequence[str]) -> list[str]:
    """The captions, each of which is checked to be text.

    Raises:
        OnDeviceError: no caption, or one that is no str or has more than `MAX_CHARACTERS`.
    """
    if isinstance(captions, str):
        captions = [captions]
    elif isinstance(captions, bytes) or not hasattr(captions, "__iter__"):
        raise OnDeviceError(f"A caption is text. Received: {captions!r:.80}. Give a str, or a list of them.")
    captions = list(captions)
    if not captions:
        raise OnDeviceError("There is nothing to draw. Received: no caption. Give at least one.")
    for caption in captions:
        if not isinstance(caption, str):
            raise OnDeviceError(f"A caption is text. Received: {caption!r:.80}. Give a str.")
        if len(caption) > MAX_CHARACTERS:
            raise OnDeviceError(
                f"A caption is too long. Received: {len(caption):,} characters. Give at most {MAX_CHARACTERS:,}."
            )
    return captions


def _is_whole(value: object) -> bool:
    return isinstance(value, numbers.Integral) and not isinstance(value, bool)


def _is_real(value: object) -> bool:
    return isinstance(value, numbers.Real) and not isinstance(value, bool)


# === Sampling ===


class Sampler:
    """Generates pictures with a `.tflite` file; the vocabulary is inside it.

    Any number of threads may share one sampler. They take turns with its interpreter, or have one each.

    Args:
        path: the file, or a folder of such files, of which the most accurate is taken.
        threads: of an interpreter.
        per_thread: whether each thread that calls gets an interpreter of its own, made at its first call and freed
            with the thread. They run at the same time, and each needs the memory of its own tensors.

    Attributes:
        vocabulary: id of each known word.
        max_words, noise_dim, image_size: sizes of the model.

    Raises:
        OnDeviceError: no such file, not one that this package exported, or an argument of another type.
    """

    def __init__(self, path: str | os.PathLike, threads: int = 2, per_thread: bool = False):
        if not _is_whole(threads) or not 1 <= threads <= _MOST_THREADS:
            raise OnDeviceError(
                f"The number of threads is a whole number. Received: threads={threads!r}. Give 1 to {_MOST_THREADS}."
            )
        if not isinstance(path, str | os.PathLike):
            raise OnDeviceError(f"A model is a file or a folder. Received: {path!r:.80}. Give its path.")
        self._path = _file(pathlib.Path(path))
        self._threads = int(threads)
        self._own = threading.local() if per_thread else types.SimpleNamespace()
        self._turn = contextlib.nullcontext() if per_thread else threading.Lock()
        self.vocabulary, self._rule = _read_vocabulary(self._path)
        try:
            text, image = self._runner("text"), self._runner("image")
            self.max_words = int(text.get_input_details()["ids"]["shape"][1])
            self.noise_dim = int(image.get_input_details()["noise"]["shape"][1])
            self.image_size = int(image.get_output_details()["image"]["shape"][1])
        except (ValueError, KeyError, IndexError, RuntimeError) as error:
            raise OnDeviceError(_not_ours(self._path, error)) from error

    def _runner(self, signature: str) -> typing.Any:
        """What runs a signature: the calling thread's, or everybody's."""
        runners = vars(self._own).setdefault("runners", {})
        if signature not in runners:
            interpreter = vars(self._own).get("interpreter") or _interpreter(self._path, self._threads)
            self._own.interpreter = interpreter
            runners[signature] = interpreter.get_signature_runner(signature)
        return runners[signature]

    def _run(self, signature: str, **inputs: np.ndarray) -> dict[str, np.ndarray]:
        with self._turn:
            return self._runner(signature)(**inputs)

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
            OnDeviceError: no caption, one without a known word, and what `check_request` refuses.
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
        check_request(seed, count, truncation)
        noise, sentences = self.noise_of(range(seed, seed + count), truncation), self.encode(captions)
        return self._draw(np.repeat(sentences, count, 0), np.tile(noise, [len(sentences), 1]))

    def generate_from_embeddings(self, sentences: np.ndarray, noise: np.ndarray) -> np.ndarray:
        """float32 (B, sentence_dim) and (B, noise_dim) -> uint8 (B, S, S, 3)."""
        return self._draw(sentences, noise)[0]

    def noise_of(self, seeds: Sequence[int] | np.ndarray, truncation: float | None = None) -> np.ndarray:
        """Noise of each seed, times `truncation` if it is given: float32 (B, noise_dim)."""
        noise = normals(seeds, self.noise_dim)
        return noise if truncation is None else noise * np.float32(truncation)

    def _draw(self, sentences: np.ndarray, noise: np.ndarray) -> tuple[np.ndarray, tuple[np.ndarray, ...]]:
        # One at a time: a batch is no faster, and its memory grows.
        pairs = zip(noise, sentences, strict=True)
        drawn = [self._run("image", noise=row[None], sentence=sentence[None]) for row, sentence in pairs]
        images = np.concatenate([_to_uint8(outputs["image"]) for outputs in drawn])
        stages = sorted((name for name in drawn[0] if name.startswith("mask_")), key=lambda name: int(name[5:]))
        return images, tuple(np.concatenate([outputs[name] for outputs in drawn]) for name in stages)

    def encode(self, captions: str | Sequence[str]) -> np.ndarray:
        """Sentence embeddings of captions: float32 (B, sentence_dim). Logs unknown and truncated words.

        Raises:
            OnDeviceError: no caption, or one without a known word.
        """
        every = [self._ids(caption) for caption in caption_list(captions)]
        return np.concatenate([self._run("text", ids=ids)["sentence"] for ids in every])

    def _ids(self, caption: str) -> np.ndarray:
        """Ids of a caption's first known words: int32 (1, max_words), zeros after the end."""
        words = tokenize(caption, self._rule)
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


def _read_vocabulary(path: pathlib.Path) -> tuple[dict[str, int], str]:
    """Words and rule inside the file; a `.tflite` file carries its associated files as a ZIP archive at its end."""
    try:
        with zipfile.ZipFile(path) as archive:
            if archive.getinfo(VOCABULARY_FILE).file_size > _MAX_VOCABULARY_BYTES:
                raise ValueError("the vocabulary is too large")
            padding, *words = archive.read(VOCABULARY_FILE).decode().split("\n")
        if padding not in PADDINGS:
            raise ValueError(f"its vocabulary begins with {padding[:40]!r}, of another version")
    except Exception as error:  # What a damaged archive raises is no closed list.
        raise OnDeviceError(_not_ours(path, error)) from error
    return {word: index for index, word in enumerate(words, start=1) if word}, PADDINGS[padding]


def _interpreter(path: pathlib.Path, threads: int):
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ImportError as error:
        try:
            from tflite_runtime.interpreter import Interpreter  # LiteRT's name until 2023
        except ImportError:
            raise OnDeviceError(f"LiteRT is missing. Received: {error}. Run: pip install ai-edge-litert") from error
    interpreter = Interpreter(str(path), num_threads=threads)
    if Interpreter.__module__.startswith("tflite_runtime") and any(
        tensor["dtype"] == np.int8 for tensor in interpreter.get_tensor_details()
    ):
        # It would abort the whole process.
        raise ValueError("tflite-runtime cannot run 8 bits, use the file of float16 or float32, or ai-edge-litert")
    interpreter.allocate_tensors()
    return interpreter


def _not_ours(path: pathlib.Path, error: Exception) -> str:
    reason = " ".join(str(error).split())
    return f"The file cannot be used. Received: {path}: {reason}. Give one that export.py --format=tflite wrote."


def _to_uint8(image: np.ndarray) -> np.ndarray:
    """Pictures in [-1, 1] to 8 bits by the published rule `(x + 1) * 127.5`, truncated."""
    return ((np.clip(image, -1.0, 1.0) + np.float32(1.0)) * np.float32(127.5)).astype(np.uint8)
