"""DAMSM before the GAN: encoders from a folder of `pretrain_damsm.py`, or pretrained as the first part of a training.

A folder of DAMSM holds `config.json`, `vocabulary.txt` and `damsm.safetensors`: the weights of both encoders, under
the names text_encoder/... and image_encoder/...
"""

from __future__ import annotations

import dataclasses
import functools
import math
import os
import pathlib
import typing
from collections.abc import Sequence

import keras
from absl import logging
from PIL import Image

from ssagan_tf.config import Config
from ssagan_tf.damsm import DAMSM, DAMSM_FILE
from ssagan_tf.data.pipeline import training_batches, vocabulary_of
from ssagan_tf.data.records import Prepared
from ssagan_tf.data.source import DRAWN, Example, Source
from ssagan_tf.data.synthbirds import SynthBirds
from ssagan_tf.errors import UserError
from ssagan_tf.networks import ImageEncoder, SentenceEncoder, TextEncoder
from ssagan_tf.ssagan import SSAGAN
from ssagan_tf.text import word_vectors
from ssagan_tf.text.captions import CaptionEncoder, PlainCaptions
from ssagan_tf.text.vocabulary import Vocabulary
from ssagan_tf.training import checkpoint
from ssagan_tf.training.callbacks import Checkpoints, Pretraining, StopGently
from ssagan_tf.training.fitting import fit
from ssagan_tf.training.run import Run
from ssagan_tf.training.schedules import Counting, PretrainingRate
from ssagan_tf.weights import tensor_files
from ssagan_tf.weights.model_folder import CONFIG_FILE, VOCABULARY_FILE, folder_of

_DRAWN_EPOCH = 250
_LARGER_WORDS = 10.0
_KEPT_BYTES = 2**28  # all of synthbirds at 64 pixels
# What must be the same in a DAMSM and in the model that takes its encoders.
_SIZES = ("sentence_dim", "embedding_dim", "image_encoder", "image_size")


def vocabulary_for(data: Prepared | Source, config: Config) -> Vocabulary:
    """The words that a new run knows: those that came with its data, else those of its DAMSM, else of its captions.

    Of one that goes on from a model: the model's words, and then those.

    Raises:
        UserError: data and DAMSM have different vocabularies, or the DAMSM does not fit the model.
    """
    folder = config.train.damsm
    if config.train.initial_model is not None:
        return Vocabulary.load(folder_of(config.train.initial_model) / VOCABULARY_FILE).merged(vocabulary_of(data))
    if folder is None:
        return vocabulary_of(data)
    _check_sizes(config, pathlib.Path(folder))
    theirs, ours = Vocabulary.load(pathlib.Path(folder) / VOCABULARY_FILE), data.vocabulary()
    if ours is not None and ours != theirs:
        raise UserError(
            f"The text encoder was pretrained with other words. Received: {folder} with {len(theirs):,} words, and "
            f"{data.name} with {len(ours):,}; {_first_difference(theirs, ours)}. Pretrain on this data."
        )
    return theirs


def _first_difference(theirs: Vocabulary, ours: Vocabulary) -> str:
    for number, (one, other) in enumerate(zip(theirs.words, ours.words, strict=False)):
        if one != other:
            return f"word {number} is {one!r} there, {other!r} here"
    return "one has words that the other has not"


def _check_sizes(config: Config, folder: pathlib.Path) -> None:
    if not (folder / DAMSM_FILE).is_file():
        raise UserError(f"No pretrained encoders found. Received: {folder}. Give a folder made by pretrain_damsm.py.")
    theirs = Config.load(folder / CONFIG_FILE).model
    different = [
        f"{name} is {getattr(theirs, name)!r} there, {getattr(config.model, name)!r} here"
        for name in _SIZES
        if getattr(theirs, name) != getattr(config.model, name)
        and not (config.model.image_encoder is None and name.startswith("image"))  # then it is not taken
        and not (config.model.image_encoder == "inception" and name == "image_size")  # it enlarges all pictures
    ]
    if different:
        raise UserError(
            f"The pretrained encoders do not fit the model. Received: {folder}: {'; '.join(different)}. "
            "Pretrain with the same settings, or train with those."
        )


def take_encoders(model: SSAGAN, folder: str | os.PathLike) -> None:
    """Gives the model the text encoder of a DAMSM folder, and the image encoder if it has one itself.

    Raises:
        UserError: the weights are missing, damaged or do not fit.
    """
    path = pathlib.Path(folder) / DAMSM_FILE
    wanted = tensor_files.named_variables("text_encoder", model.text_encoder.variables)
    if model.image_encoder is not None:
        wanted |= tensor_files.named_variables("image_encoder", model.image_encoder.variables)
    state = tensor_files.read_state(path)
    if model.image_encoder is None:
        state = {name: value for name, value in state.items() if not name.startswith("image_encoder/")}
    tensor_files.assign_state(wanted, state, str(path))


def provide_encoders(run: Run, model: SSAGAN, data: Prepared | Source, config: Config, stop: StopGently) -> None:
    """The encoders of a new training: from `config.train.damsm`, or pretrained here. Without, a sentence says nothing.

    Where an earlier call was ended in its pretraining, this one goes on.
    """
    if config.train.damsm is not None:
        logging.info("Text and image encoder come from %s.", config.train.damsm)
        take_encoders(model, config.train.damsm)
        return
    take_word_vectors(model.text_encoder, model.needed_vocabulary(), config)
    if model.image_encoder is not None and config.train.pretraining_steps:
        _pretrain(run, model, data, config, stop)


def _pretrain(run: Run, model: SSAGAN, data: Prepared | Source, config: Config, stop: StopGently) -> None:
    steps = config.train.pretraining_steps
    logging.info("First the text encoder learns which captions fit which pictures (DAMSM): %d iterations.", steps)
    options = pretraining_options(config)
    damsm = DAMSM(model.text_encoder, model.image_encoder, config.model.global_negatives, **options)
    first_step = begin_pretraining(run, damsm, config)
    if first_step < steps:
        progress = Pretraining(first_step, steps)
        fit_damsm(run, damsm, data, model.caption_encoder, config, progress, [progress, stop])


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


def take_word_vectors(text_encoder: SentenceEncoder, vocabulary: Vocabulary, config: Config) -> None:
    """Starts the words of an LSTM from pretrained vectors, if the configuration names a file of them.

    Raises:
        UserError: no such file, or another text encoder.
    """
    path = config.train.word_vectors
    if path is None:
        return
    if not isinstance(text_encoder, TextEncoder):
        raise UserError(
            f"Word vectors are for the LSTM. Received: {path} for {config.model.text_encoder}. Leave it out."
        )
    found = word_vectors.read(path, vocabulary)
    embedding = text_encoder.embedding.embeddings
    embedding.assign(word_vectors.start_words(embedding.numpy(), found, config.train.seed))
    logging.info("%s has vectors of %d of %d words.", path, len(found), len(vocabulary) - 1)


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
    fit(damsm, batches, train.pretraining_steps - first_step, [rate, *callbacks, checkpoints])


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
