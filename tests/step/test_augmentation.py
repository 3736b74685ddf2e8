"""Augmentations: what they do, their gradients of both orders, and that all follows from seed and step."""

import numpy as np
import pytest
import tensorflow as tf
from scipy import ndimage

from ssagan_tf.losses import matching_aware_gradient_penalty
from ssagan_tf.step.augmentation import FIXED, TARGET, Augmentation, colour, cut_out, move, varied

random = np.random.default_rng(0)
PICTURES = tf.constant(random.uniform(-1, 1, (3, 8, 8, 3)))  # float64
FEW = tf.constant(random.uniform(size=(3, 12)))


def numbers(*values):
    return tf.constant(np.array(values, "float64"))


AUGMENTATIONS = {
    "colour": lambda x: colour(x, numbers(0.3, -0.2, 0), numbers(0.7, 1.3, 1), numbers(0.2, 1.9, 1)),
    "translation": lambda x: move(x, numbers(0.11, -0.07, 0), numbers(-0.12, 0.03, 0), numbers(1, 1, 1)),
    "scaling": lambda x: move(x, numbers(0, 0, 0), numbers(0, 0, 0), numbers(1.3, 0.77, 1)),
    "cutout": lambda x: cut_out(x, numbers(0.2, 0.9, 0.5), numbers(0.4, 0.1, 0.5), numbers(0.5, 0.5, 0)),
    "all": lambda x: varied(x, tf.constant(1.0), FEW),
}


# === What each does ===


def test_colour_shifts_the_mean_and_scales_what_differs_from_mean_and_grey():
    x = PICTURES.numpy()
    got = colour(PICTURES, numbers(0.3, 0, 0), numbers(1, 0.5, 1), numbers(1, 1, 0)).numpy()
    np.testing.assert_allclose(got[0], x[0] + 0.3)
    np.testing.assert_allclose(got[1], x[1].mean() + 0.5 * (x[1] - x[1].mean()))
    np.testing.assert_allclose(got[2], np.repeat(x[2].mean(-1, keepdims=True), 3, -1))


def test_a_shift_by_whole_pixels_moves_them_and_mirrors_the_edge():
    got = move(PICTURES, numbers(2 / 8, 0, 0), numbers(0, -1 / 8, 0), numbers(1, 1, 1)).numpy()
    x = PICTURES.numpy()
    np.testing.assert_allclose(got[0], x[0][[2, 1, 0, 1, 2, 3, 4, 5]], atol=1e-12)
    np.testing.assert_allclose(got[1], x[1][:, [1, 2, 3, 4, 5, 6, 7, 6]], atol=1e-12)
    np.testing.assert_allclose(got[2], x[2], atol=1e-12)


def test_moving_is_what_scipy_computes():
    down, right, scale = 0.13, -0.08, 1.21
    got = move(PICTURES, *(numbers(value, 0, 0) for value in (down, right)), numbers(scale, 1, 1)).numpy()[0]
    # Output pixel o is input pixel (o - middle - shift) / scale + middle.
    offset = [3.5 - (3.5 + 8 * shift) / scale for shift in (down, right)]
    for channel in range(3):
        want = ndimage.affine_transform(
            PICTURES.numpy()[0, ..., channel], np.eye(2) / scale, offset, order=1, mode="mirror"
        )
        np.testing.assert_allclose(got[..., channel], want, atol=1e-10)


def test_cutout_greys_a_square_of_its_size():
    got = cut_out(tf.ones([2, 8, 8, 3]), tf.constant([0.5, 0.0]), tf.constant([0.5, 1.0]), tf.constant([0.5, 0.5]))
    want = np.ones([2, 8, 8, 3])
    want[0, 2:6, 2:6] = 0
    want[1, :2, 6:] = 0
    np.testing.assert_array_equal(got, want)


def test_without_a_chance_pictures_stay_and_with_one_that_share_of_them_changes():
    for dtype in ("float32", "float64"):
        pictures, uniform = tf.cast(PICTURES, dtype), tf.cast(FEW, dtype)
        np.testing.assert_array_equal(varied(pictures, tf.constant(0.0), uniform), pictures)
    many = tf.constant(np.repeat(PICTURES.numpy()[:1], 2000, 0), tf.float32)
    uniform = tf.constant(np.random.default_rng(1).uniform(size=(2000, 12)), tf.float32)
    seen = varied(many, tf.constant(0.3), uniform).numpy()
    same = np.isclose(seen, many, atol=1e-5).all((1, 2, 3)).mean()
    assert abs(same - 0.7**4) < 0.03  # none of the four kinds


# === Gradients ===


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_gradients_agree_with_finite_differences(name):
    weights = tf.constant(np.random.default_rng(3).normal(size=PICTURES.shape))

    def loss(x):
        return tf.reduce_sum(weights * AUGMENTATIONS[name](x) ** 2)

    with tf.GradientTape() as tape:
        tape.watch(PICTURES)
        value = loss(PICTURES)
    gradient = tape.gradient(value, PICTURES).numpy()
    for seed in range(5):
        direction = np.random.default_rng(seed).normal(size=PICTURES.shape)
        step = 1e-5
        measured = (loss(PICTURES + step * direction) - loss(PICTURES - step * direction)) / (2 * step)
        np.testing.assert_allclose(np.sum(gradient * direction), measured, rtol=1e-7)


