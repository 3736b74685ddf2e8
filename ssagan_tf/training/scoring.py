"""Scores a model during training with the functions of `evaluate.py`, and keeps the best checkpoint."""

from __future__ import annotations

import shutil

from absl import logging

from ssagan_tf.config import TrainConfig
from ssagan_tf.core import progress as bars
from ssagan_tf.data.records import Prepared
from ssagan_tf.data.source import Source
from ssagan_tf.data.synthbirds import SynthBirds
from ssagan_tf.errors import UserError
from ssagan_tf.evaluation.extractors import open_extractor
from ssagan_tf.evaluation.metrics import IMAGENET_CLASSES, SPLIT
from ssagan_tf.evaluation.protocols import protocol, usual
from ssagan_tf.evaluation.reference import described
from ssagan_tf.evaluation.report import evaluate
from ssagan_tf.networks import Generator
from ssagan_tf.ssagan import SSAGAN
from ssagan_tf.text_to_image import TextToImage
from ssagan_tf.training import checkpoint
from ssagan_tf.training.callbacks import Progress, Regular
from ssagan_tf.training.run import Run

_NOT_KEPT = ("pictures", "features")  # of a scoring, once it is done


def metrics_for(data: Prepared | Source, extractor: str | None = None) -> tuple[list[str], str]:
    """What is scored in training on such data, first what the best is chosen by, and by which protocol.

    Of few pictures, which other data may be, the Frechet distance is too large and the kernel distance is not.

    Args:
        data: what is trained on.
        extractor: in place of the protocol's own.
    """
    named = usual(data.name)
    if isinstance(data, SynthBirds):
        return ["fid", "semantics"], named
    classifies = extractor is None and named == "efficientnet" and data.name in IMAGENET_CLASSES
    return ["kid"] + ["recognised"] * classifies, named


def check_scorable(data: Prepared | Source, extractor: str | None = None) -> None:
    """Refuses before anything slow begins what would fail after it.

    Raises:
        UserError: there are no test pictures, or one alone, or the feature extractor is not here.
    """
    count = len(described(data, SPLIT))
    if count < 2:
        raise UserError(
            f"Two test pictures at least are scored against. Received: {count} in {data.name}. "
            "Add some, or leave --score_every out."
        )
    open_extractor(protocol(metrics_for(data, extractor)[1], extractor).extractor)


class Scoring(Regular):
    """Every so many iterations draws pictures of test captions and scores them.

    Scores go to `log.jsonl`, TensorBoard and `scores/step-.../report.json`; the checkpoint with the lowest distance so
    far (see `metrics_for`) to `best/`, its `checkpoint.json` saying which metric and which value. Nothing random in
    training is touched: the same weights come out with it and without.

    Args:
        run: the run folder.
        model: the one in training.
        data: its "test" split is scored against.
        progress: knows the iteration.
        config: batch size, `score_every` and `score_count`.
        average: the generator to draw with; None: the one in training.
    """

    def __init__(
        self,
        run: Run,
        model: SSAGAN,
        data: Prepared | Source,
        progress: Progress,
        config: TrainConfig,
        average: Generator | None,
    ):
        super().__init__(run, progress, config.score_every)
        self._data = data
        self._config = config
        self._drawn_by = TextToImage(average or model.generator, model.text_encoder, model.vocabulary, model.max_words)
        self._best_by = metrics_for(data, config.score_extractor)[0][0]
        variables = checkpoint.variables(model, average)
        self._best = checkpoint.Best(run.best, variables, self._best_by, config.score_count, lowest=True)

    def look(self) -> dict[str, float]:
        """Scores the model as it is now and keeps it if it is the best so far; what fails is a warning."""
        try:
            return self._score()
        except Exception as error:  # Whatever fails, from a full disk to too little memory: hours of training go on.
            told = str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}"
            logging.warning("The scoring after iteration %d failed: %s", self._progress.step, told)
            self._warn("score/warnings", f"The scoring failed: {told}")
            return {}

    def _score(self) -> dict[str, float]:
        step = self._progress.step
        metrics, named_protocol = metrics_for(self._data, self._config.score_extractor)
        out = self._run.scores / f"step-{step:08d}"
        shutil.rmtree(out, ignore_errors=True)  # of a run that was killed
        with bars.hidden():
            report = evaluate(
                self._drawn_by,
                self._data,
                metrics,
                named_protocol,
                self._config.score_count,
                out,
                extractor=self._config.score_extractor,
                about={"path": str(self._run.folder), "step": step, "ema_pictures": self._config.ema_pictures},
            )
        for name in _NOT_KEPT:
            shutil.rmtree(out / name, ignore_errors=True)
        values = {name: float(score["value"]) for name, score in report["scores"].items()}
        self._run.log({"step": step, "pictures": self._progress.pictures, **values})
        self._plot(values, "score/")
        if self._best.offer(step, values[self._best_by]):
            logging.info("Best so far after iteration %d: %s %.4g.", step, self._best_by, values[self._best_by])
        return values
