"""The data of a training, and the captions of the sheets that it shows on the way."""

from __future__ import annotations

from absl import logging

from ssagan_tf.config import Config
from ssagan_tf.data import open_source
from ssagan_tf.data.pipeline import first_captions
from ssagan_tf.data.records import FINISHED, Prepared, is_prepared, open_prepared, prepare
from ssagan_tf.data.source import DRAWN, Source
from ssagan_tf.data.synthbirds import FIXED_CAPTIONS
from ssagan_tf.errors import UserError
from ssagan_tf.text.vocabulary import Vocabulary
from ssagan_tf.training.run import DATA, Run

_SHEET_ROWS, _SHEET_CANDIDATES = 8, 100


def open_training_data(config: Config, run: Run) -> Prepared | Source:
    """The prepared folder, or a raw one prepared into the run's own `data` folder, or a source that draws.

    Raises:
        UserError: no such data, or prepared for something else.
    """
    dataset, folder, size = config.data.dataset, config.data.data_dir, config.model.image_size
    into = run.folder / DATA
    if run.begun() and (into / FINISHED).is_file():
        return open_prepared(into)
    if folder is None or not is_prepared(folder):
        source = open_source(dataset, folder, size)
        if dataset in DRAWN:
            if folder is not None:
                raise UserError(
                    f"There is no prepared data. Received: {folder}. "
                    f"Leave --data_dir out to have {dataset} drawn, or prepare it with prepare_data.py."
                )
            return source
        logging.info("Preparing %s into %s; prepare_data.py does this once for several runs.", folder, into)
        return prepare(source, into, size, progress=True)[0]
    prepared = open_prepared(folder)
    if (prepared.name, prepared.image_size) != (dataset, size):
        raise UserError(
            f"The folder was prepared for something else. Received: {folder}: {prepared.name} at "
            f"{prepared.image_size} pixels. Wanted: {dataset} at {size}. Run prepare_data.py for it."
        )
    return prepared


def sheet_captions(data: Prepared | Source, vocabulary: Vocabulary) -> list[str]:
    """Of the sheets that are drawn as training goes on: always the same, and of known words if there are such."""
    if data.name in DRAWN:
        return list(FIXED_CAPTIONS)
    captions = first_captions(data, _SHEET_CANDIDATES)
    return sorted(captions, key=lambda caption: bool(vocabulary.unknown(caption)))[:_SHEET_ROWS]
