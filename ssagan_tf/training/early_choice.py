"""Which checkpoint to take, and when there is no use in going on: what held-out pictures say as training goes on."""

from __future__ import annotations

import numpy as np
import tensorflow as tf
from absl import logging

from ssagan_tf.config import TrainConfig
from ssagan_tf.damsm import DAMSM
from ssagan_tf.data.records import Prepared
from ssagan_tf.data.source import Source
from ssagan_tf.evaluation.held_out import held_out
from ssagan_tf.evaluation.overfitting import Memory, MemoryTest
from ssagan_tf.evaluation.retrieval import MISMATCHED, retrieval_precision
from ssagan_tf.networks import Generator
from ssagan_tf.ssagan import SSAGAN
from ssagan_tf.training import checkpoint
from ssagan_tf.training.callbacks import Progress, Regular
from ssagan_tf.training.run import Run

# Stops when `Memory.memorised` was so high at so many scorings in a row, and the gap was no mere rounding.
MEMORISED, PATIENCE, LEAST_GAP = 0.8, 3, 0.5
_DRAWS = 3
_TOGETHER = 50  # pictures


class EarlyChoice(Regular):
    """Every `score_every` iterations asks two questions of held-out pictures; `Scoring` asks a third.

    Do drawn pictures find their captions? R-precision of drawn ones, by the run's own encoders, which the generator
    has learnt to please: it tells checkpoints of one run apart, no more. The checkpoint with the highest stays in
    `best_match/`. Does the discriminator know its pictures by heart? See `Memory`; where it does, training ends.

    Both are in `log.jsonl` and TensorBoard. Nothing random in training is touched.

    Args:
        run: the run folder.
        model: the one in training.
        data: with pictures to test with.
        progress: knows the iteration.
        config: `score_every`, `score_count` and `stop_memorised`.
        average: the generator to draw with; None: the one in training.

    Attributes:
        memorised: whether that ended training.
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
        self.memorised = False
        self._config = config
        self._average = average
        size = model.generator.image_size
        self._memory = MemoryTest(model, data, config.score_count, average)
        self._held = held_out(data, size, half=0, most=config.score_count)
        self._damsm = None
        if model.image_encoder is not None and self._held is not None and self._held.enough(MISMATCHED):
            self._damsm = DAMSM(model.text_encoder, model.image_encoder)
        variables = checkpoint.variables(model, average)
        self._best = checkpoint.Best(run.best_match, variables, "r_precision", config.score_count)
        self._high = 0

    def look(self) -> dict[str, float]:
        """Asks now, keeps the model if it is the best so far, and ends training if the rule says so."""
        step = self._progress.step
        memory = self._memory()
        values = {f"logit_{kind}": getattr(memory, kind) for kind in ("train", "test", "drawn")}
        values |= {"logit_gap": memory.gap, "memorised": memory.memorised}
        match = self._match()
        if match is not None:
            values["r_precision"] = match
        self._run.log({"step": step, "pictures": self._progress.pictures, **values})
        self._plot(values, "choice/")
        self._judge(memory)
        if match is not None:
            self._best.offer(step, match)
        return values

    def _match(self) -> float | None:
        """R-precision of one picture for each held-out one's caption."""
        if self._damsm is None or self._held is None:
            return None
        model, held = self.model, self._held
        noise = model.noise_of(range(len(held.own)))
        captions = np.array([held.texts[index].encode(errors="replace") for index in held.own])
        codes = []
        for first in range(0, len(captions), _TOGETHER):
            part = slice(first, first + _TOGETHER)
            image, _ = model.with_masks(tf.constant(captions[part]), noise[part], generator=self._average)
            codes.append(self._damsm.image_encoder(image, training=False)[1].numpy())
        texts = tf.constant([text.encode(errors="replace") for text in held.texts])
        *_, sentences = self._damsm.encode_captions(model.to_ids(texts).numpy())
        return retrieval_precision(np.concatenate(codes), sentences, held.own, held.matches, _DRAWS).mean

    def _judge(self, memory: Memory) -> None:
        high = memory.memorised >= MEMORISED and memory.gap >= LEAST_GAP
        self._high = self._high + 1 if high else 0
        if self._high < PATIENCE:
            return
        message = (
            f"The discriminator knows its training pictures by heart: its mean logit is {memory.train:.2f} for them, "
            f"{memory.test:.2f} for pictures it has not seen and {memory.drawn:.2f} for drawn ones, so that unseen "
            f"real ones look {memory.memorised:.0%} as false as drawn ones, for {self._high} scorings in a row."
        )
        self._high = 0
        self._warn("choice/memorised", message)
        if not self._config.stop_memorised:
            logging.warning("%s", message)
            return
        logging.warning("%s Training ends here: use more pictures or --augment=adaptive, and --best.", message)
        self.memorised = True
        self.model.stop_training = True
