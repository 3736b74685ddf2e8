"""Gradient checkpointing: the same training, with features that are computed again instead of kept."""

import gc

import keras
import numpy as np
import pytest
import tensorflow as tf
from small_gan import BATCH, CAPTIONS, CLASS_IDS, gan_by_plain_steps, random_pictures

from ssagan_tf import networks
from ssagan_tf.networks import Generator
from ssagan_tf.networks.layers import BatchNorm
from ssagan_tf.networks.remat import recomputed
from ssagan_tf.training import checkpoint

STEPS = 2


@pytest.fixture
def in_float64():
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("float64")
    yield
    keras.config.set_dtype_policy(policy)


def trained(**options) -> tuple[list[dict], list[tuple[str, np.ndarray]]]:
    """Losses of a few steps, and all that they have changed."""
    keras.utils.set_random_seed(1)
    model = gan_by_plain_steps(**options)
    batch = {"image": tf.constant(random_pictures(BATCH)), "caption": CAPTIONS, "class_id": CLASS_IDS}
    logs = [{name: float(value) for name, value in model.train_step(batch).items()} for _ in range(STEPS)]
    return logs, [(name, variable.numpy()) for name, variable in checkpoint.variables(model, None).items()]


@pytest.mark.parametrize("options", [{}, {"fused": True, "text_training": "end_to_end"}], ids=["damsm", "fused"])
def test_training_is_the_same_with_it(in_float64, options, monkeypatch):
    again = []

    def counted(compute, block, *inputs, **options):
        again.append(block)
        return recomputed(compute, block, *inputs, **options)

    monkeypatch.setattr(networks.generator, "recomputed", counted)
    logs, state = trained(**options)
    assert not again
    same_logs, same_state = trained(**options, gradient_checkpointing=True)
    assert len(again) == STEPS * len({id(block) for block in again}) > STEPS
    for one, other in zip(logs, same_logs, strict=True):
        assert all(value != 0 for value in one.values())
        assert other == pytest.approx(one, rel=1e-9)
    for (name, value), (_, same) in zip(state, same_state, strict=True):
        np.testing.assert_allclose(same, value, rtol=1e-8, atol=1e-12, err_msg=name)
    counters = [value for name, value in same_state if name.endswith("/batches")]
    assert len(counters) == 7 and all(value == STEPS for value in counters)


@pytest.mark.parametrize("precision", ["mixed_float16", "mixed_bfloat16"])
def test_gradients_of_half_precision_are_as_near_to_those_of_float64_as_without(precision, randomize):
    half = randomize(Generator(2, 16, 5, 6, 3, dtype=precision))
    precise = Generator(2, 16, 5, 6, 3, dtype="float64")
    start = half.get_weights()

    def gradients(generator, checkpointing) -> list[np.ndarray]:
        noise, sentence = (tf.random.stateless_normal([4, size], [0, size]) for size in (5, 6))
        inputs = [tf.cast(given, generator.compute_dtype) for given in (noise, sentence)]
        generator.set_weights(start)
        with tf.GradientTape() as tape:
            image, _ = generator(*inputs, training=True, checkpointing=checkpointing)
            loss = tf.reduce_sum(image[..., 0])
        return [gradient.numpy() for gradient in tape.gradient(loss, generator.trainable_variables)]

    plain, again = gradients(half, False), gradients(half, True)
    exact = gradients(precise, False)
    # By layer of the generator: some gradients are zero but for rounding, as that of a bias before a batch norm.
    layers = [variable.path.split("/")[1] for variable in half.trainable_variables]
    for layer in set(layers):
        of_plain, of_again, moved = (
            np.sqrt(
                sum(np.sum((one - other) ** 2.0) for one, other, of in zip(*pair, layers, strict=True) if of == layer)
            )
            for pair in ((plain, exact), (again, exact), (again, plain))
        )
        assert of_again < 1.05 * of_plain and moved < 0.25 * of_plain, layer


def test_convolutions_of_the_generators_blocks_are_computed_again():
    generator = Generator(8, 16, 5, 6, 8)

    def convolutions(checkpointing: bool) -> int:
        @tf.function(autograph=False)
        def gradients(noise, sentence):
            with tf.GradientTape() as tape:
                image, _ = generator(noise, sentence, training=True, checkpointing=checkpointing)
            return tape.gradient(image, [variable.value for variable in generator.trainable_variables])

        graph = gradients.get_concrete_function(tf.ones([2, 5]), tf.ones([2, 6])).graph
        todo, seen = [*(each.op for each in graph.outputs), *graph.control_outputs], set()
        while todo:
            op = todo.pop()
            if op not in seen:
                seen.add(op)
                todo += [*(each.op for each in op.inputs), *op.control_inputs]
        return sum(op.type == "Conv2D" for op in seen)

    # All but the mask's last one; of a block without a mask only the first: no gradient needs what the others give.
    again = [1 if block.mask is None else 3 + (block.shortcut is not None) for block in generator.blocks]
    assert convolutions(True) - convolutions(False) == sum(again) == 9


def test_less_is_kept_for_the_generators_gradient(allocated):
    generator, noise, sentence = Generator(8, 64, 5, 6, 8), tf.ones([16, 5]), tf.ones([16, 6])

    def kept(checkpointing: bool) -> int:
        gc.collect()
        before = allocated()
        with tf.GradientTape() as tape:
            image, _ = generator(noise, sentence, training=True, checkpointing=checkpointing)
        after = allocated()
        assert tape.gradient(image, generator.to_rgb.kernel.value) is not None
        return after - before

    # What remains are the blocks' inputs, half as wide as the features inside, and the picture.
    assert 0 < kept(True) < 0.4 * kept(False)


def test_statistics_move_once_also_where_they_are_computed_twice():
    plain, again = BatchNorm(), BatchNorm()
    x = tf.random.stateless_normal([2, 4, 4, 3], [1, 2], 5.0, 3.0)
    for layer in (plain, again):
        layer.build(x.shape)
    plain(x, training=True)
    with tf.GradientTape() as tape:
        (y,) = recomputed(BatchNorm.__call__, again, x, training=True)
    tape.gradient(y, again.trainable_variables)
    for one, other in zip(plain.variables, again.variables, strict=True):
        np.testing.assert_array_equal(other.numpy(), one.numpy())


def test_a_saved_model_keeps_the_option(tmp_path, tiny_model):
    tiny_model(gradient_checkpointing=True).save(tmp_path / "model.keras")
    assert keras.saving.load_model(tmp_path / "model.keras").gradient_checkpointing
