"""DAMSM before the GAN: encoders from a folder of `pretrain_damsm.py`, or pretrained as the first part of a training.

A folder of DAMSM holds `config.json`, `vocabulary.txt` and `damsm.safetensors`: the weights of both encoders, under
the names text_encoder/... and image_encoder/...
"""

from __future__ import annotations

import os
import pathlib

from absl import logging

from ssagan_tf.config import Config
from ssagan_tf.damsm import DAMSM, DAMSM_FILE
from ssagan_tf.data.pipeline import vocabulary_of
from ssagan_tf.data.records import Prepared
from ssagan_tf.data.source import Source
from ssagan_tf.errors import UserError
from ssagan_tf.networks import SentenceEncoder, TextEncoder
from ssagan_tf.ssagan import SSAGAN
from ssagan_tf.text import word_vectors
from ssagan_tf.text.vocabulary import Vocabulary
from ssagan_tf.training.callbacks import Pretraining, StopGently
from ssagan_tf.training.pretraining.fit_damsm import begin_pretraining, fit_damsm, pretraining_options
from ssagan_tf.training.run import Run
from ssagan_tf.weights import tensor_files
from ssagan_tf.weights.model_folder import CONFIG_FILE, VOCABULARY_FILE, folder_of

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
    take_word_vectors(model.text_encoder, model.require_vocabulary(), config)
    if model.image_encoder is not None and config.train.pretraining_steps:
        _pretrain(run, model, data, config, stop)


def _pretrain(run: Run, model: SSAGAN, data: Prepared | Source, config: Config, stop: StopGently) -> None:
    steps = config.train.pretraining_steps
    logging.info("First the text encoder learns which captions fit which pictures (DAMSM): %d iterations.", steps)
    options = pretraining_options(config)
    damsm = DAMSM(model.text_encoder, model.image_encoder, config.model.global_negatives, **options)
    first_step = begin_pretraining(run, damsm, config)
    if first_step < steps:
        progress = Pretraining(first_step, steps, config.train.pretraining_batch_size)
        fit_damsm(run, damsm, data, model.caption_encoder, config, progress, [progress, stop])


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
