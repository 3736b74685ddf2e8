"""What is fuzzed: each target takes bytes from outside, and either uses them or refuses them with a `UserError`."""

from __future__ import annotations

import atexit
import csv
import dataclasses
import functools
import hashlib
import io
import json
import pathlib
import pickle
import queue
import shutil
import struct
import tempfile
import zipfile
from collections.abc import Callable, Iterator

import numpy as np
import safetensors.numpy
from PIL import Image
from serving_targets import answers, requests, take_answer, take_request

from ssagan_tf.config import Config
from ssagan_tf.data import cub, decoding, reading, records, restricted_pickle, source
from ssagan_tf.data.coco import Coco
from ssagan_tf.data.cub import Cub
from ssagan_tf.data.folder import Folder
from ssagan_tf.errors import UserError
from ssagan_tf.text.tokenizer import tokenize
from ssagan_tf.text.vocabulary import Vocabulary
from ssagan_tf.weights import pth

FIXTURES = pathlib.Path(__file__).resolve().parents[1] / "fixtures"
WORDS = Vocabulary.build(["a small red bird with yellow wings and a black bill", "this bird has blue eyes"])


@dataclasses.dataclass(frozen=True)
class Target:
    """What is tried.

    Attributes:
        take: raises UserError for what it refuses; anything else that it raises is a mistake.
        seeds: good inputs, to begin with.
    """

    take: Callable[[bytes], None]
    seeds: Callable[[], list[bytes]]


@functools.cache
def _folder() -> pathlib.Path:
    """Of files, in memory where there is such a place."""
    memory = pathlib.Path("/dev/shm")
    folder = pathlib.Path(tempfile.mkdtemp(prefix="fuzz-", dir=memory if memory.is_dir() else None))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def _file(name: str, data: bytes) -> pathlib.Path:
    path = _folder() / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


# === Captions ===

_waiting: list[bytes] = []


def take_caption(data: bytes) -> None:
    text = data.decode("utf-8", "surrogateescape")
    for word in tokenize(text):
        assert word and word.isascii() and word == word.lower()
    WORDS.encode(text)
    for word in WORDS.unknown(text)[:2]:
        WORDS.suggest(word)
    _waiting.append(data)
    if len(_waiting) == 100:
        compare_in_graph()
    reading.clean_captions([text], "here")


def compare_in_graph() -> None:
    """What was taken so far has the same words inside a graph."""
    import tensorflow as tf

    texts = [data for data in _waiting if b"\0" not in data]
    _waiting.clear()
    found = [[word.decode() for word in words] for words in _graph()(tf.constant(texts, tf.string)).to_list()]
    for data, words in zip(texts, found, strict=True):
        assert words == tokenize(data.decode(errors="replace")), data


@functools.cache
def _graph():
    import tensorflow as tf

    from ssagan_tf.text.tokenizer import tokenize_in_graph

    return tf.function(tokenize_in_graph, input_signature=[tf.TensorSpec([None], tf.string)])


def captions() -> list[bytes]:
    odd = ["A small RED bird!", "ein Vogel, größer als \u212aelvin", "\ufffd\ufffd", "I\u0130i_1", "a b\tc\r\nd"]
    odd += ["鳥 bird 👨\u200d👩"]
    texts = [text.encode() for text in odd] + [b"\xff\xc3a red", b"a\xed\xa0\xbd bird"]
    _waiting.extend(texts)
    compare_in_graph()  # the graph takes its time to be made
    return texts


# === Records ===


def take_records(data: bytes) -> None:
    """The file itself, or, after a byte that is odd, one record with the right checksums."""
    import tensorflow as tf

    framed = bool(data[:1]) and data[0] % 2 == 1
    path = _folder() / "train.tfrecord"
    if framed:
        with tf.io.TFRecordWriter(str(path)) as writer:
            writer.write(data[1:])
    else:
        path.write_bytes(data[1:])
    from ssagan_tf.data.pipeline import reraise_data_errors

    records, examples = _pipeline()
    with reraise_data_errors():
        for record in tf.data.TFRecordDataset(str(path)).take(3):
            records.put(record.numpy())
            next(examples)


