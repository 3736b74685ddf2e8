"""What `pretrain_damsm.py` calls: DAMSM as a run of its own, in a folder that trainings and evaluations take.

config.json  vocabulary.txt  damsm.safetensors   the encoders, of the epoch that did best on held-out pictures
log.jsonl  tensorboard/                          losses, and the retrieval of held-out pictures
samples/attention-00000100.png                   where words look
pretraining/                                     the newest resumable state
"""

from __future__ import annotations

import dataclasses
import os
import pathlib
import shlex

import keras
import safetensors
from absl import logging

from ssagan_tf.config import Config
from ssagan_tf.core import files
from ssagan_tf.core.calling import command_of
from ssagan_tf.damsm import DAMSM, DAMSM_FILE
from ssagan_tf.data.records import Prepared
from ssagan_tf.data.source import Source
from ssagan_tf.data.synthbirds import SynthBirds
from ssagan_tf.evaluation.attention import attention_sheet, part_attention
from ssagan_tf.evaluation.held_out import HeldOut, held_out, retrieval
from ssagan_tf.evaluation.retrieval import MISMATCHED, Precision
from ssagan_tf.pictures import save_png
from ssagan_tf.text.captions import CaptionEncoder
from ssagan_tf.text.vocabulary import Vocabulary
from ssagan_tf.training.callbacks import Progress, Regular, StopGently
from ssagan_tf.training.data import open_training_data
from ssagan_tf.training.devices import devices, own_run
from ssagan_tf.training.pretraining.encoders import vocabulary_for
from ssagan_tf.training.pretraining.fit_damsm import begin_pretraining, epoch_of, fit_damsm, pretraining_options
from ssagan_tf.training.resume import resolve_run
from ssagan_tf.training.run import Ended, Run
from ssagan_tf.weights import tensor_files

_README = """# Text and image encoder, pretrained by ssagan_tf

Data set: {dataset}, {size} x {size} pixels. Settings: `config.json`. The weights are those of the epoch whose held-out
pictures found their captions best.

Train with them: `{train} --dataset={dataset} --damsm={run}`
Go on:           `{pretrain} --out={run} --resume`
Watch:           `tensorboard --logdir={run}`
"""
_SHEET_ROWS = 6
_DRAWS = 10


@dataclasses.dataclass(frozen=True)
class Outcome(Ended):
    """How a pretraining ended.

    Attributes:
        report: what the kept weights score, in words.
    """

    report: str


def resolve(out: str | os.PathLike | None, resume: bool, preset_name: str | None = None, **given) -> tuple[Run, Config]:
    """As `resume.resolve_run`, for a pretraining alone."""
    return resolve_run(out, resume, preset_name, pretraining=True, **given)


def summary(outcome: Outcome, config: Config) -> str:
    """What came out, what was written and what to run next, in words."""
    run, dataset, steps = outcome.run, config.data.dataset, config.train.pretraining_steps
    folder = shlex.quote(str(run.folder))
    go_on = f"\n  {command_of('pretrain_damsm')} --out={folder} --resume"
    return f"""
{outcome.step:,} of {steps:,} iterations done{outcome.why(config)}.
{outcome.report}
Written:
  {run.folder / DAMSM_FILE}   the encoders
  {run.samples}   where their words look
Next:
  {command_of("train")} --dataset={dataset} --damsm={folder}{go_on if outcome.step < steps else ""}
  tensorboard --logdir={folder}"""


def pretrain(run: Run, config: Config) -> Outcome:
    """Pretrains, or goes on pretraining, to `config.train.pretraining_steps` iterations.

    Raises:
        UserError: anything wrong with data, folder or a diverged training; what was saved stays.
    """
    strategy = devices()
    run = own_run(run)
    with run.opened():
        keras.utils.set_random_seed(config.train.seed % 2**32)
        data = open_training_data(config, run)
        vocabulary = run.vocabulary() if run.begun() else vocabulary_for(data, config)
        with strategy.scope():
            damsm = DAMSM.from_model_config(config.model, vocabulary, **pretraining_options(config))
        first_step, steps = begin_pretraining(run, damsm, config), config.train.pretraining_steps
        if first_step >= steps:
            return Outcome(run, first_step, None, False, "Nothing was left to do: more --steps go on.")
        logging.info("Pretraining on %s at %d pixels into %s.", data.name, config.model.image_size, run.folder)
        _begin(run, config, vocabulary)
        run.forget_log_after(first_step)
        return _fit(run, config, damsm, data, vocabulary, first_step)


