"""The tricks by which the generator is computed change nothing but rounding, and do what they are for; Winograd's
filtering, which takes wide networks in float32, is in `test_winograd.py`."""

import collections
import gc

import numpy as np
import pytest
import tensorflow as tf

from ssagan_tf.networks import Generator, fast
from ssagan_tf.networks.layers import SSACNBlock
from ssagan_tf.networks.primitives import at_least_float32


def computed(generator: Generator, training: bool) -> list[np.ndarray]:
    """Pictures, masks, where the running statistics have moved to, and in float64 the gradients by all weights."""
    noise, sentence = (tf.cast(tf.random.stateless_normal([3, size], [0, size]), "float64") for size in (5, 6))
    start = generator.get_weights()
    with tf.GradientTape() as tape:
        image, masks = generator(noise, sentence, training=training)
        loss = tf.reduce_sum(image[..., 0]) + tf.reduce_sum(masks[-1])
    gradients = tape.gradient(loss, [variable.value for variable in generator.trainable_variables])
    results = [image, *masks, *(variable.value for variable in generator.non_trainable_variables)]
    if generator.compute_dtype == "float64":
        results += gradients
    results = [at_least_float32(result).numpy() for result in results]
    generator.set_weights(start)
    return results


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize(
    "policy, trick, tolerance",
    [("float64", "reorder", 1e-9), ("float64", "remat", 1e-9), ("mixed_bfloat16", "reorder", 0.1)],
)
def test_a_trick_changes_nothing_but_rounding(policy, trick, tolerance, training, randomize):
    generator = randomize(Generator(1, 16, 5, 6, 3, dtype=policy))
    with_all = computed(generator, training)
    with fast.without(trick):
        plain = computed(generator, training)
    assert len(with_all) == len(plain)
    for one, other in zip(with_all, plain, strict=True):
        np.testing.assert_allclose(one, other, rtol=tolerance, atol=tolerance * max(np.abs(other).max(), 1e-3))


def test_each_trick_is_another_graph_and_all_are_on_by_default():
    inputs = tf.ones([1, 5]), tf.ones([1, 6])
    generator = Generator(64, 64, 5, 6, 4)  # wide enough for Winograd's filtering

    def operations(*off):
        def gradient(noise, sentence):
            with tf.GradientTape() as tape:
                image, _ = generator(noise, sentence)
            return tape.gradient(image, generator.project.kernel.value)

        with fast.without(*off):
            graph = tf.function(gradient, autograph=False).get_concrete_function(*inputs).graph
        return frozenset(collections.Counter(operation.type for operation in graph.get_operations()).items())

    found = {operations(), *(operations(name) for name in fast.TRICKS)}
    assert len(found) == 1 + len(fast.TRICKS)


def test_what_lies_between_a_norm_and_a_convolution_is_not_kept_for_the_gradient(randomize, allocated):
    block = SSACNBlock(8, 8, 6, None)
    # TensorFlow's allocator does not count what is below 256 KB.
    x, sentence, mask = tf.random.stateless_normal([4, 64, 64, 8], [0, 1]), tf.ones([4, 6]), tf.ones([4, 64, 64, 1])
    block(x, sentence, mask)
    randomize(block)

    def kept(*off) -> float:
        gc.collect()
        before = allocated()
        with tf.GradientTape() as tape, fast.without(*off):
            out, _ = fast.generator_block(block, x, sentence, mask, training=True)
        after = allocated()
        assert tape.gradient(out, block.gate.value) is not None
        return (after - before) / (4 * x.shape.num_elements())

    # Some four features of the block: what enters and leaves its convolutions.
    assert 0 < kept() < 4.5 < 10 < kept("remat")


def test_a_switch_holds_within_its_block_alone():
    with pytest.raises(KeyError), fast.without("remat"):
        with fast.without("winograd"):
            assert fast._off == {"remat", "winograd"}
        assert fast._off == {"remat"}
        raise KeyError
    assert fast._off == set()
    with pytest.raises(ValueError, match="No such tricks: .'magic'"), fast.without("magic"):
        pass