def test_the_penalty_goes_through_the_augmentation_and_so_does_its_gradient():
    kernel = tf.Variable(random.normal(size=(8 * 8 * 3, 1)) / 20, dtype=tf.float64)
    sentence = tf.zeros([3, 2], tf.float64)

    def penalty():
        def judge(images, sentence):
            seen = tf.reshape(varied(images, tf.constant(1.0), FEW), [3, -1])
            return tf.reshape(tf.matmul(tf.tanh(seen), kernel), [-1]) + 0 * tf.reduce_sum(sentence, 1)

        return matching_aware_gradient_penalty(judge, PICTURES, sentence)

    with tf.GradientTape() as tape:
        value = penalty()
    gradient = tape.gradient(value, kernel).numpy()
    # By a second way: the gradient by the pictures, measured.
    start, direction, step = kernel.numpy(), np.random.default_rng(5).normal(size=kernel.shape), 1e-5

    def at(offset):
        kernel.assign(start + offset * direction)
        return penalty().numpy()

    np.testing.assert_allclose(np.sum(gradient * direction), (at(step) - at(-step)) / (2 * step), rtol=1e-6)


# === The layer: its random numbers, its chance ===


def test_what_is_seen_follows_from_the_seed_and_keeps_the_dtype():
    layer = Augmentation(adaptive=False)
    for dtype in ("float32", "float64", "bfloat16"):
        pictures = tf.cast(PICTURES, dtype)
        one, again, other = (layer(pictures, tf.constant([1, seed], tf.int64)) for seed in (5, 5, 6))
        assert one.dtype == pictures.dtype
        np.testing.assert_array_equal(one, again)
        assert (one.numpy() != other.numpy()).any()


def test_the_chance_rises_while_d_is_sure_of_real_pictures_and_falls_while_it_is_not():
    layer = Augmentation(pictures=10_000)
    assert float(layer.chance) == 0
    for _ in range(100):
        layer.learn(tf.ones([16]))
    # The signal, which starts at 0, first has to pass its target.
    late = int(np.log2(1 / (1 - TARGET)) * 256 / 16)
    assert float(layer.chance) == pytest.approx((100 - late) * 16 / 10_000)
    assert float(layer.signal) == pytest.approx(1 - 0.5 ** (1600 / 256), abs=1e-5)
    high = float(layer.chance)
    for _ in range(100):
        layer.learn(tf.constant([1.0, -1.0] * 8))
    assert float(layer.chance) < high and float(layer.signal) < TARGET


def test_a_fixed_chance_stays_and_its_signal_is_told_all_the_same():
    layer = Augmentation(adaptive=False)
    layer.learn(tf.ones([16]))
    assert float(layer.chance) == FIXED
    assert float(layer.logs()["real_signs"]) > 0


# === In the step ===


@pytest.fixture
def step(tiny_model, randomize):
    def make(augmentation, count=1, in_graph=False, **options):
        model = tiny_model(augmentation=augmentation, **options)
        for seed, part in enumerate((model.generator, model.discriminator, model.text_encoder)):
            randomize(part, seed)
        model.compile()
        batch = {
            "image": tf.constant(np.random.default_rng(5).uniform(-1, 1, (3, 8, 8, 3)).astype("float32")),
            "caption": tf.constant([[1, 2, 3, 6], [4, 5, 0, 0], [6, 0, 0, 0]]),
            "class_id": tf.constant([7, 9, 9]),
        }
        run = tf.function(model.train_step) if in_graph else model.train_step
        return model, [{name: float(value) for name, value in run(batch).items()} for _ in range(count)]

    return make


def test_a_chance_of_zero_is_the_plain_step_and_any_other_varies_all_that_d_sees(step):
    class Counted(Augmentation):
        def call(self, pictures, seed):
            looks.append(pictures.shape)
            return super().call(pictures, seed)

    looks = []
    _, (plain,) = step(None)
    _, (seen,) = step(Augmentation(pictures=10**9))  # the noise is the same with and without
    assert {name: seen[name] for name in plain} == pytest.approx(plain, rel=1e-4, abs=1e-6)
    assert set(seen) - set(plain) == {"augment_chance", "real_signs"}
    _, (seen,) = step(Counted(adaptive=False))
    assert len(looks) == 4  # real, drawn, in the penalty, by G; mismatched pairs share the real pictures' features
    assert all(seen[name] != plain[name] for name in ("discriminator_loss", "gradient_penalty", "generator_loss"))


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float32", "float64", "mixed_bfloat16"])
def test_it_works_in_a_graph_and_in_other_dtypes(step, dtype):
    _, logs = step(Augmentation(adaptive=False), 2, in_graph=True, dtype=dtype)
    assert np.isfinite([list(each.values()) for each in logs]).all()


def test_a_step_that_is_not_finite_leaves_the_chance_alone(step):
    model, _ = step(Augmentation(pictures=100), count=0)
    for variable in model.augmentation.variables:
        variable.assign(0.25)
    before = [float(variable) for variable in model.augmentation.variables]
    batch = {
        "image": tf.fill([3, 8, 8, 3], float("nan")),
        "caption": tf.constant([[1], [2], [3]]),
        "class_id": tf.constant([1, 2, 3]),
    }
    assert np.isnan(float(model.train_step(batch)["discriminator_loss"]))
    assert [float(variable) for variable in model.augmentation.variables] == before