def _fit(
    run: Run, config: Config, damsm: DAMSM, data: Prepared | Source, vocabulary: Vocabulary, first_step: int
) -> Outcome:
    train, encoder = config.train, CaptionEncoder(vocabulary, config.model.max_words)
    stop = StopGently(train.max_minutes)
    progress = Progress(run, first_step, train.pretraining_steps, train.pretraining_batch_size)
    epoch = epoch_of(data, train.pretraining_batch_size)
    chosen_by = held_out(data, config.model.image_size, half=0)
    validation = Validation(run, damsm, chosen_by, encoder, vocabulary, progress, epoch)
    fit_damsm(run, damsm, data, encoder, config, progress, [progress, stop, validation], SynthBirds.FAMILY)
    report = evaluate(run, damsm, data, config, encoder)
    return Outcome(run, progress.step, stop.signal, stop.time_is_up, report)


def _begin(run: Run, config: Config, vocabulary: Vocabulary) -> None:
    run.begin(config, vocabulary)
    folder = shlex.quote(str(run.folder))
    commands = {"train": command_of("train"), "pretrain": command_of("pretrain_damsm")}
    words = _README.format(dataset=config.data.dataset, size=config.model.image_size, run=folder, **commands)
    files.write_atomically(run.folder / "README.md", words)


def evaluate(run: Run, damsm: DAMSM, data: Prepared | Source, config: Config, encoder: CaptionEncoder) -> str:
    """Scores the kept weights on the half of the held-out pictures that did not choose them.

    Args:
        run: the run folder.
        damsm: takes the kept weights.
        data: a prepared folder, or a source.
        config: the run's.
        encoder: of captions.

    Returns:
        Figures in words.
    """
    path = run.folder / DAMSM_FILE
    tensor_files.assign_state(damsm.encoder_variables(), tensor_files.read_state(path), str(path))
    judged_by = held_out(data, config.model.image_size, half=1)
    score = _retrieval(damsm, encoder, judged_by, _DRAWS)
    lines = ["There are too few held-out captions to score retrieval."]
    if judged_by is not None and score is not None:
        near = retrieval(damsm, encoder, judged_by, _DRAWS, near=True)
        lines = [
            f"R@1 of 1 + {MISMATCHED} of other classes: {score.mean:.1%} +- {score.deviation:.1%}, of any class: "
            f"{near.mean:.1%} +- {near.deviation:.1%} (chance: 1 %; {len(judged_by.pictures):,} held-out pictures of "
            "the half that did not choose the weights)."
        ]
    if judged_by is not None and judged_by.birds:
        lines += ["Attention inside a part: of the words for its colour, for itself; and its share of the area:"]
        found = part_attention(damsm, encoder, judged_by)
        lines += [f"  {part:<8}{s.colours:6.1%} {s.nouns:6.1%} {s.area:6.1%}" for part, s in found.items()]
    return "\n".join(lines)


def _retrieval(damsm: DAMSM, encoder: CaptionEncoder, held: HeldOut | None, draws: int) -> Precision | None:
    if held is None or not held.enough(MISMATCHED):
        return None
    return retrieval(damsm, encoder, held, draws)


class Validation(Regular):
    """After each epoch and at the end: the retrieval of held-out pictures into log and TensorBoard; if it is the best
    so far, the weights into `damsm.safetensors`, and a sheet of where words look.

    Without enough held-out pictures the newest weights are kept.

    Args:
        run: the run folder.
        damsm: the encoders.
        held: held-out pictures.
        encoder: of captions.
        vocabulary: its words.
        progress: knows the iteration.
        epoch: iterations between validations.
    """

    def __init__(
        self,
        run: Run,
        damsm: DAMSM,
        held: HeldOut | None,
        encoder: CaptionEncoder,
        vocabulary: Vocabulary,
        progress: Progress,
        epoch: int,
    ):
        super().__init__(run, progress, epoch, at_end=True)
        self._damsm = damsm
        self._held = held
        self._encoder = encoder
        self._vocabulary = vocabulary
        self._best = _kept_score(run.folder / DAMSM_FILE)

    def look(self) -> None:
        """Scores the weights, and keeps them if they are the best so far."""
        step = self._progress.step
        score = _retrieval(self._damsm, self._encoder, self._held, draws=1)
        notes = {"step": str(step)}
        if score is not None:
            self._run.log({"step": step, "retrieval": score.mean})
            self._plot({"retrieval": score.mean})
            if score.mean < self._best:
                return
            self._best = score.mean
            notes["retrieval"] = repr(score.mean)
            logging.info("Iteration %d: R@1 of 1 + %d is %.1f %%.", step, MISMATCHED, 100 * score.mean)
        tensor_files.write_state(self._run.folder / DAMSM_FILE, self._damsm.encoder_variables(), notes)
        if self._held is not None:
            sheet = attention_sheet(self._damsm, self._encoder, self._vocabulary, self._held, _SHEET_ROWS)
            save_png(sheet, self._run.samples / f"attention-{step:08d}.png")


def _kept_score(path: pathlib.Path) -> float:
    """The retrieval of the weights that an earlier call kept; below any other if there are none."""
    if not path.is_file():
        return -1.0
    with safetensors.safe_open(path, "numpy") as kept:
        return float((kept.metadata() or {}).get("retrieval", -1.0))
