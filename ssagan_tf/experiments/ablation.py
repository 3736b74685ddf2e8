"""Ablation: trainings that differ in one thing, scored the same way, and what comes of it in one table.

OUT/damsm                       the encoders that all trainings start from, if none are given
OUT/VARIANT/seed-N              a run folder; its `evaluation/report.json` is there once it is done
OUT/VARIANT.png                 sample sheet: the same captions and noise for every variant
OUT/table.md, table.json        means and spreads over seeds
"""

from __future__ import annotations

import dataclasses
import json
import pathlib
import shutil
from collections.abc import Mapping, Sequence

import keras
import numpy as np
from absl import logging

from ssagan_tf.config import Config
from ssagan_tf.core import files
from ssagan_tf.data.records import Prepared
from ssagan_tf.data.source import Source
from ssagan_tf.data.synthbirds import SynthBirds
from ssagan_tf.errors import UserError
from ssagan_tf.evaluation.comparison import REPORT, read_report
from ssagan_tf.evaluation.extractors import open_extractor
from ssagan_tf.evaluation.metrics import SPLIT, Asked
from ssagan_tf.evaluation.overfitting import MemoryTest
from ssagan_tf.evaluation.protocols import protocol as named_protocol
from ssagan_tf.evaluation.protocols import usual
from ssagan_tf.evaluation.reference import described
from ssagan_tf.evaluation.report import evaluate
from ssagan_tf.experiments import FINE_TUNED, REFERENCE, VARIANTS
from ssagan_tf.sampling import write_sheet
from ssagan_tf.text.vocabulary import Vocabulary
from ssagan_tf.training import checkpoint, resume, train
from ssagan_tf.training.auto_precision import with_precision
from ssagan_tf.training.fine_tuning import fine_tuned
from ssagan_tf.training.pretraining import pretrain
from ssagan_tf.training.run import Run, load_model
from ssagan_tf.weights.model_folder import CONFIG_FILE, VOCABULARY_FILE

_MEMORY = "memory.json"
# Columns: name, factor on the score, decimals.
_COLUMNS = {
    "attributes, %": ("semantics", 100, 1),
    "crown, %": ("crown", 100, 1),
    "wing, %": ("wing", 100, 1),
    "belly, %": ("belly", 100, 1),
    "Fréchet distance": ("fid", 1, 1),
    "kernel distance x 1000": ("kid", 1000, 1),
    "R-precision, %": ("r_precision", 100, 1),
    "logits of train - test": ("gap", 1, 2),
    "memorised, %": ("memorised", 100, 0),
}
_SHEET_SEEDS = 4


class Interrupted(Exception):
    """A signal ended a training, which was saved; the same command goes on."""

    def __init__(self, signal: int):
        super().__init__(f"stopped by signal {signal}")
        self.signal = signal


def ablate(
    config: Config,
    out: pathlib.Path,
    variants: Sequence[str],
    seeds: Sequence[int],
    count: int,
    extractor: str | None = None,
    start: str = "synthbirds_64",
) -> str:
    """Trains and scores what is not done yet, all variants of a seed before the next seed, and writes the table.

    Args:
        config: of the reference; its `damsm` names the folder of the encoders that all trainings start from and are
            scored with. None: they are pretrained first, once.
        out: folder of it all.
        variants: names in `VARIANTS`.
        seeds: each trains every variant once.
        count: pictures to score.
        extractor: of the features that a kernel distance is measured in, in place of TF-GAN's Inception; rendered birds
            have one of their own.
        start: model that "fine_tuned" goes on from.

    Returns:
        The table, in Markdown.

    Raises:
        UserError: no such variant, `out` holds trainings of other settings, or what training and scoring raise.
        Interrupted: a signal ended a training.
    """
    unknown = [name for name in variants if name not in VARIANTS]
    if unknown or not variants or not seeds:
        raise UserError(f"There is no such variant. Received: {unknown}. Use some of {', '.join(VARIANTS)}.")
    data = train.open_training_data(config, Run(out))
    _check_scorable(data, count, extractor)
    config = with_precision(config, Run(out / "damsm"))  # the same for all variants
    if isinstance(data, SynthBirds):
        config = config.override(text_training="damsm")
    elif isinstance(data, Prepared):
        config = config.override(data_dir=str(data.folder))  # prepared once for all
    damsm = config.train.damsm or _pretrained(config, Run(out / "damsm"))
    config = config.override(damsm=damsm)
    for seed in seeds:
        for name in variants:
            run = Run(out / name / f"seed-{seed}")
            changed = _fine_tuned(config, damsm, start) if name == FINE_TUNED else config.override(**VARIANTS[name])
            _train(run, changed.override(seed=seed))
            _score(run, data, damsm, count, extractor)
            # Graphs and variables of finished trainings are of no more use.
            keras.utils.clear_session()
    captions = train.sheet_captions(data, Vocabulary.load(pathlib.Path(damsm) / VOCABULARY_FILE))
    for name in variants:
        sheet = out / f"{name}.png"
        write_sheet(load_model(out / name / f"seed-{seeds[0]}"), captions, 0, _SHEET_SEEDS, sheet)
    found = {name: [_scores(out / name / f"seed-{seed}") for seed in seeds] for name in variants}
    written = table(found)
    files.write_atomically(out / "table.json", json.dumps(found, indent=2) + "\n")
    files.write_atomically(out / "table.md", written + "\n")
    return written


