"""Trains as one of two processes, or alone, and writes what came out: run by `test_distribution.py`.

two_workers.py OUT          alone
two_workers.py OUT RUN      as TF_CONFIG says; also `train.train` into the run folder RUN

Each process is told by TF_CONFIG which of both it is, and that has to be there before TensorFlow starts.
"""

import dataclasses
import pathlib
import sys

import keras
import numpy as np
import tensorflow as tf
from small_gan import BATCH, CAPTIONS, CLASS_IDS, gan_by_plain_steps, random_pictures

from ssagan_tf.config import Config
from ssagan_tf.training import train
from ssagan_tf.training.callbacks import StopGently
from ssagan_tf.training.devices import devices
from ssagan_tf.training.fitting import fit
from ssagan_tf.training.run import Run

STEPS = 5


def stream() -> tf.data.Dataset:
    """A batch for each step, all different."""
    batches = {
        "image": random_pictures(STEPS * BATCH),
        "caption": np.tile(CAPTIONS, [STEPS, 1]),
        "class_id": np.tile(CLASS_IDS, STEPS),
    }
    return tf.data.Dataset.from_tensor_slices(batches).batch(BATCH, drop_remainder=True)


def losses_and_weights(strategy: tf.distribute.Strategy) -> dict[str, np.ndarray]:
    keras.utils.set_random_seed(1)
    with strategy.scope():
        model = gan_by_plain_steps()
    told = {}

    def keep(step, logs):
        told.update({f"loss/{step}/{name}": np.float64(value) for name, value in logs.items()})

    fit(model, stream(), STEPS, [keras.callbacks.LambdaCallback(on_train_batch_end=keep), StopGently()])
    parts = {"g": model.generator, "d": model.discriminator, "t": model.text_encoder, "i": model.image_encoder}
    for name, part in parts.items():
        told |= {f"{name}/{i}": v.numpy() for i, v in enumerate(part.variables) if "seed" not in v.path}
    return told


def tiny() -> Config:
    sizes = {"noise_dim": 5, "sentence_dim": 6, "mask_filters": 3, "embedding_dim": 5, "image_encoder": None}
    config = Config().override(
        dataset="synthbirds",
        image_size=8,
        base_filters=1,
        batch_size=4,
        steps=2,
        text_training="frozen",
        pretraining_steps=0,
        ema_pictures=8,
    )
    return dataclasses.replace(config, model=dataclasses.replace(config.model, **sizes))


if __name__ == "__main__":
    out = pathlib.Path(sys.argv[1])
    np.savez(out, **losses_and_weights(devices()))
    if len(sys.argv) > 2:
        outcome = train.train(Run(sys.argv[2]), tiny())
        (out.parent / f"{out.stem}.txt").write_text(f"{outcome.step} {outcome.run.folder}")
