"""The metric "diversity": how different the pictures of one caption are from seed to seed."""

from __future__ import annotations

import hashlib
import typing

import numpy as np

from ssagan_tf.evaluation.extractors import embed
from ssagan_tf.evaluation.intervals import mean_interval
from ssagan_tf.evaluation.scored_pictures import draw_pictures

if typing.TYPE_CHECKING:
    from ssagan_tf.evaluation.metrics import Evaluation, Scores

_CAPTIONS, _SEEDS = 50, 8


def diversity(evaluation: Evaluation) -> Scores:
    """`diversity`: mean distance of two pictures of one caption, in the extractor's space, over at most 50 captions and
    8 seeds each; `diversity_between`: that of two pictures of different captions.

    A model that ignores its noise has a diversity of 0; one that ignores its captions has the same value for both.
    """
    known = list(dict.fromkeys(caption.text for caption in evaluation.captions))
    count = min(_CAPTIONS, len(known))
    texts = [known[index * len(known) // count] for index in range(count)]
    repeated = [text for text in texts for _ in range(_SEEDS)]
    folder = evaluation.out / "diversity"
    drawn = draw_pictures(evaluation.model, repeated, folder, evaluation.seed, evaluation.truncation)
    found = np.concatenate([part for part, _ in embed(evaluation.extractor, evaluation.protocol.resize, drawn)])
    groups = found.astype(np.float64).reshape(count, _SEEDS, -1)
    within = [mean_distance(group) for group in groups]
    told = hashlib.sha256("\n".join(texts).encode(errors="replace")).hexdigest()
    card = evaluation.extractor_card() | {"diversity_captions_sha256": told, "seeds_per_caption": _SEEDS}
    scores = {"diversity": {"value": float(np.mean(within)), "card": card}}
    if count > 1:
        scores["diversity"]["interval"] = mean_interval(within)
        scores["diversity_between"] = {"value": mean_distance(groups[:, 0]), "card": card}
    return scores


def mean_distance(features: np.ndarray) -> float:
    """Mean Euclidean distance of all pairs of features (N, D)."""
    pairs = [np.linalg.norm(features[index + 1 :] - row, axis=1) for index, row in enumerate(features)]
    return float(np.concatenate(pairs).mean())
