"""The metric "memorization": whether generated pictures are copies of training pictures, as scores and as a sheet."""

from __future__ import annotations

import typing
from collections.abc import Iterable, Sequence

import numpy as np

from ssagan_tf import pictures
from ssagan_tf.evaluation import neighbors
from ssagan_tf.evaluation.intervals import share_interval
from ssagan_tf.evaluation.reference import real_pictures

if typing.TYPE_CHECKING:
    from ssagan_tf.evaluation.metrics import Evaluation, Scores

SHEET_FILE = "nearest_training_pictures.png"
_ROWS = 12


def memorization(evaluation: Evaluation) -> Scores:
    """`copies` and `copy_ratio`, see `neighbors.Memorization`; and OUT/nearest_training_pictures.png.

    The sheet shows the generated pictures that are nearest to a training picture, beside that picture.
    """
    training = evaluation.features_of_real("train")
    generated, held_out = evaluation.drawn_features.features, evaluation.real_features.features
    found = neighbors.memorization(generated, training.features, held_out, progress=True)
    nearest = np.argsort(found.distances, kind="stable")[:_ROWS]
    rows = _take(evaluation.drawn, nearest), _take(_training_pictures(evaluation), found.indices[nearest])
    titles = [evaluation.captions[index].text for index in nearest]
    pairs = [(title, np.stack(pair)) for title, *pair in zip(titles, *rows, strict=True)]
    pictures.save_png(
        pictures.caption_grid(pairs, ["generated", "nearest training picture"]), evaluation.out / SHEET_FILE
    )
    card = evaluation.extractor_card() | evaluation.reference_card()
    card |= {"training_count": len(training.features), "training_sha256": training.pictures_sha256}
    count = len(generated)
    return {
        "copies": {"value": found.copies, "interval": share_interval(found.copies * count, count), "card": card},
        "copy_ratio": {"value": found.ratio, "card": card},
    }


def _training_pictures(evaluation: Evaluation) -> Iterable[np.ndarray]:
    return real_pictures(evaluation.data, "train", evaluation.image_size)


def _take(batches: Iterable[np.ndarray], indices: Sequence[int] | np.ndarray) -> list[np.ndarray]:
    """Pictures at these places of a stream of batches, in the order of `indices`."""
    taken: dict[int, np.ndarray] = {}
    wanted, start = set(map(int, indices)), 0
    for batch in batches:
        taken |= {index: batch[index - start] for index in wanted if start <= index < start + len(batch)}
        start += len(batch)
    return [taken[int(index)] for index in indices]
