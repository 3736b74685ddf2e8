"""Pretraining of text and image encoder: resumed or begun, fitted, and the data that it is fitted on."""

from __future__ import annotations

import dataclasses
import functools
import math
import typing
from collections.abc import Sequence

import keras
from absl import logging
from PIL import Image

from ssagan_tf.config import Config
from ssagan_tf.damsm import DAMSM
from ssagan_tf.data.pipeline import training_batches
from ssagan_tf.data.records import Prepared
from ssagan_tf.data.source import DRAWN, Example, Source
from ssagan_tf.data.synthbirds import SynthBirds
from ssagan_tf.networks import ImageEncoder, TextEncoder
from ssagan_tf.text.captions import CaptionEncoder, PlainCaptions
from ssagan_tf.training import checkpoint
from ssagan_tf.training.callbacks import Checkpoints, Counting
from ssagan_tf.training.collapse import ConstantLosses
from ssagan_tf.training.fitting import GraphWait, fit
from ssagan_tf.training.pretraining.schedules import PretrainingRate
from ssagan_tf.training.run import Run
from ssagan_tf.weights import tensor_files

_DRAWN_EPOCH = 250
_LARGER_WORDS = 10.0
_KEPT_BYTES = 2**28  # all of synthbirds at 64 pixels
_CONSTANT = {"damsm_loss": "look for labels or captions that are the same for all pictures, prepare_data.py --check"}


def pretraining_options(config: Config) -> dict:
    """What the configuration says of DAMSM's loss in pretraining, as arguments of `DAMSM`."""
    return {"gamma3": config.train.pretraining_gamma3, "word_group": config.train.pretraining_word_group}


def begin_pretraining(run: Run, damsm: DAMSM, config: Config) -> int:
    """Compiles; reads the newest state of the run's pretraining, and returns its iteration.

    Where there is none, Inception gets the ImageNet weights that it keeps, and in a short pretraining words start ten
    times as large as published: they are told apart in half of the iterations.

    Raises:
        UserError: a state that does not fit, or ImageNet weights that cannot be had.
    """
    with damsm.distribute_strategy.scope():
        damsm.compile()
    found = checkpoint.newest(run.pretraining)
    if found is None:
        if isinstance(damsm.image_encoder, ImageEncoder):
            _take_imagenet_weights(damsm.image_encoder)
        random_words = not (config.train.initial_model or config.train.word_vectors)
        short = config.train.pretraining_schedule != "published"
        if isinstance(damsm.text_encoder, TextEncoder) and random_words and short:
            embedding = damsm.text_encoder.embedding.embeddings
            embedding.assign(_LARGER_WORDS * embedding)
        return 0
    tensor_files.assign_state(damsm.state_variables(), found.state, str(found.folder))
    logging.info("Going on after iteration %d of the pretraining.", found.step)
    return found.step


def _take_imagenet_weights(image_encoder: ImageEncoder) -> None:
    """Keras's weights in the published graph, whose pools count the padding: the heads learn from what that gives."""
    logging.info("Inception takes Keras's ImageNet weights; only its two heads are trained.")
    trained = ImageEncoder(image_encoder.embedding_dim, weights="imagenet", count_padding=True)
    image_encoder.set_weights(trained.get_weights())


def fit_damsm(
    run: Run,
    damsm: DAMSM,
    data: Prepared | Source,
    encoder: CaptionEncoder | PlainCaptions,
    config: Config,
    progress: Counting,
    callbacks: list[keras.callbacks.Callback],
    family: int = 1,
) -> None:
    """Pretrains from the iteration that `progress` is at to `config.train.pretraining_steps`.

    Args:
        run: its `pretraining` folder gets the newest resumable state.
        damsm: compiled.
        data: a prepared folder, or a source.
        encoder: of captions.
        config: batch size, rate and its schedule.
        progress: one of the callbacks, which knows the iteration.
        callbacks: called before a state is saved.
        family: of rendered birds, how many in a row look alike; see `SynthBirds`.

    Raises:
        UserError: the data is damaged, or training has diverged.
    """
    train, first_step = config.train, progress.step
    # The devices' shares are equal.
    batch_size = train.pretraining_batch_size
    batch_size += -batch_size % damsm.distribute_strategy.num_replicas_in_sync
    given: typing.Any = data
    together = 1
    if isinstance(data, SynthBirds):
        together = math.gcd(family, data.count["train"])
        given = _Kept(SynthBirds(data.image_size, data.seed, data.count, together))
    batches = training_batches(given, encoder, config.override(batch_size=batch_size), first_step, together=together)
    epoch = epoch_of(data, batch_size)
    rate = PretrainingRate(train.pretraining_schedule, train.pretraining_rate, train.pretraining_steps, epoch, progress)
    state = damsm.state_variables()
    checkpoints = Checkpoints(run.pretraining, state, progress, train.checkpoint_every, keep=1)
    callbacks = [GraphWait(run), rate, *callbacks, ConstantLosses(run, progress, _CONSTANT), checkpoints]
    fit(damsm, batches, train.pretraining_steps - first_step, callbacks)


class _Kept:
    """A source that draws, each picture once, since drawing takes as long as learning from it; and without classes.

    A bird's class is the colour of its breast. Leaving out pairs of one class as negatives, as is published for
    species, would leave out pairs that differ in all that their captions speak of.
    """

    def __init__(self, source: Source):
        self.name = source.name
        self.examples = functools.cache(lambda split: _KeptExamples(source.examples(split)))


class _KeptExamples:
    def __init__(self, examples: Sequence[Example]):
        self._examples = examples
        self._pictures: dict[int, Image.Image] = {}

    def __len__(self) -> int:
        return len(self._examples)

    def __getitem__(self, index: int) -> Example:
        example = dataclasses.replace(self._examples[index], class_id=-1)
        if index not in self._pictures:
            picture = example.load()
            if len(self._pictures) * picture.width * picture.height * 3 > _KEPT_BYTES:
                return dataclasses.replace(example, load=lambda: picture)
            self._pictures[index] = picture
        return dataclasses.replace(example, load=lambda: self._pictures[index])


def epoch_of(data: Prepared | Source, batch_size: int) -> int:
    """Iterations of a pass through the training pictures; of drawn ones, which never end, 250."""
    if data.name in DRAWN:
        return _DRAWN_EPOCH
    count = data.examples("train") if isinstance(data, Prepared) else len(data.examples("train"))
    return max(1, count // batch_size)