@functools.cache
def _pipeline() -> tuple[queue.SimpleQueue, Iterator]:
    """Records in, examples out: one data set for all inputs, because to begin one takes fifty times as long."""
    import tensorflow as tf

    from ssagan_tf.data import pipeline
    from ssagan_tf.text.captions import CaptionEncoder

    encoder, config = CaptionEncoder(WORDS), Config().override(image_size=8)

    def one(record):
        return pipeline._augmented(pipeline._parsed(record), tf.constant([1, 2], tf.int64), encoder, config)

    records = queue.SimpleQueue()
    taken = tf.data.Dataset.from_generator(
        lambda: iter(records.get, None), output_signature=tf.TensorSpec([], tf.string)
    )
    return records, iter(taken.map(one))


def record_seeds() -> list[bytes]:
    import tensorflow as tf

    example = source.Example("a/1", ("a red bird", "blue wings"), 3, lambda: Image.new("RGB", (9, 9), "red"))
    record = records._record(example, records._png(example, 9))
    path = _folder() / "seed.tfrecord"
    with tf.io.TFRecordWriter(str(path)) as writer:
        writer.write(record)
    return [b"\1" + record, b"\0" + path.read_bytes()]


# === Pickles ===


def take_pickle(data: bytes) -> None:
    path = _file("captions.pickle", data)
    for read in (cub.read_captions_pickle, cub._file_names, restricted_pickle.load):
        try:
            read(path)
        except UserError:
            if read is restricted_pickle.load:
                raise


def pickles() -> list[bytes]:
    words = {0: "<end>", 1: "a", 2: "bird"}
    values = [
        ["001.Albatross/A_1", "002.Auk/B_2"],
        [[[1, 2], [2]], [[1]], words, {word: index for index, word in words.items()}],
        [1, 2.5, True, "ä", (1, (2, 3)), {"a": [None][:0]}],
        [np.int64(7), np.float32(0.5), np.int16(-1)],
    ]
    return [pickle.dumps(value, protocol) for value in values for protocol in (0, 1, 2, 4)]


# === Published weights ===


def take_pth(data: bytes) -> None:
    """The file itself, or, after 255, the program within an archive whose checksums are right."""
    if data[:1] == b"\xff":
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive:
            archive.writestr("archive/data.pkl", data[1:])
            for key in range(4):
                archive.writestr(f"archive/data/{key}", bytes(96))
        data = buffer.getvalue()
    for name, array in pth.read(_file("net.pth", data)).items():
        assert isinstance(name, str) and np.isfinite(np.asarray(array, "f8").sum()) in (True, False)


def checkpoints() -> list[bytes]:
    files = [(FIXTURES / name).read_bytes() for name in ("torch_zip.pth", "torch_legacy.pth")]
    with zipfile.ZipFile(io.BytesIO(files[0])) as archive:
        program = next(archive.read(name) for name in archive.namelist() if name.endswith("data.pkl"))
    return [*files, b"\xff" + program]


# === Metadata ===


def _folder_data(name: str):
    def take(data: bytes) -> None:
        _file(f"{name}/1.png", b"")
        _file(f"{name}/{name}", data)
        folder = Folder(_folder() / name)
        for split in source.SPLITS:
            folder.examples(split)

    return take


def _take_coco(data: bytes) -> None:
    _file("coco/train1/1.png", b"")
    _file("coco/captions_train1.json", data)
    Coco(_folder() / "coco").examples("train")


def _take_dataset(data: bytes) -> None:
    _file("prepared/train.tfrecord", b"")
    _file("prepared/dataset.json", data)
    prepared = records.open_prepared(_folder() / "prepared")
    for split in source.SPLITS:
        assert prepared.examples(split) + prepared.captions(split) >= 0
        for path in prepared.files(split):
            assert pathlib.Path(path).parent == _folder() / "prepared"
    assert all(isinstance(key, str) for key in prepared.left_out())


def _take_vocabulary(data: bytes) -> None:
    assert all(word.split() == [word] for word in Vocabulary.load(_file("vocabulary.txt", data)).words)


def _take_checkpoint(data: bytes) -> None:
    from ssagan_tf.training import checkpoint

    _file("checkpoints/step-00000001/state.safetensors", _EMPTY_STATE)
    _file("checkpoints/step-00000001/checkpoint.json", data)
    assert checkpoint.newest(_folder() / "checkpoints").step >= 0


def _take_state(data: bytes) -> None:
    from ssagan_tf.weights import tensor_files

    tensor_files.read_state(_file("state.safetensors", data))


