"""Rolls back non-finite steps."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterable, Mapping

import keras
import tensorflow as tf

Logs = dict[str, tf.Tensor]


def guarded(train_step: Callable[..., Logs]) -> Callable[..., Logs]:
    """Makes a model's `train_step` one that happens wholly or not at all.

    Where a loss, a gradient or anything computed from them is not finite, every weight, optimizer slot, counter and
    running statistic is put back to what it was before the step, of all networks alike, on all replicas. Random states
    move on, so that the next step is another one. The test and the way back are part of the step's graph.

    Where a model has a `loss_scale`, a step whose first loss is finite, which is known before anything is changed, and
    that is not finite after it, is an overflow of a gradient: the scale is lowered, and told as "loss_scale".

    A step that was not done shows in its losses, see `was_skipped`: what was not finite is told as it is; where all
    losses are finite and only gradients are not, all are told as NaN.
    """

    @functools.wraps(train_step)
    def whole_or_not(model: keras.Model, batch) -> Logs:
        variables = _changed_by_training(model)
        # Takes no copy: a tensor shares the variable's memory until the variable is written to.
        before = [tf.convert_to_tensor(variable) for variable in variables]
        logs = train_step(model, batch)
        losses_finite = _all_finite(logs.values())
        # A gradient that is not finite makes the weights that take it, or Adam's slots, not finite either.
        finite = losses_finite & _all_finite(v for v in variables if v.dtype.startswith(("float", "bfloat")))
        owned = [variable.value for variable in variables]
        roll_back = functools.partial(_roll_back, owned)
        # Where there are several devices, weights are written to from outside of them.
        tf.distribute.get_replica_context().merge_call(roll_back, args=(finite, before))
        told = finite | ~losses_finite
        first = next(iter(logs.values()))
        logs = {name: tf.where(told, value, tf.cast(math.nan, value.dtype)) for name, value in logs.items()}
        if getattr(model, "loss_scale", None) is not None:
            logs["loss_scale"] = model.loss_scale.adapt(finite, ~finite & tf.math.is_finite(first))
        return logs

    return whole_or_not


def was_skipped(logs: Mapping[str, float] | None) -> bool:
    """Whether the step with these losses was not done."""
    return not all(math.isfinite(value) for value in (logs or {}).values())


def _changed_by_training(model: keras.Model) -> list[keras.Variable]:
    optimizers = [part for part in vars(model).values() if isinstance(part, keras.optimizers.Optimizer)]
    variables = [*model.variables, *(variable for optimizer in optimizers for variable in optimizer.variables)]
    return [variable for variable in variables if "seed_generator" not in variable.path]


def _all_finite(values: Iterable) -> tf.Tensor:
    return tf.reduce_all([tf.reduce_all(tf.math.is_finite(tf.convert_to_tensor(value))) for value in values])


def _roll_back(owned: list, strategy: tf.distribute.Strategy, finite, before: list) -> None:
    """Where `finite` is false, sets the variables of each replica to what they were."""
    local = strategy.experimental_local_results
    for replica, fine in enumerate(local(finite)):
        mine = [local(variable)[replica] for variable in owned]
        values = [local(value)[replica] for value in before]

        def put_back(mine=mine, values=values):
            put = [variable.assign(value) for variable, value in zip(mine, values, strict=True)]
            with tf.control_dependencies(put):
                return tf.no_op()

        tf.cond(fine, tf.no_op, put_back)
