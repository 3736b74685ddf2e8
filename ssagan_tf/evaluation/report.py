"""From a model to a report: scores, each with a card of all that it depends on."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import json
import os
import pathlib
import platform
from collections.abc import Sequence

import keras
import numpy as np
import PIL
import tensorflow as tf

from ssagan_tf.config import Config
from ssagan_tf.core import files
from ssagan_tf.data import open_source
from ssagan_tf.data.records import RUN_DATA, Prepared, is_prepared, open_prepared
from ssagan_tf.data.source import DRAWN, Source
from ssagan_tf.errors import UserError
from ssagan_tf.evaluation.clip import open_clip
from ssagan_tf.evaluation.comparison import REPORT, read_report, table
from ssagan_tf.evaluation.metrics import METRICS, Evaluation
from ssagan_tf.evaluation.protocols import protocol as named_protocol
from ssagan_tf.evaluation.scored_pictures import weights_sha256
from ssagan_tf.text_to_image import TextToImage
from ssagan_tf.weights.model_folder import CONFIG_FILE, folder_of

TABLE = "report.txt"


def evaluate(
    model: TextToImage,
    data: Prepared | Source,
    metrics: Sequence[str],
    protocol: str,
    count: int,
    out: str | os.PathLike,
    damsm: str | os.PathLike | None = None,
    *,
    seed: int = 0,
    truncation: float | str | None = None,
    extractor: str | None = None,
    clip: str | None = None,
    about: dict | None = None,
) -> dict:
    """Draws `count` pictures of the test captions, scores them and writes the report; resumable.

    Args:
        model: with a vocabulary.
        data: a prepared folder or a source.
        metrics: names from `METRICS`.
        protocol: one of `PROTOCOLS`: how features are made.
        count: pictures.
        out: folder of the report and the pictures; one for each model.
        damsm: folder of `pretrain_damsm.py`; needed for "r_precision".
        seed: of the first picture.
        truncation: of the noise, see `noise.truncated`.
        extractor: in place of the protocol's own; see `features.open_extractor`.
        clip: model of the CLIP score; see `clip.open_clip`.
        about: what else is known of the model, such as its path and whether its weights are averaged.

    Returns:
        The report: {"scores": {name: {"value", ..., "card"}}}, and the same in OUT/report.json; a table is in
        OUT/report.txt. Scores that an earlier call gave to the same pictures stay in it. A card has "protocol" (all
        that must agree before two values may be compared), "model", "versions" and, where pictures of the captions were
        drawn, the "pictures_sha256" of their pixels.

    Raises:
        UserError: no such metric or protocol, something they need is missing, or the folder holds other pictures.
    """
    _check(metrics, data, damsm)
    how = named_protocol(protocol, extractor)
    if how.extractor == "synthbirds" and data.name not in DRAWN:
        raise UserError(
            f"The attribute network knows rendered birds only. Received: extractor 'synthbirds' for {data.name}. "
            "Use --protocol=clean or ttur."
        )
    # If it is missing, that is told before anything is drawn.
    clip_model = open_clip(clip) if "clip" in metrics else None
    evaluation = Evaluation(model, data, how, count, out, damsm, seed, truncation, clip_model)
    if "r_precision" in metrics:
        evaluation.encoders  # noqa: B018 - read now for the same reason
        evaluation.asked.check_r_precision()
    drawing, folder = evaluation.drawing_card(), pathlib.Path(out)
    known = {"weights_sha256": weights_sha256(model), **(about or {})}
    report, scores = {}, _earlier(folder / REPORT, drawing, known)
    for name in metrics:
        for scored, score in METRICS[name](evaluation).items():
            score["card"] = {"protocol": drawing | score["card"], "model": known, "versions": versions()}
            if "drawn" in vars(evaluation):
                score["card"]["pictures_sha256"] = evaluation.drawn.sha256
            scores[scored] = score
        report = _write(folder, scores)  # after each, so that a later one that fails takes none along
    return report


def evaluate_draws(draws: int, *, count: int, out: str | os.PathLike, seed: int = 0, **arguments) -> dict:
    """`evaluate` by several sets of seeds, each in a folder OUT/draw-0, ... of its own.

    The seeds of draw k begin at `seed + k * count`. The other arguments and errors are those of `evaluate`.

    Returns:
        The report, as of `evaluate`; each score has the mean as its "value", the standard deviation over draws as its
        "deviation", and all values as its "draws". Captions, real pictures and weights are the same in each draw:
        the deviation tells nothing of them.
    """
    folder = pathlib.Path(out)
    reports = [
        evaluate(count=count, out=folder / f"draw-{k}", seed=seed + k * count, **arguments) for k in range(draws)
    ]
    shared = [name for name in reports[0]["scores"] if all(name in report["scores"] for report in reports)]
    return _write(folder, {name: _over_draws([report["scores"][name] for report in reports]) for name in shared})


def _over_draws(scores: Sequence[dict]) -> dict:
    values, card = [score["value"] for score in scores], scores[0]["card"]
    card = card | {"protocol": card["protocol"] | {"draws": len(scores)}}
    return {"value": float(np.mean(values)), "deviation": float(np.std(values, ddof=1)), "draws": values, "card": card}


def _write(folder: pathlib.Path, scores: dict) -> dict:
    report = {"scores": scores}
    files.write_atomically(folder / TABLE, table({str(folder): report}) + "\n")
    files.write_atomically(folder / REPORT, json.dumps(report, indent=2) + "\n")
    return report


def _earlier(path: pathlib.Path, drawing: dict, known: dict) -> dict:
    """Scores that an earlier call gave to the same pictures of the same model."""
    if not path.is_file():
        return {}
    scores = read_report(path)["scores"]
    same = {name: score["card"]["protocol"] | drawing == score["card"]["protocol"] for name, score in scores.items()}
    weights = known["weights_sha256"]
    return {
        name: score
        for name, score in scores.items()
        if same[name] and score["card"]["model"].get("weights_sha256") == weights
    }


def _check(metrics: Sequence[str], data: Prepared | Source, damsm: str | os.PathLike | None) -> None:
    """Before anything slow begins."""
    unknown = [name for name in metrics if name not in METRICS]
    if unknown or not metrics:
        raise UserError(f"There is no such metric. Received: {unknown}. Use some of {', '.join(METRICS)}.")
    if "r_precision" in metrics and damsm is None:
        raise UserError("R-precision needs pretrained encoders. Received: none. Give --damsm=DIR of pretrain_damsm.py.")
    if "semantics" in metrics and (data.name != "synthbirds" or isinstance(data, Prepared)):
        what = f"{'prepared ' * isinstance(data, Prepared)}{data.name}"
        raise UserError(
            f"Attributes are known of birds drawn on the fly only. Received: {what}. "
            "Use --dataset=synthbirds without --data_dir, or leave 'semantics' out of --metrics."
        )


def versions() -> dict[str, str]:
    """Of what computes."""
    return {
        "ssagan_tf": importlib.metadata.version("ssagan_tf"),
        "python": platform.python_version(),
        "tensorflow": tf.__version__,
        "keras": keras.__version__,
        "numpy": np.__version__,
        "pillow": PIL.__version__,
    }


def about(model: str | os.PathLike) -> dict:
    """What a run folder, a model folder or name says of its weights: path, half-life of their average (0: none), and
    the data that they were trained on.

    Raises:
        UserError: the folder has no configuration.
    """
    config = Config.load(folder_of(model) / CONFIG_FILE)
    return {
        "path": str(model),
        "ema_pictures": config.train.ema_pictures,
        "published": config.model.published,
        "trained_on": dataclasses.asdict(config.data),
    }


def open_data(
    model: str | os.PathLike, dataset: str | None, data_dir: str | None, image_size: int
) -> Prepared | Source:
    """The data to score a model against: those that it was trained on, prepared at its size or above, or raw.

    Args:
        model: run folder, model folder or name.
        dataset: a name, to be sure; None: the model's.
        data_dir: where the data are now; None: where they were when the model was trained.
        image_size: the model's.

    Raises:
        UserError: another data set than the model's, no such data, or prepared from another data set.
    """
    place = folder_of(model)
    trained = Config.load(place / CONFIG_FILE).data
    if dataset not in (None, trained.dataset):
        raise UserError(
            f"The model was trained on other data. Received: {model}, trained on {trained.dataset}, with "
            f"--dataset={dataset}. Leave --dataset out."
        )
    own = place / RUN_DATA
    data_dir = data_dir or (str(own) if is_prepared(own) else trained.data_dir)
    if data_dir is None or not is_prepared(data_dir):
        return open_source(trained.dataset, data_dir, image_size)
    prepared = open_prepared(data_dir)
    if prepared.name != trained.dataset:
        raise UserError(
            f"The folder was prepared from something else. Received: {data_dir}: {prepared.name}. "
            f"Wanted: {trained.dataset}."
        )
    return prepared


def table_of(out: str | os.PathLike) -> str:
    """The table of a report just written into a folder."""
    return table({str(out): read_report(pathlib.Path(out) / REPORT)})
