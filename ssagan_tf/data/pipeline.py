"""From records or a source to training batches, with tf.data.

The stream of a split is endless: one pass after the other, each in an order of its own. What an example becomes depends
on the seed and on its place in the stream alone, so a run that stops goes on with the very next picture.
"""

from __future__ import annotations

import contextlib
import itertools
import re
from collections.abc import Iterator

import numpy as np
import tensorflow as tf

from ssagan_tf.config import Config
from ssagan_tf.data.records import CAPTIONS, IMAGE, KEY, LABEL, Prepared, features
from ssagan_tf.data.source import DRAWN, Source, resize_short_side, working_size
from ssagan_tf.errors import UserError
from ssagan_tf.text.captions import CaptionEncoder, PlainCaptions
from ssagan_tf.text.vocabulary import Vocabulary

# In what TensorFlow says of damaged files, and of the stream that batches come from.
_OF_DATA = ("record", "PNG", "Iterator::Root", "Need value.shape >= size")  # the last of a crop
_SHUFFLED_TOGETHER = 1024  # encoded pictures; the shards are mixed already
_SHARDS_AT_ONCE = 4
_VOCABULARY_EXAMPLES = 2000  # of a source that draws: its few words are all in them


def training_batches(
    data: Prepared | Source,
    encoder: CaptionEncoder | PlainCaptions,
    config: Config,
    first_step: int = 0,
    split: str = "train",
    together: int = 1,
    first_picture: int | None = None,
    keys: bool = False,
) -> tf.data.Dataset:
    """Endless batches for `SSAGAN.train_step`, from iteration `first_step` on.

    Args:
        data: a prepared folder, or a source whose pictures are made on the fly.
        encoder: the model's.
        config: image size, batch size, seed and how pictures are varied.
        first_step: batches to pass over, as if they had been given.
        split: "train" or "test".
        together: so many examples of a source, neighbours there, stay neighbours in every pass; divides their number.
        first_picture: pictures to pass over instead, where earlier batches were of another size.
        keys: with the pictures' keys, too; the batches are the same.

    Returns:
        Elements {"image": (B, S, S, 3) float32 in [-1, 1], "caption": (B, T) int64, "class_id": (B,) int64}, sorted by
        falling caption length within the batch, as published. With `keys` also "key", (B,) string. Of `PlainCaptions`
        "caption" is (B,) string.

    Raises:
        UserError: the split is empty.
    """
    if not split_size(data, split):
        raise UserError(f"There is no picture to read. Received: {data.name} without any in {split!r}. Add some.")
    batch_size, seed = config.train.batch_size, config.train.seed
    first = first_step * batch_size if first_picture is None else first_picture
    if isinstance(data, Prepared):
        examples = _from_records(data, split, config, first)
    else:
        examples = _from_source(data, split, config, first, together)
    examples = examples.enumerate(start=first)

    def one(place, example):
        varied = _augmented(example, tf.stack([tf.constant(seed, tf.int64), place]), encoder, config)
        return varied | {"key": example["key"]} if keys else varied

    examples = examples.map(one, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
    batches = examples.batch(batch_size, drop_remainder=True)
    return batches.map(_longest_first).prefetch(tf.data.AUTOTUNE)


def _from_source(source: Source, split: str, config: Config, first: int, together: int) -> tf.data.Dataset:
    """Pictures decoded or drawn in Python, each pass in an order of its own that needs no buffer."""
    examples = source.examples(split)
    count = len(examples)
    size = working_size(source.name, config.model.image_size)

    def load(index):
        example = examples[int(index)]
        picture = np.asarray(resize_short_side(example.load(), size))
        return picture, np.array(example.captions, object), np.int64(example.class_id), example.key

    def nth(place):
        seed = tf.stack([tf.constant(config.train.seed, tf.int64), place // count])
        last = tf.constant(count // together - 1, tf.int64)
        group = tf.random.experimental.index_shuffle(place % count // together, seed, last)
        index = together * group + place % together
        kinds = [tf.uint8, tf.string, tf.int64, tf.string]
        picture, captions, class_id, key = tf.numpy_function(load, [index], kinds)
        return {
            "picture": tf.ensure_shape(picture, [None, None, 3]),
            "captions": tf.ensure_shape(captions, [None]),
            "class_id": tf.ensure_shape(class_id, []),
            "key": tf.ensure_shape(key, []),
        }

    places = tf.data.Dataset.range(first, tf.int64.max)
    return places.map(nth, num_parallel_calls=2, deterministic=True)


def _from_records(prepared: Prepared, split: str, config: Config, first: int) -> tf.data.Dataset:
    """Shards in an order of each pass, read several at a time, shuffled in chunks."""
    shards = tf.constant(prepared.files(split))
    count, seed = prepared.examples(split), config.train.seed

    def one_pass(number):
        pass_seed = tf.stack([tf.constant(seed, tf.int64), number])
        paths = tf.data.Dataset.from_tensor_slices(
            tf.random.experimental.stateless_shuffle(shards, pass_seed, alg="philox")
        )
        records = paths.interleave(tf.data.TFRecordDataset, cycle_length=_SHARDS_AT_ONCE)

        # Not `shuffle`: its seed cannot be a tensor once a program has set a global one.
        def shuffled(number, chunk):
            chunk_seed = tf.random.fold_in(pass_seed, number, alg="philox")
            return tf.random.experimental.stateless_shuffle(chunk, chunk_seed, alg="philox")

        return records.batch(_SHUFFLED_TOGETHER).enumerate().map(shuffled).unbatch()

    passes = tf.data.Dataset.range(first // count, tf.int64.max).flat_map(one_pass)
    # Passing over still encoded records is cheap.
    return passes.skip(first % count).map(_parsed, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)


def _parsed(record):
    fields = tf.io.parse_single_example(record, features())
    return {
        "picture": tf.io.decode_png(fields[IMAGE], channels=3),
        "captions": fields[CAPTIONS],
        "class_id": fields[LABEL],
        "key": fields[KEY],
    }


def _augmented(example, seed, encoder, config):
    """One caption of its several, a random or the central square of the picture, mirrored or not."""
    caption_seed, word_seed, crop_seed, flip_seed = tf.unstack(tf.random.split(seed, 4, alg="philox"))
    captions, picture = example["captions"], example["picture"]
    which = tf.random.stateless_uniform([], caption_seed, 0, tf.size(captions), tf.int32, alg="philox")
    size = [config.model.image_size, config.model.image_size, 3]
    if config.data.random_crop:
        picture = tf.image.stateless_random_crop(picture, size, crop_seed)
    else:
        corner = (tf.shape(picture) - size) // 2
        picture = tf.slice(picture, corner, size)
    if config.data.random_flip:
        picture = tf.image.stateless_random_flip_left_right(picture, flip_seed)
    return {
        "image": tf.cast(tf.ensure_shape(picture, size), tf.float32) / 127.5 - 1.0,
        "caption": encoder.sample(captions[which], word_seed),
        "class_id": example["class_id"],
    }


def _longest_first(batch):
    if batch["caption"].dtype == tf.string:
        return batch
    lengths = tf.math.count_nonzero(batch["caption"], -1)
    order = tf.argsort(lengths, direction="DESCENDING", stable=True)
    return {name: tf.gather(value, order) for name, value in batch.items()}


@contextlib.contextmanager
def reraise_data_errors() -> Iterator[None]:
    """Raises UserError for what TensorFlow says of damaged prepared data; other errors pass."""
    try:
        yield
    except (tf.errors.DataLossError, tf.errors.InvalidArgumentError, tf.errors.NotFoundError) as error:
        said = error.message
        if not any(word in said for word in _OF_DATA):
            raise
    except UnicodeDecodeError as error:  # what it says has bytes of the file in it
        said = str(error.object, errors="replace")
        if not any(word in said for word in _OF_DATA):
            raise
    else:
        return
    raise UserError(
        f"The prepared data is damaged. Received: {_telling(said)[:500]}. "
        "Run prepare_data.py --check on it, then prepare it again: only what is damaged is written."
    )


def _telling(said: str) -> str:
    """The line that tells, of an error of a graph, which begins with others."""
    line = next(line for line in said.splitlines() if any(word in line for word in _OF_DATA))
    return re.sub(r"\{\{.*?\}\} ?| ?\[Op:.*", "", line)


def first_captions(data: Prepared | Source, count: int) -> list[str]:
    """A caption of each of the first examples to test with (to train with, if there are none): for sample sheets."""
    split = "test" if split_size(data, "test") else "train"
    if not isinstance(data, Prepared):
        return [example.captions[0] for example in itertools.islice(data.examples(split), count)]
    records = tf.data.TFRecordDataset(data.files(split)).map(_parsed).take(count)
    with reraise_data_errors():
        return [example["captions"][0].numpy().decode(errors="replace") for example in records]


def vocabulary_of(data: Prepared | Source) -> Vocabulary:
    """The vocabulary that came with the data, or else the words of its training captions."""
    known = data.vocabulary()
    if known is not None:
        return known
    assert not isinstance(data, Prepared)  # which always has one
    some = itertools.islice(data.examples("train"), _VOCABULARY_EXAMPLES if data.name in DRAWN else None)
    return Vocabulary.build((caption for example in some for caption in example.captions), data.tokenizer)


def split_size(data: Prepared | Source, split: str) -> int:
    """Number of pictures of a split."""
    return data.examples(split) if isinstance(data, Prepared) else len(data.examples(split))
