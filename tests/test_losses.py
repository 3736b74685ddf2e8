"""Losses against closed forms, finite differences, and loops over pictures and captions."""

import pathlib

import numpy as np
import processes
import pytest
import tensorflow as tf

from ssagan_tf.losses import (
    damsm_loss,
    grouped_word_loss,
    hinge_discriminator_loss,
    hinge_generator_loss,
    matching_aware_gradient_penalty,
    sentence_loss,
    word_attention,
    word_loss,
)
from ssagan_tf.networks import Discriminator

# === Hinge ===


def test_hinge_of_the_discriminator_in_closed_form():
    real, mismatched, fake = tf.constant([2.0, 0.5, -1.0]), tf.constant([0.0, -3.0]), tf.constant([-2.0, 1.0, 0.5])
    expected = (0 + 0.5 + 2) / 3 + ((0 + 2 + 1.5) / 3 + (1 + 0) / 2) / 2
    np.testing.assert_allclose(hinge_discriminator_loss(real, mismatched, fake), expected, rtol=1e-6)


def test_hinge_is_zero_with_zero_gradient_once_all_is_told_apart():
    logits = [tf.constant([1.5, 2.0]), tf.constant([-1.5]), tf.constant([-1.0001, -7.0])]
    with tf.GradientTape() as tape:
        tape.watch(logits)
        loss = hinge_discriminator_loss(*logits)
    assert loss.numpy() == 0
    for gradient in tape.gradient(loss, logits):
        assert not gradient.numpy().any()


def test_hinge_of_a_batch_of_one_has_no_mismatched_part():
    one = hinge_discriminator_loss(tf.constant([0.0]), tf.zeros([0]), tf.constant([0.0]))
    np.testing.assert_allclose(one, 1 + 0.5, rtol=1e-6)


def test_hinge_of_the_generator_is_the_mean_with_its_sign_changed():
    np.testing.assert_allclose(hinge_generator_loss(tf.constant([1.0, 2.0, -6.0])), 1.0, rtol=1e-6)


def test_parts_of_a_global_batch_add_up():
    random = np.random.default_rng(0)
    real, fake, mismatched = (random.normal(size=size).astype("float32") for size in (5, 5, 4))
    whole = hinge_discriminator_loss(real, mismatched, fake), hinge_generator_loss(fake)
    # The last replica has one mismatched pair fewer.
    parts = [
        (hinge_discriminator_loss(real[s], mismatched[s], fake[s], 5), hinge_generator_loss(fake[s], 5))
        for s in (slice(0, 3), slice(3, 5))
    ]
    np.testing.assert_allclose(np.sum(parts, 0), whole, rtol=1e-6)


# === Matching-aware gradient penalty ===


@pytest.fixture
def critic(randomize):
    return randomize(Discriminator(1, 8, sentence_dim=3, dtype="float64"), seed=1)


def pairs(batch: int = 3):
    random = np.random.default_rng(2)
    return random.uniform(-1, 1, (batch, 8, 8, 3)), random.normal(size=(batch, 3))


def finite_difference_penalty(critic, images, sentences, step=1e-6):
    """2 * mean(norm ** 6), the gradient of each sample's logit by central differences of all its inputs."""
    norms = []
    for image, sentence in zip(images, sentences, strict=True):
        point = np.concatenate([image.ravel(), sentence])
        steps = step * np.eye(len(point))
        logits = [
            critic(around[:, : image.size].reshape(-1, *image.shape), around[:, image.size :]).numpy()
            for around in (point + steps, point - steps)
        ]
        norms.append(np.linalg.norm((logits[0] - logits[1]) / (2 * step)))
    return 2 * np.mean(np.array(norms) ** 6)


def test_penalty_is_that_of_finite_differences(critic):
    images, sentences = pairs()
    penalty = matching_aware_gradient_penalty(critic, images, sentences)
    assert penalty.dtype == "float64" and penalty.numpy() > 0
    np.testing.assert_allclose(penalty, finite_difference_penalty(critic, images, sentences), rtol=1e-5)


