"""The whole training step on a GPU, as far as a CPU can tell: XLA compiles it, to the numbers of the plain graph, and
TensorFlow has a GPU kernel and an XLA kernel for each of its operations."""

import numpy as np
import pytest
import tensorflow as tf
from small_gan import CAPTIONS, CLASS_IDS, gan_by_plain_steps, random_pictures
from tensorflow.python.framework import kernels

from ssagan_tf.step.augmentation import Augmentation

# Without the published quirk: Keras draws the text encoder's dropout by another algorithm under XLA.
VARIANTS = {
    "joint": {"text_training": "damsm"},
    "fused": {"text_training": "frozen", "fused": True, "gradient_checkpointing": True},
    "end_to_end": {"text_training": "end_to_end", "augmentation": Augmentation(adaptive=True)},
}
# Graphs take longest to build: the end-to-end step has the most operations.
BUILT = [
    pytest.param(
        variant, precision, marks=[] if (variant, precision) == ("end_to_end", "float32") else pytest.mark.slow
    )
    for variant in VARIANTS
    for precision in ("float32", "mixed_float16", "mixed_bfloat16")
]
# What holds a graph together, or calls another: nothing that a device computes.
NO_KERNELS = {"Placeholder", "NoOp", "PartitionedCall", "StatefulPartitionedCall"}


def batch() -> dict[str, tf.Tensor]:
    noise = np.random.default_rng(1).normal(size=(4, 5)).astype("float32")
    given = {"image": random_pictures(4), "caption": CAPTIONS, "class_id": CLASS_IDS, "noise": noise}
    return {name: tf.constant(value) for name, value in given.items()}


def has_kernel(device: str, node) -> bool:
    """Whether the device has a kernel of the operation for the types that it has here."""
    for kernel in kernels.get_registered_kernels_for_op(node.op).kernel:
        allowed = {each.name: each.allowed_values.list.type for each in kernel.constraint}
        if kernel.device_type in (device, "DEFAULT") and all(
            node.attr[name].type in types for name, types in allowed.items()
        ):
            return True
    return False


def is_text(node) -> bool:
    """Messages of assertions, which stay on the host."""
    return node.op == "Const" and node.attr["dtype"].type == tf.string.as_datatype_enum


@pytest.mark.parametrize("variant, precision", BUILT)
def test_each_operation_of_the_step_has_a_kernel_for_gpus_and_one_of_xla(variant, precision):
    tf.function(lambda: tf.zeros([]), jit_compile=True)()  # registers XLA's
    model = gan_by_plain_steps(precision=precision, **VARIANTS[variant])
    graph = tf.function(model.train_step, autograph=False).get_concrete_function(batch()).graph.as_graph_def()
    nodes = [*graph.node, *(node for function in graph.library.function for node in function.node_def)]
    nodes = [node for node in nodes if node.op not in NO_KERNELS and not is_text(node)]
    assert {"Conv2D", "Conv2DBackpropFilter", "MatMul"} <= {node.op for node in nodes}
    for device in ("GPU", "XLA_GPU_JIT"):
        assert {node.op for node in nodes if not has_kernel(device, node)} == set()


def test_an_operation_on_text_has_none_for_gpus():
    graph = tf.function(tf.strings.lower).get_concrete_function(tf.TensorSpec([], tf.string)).graph.as_graph_def()
    (lower,) = (node for node in graph.node if node.op == "StringLower")
    assert has_kernel("CPU", lower) and not has_kernel("GPU", lower)


@pytest.mark.slow
@pytest.mark.parametrize("variant, precision", [each.values for each in BUILT])
def test_compiled_by_xla_the_step_gives_the_numbers_of_the_plain_graph(variant, precision):
    plain, compiled, exact = (
        gan_by_plain_steps(precision=each, **VARIANTS[variant]) for each in (precision, precision, "float32")
    )
    losses, weights = [], []
    for model, by_xla in ((plain, False), (compiled, True), (exact, False)):
        for variable, same in zip(model.variables, plain.variables, strict=True):
            variable.assign(same)
        if model.loss_scale is not None:
            model.loss_scale.variables[0].assign(128)  # no overflow, and no gradient too small for float16
        start = state(model)
        step = tf.function(model.train_step, autograph=False, jit_compile=by_xla)
        losses.append({name: float(value) for name, value in step(batch()).items() if name != "loss_scale"})
        weights.append([value - before for value, before in zip(state(model), start, strict=True)])
    assert all(map(np.isfinite, losses[0].values())) and any(value.any() for value in weights[0])
    # As far from each other as rounding puts either from float32, or as sums in another order are in it.
    for name, value in losses[0].items():
        rounding = abs(value - losses[2][name])
        assert losses[1][name] == pytest.approx(value, rel=2e-5, abs=2 * rounding + 1e-6), name
    for value, by_xla, in_float32 in zip(*weights, strict=True):
        rounding = np.abs(value - in_float32).max()
        np.testing.assert_allclose(by_xla, value, rtol=1e-4, atol=3 * rounding + 1e-6)


def state(model) -> list[np.ndarray]:
    return [variable.numpy() for variable in model.variables]