def _take_cub(data: bytes) -> None:
    pictures, _, boxes = data.partition(b"\0")
    _file("cub/images.txt", pictures)
    _file("cub/bounding_boxes.txt", boxes)
    _file("cub/text/001.A/1.txt", b"a bird\n")
    for split in source.SPLITS:
        Cub(_folder() / "cub", skip_broken=True).examples(split)


def _take_caption_file(data: bytes) -> None:
    reading.read_captions(_file("captions.txt", data))


_EMPTY_STATE = safetensors.numpy.save({})
_SHARD = {"file": "train.tfrecord", "split": "train", "examples": 1, "captions": 2, "left_out": ["a"], "bytes": 0}
_DATASET = {"format": 1, "name": "folder", "image_size": 8, "fingerprint": "f", "shards": [_SHARD | {"sha256": "0"}]}
_COCO = {"images": [{"id": 1, "file_name": "1.png"}], "annotations": [{"image_id": 1, "caption": "a bird"}]}
_ROWS = [{"file_name": "1.png", "captions": ["a bird"], "label": 3}, {"file_name": "1.png", "text": "b"}]
_CHECKPOINT = {"step": 3, "pictures": 6, "sha256": hashlib.sha256(_EMPTY_STATE).hexdigest()}


def _table() -> bytes:
    written = io.StringIO()
    csv.writer(written).writerows([["file_name", "text", "label"], ["1.png", "a red, red bird", "x"]])
    return written.getvalue().encode()


_METADATA: list[tuple[Callable[[bytes], None], bytes]] = [
    (_folder_data("metadata.jsonl"), "\n".join(map(json.dumps, _ROWS)).encode()),
    (_folder_data("metadata.csv"), _table()),
    (_take_coco, json.dumps(_COCO).encode()),
    (lambda data: Config.load(_file("config.json", data)) and None, Config().to_json().encode()),
    (_take_dataset, json.dumps(_DATASET).encode()),
    (_take_vocabulary, "\n".join(WORDS.words).encode()),
    (_take_checkpoint, json.dumps(_CHECKPOINT).encode()),
    (_take_state, struct.pack("<Q", 56) + b'{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}  ' + bytes(8)),
    (_take_cub, b"1 001.A/1.jpg\n2 002.B/2.jpg\n\x001 1.0 2.0 3.5 4\n2 0 0 9 9\n"),
    (_take_caption_file, b"a bird\nred wings\n"),
]


def take_metadata(data: bytes) -> None:
    """The first byte says which file it is."""
    if data:
        _METADATA[data[0] % len(_METADATA)][0](data[1:])


def metadata() -> list[bytes]:
    return [bytes([index]) + seed for index, (_, seed) in enumerate(_METADATA)]


# === Pictures ===


def take_picture(data: bytes) -> None:
    image = decoding.decode_picture(data, "here")
    assert image.mode == "RGB" and image.width * image.height <= decoding.MAX_PIXELS
    source.resize_short_side(image, 8)


def pictures() -> list[bytes]:
    decoding.MAX_PIXELS = 10**6  # the same test at a hundredth of the time
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (5, 6, 3), np.uint8))
    exif = Image.Exif()
    exif[0x0112] = 6
    kinds = [
        *((noise, kind, {}) for kind in ("PNG", "JPEG", "GIF", "WEBP", "BMP")),
        (noise.convert("P"), "PNG", {"transparency": 0}),
        (noise.convert("RGBA"), "WEBP", {"lossless": True}),
        (noise.convert("CMYK"), "JPEG", {}),
        (noise.convert("L").convert("I;16"), "PNG", {}),
        (noise, "JPEG", {"exif": exif, "progressive": True}),
        (noise.convert("1"), "GIF", {"save_all": True, "append_images": [noise.convert("1")]}),
    ]
    written = []
    for image, kind, options in kinds:
        buffer = io.BytesIO()
        image.save(buffer, kind, **options)
        written.append(buffer.getvalue())
    return written


TARGETS = {
    "captions": Target(take_caption, captions),
    "records": Target(take_records, record_seeds),
    "pickles": Target(take_pickle, pickles),
    "pth": Target(take_pth, checkpoints),
    "metadata": Target(take_metadata, metadata),
    "pictures": Target(take_picture, pictures),
    "answers": Target(take_answer, answers),
    "requests": Target(take_request, requests),
}