def test_second_order_gradients_of_the_penalty_are_those_of_finite_differences(critic):
    images, sentences = pairs()
    variables = [variable.value for variable in critic.trainable_variables]
    with tf.GradientTape() as tape:
        penalty = matching_aware_gradient_penalty(critic, images, sentences)
    gradients = tape.gradient(penalty, variables, unconnected_gradients="zero")

    random, step = np.random.default_rng(3), 1e-5
    for variable, gradient in zip(variables, gradients, strict=True):
        value = variable.numpy()
        place = tuple(random.integers(0, size) for size in value.shape)
        around = []
        for sign in (1, -1):
            moved = np.array(value)
            moved[place] += sign * step
            variable.assign(moved)
            around.append(matching_aware_gradient_penalty(critic, images, sentences).numpy())
        variable.assign(value)
        expected = (around[0] - around[1]) / (2 * step)
        np.testing.assert_allclose(
            gradient.numpy()[place], expected, rtol=1e-4, atol=1e-6 * penalty, err_msg=variable.name
        )


def test_penalty_of_a_linear_critic_in_closed_form():
    picture, words = np.linspace(-1, 1, 12).reshape(2, 2, 3), np.array([0.5, -0.25])

    def critic(images, sentence):
        return tf.reduce_sum(images * picture, [1, 2, 3]) + tf.reduce_sum(sentence * words, 1)

    norm = np.sqrt((picture**2).sum() + (words**2).sum())
    penalty = matching_aware_gradient_penalty(critic, np.zeros((4, 2, 2, 3)), np.zeros((4, 2)))
    np.testing.assert_allclose(penalty, 2 * norm**6, rtol=1e-12)


def test_penalty_and_its_gradient_are_finite_where_the_critic_is_flat(critic):
    for variable in critic.variables:
        variable.assign(np.zeros(variable.shape))
    with tf.GradientTape() as tape:
        penalty = matching_aware_gradient_penalty(critic, *pairs())
    assert penalty.numpy() == 0
    variables = [variable.value for variable in critic.trainable_variables]
    for gradient in tape.gradient(penalty, variables, unconnected_gradients="zero"):
        assert np.isfinite(gradient).all()


def test_penalty_parts_of_a_global_batch_add_up(critic):
    images, sentences = pairs(3)
    parts = [matching_aware_gradient_penalty(critic, images[s], sentences[s], 3) for s in (slice(2), slice(2, 3))]
    np.testing.assert_allclose(sum(parts), matching_aware_gradient_penalty(critic, images, sentences), rtol=1e-12)


# === DAMSM ===


def softmax(x, axis):
    e = np.exp(x - x.max(axis, keepdims=True))
    return e / e.sum(axis, keepdims=True)


def cosine(a, b):
    return a @ b / max(np.linalg.norm(a) * np.linalg.norm(b), 1e-8)


def cross_entropies(scores, class_ids):
    """Rows and columns of a matrix of scores (picture, caption), other pairs of the same class left out."""
    losses = []
    for matrix in (scores, scores.T):
        each = []
        for i, row in enumerate(matrix):
            allowed = [j for j in range(len(row)) if j == i or class_ids is None or class_ids[j] != class_ids[i]]
            each.append(-np.log(np.exp(row[i]) / sum(np.exp(row[j]) for j in allowed)))
        losses.append(np.mean(each))
    return losses


def slow_word_loss(regions, words, lengths, class_ids, gamma1=5.0, gamma2=5.0, gamma3=10.0):
    batch = len(words)
    scores = np.zeros((batch, batch))
    for i in range(batch):
        seen = regions[i].reshape(-1, regions.shape[-1])
        for j in range(batch):
            said = words[j, : lengths[j]]
            attention = softmax(seen @ said.T, 1)
            attention = softmax(gamma1 * attention, 0)
            context = attention.T @ seen
            total = sum(np.exp(gamma2 * cosine(c, w)) for c, w in zip(context, said, strict=True))
            scores[i, j] = gamma3 * np.log(total)
    return cross_entropies(scores, class_ids)


def slow_sentence_loss(code, sentence, class_ids, gamma3=10.0):
    return cross_entropies(gamma3 * np.array([[cosine(c, s) for s in sentence] for c in code]), class_ids)


