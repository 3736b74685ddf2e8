"""Training on several devices and machines: who reads which batches, and that only the chief writes."""

from __future__ import annotations

import dataclasses
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
from ssagan_tf.training.cluster import wait_for_others
from ssagan_tf.training.run import DATA, Run

_NOT_NEEDED = shutil.ignore_patterns(DATA, "samples", "tensorboard", "not_finite", ".*")


def devices() -> tf.distribute.Strategy:
    """The strategy for all machines that `TF_CONFIG` names, for all GPUs, or for what there is.

    With several machines, to be called before TensorFlow has computed anything.

    Raises:
        UserError: a `TF_CONFIG` that is none, or one of parameter servers; a machine that does not come.
    """
    place = _place()
    if place.count > 1:
        wait_for_others(place.own, place.others)
        return tf.distribute.MultiWorkerMirroredStrategy()
    several = len(tf.config.list_logical_devices("GPU")) > 1
    return tf.distribute.MirroredStrategy() if several else tf.distribute.get_strategy()


def is_chief() -> bool:
    """Whether this process is the one that writes: alone, the "chief", or the first worker where there is no chief."""
    place = _place()
    return place.count == 1 or place.kind == "chief" or (place.index == 0 and not place.has_chief)


@dataclasses.dataclass(frozen=True)
class _Place:
    """The place of this process among all that train, as `TF_CONFIG` says."""

    kind: str = "worker"
    index: int = 0
    count: int = 1
    has_chief: bool = False
    own: str = ""
    others: tuple[str, ...] = ()


def _place() -> _Place:
    """Raises UserError for what cannot be meant. A cluster of one process, or none, is a process alone."""
    text = os.environ.get("TF_CONFIG", "")
    try:
        told = json.loads(text or "{}")
        cluster, task = told.get("cluster") or {}, told.get("task") or {}
        processes = {kind: len(_listed(addresses)) for kind, addresses in cluster.items()}
    except (ValueError, TypeError, AttributeError) as error:
        raise UserError(
            f"TF_CONFIG is not as TensorFlow documents it. Received: {text!r}. Give cluster and task, or unset it."
        ) from error
    count = sum(processes.values())
    if count <= 1 and "ps" not in processes:
        return _Place()
    kind, index = str(task.get("type")), str(task.get("index"))
    if not set(processes) <= {"chief", "worker"} or kind not in processes:
        raise UserError(
            f"Only chief and workers train, without parameter servers. Received: TF_CONFIG with {sorted(processes)} "
            f"and the task {task}. List all processes as workers."
        )
    if not index.isdecimal() or int(index) >= processes[kind]:
        raise UserError(
            f"TF_CONFIG does not say which process this is. Received: the task {task} of {processes[kind]} of its "
            "type. Give it an index from 0 on."
        )
    own = cluster[kind][int(index)]
    others = tuple(str(address) for addresses in cluster.values() for address in addresses if address != own)
    return _Place(kind, int(index), count, bool(processes.get("chief")), str(own), others)


def _listed(addresses: object) -> list | dict:
    """The addresses of a kind of task. Raises TypeError if they are none."""
    if isinstance(addresses, list | dict) and all(isinstance(each, str) for each in addresses):
        return addresses
    raise TypeError("no list of addresses")


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
    return _place().count > 1


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
