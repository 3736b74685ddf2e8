"""Reductions over replicas that make a step exact for the global batch; no-ops on one device."""

from __future__ import annotations

import tensorflow as tf


def replicas() -> int:
    """Number of replicas that work on the global batch together."""
    return tf.distribute.get_strategy().num_replicas_in_sync


def _rank() -> tf.Tensor:
    context = tf.distribute.get_replica_context()
    return tf.convert_to_tensor(context.replica_id_in_sync_group)


def sum_over_replicas(x: tf.Tensor) -> tf.Tensor:
    """The sum of x over all replicas, on each of them."""
    if replicas() == 1:
        return x
    return tf.distribute.get_replica_context().all_reduce("SUM", x)


def gather(x: tf.Tensor) -> tf.Tensor:
    """(B, ...) of each replica -> (replicas * B, ...) on each of them, in order; differentiable."""
    if replicas() == 1:
        return x
    # The identity: a tensor that is a function's argument has no device, and gathering it fails.
    gathered = tf.distribute.get_replica_context().all_gather(tf.identity(x), axis=0)
    return tf.ensure_shape(gathered, [None, *x.shape[1:]])


def own_part(x: tf.Tensor) -> tf.Tensor:
    """(replicas * B, ...), the same on each replica -> this replica's (B, ...)."""
    if replicas() == 1:
        return x
    size = tf.shape(x)[0] // replicas()
    return x[_rank() * size : (_rank() + 1) * size]


def next_samples(x: tf.Tensor) -> tf.Tensor:
    """Row i + 1 of the global batch for each row i of this replica; the last global row has none, so one row fewer."""
    if replicas() == 1:
        return x[1:]
    size = tf.shape(x)[0]
    first = _rank() * size + 1
    return gather(x)[first : first + size]