def embeddings(batch: int = 5, dtype="float64"):
    random = np.random.default_rng(4)
    lengths = np.array([6, 4, 4, 2, 1])[:batch]
    words = random.normal(size=(batch, 6, 7)) * (np.arange(6)[None, :, None] < lengths[:, None, None])
    return (
        random.normal(size=(batch, 3, 4, 7)).astype(dtype),
        random.normal(size=(batch, 7)).astype(dtype),
        words.astype(dtype),
        random.normal(size=(batch, 7)).astype(dtype),
        lengths,
    )


CLASSES = {"none": None, "all different": [4, 2, 0, 7, 1], "some the same": [3, 1, 3, 3, 1], "all the same": [2] * 5}


@pytest.mark.parametrize("class_ids", CLASSES.values(), ids=CLASSES)
def test_word_and_sentence_loss_are_those_of_slow_loops(class_ids):
    regions, code, words, sentence, lengths = embeddings()
    ids = None if class_ids is None else tf.constant(class_ids)
    expected = slow_word_loss(regions, words, lengths, class_ids), slow_sentence_loss(code, sentence, class_ids)
    found = word_loss(regions, words, lengths, ids), sentence_loss(code, sentence, ids)
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)
    total = damsm_loss(regions, code, words, sentence, lengths, ids)
    np.testing.assert_allclose(total, np.sum(expected), rtol=1e-9, atol=1e-12)


def test_other_gammas_are_used():
    regions, code, words, sentence, lengths = embeddings()
    np.testing.assert_allclose(
        word_loss(regions, words, lengths, None, 4.0, 3.0, 2.0),
        slow_word_loss(regions, words, lengths, None, 4.0, 3.0, 2.0),
        rtol=1e-9,
    )
    np.testing.assert_allclose(
        sentence_loss(code, sentence, None, 2.0), slow_sentence_loss(code, sentence, None, 2.0), rtol=1e-9
    )


def test_examples_without_a_class_are_negatives_of_one_another():
    regions, code, words, sentence, lengths = embeddings()
    without, unlabelled = None, tf.constant([-1] * 5)
    np.testing.assert_array_equal(
        word_loss(regions, words, lengths, unlabelled), word_loss(regions, words, lengths, without)
    )
    np.testing.assert_array_equal(sentence_loss(code, sentence, unlabelled), sentence_loss(code, sentence, without))


def test_what_stands_in_the_padding_does_not_matter():
    regions, _, words, _, lengths = embeddings()
    noisy = words + 9.0 * (np.arange(6)[None, :, None] >= lengths[:, None, None])
    np.testing.assert_array_equal(word_loss(regions, noisy, lengths), word_loss(regions, words, lengths))


def test_attention_of_each_word_sums_to_one_over_the_picture():
    regions, _, words, _, lengths = embeddings()
    attention = word_attention(regions, words, lengths)
    assert attention.shape == (5, 5, 3, 4, 6)
    np.testing.assert_allclose(tf.reduce_sum(attention, [2, 3]), np.ones((5, 5, 6)), rtol=1e-9)


@pytest.mark.parametrize("class_ids", [None, [3, 1, 3, 3, 1]], ids=["no classes", "classes"])
def test_the_word_loss_of_groups_is_the_mean_of_theirs(class_ids):
    regions, _, words, _, lengths = embeddings()
    parts = [slice(0, 2), slice(2, 4), slice(4, 5)]
    expected = [
        slow_word_loss(regions[p], words[p], lengths[p], None if class_ids is None else class_ids[p], 4.0, 5.0, 2.0)
        for p in parts
    ]
    ids = None if class_ids is None else tf.constant(class_ids)
    found = grouped_word_loss(regions, words, tf.constant(lengths), ids, 2, 4.0, 2.0)
    np.testing.assert_allclose(found, np.mean(expected, 0), rtol=1e-9, atol=1e-12)


def test_groups_teach_as_their_losses_one_by_one_do():
    regions, code, words, sentence, lengths = map(tf.constant, embeddings())
    with tf.GradientTape(persistent=True) as tape:
        tape.watch([regions, words])
        grouped = damsm_loss(regions, code, words, sentence, lengths, None, word_group=3)
        parts = [word_loss(regions[p], words[p], lengths[p]) for p in (slice(0, 3), slice(3, 5))]
        single = tf.add_n([loss for part in parts for loss in part]) / 2 + tf.add_n(sentence_loss(code, sentence))
    np.testing.assert_allclose(grouped, single, rtol=1e-9)
    for one, other in zip(
        tape.gradient(grouped, [regions, words]), tape.gradient(single, [regions, words]), strict=True
    ):
        np.testing.assert_allclose(one, other, rtol=1e-8, atol=1e-12)


