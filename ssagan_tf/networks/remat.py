"""Rematerialisation (Chen et al. 2016): features are computed again for the gradient instead of kept."""

from __future__ import annotations

from collections.abc import Callable

import keras
import tensorflow as tf


def recomputed(function: Callable, layer: keras.layers.Layer, *inputs: tf.Tensor, **options) -> list[tf.Tensor]:
    """`function(layer, *inputs, **options)`, of which only the inputs are kept for the gradient.

    What the call changes, the running statistics of batch norms, changes once: not again with the second computation.
    It can be differentiated once, not twice. The layer must be built.

    Args:
        function: computes with the layer's weights.
        layer: whose trained weights get their gradients, too.
        inputs: floating-point tensors.
        options: what else the function takes.

    Returns:
        The function's results, without those that are None.
    """
    weights, states = layer.trainable_variables, layer.non_trainable_variables
    scopes: list[keras.StatelessScope] = []
    fixed = [tf.convert_to_tensor(state) for state in states]

    # Weights are arguments and changes are caught, so that it is a function of tensors alone, which can run twice.
    @tf.recompute_grad
    def of_tensors(*values):
        trained = zip(weights, values[: len(weights)], strict=True)
        with keras.StatelessScope([*trained, *zip(states, fixed, strict=True)]) as scope:
            results = function(layer, *values[len(weights) :], **options)
        scopes.append(scope)
        return [result for result in tf.nest.flatten(results) if result is not None]

    results = of_tensors(*map(tf.convert_to_tensor, weights), *inputs)
    for state, before in zip(states, fixed, strict=True):
        after = scopes[0].get_current_value(state)
        if after is not before:
            state.assign(after)
    return results
