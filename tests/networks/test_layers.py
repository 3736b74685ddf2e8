"""The layers against NumPy, and what the mask promises: where it is 0 the text has no effect at all."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from ssagan_tf.networks.layers import SSCBN, BatchNorm, DownBlock, MaskPredictor, SSACNBlock
from ssagan_tf.networks.primitives import at_least_float32, leaky_relu, upsample_bilinear, upsample_nearest

RANDOM = np.random.default_rng(0)
SENTENCE_DIM = 6


def normal(*shape, dtype="float32"):
    return RANDOM.normal(size=shape).astype(dtype)


# === Batch norm ===


def expected_batch_norm(x, scale, shift, epsilon=1e-5):
    mean, variance = x.mean((0, 1, 2)), x.var((0, 1, 2))
    return (x - mean) / np.sqrt(variance + epsilon) * scale + shift


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("affine", [True, False])
def test_batch_norm_of_a_training_batch(dtype, affine, randomize):
    x = normal(3, 5, 7, 4, dtype=dtype) * 3 + 1
    layer = BatchNorm(affine=affine, dtype=dtype)
    layer.build(x.shape)
    randomize(layer)
    scale, shift = (layer.scale.numpy(), layer.shift.numpy()) if affine else (1.0, 0.0)
    before = layer.running_mean.numpy(), layer.running_variance.numpy()

    y = layer(x, training=True)

    tolerance = 1e-5 if dtype == "float32" else 1e-12
    assert y.dtype == dtype
    np.testing.assert_allclose(y, expected_batch_norm(x, scale, shift), rtol=tolerance, atol=tolerance)
    # Nine tenths remain; the mean of the batch and its UNBIASED variance come in.
    mean, variance = 0.9 * before[0] + 0.1 * x.mean((0, 1, 2)), 0.9 * before[1] + 0.1 * x.var((0, 1, 2), ddof=1)
    np.testing.assert_allclose(layer.running_mean, mean, rtol=tolerance)
    np.testing.assert_allclose(layer.running_variance, variance, rtol=tolerance)
    assert layer.batches.numpy() == 1


def test_unbiased_variance_matters_for_few_pixels():
    layer = BatchNorm(momentum=0.0)
    layer(tf.reshape(tf.constant([0.0, 2.0]), [2, 1, 1, 1]), training=True)
    np.testing.assert_allclose(layer.running_variance, [2.0], rtol=1e-6)  # the biased one is 1


def test_statistics_of_many_pixels_keep_their_digits():
    x = normal(8, 128, 128, 3) * 2 + 1
    layer = BatchNorm(momentum=0.0)
    layer(tf.constant(x), training=True)
    exact = x.astype(np.float64)
    np.testing.assert_allclose(layer.running_mean, exact.mean((0, 1, 2)), rtol=2e-6)
    np.testing.assert_allclose(layer.running_variance, exact.var((0, 1, 2), ddof=1), rtol=2e-6)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_batch_norm_when_not_training_uses_and_keeps_the_running_statistics(dtype, randomize):
    x = normal(2, 3, 3, 4, dtype=dtype)
    layer = BatchNorm(epsilon=0.1, dtype=dtype)
    layer.build(x.shape)
    randomize(layer)
    before = [variable.numpy() for variable in layer.variables]
    y = layer(x, training=False)
    mean, variance = layer.running_mean.numpy(), layer.running_variance.numpy()
    expected = (x - mean) / np.sqrt(variance + 0.1) * layer.scale.numpy() + layer.shift.numpy()
    np.testing.assert_allclose(y, expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(layer(x), y)  # inference is the default
    for variable, value in zip(layer.variables, before, strict=True):
        np.testing.assert_array_equal(variable, value)


def test_fused_and_composed_batch_norm_have_the_same_gradients(randomize, monkeypatch):
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda _: ["GPU"])  # float32 is fused with one
    x = normal(4, 3, 3, 2)
    weights = normal(4, 3, 3, 2)
    gradients = {}
    for dtype in ("float32", "float64"):
        layer = BatchNorm(dtype=dtype)
        layer.build(x.shape)
        randomize(layer)
        inputs = tf.constant(x, dtype)
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            loss = tf.reduce_sum(layer(inputs, training=True) ** 2 * weights.astype(dtype))
        gradients[dtype] = tape.gradient(loss, [inputs, layer.scale.value, layer.shift.value])
    for one, other in zip(*gradients.values(), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_batch_norm_of_short_floats_keeps_its_statistics_in_float32(policy):
    x = normal(4, 4, 4, 2) * 2 + 3
    layer = BatchNorm(dtype=policy)
    y = layer(tf.cast(x, layer.compute_dtype), training=True)
    assert y.dtype == layer.compute_dtype and layer.running_mean.dtype == layer.scale.dtype == "float32"
    np.testing.assert_allclose(tf.cast(y, tf.float32), expected_batch_norm(x, 1, 0), atol=0.05)
    assert layer(tf.cast(x, layer.compute_dtype)).dtype == layer.compute_dtype


# === Leaky ReLU ===


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
def test_leaky_relu_and_its_gradients(dtype):
    x, by_y = tf.constant([-2.0, -0.5, 0.5, 3.0], dtype), tf.constant([1.0, 2.0, -3.0, 4.0], dtype)
    slope = np.array([0.2, 0.2, 1, 1])
    with tf.GradientTape(persistent=True) as outer:
        outer.watch([x, by_y])
        with tf.GradientTape() as inner:
            inner.watch(x)
            y = leaky_relu(x)
        by_x = inner.gradient(y, x, by_y)
        squares = tf.reduce_sum(by_x**2)
    assert y.dtype == by_x.dtype == dtype
    tolerance = {"float16": 0.01, "bfloat16": 0.05, "float64": 1e-12}.get(dtype, 1e-6)
    for found, expected in (
        (y, slope * [-2, -0.5, 0.5, 3]),
        (by_x, slope * [1, 2, -3, 4]),
        (outer.gradient(squares, by_y), 2 * slope**2 * [1, 2, -3, 4]),
    ):
        np.testing.assert_allclose(tf.cast(found, tf.float64), expected, rtol=tolerance)
    # No gradient at all, rather than one of zeros to be carried on.
    assert outer.gradient(squares, x) is None


# === Enlarging ===


def test_nearest_gives_each_pixel_four_times():
    x = normal(2, 3, 5, 4)
    expected = np.repeat(np.repeat(x, 2, 1), 2, 2)
    np.testing.assert_array_equal(upsample_nearest(tf.constant(x)), expected)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
def test_the_gradient_of_nearest_is_the_sum_of_the_four(dtype):
    x, by_large = (tf.cast(normal(*shape), dtype) for shape in ((2, 3, 5, 4), (2, 6, 10, 4)))
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = upsample_nearest(x)
    assert y.dtype == dtype
    four = tf.cast(by_large, tf.float64).numpy().reshape(2, 3, 2, 5, 2, 4)
    tolerance = {"float16": 0.01, "bfloat16": 0.05}.get(dtype, 1e-6)
    gradient = tf.cast(tape.gradient(y, x, by_large), tf.float64)
    np.testing.assert_allclose(gradient, four.sum((2, 4)), rtol=tolerance, atol=tolerance)


def slow_bilinear_aligned(x: np.ndarray) -> np.ndarray:
    """Pixel by pixel: corners lie on corners, so n old pixels span 2n - 1 steps of (n - 1) / (2n - 1)."""
    batch, height, width, channels = x.shape
    y = np.zeros((batch, 2 * height, 2 * width, channels))
    for row in range(2 * height):
        for column in range(2 * width):
            v, u = row * (height - 1) / (2 * height - 1), column * (width - 1) / (2 * width - 1)
            top, left = min(int(v), height - 2), min(int(u), width - 2)
            dv, du = v - top, u - left
            y[:, row, column] = (
                (1 - dv) * (1 - du) * x[:, top, left]
                + (1 - dv) * du * x[:, top, left + 1]
                + dv * (1 - du) * x[:, top + 1, left]
                + dv * du * x[:, top + 1, left + 1]
            )
    return y


@pytest.mark.parametrize("height, width", [(4, 4), (8, 8), (2, 3), (16, 5)])
def test_bilinear_aligns_corners(height, width):
    x = normal(2, height, width, 1, dtype="float64")
    y = upsample_bilinear(tf.constant(x)).numpy()
    np.testing.assert_allclose(y, slow_bilinear_aligned(x), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(y[:, [0, 0, -1, -1], [0, -1, 0, -1]], x[:, [0, 0, -1, -1], [0, -1, 0, -1]], rtol=1e-12)
    np.testing.assert_allclose(upsample_bilinear(tf.constant(x, tf.float32)), y, rtol=1e-4, atol=1e-5)


# === The mask and the text ===


def inputs(in_filters: int, mask_value: float):
    x, sentences = normal(3, 4, 4, in_filters), [normal(3, SENTENCE_DIM) for _ in range(2)]
    return x, sentences, np.full((3, 4, 4, 1), mask_value, "float32")


@pytest.mark.parametrize("training", [False, True])
def test_text_has_no_effect_where_the_mask_is_zero(training, randomize):
    x, (one, other), mask = inputs(5, 0.0)
    layer = SSCBN(5, SENTENCE_DIM)
    layer(x, one, mask)
    randomize(layer)
    result = layer(x, one, mask, training=training).numpy()
    np.testing.assert_array_equal(result, layer(x, other, mask, training=training))
    if training:
        np.testing.assert_allclose(result, expected_batch_norm(x, 1, 0), rtol=1e-4, atol=1e-5)


def test_text_acts_exactly_where_the_mask_is_not_zero(randomize):
    x, (one, other), mask = inputs(5, 0.0)
    mask[:, :2, :, :] = RANDOM.uniform(0.1, 1, (3, 2, 4, 1))
    layer = SSCBN(5, SENTENCE_DIM)
    layer(x, one, mask)
    randomize(layer)
    difference = (layer(x, one, mask) - layer(x, other, mask)).numpy()
    assert (difference[:, :2] != 0).all()
    assert (difference[:, 2:] == 0).all()


def test_scale_and_shift_follow_the_published_formula(randomize):
    x, (sentence, _), _ = inputs(5, 0.0)
    mask = RANDOM.uniform(size=(3, 4, 4, 1)).astype("float32")
    layer = SSCBN(5, SENTENCE_DIM)
    layer(x, sentence, mask)
    randomize(layer)

    def mlp(hidden, out):
        h = np.maximum(sentence @ hidden.kernel.numpy() + hidden.bias.numpy(), 0)
        return (h @ out.kernel.numpy() + out.bias.numpy())[:, None, None, :]

    scale, shift = mlp(layer.scale_hidden, layer.scale_out), mlp(layer.shift_hidden, layer.shift_out)
    expected = expected_batch_norm(x, 1, 0) * (scale * mask + 1) + shift * mask
    np.testing.assert_allclose(layer(x, sentence, mask, training=True), expected, rtol=1e-4, atol=1e-5)


def test_text_has_no_effect_at_the_start():
    # The last linear layers start at zero, so that training begins with a plain batch norm.
    x, (one, other), mask = inputs(5, 1.0)
    layer = SSCBN(5, SENTENCE_DIM)
    np.testing.assert_array_equal(layer(x, one, mask), layer(x, other, mask))


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("filters", [5, 3])
def test_a_block_with_a_zero_mask_ignores_the_text_exactly(filters, training, randomize):
    x, (one, other), mask = inputs(5, 0.0)
    block = SSACNBlock(5, filters, SENTENCE_DIM, mask_filters=2)
    block(x, one, mask)
    randomize(block)
    for first, second in zip(
        block(x, one, mask, training=training), block(x, other, mask, training=training), strict=True
    ):
        np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("filters", [5, 3])
def test_a_block_with_a_full_mask_follows_the_text(filters, randomize):
    x, (one, other), mask = inputs(5, 1.0)
    block = SSACNBlock(5, filters, SENTENCE_DIM, mask_filters=2)
    block(x, one, mask)
    randomize(block)
    out, logits = (np.abs(a - b).max() for a, b in zip(block(x, one, mask), block(x, other, mask), strict=True))
    assert out > 0.01 and logits > 0.0001


@pytest.mark.parametrize("filters", [5, 3])
def test_a_block_whose_gate_is_closed_is_its_shortcut(filters, randomize):
    x, (one, _), mask = inputs(5, 1.0)
    block = SSACNBlock(5, filters, SENTENCE_DIM, mask_filters=2)
    block(x, one, mask)
    assert block.gate.numpy() == 0  # as it starts
    randomize(block)
    block.gate.assign(0.0)
    expected = x if filters == 5 else x @ block.shortcut.kernel.numpy()[0, 0] + block.shortcut.bias.numpy()
    np.testing.assert_allclose(block(x, one, mask, training=True)[0], expected, rtol=1e-5, atol=1e-6)
    block.gate.assign(1.0)
    assert np.abs(block(x, one, mask, training=True)[0] - expected).max() > 0.1


def test_a_block_that_enlarges_does_so_first(randomize):
    x, sentence = normal(3, 4, 4, 5), normal(3, SENTENCE_DIM)
    mask = RANDOM.uniform(size=(3, 8, 8, 1)).astype("float32")
    inside, before = SSACNBlock(5, 3, SENTENCE_DIM, 2, enlarge=True), SSACNBlock(5, 3, SENTENCE_DIM, 2)
    large = np.repeat(np.repeat(x, 2, 1), 2, 2)
    inside(x, sentence, mask)
    before(large, sentence, mask)
    before.set_weights(randomize(inside).get_weights())
    for one, other in zip(inside(x, sentence, mask), before(large, sentence, mask), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-5)


def test_the_last_block_predicts_no_mask():
    x, (one, _), mask = inputs(5, 1.0)
    out, logits = SSACNBlock(5, 3, SENTENCE_DIM, mask_filters=None)(x, one, mask)
    assert logits is None and out.shape == (3, 4, 4, 3)


def test_the_mask_comes_from_what_the_block_gives(randomize):
    x, (one, _), mask = inputs(5, 1.0)
    block = SSACNBlock(5, 3, SENTENCE_DIM, mask_filters=2)
    block(x, one, mask)
    randomize(block)
    out, logits = block(x, one, mask)
    np.testing.assert_array_equal(block.mask(out), logits)


# === Down block ===


@pytest.mark.parametrize("filters", [5, 3])
def test_a_down_block_whose_gate_is_closed_is_a_pooled_shortcut(filters, randomize):
    x = normal(2, 6, 8, 5)
    block = DownBlock(5, filters)
    block(x)
    assert block.gate.numpy() == 0
    randomize(block)
    block.gate.assign(0.0)
    # As published: first the 1x1 convolution, then the pool.
    full = x if filters == 5 else x @ block.shortcut.kernel.numpy()[0, 0] + block.shortcut.bias.numpy()
    expected = full.reshape(2, 3, 2, 4, 2, filters).mean((2, 4))
    np.testing.assert_allclose(block(x), expected, rtol=1e-5, atol=1e-6)
    block.gate.assign(1.0)
    assert np.abs(block(x) - expected).max() > 0.1


def test_a_down_block_owns_a_shortcut_that_it_trains_only_where_the_width_changes():
    for filters, trained in ((5, False), (3, True)):
        block = DownBlock(5, filters)
        block.build((None, 4, 4, 5))
        assert len(block.variables) == 5
        assert any(variable is block.shortcut.kernel for variable in block.trainable_variables) == trained


# === Configuration ===

LAYERS = [
    (BatchNorm(affine=False, epsilon=0.01, momentum=0.5, name="x"), [(2, 4, 4, 3)]),
    (BatchNorm(dtype="float64"), [(2, 4, 4, 3)]),
    (MaskPredictor(3, 2), [(2, 4, 4, 3)]),
    (SSCBN(3, SENTENCE_DIM), [(2, 4, 4, 3), (2, SENTENCE_DIM), (2, 4, 4, 1)]),
    (SSACNBlock(3, 4, SENTENCE_DIM, 2), [(2, 4, 4, 3), (2, SENTENCE_DIM), (2, 4, 4, 1)]),
    (SSACNBlock(3, 3, SENTENCE_DIM, None, dtype="mixed_bfloat16"), [(2, 4, 4, 3), (2, SENTENCE_DIM), (2, 4, 4, 1)]),
    (SSACNBlock(3, 4, SENTENCE_DIM, 2, enlarge=True), [(2, 4, 4, 3), (2, SENTENCE_DIM), (2, 8, 8, 1)]),
    (DownBlock(3, 4, name="down"), [(2, 4, 4, 3)]),
]


@pytest.mark.parametrize("layer, shapes", LAYERS, ids=lambda value: getattr(value, "name", ""))
def test_a_layer_is_made_again_from_its_configuration_and_weights(layer, shapes, randomize):
    arguments = [normal(*shape) for shape in shapes]
    layer(*arguments)
    randomize(layer)
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer))
    assert type(again) is type(layer) and again.get_config() == layer.get_config()
    assert keras.saving.get_registered_name(type(layer)) == f"ssagan_tf>{type(layer).__name__}"
    again(*arguments)
    again.set_weights(layer.get_weights())
    for one, other in zip(tf.nest.flatten(layer(*arguments)), tf.nest.flatten(again(*arguments)), strict=True):
        if one is not None:
            np.testing.assert_array_equal(tf.cast(one, tf.float64), tf.cast(other, tf.float64))


@pytest.mark.parametrize("dtype, result", [("float16", "float32"), ("bfloat16", "float32"), ("float64", "float64")])
def test_at_least_float32(dtype, result):
    assert at_least_float32(tf.zeros([2], dtype)).dtype == result