def traced(batch: int, length: int = 18, side: int = 17, size: int = 256):
    """The graph of the word loss and its gradients."""

    @tf.function
    def loss(regions, words, lengths):
        with tf.GradientTape() as tape:
            tape.watch([regions, words])
            total = tf.add_n(word_loss(regions, words, lengths, tf.range(batch)))
        return total, tape.gradient(total, [regions, words])

    shapes = [batch, side, side, size], [batch, length, size], [batch]
    specs = [tf.TensorSpec(shape, dtype) for shape, dtype in zip(shapes, ["float32", "float32", "int32"], strict=True)]
    return loss.get_concrete_function(*specs)


def test_the_word_loss_has_no_loop_over_captions_and_its_largest_tensor_is_as_stated():
    graph = traced(24).graph
    assert len(graph.get_operations()) == len(traced(12).graph.get_operations())
    sizes = [output.shape.num_elements() * output.dtype.size for op in graph.get_operations() for output in op.outputs]
    assert max(sizes) == 4 * 24 * 24 * 18 * 17 * 17 < 12e6


@pytest.mark.slow
@pytest.mark.skipif(not pathlib.Path("/proc/self/status").is_file(), reason="the peak is read where Linux has it")
def test_memory_of_the_published_word_loss_is_as_stated():
    program = """
import re, sys, tensorflow as tf
sys.path.insert(0, sys.argv[1])
from test_losses import traced
function = traced(24)
arguments = [tf.random.normal(spec.shape) for spec in function.inputs[:2]] + [tf.fill([24], 18)]
def peak():  # not getrusage's: that of a child begins with its parent's, and would hide what comes after
    return int(re.search("VmHWM: *([0-9]+)", open("/proc/self/status").read().expandtabs())[1]) / 1024
before = peak()
function(*arguments)
print(peak() - before)
"""
    done = processes.python("-c", program, pathlib.Path(__file__).parent, check=True)
    assert 12 < float(done.stdout) < 150, done.stdout  # MB; its largest tensor alone has 12


CASES = {
    "plain": {},
    "a batch of one": {"batch": 1},
    "all of one class": {"class_ids": [2] * 5},
    "no classes": {"class_ids": [-1] * 5},
    "captions of one word": {"lengths": [1] * 5},
    "a caption without words": {"lengths": [6, 4, 4, 2, 0]},
    "embeddings of zero": {"factor": 0.0},
    "very large embeddings": {"factor": 1e4},
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_losses_and_gradients_are_finite(case):
    *parts, lengths = embeddings(case.get("batch", 5), "float32")
    parts = [tf.constant(part * np.float32(case.get("factor", 1.0))) for part in parts]
    lengths, class_ids = case.get("lengths", lengths), case.get("class_ids")
    with tf.GradientTape() as tape:
        tape.watch(parts)
        loss = damsm_loss(*parts, tf.constant(lengths), None if class_ids is None else tf.constant(class_ids))
    assert np.isfinite(loss)
    for gradient in tape.gradient(loss, parts):
        assert np.isfinite(gradient).all()


def test_one_picture_alone_or_one_class_alone_teaches_nothing():
    for batch, class_ids in ((1, None), (5, [2] * 5)):
        *parts, lengths = embeddings(batch)
        parts = [tf.constant(part) for part in parts]
        with tf.GradientTape() as tape:
            tape.watch(parts)
            loss = damsm_loss(*parts, lengths, class_ids and tf.constant(class_ids))
        assert loss.numpy() == 0
        assert all(not gradient.numpy().any() for gradient in tape.gradient(loss, parts))


def test_half_precision_is_computed_in_float32():
    exact = embeddings(dtype="float64")
    half = [tf.cast(part, "float16") for part in exact[:4]]
    expected = damsm_loss(*exact)
    found = damsm_loss(*half, exact[4])
    assert found.dtype == "float32"
    np.testing.assert_allclose(found, expected, rtol=0.02)
