"""Devices and machines that train together: who they are, what each reads, and that only the chief writes."""

from __future__ import annotations

import json
import os
import pathlib
import shutil
import tempfile

import keras
import tensorflow as tf
from absl import logging

from ssagan_tf.data.records import FINISHED
from ssagan_tf.errors import UserError
from ssagan_tf.training.run import Run

DATA = "data"  # in the run folder: what was prepared for it
_NOT_NEEDED = shutil.ignore_patterns(DATA, "samples", "tensorboard", "not_finite", ".*")


def devices() -> tf.distribute.Strategy:
    """The strategy for all machines that `TF_CONFIG` names, for all GPUs, or for what there is.

    With several machines, to be called before TensorFlow has computed anything.

    Raises:
        UserError: a `TF_CONFIG` that is none, or one of parameter servers.
    """
    if several_machines():
        return tf.distribute.MultiWorkerMirroredStrategy()
    several = len(tf.config.list_logical_devices("GPU")) > 1
    return tf.distribute.MirroredStrategy() if several else tf.distribute.get_strategy()


def is_chief() -> bool:
    """Whether this process is the one that writes: alone, the "chief", or the first worker where there is no chief."""
    kind, index, count = _task()
    return count == 1 or kind == "chief" or (index == 0 and not _has_chief())


def _cluster() -> dict:
    text = os.environ.get("TF_CONFIG", "")
    if not text:
        return {}
    try:
        return json.loads(text)["cluster"] and json.loads(text)
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"TF_CONFIG is not as TensorFlow documents it. Received: {text!r}. Give cluster and task, or unset it."
        ) from error


def _has_chief() -> bool:
    return bool(_cluster()["cluster"].get("chief"))


def _task() -> tuple[str, int, int]:
    """Kind and number of this process in `TF_CONFIG`, and how many processes train."""
    told = _cluster()
    if not told:
        return "worker", 0, 1
    cluster, task = told["cluster"], told.get("task", {})
    if "ps" in cluster or task.get("type") not in ("chief", "worker"):
        raise UserError(
            f"Only chief and workers train, without parameter servers. Received: TF_CONFIG with {sorted(cluster)} and "
            f"the task {task}. List all processes as workers."
        )
    return task["type"], int(task["index"]), sum(len(cluster.get(kind, [])) for kind in ("chief", "worker"))


def own_run(run: Run) -> Run:
    """The run folder that this process writes to: the chief's is the run's; another's is a copy of what a training
    reads of it, made where the machine keeps temporary files and gone when the process ends."""
    if is_chief():
        return run
    scratch = tempfile.TemporaryDirectory(prefix="ssagan-worker-")
    _KEPT.append(scratch)
    folder = pathlib.Path(scratch.name) / run.folder.name
    if run.folder.is_dir():
        shutil.copytree(run.folder, folder, ignore=_NOT_NEEDED)
        if (run.folder / DATA / FINISHED).is_file():
            (folder / DATA).symlink_to((run.folder / DATA).resolve())
    logging.info("This process only computes; the chief writes to %s.", run.folder)
    return Run(folder)


_KEPT: list[tempfile.TemporaryDirectory] = []


def several_machines() -> bool:
    return _task()[2] > 1


def shared_out(strategy: tf.distribute.Strategy, batches: tf.data.Dataset) -> tf.distribute.DistributedDataset:
    """Global batches -> of each, every replica of several machines gets its rows, in the replicas' order.

    Each machine reads all and keeps its part: which rows those are depends on the lengths of all captions.
    """

    def of_this_process(context: tf.distribute.InputContext) -> tf.data.Dataset:
        replicas = context.num_replicas_in_sync // context.num_input_pipelines

        def own(batch):
            rows = tf.shape(batch["image"])[0] // context.num_input_pipelines
            first = context.input_pipeline_id * rows
            return {name: value[first : first + rows] for name, value in batch.items()}

        mine = batches.map(own)
        if replicas > 1:
            size = next(iter(batches.element_spec.values())).shape[0] // context.num_replicas_in_sync
            mine = mine.rebatch(size)
        return mine.prefetch(1)

    return strategy.distribute_datasets_from_function(of_this_process)


def agreed(model: keras.Model, wanted: bool) -> bool:
    """Whether any of the processes wants it; each must ask, as often as the others."""
    if not several_machines():
        return wanted
    strategy = model.distribute_strategy
    votes = strategy.run(lambda: tf.constant(float(wanted)))
    return bool(strategy.reduce("SUM", votes, axis=None) > 0)
