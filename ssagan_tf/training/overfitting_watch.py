"""Stops a training whose discriminator overfits, by its logits for held-out pictures."""

from __future__ import annotations

from absl import logging

from ssagan_tf.config import TrainConfig
from ssagan_tf.data.records import Prepared
from ssagan_tf.data.source import Source
from ssagan_tf.errors import UserError
from ssagan_tf.evaluation.overfitting import Memory, MemoryTest
from ssagan_tf.networks import Generator
from ssagan_tf.ssagan import SSAGAN
from ssagan_tf.training.callbacks import Progress, Regular
from ssagan_tf.training.run import Run

# Stops when `Memory.memorised` was so high at so many scorings in a row, and the gap was no mere rounding.
MEMORISED, PATIENCE, LEAST_GAP = 0.8, 3, 0.5


class OverfittingWatch(Regular):
    """Measures every `score_every` iterations how far the discriminator overfits, see `Memory`, and ends training.

    The values are in `log.jsonl` and TensorBoard. Nothing random in training is touched.

    Args:
        run: the run folder.
        model: the one in training.
        data: with pictures to test with.
        progress: knows the iteration.
        config: `score_every`, `score_count` and `stop_overfitting`.
        average: the generator to generate with; None: the one in training.

    Attributes:
        stopped: whether it ended training.
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
        self.stopped = False
        self._stops = config.stop_overfitting
        self._memory = MemoryTest(model, data, config.score_count, average)
        self._high = 0

    def look(self) -> dict[str, float]:
        """Measures now, and ends training if the rule says so."""
        try:
            memory = self._memory()
        except UserError as error:
            logging.warning("Overfitting was not measured after iteration %d: %s", self._progress.step, error)
            return {}
        values = {f"logit_{kind}": getattr(memory, kind) for kind in ("train", "test", "drawn")}
        values |= {"logit_gap": memory.gap, "memorised": memory.memorised}
        self._run.log({"step": self._progress.step, "pictures": self._progress.pictures, **values})
        self._plot(values, "overfitting/")
        self._decide(memory)
        return values

    def _decide(self, memory: Memory) -> None:
        high = memory.memorised >= MEMORISED and memory.gap >= LEAST_GAP
        self._high = self._high + 1 if high else 0
        if self._high < PATIENCE:
            return
        message = (
            f"The discriminator overfits: its mean logit is {memory.train:.2f} for training pictures, "
            f"{memory.test:.2f} for real pictures it has not seen and {memory.drawn:.2f} for generated ones, so that "
            f"unseen real ones look {memory.memorised:.0%} as false as generated ones, for {self._high} scorings in a "
            "row."
        )
        self._high = 0
        self._warn("overfitting/warnings", message)
        if not self._stops:
            logging.warning("%s", message)
            return
        logging.warning("%s Training ends: use more pictures or --augment=adaptive, and --checkpoint=best.", message)
        self.stopped = True
        self.model.stop_training = True