def _check_scorable(data: Prepared | Source, count: int, extractor: str | None) -> None:
    """Before hours of training: raises what scoring would."""
    Asked.of(described(data, SPLIT), count).check_r_precision()
    if not isinstance(data, SynthBirds):
        open_extractor(named_protocol(usual(data.name), extractor).extractor)


def _pretrained(config: Config, run: Run) -> str:
    """Its folder, with encoders as `pretrain_damsm.py` makes them; goes on where an earlier call was stopped."""
    if run.begun():
        resume.check_same_run(run.config(), config, run)
    done = checkpoint.newest(run.pretraining)
    if done is None or done.step < config.train.pretraining_steps:
        outcome = pretrain.pretrain(run, config)
        if outcome.signal is not None:
            raise Interrupted(outcome.signal)
    return str(run.folder)


def _fine_tuned(config: Config, damsm: str, start: str) -> Config:
    """Goes on from a model, whose encoders then learn from the new pictures for as long as those of the others did."""
    steps = Config.load(pathlib.Path(damsm) / CONFIG_FILE).train.pretraining_steps
    name = "paper" if config.model.published else "small"
    given = {"initial_model": start, "image_size": config.model.image_size}
    return fine_tuned(config.override(damsm=None, pretraining_steps=steps), name, given)


def _train(run: Run, config: Config) -> None:
    """Unless it is done; goes on where it was stopped."""
    if run.begun():
        resume.check_same_run(run.config(), config, run)
    done = checkpoint.newest(run.checkpoints)
    if done is not None and done.step >= config.train.steps:
        return
    shutil.rmtree(run.folder / "evaluation", ignore_errors=True)  # of fewer iterations
    outcome = train.train(run, config)
    if outcome.signal is not None:
        raise Interrupted(outcome.signal)


def _score(run: Run, data: Prepared | Source, damsm: str, count: int, extractor: str | None) -> None:
    """Unless it is done, for so many pictures."""
    out = run.folder / "evaluation"
    drawn = isinstance(data, SynthBirds)
    metrics = ("semantics", "fid", "r_precision") if drawn else ("kid", "r_precision")
    if not (out / REPORT).exists() or _drawn(out) != (count, len(metrics)):
        logging.info("Scoring %s.", run.folder)
        protocol, extractor = (SynthBirds.name, None) if drawn else (usual(data.name), extractor)
        about = {"run": str(run.folder)}
        evaluate(load_model(run.folder), data, metrics, protocol, count, out, damsm, extractor=extractor, about=about)
    if not drawn and not (out / _MEMORY).exists():
        memory = MemoryTest(load_model(run.folder, sampling_only=False), data)()
        values = dataclasses.asdict(memory) | {"gap": memory.gap, "memorised": memory.memorised}
        files.write_atomically(out / _MEMORY, json.dumps(values, indent=2) + "\n")


def _drawn(out: pathlib.Path) -> tuple[int, int]:
    """Pictures, and metrics done."""
    scores = read_report(out / REPORT)["scores"]
    return scores["r_precision"]["card"]["protocol"]["count"] if "r_precision" in scores else 0, len(scores)


def _scores(run: pathlib.Path) -> dict[str, float]:
    """Of a run's report, flat: every metric, the share right of every attribute, and how far D overfits."""
    out = run / "evaluation"
    scores = read_report(out / REPORT)["scores"]
    found = {name: score["value"] for name, score in scores.items()}
    for name, (share, _) in scores.get("semantics", {}).get("attributes", {}).items():
        found[name] = share
    if (out / _MEMORY).is_file():
        found |= json.loads((out / _MEMORY).read_text())
    return found


def table(found: Mapping[str, Sequence[Mapping[str, float]]]) -> str:
    """Two Markdown tables: each variant's mean ± standard deviation over seeds, and its difference from the reference.

    A difference is taken seed by seed, for the two trainings of a seed see the same captions, pictures and noise. It
    is given as mean (smallest to largest).

    Args:
        found: of each variant the scores of each seed, in the same order.
    """
    count = len(next(iter(found.values())))
    parts = [f"Mean ± standard deviation over {count} trainings:", "", *_rows(found, _mean_and_spread)]
    if REFERENCE in found and len(found) > 1:
        others = {name: scores for name, scores in found.items() if name != REFERENCE}
        differences = {name: _minus(scores, found[REFERENCE]) for name, scores in others.items()}
        parts += ["", f"Difference from {REFERENCE} with the same seed, mean (smallest to largest):", ""]
        parts += _rows(differences, _mean_and_range)
    return "\n".join(parts)


def _minus(scores, reference) -> list[dict[str, float]]:
    return [{name: one[name] - other[name] for name in one} for one, other in zip(scores, reference, strict=True)]


def _rows(found, words) -> list[str]:
    known = next(iter(found.values()))[0]
    columns = {title: column for title, column in _COLUMNS.items() if column[0] in known}
    lines = ["| variant | " + " | ".join(columns) + " |", "|---" * (len(columns) + 1) + "|"]
    for name, scores in found.items():
        cells = [
            words(np.array([score[key] for score in scores]) * factor, places)
            for key, factor, places in columns.values()
        ]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return lines


def _mean_and_spread(values: np.ndarray, places: int) -> str:
    mean = f"{values.mean():.{places}f}"
    return mean if len(values) == 1 else f"{mean} ± {values.std(ddof=1):.{places}f}"


def _mean_and_range(values: np.ndarray, places: int) -> str:
    return f"{values.mean():+.{places}f} ({values.min():+.{places}f} to {values.max():+.{places}f})"
