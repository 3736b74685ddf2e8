"""Losses: pure functions of tensors.

Each is a mean over the batch. Under a `tf.distribute` strategy give `global_batch`, the number of samples over all
replicas: then what the replicas return adds up to the loss of the global batch.
"""

from __future__ import annotations

import typing

import tensorflow as tf

from ssagan_tf.networks.layers import at_least_float32

if typing.TYPE_CHECKING:
    from ssagan_tf.networks import Discriminator

_SAME = 1e-8  # smallest product of norms in a cosine


def hinge_discriminator_loss(
    real: tf.Tensor, mismatched: tf.Tensor | None, fake: tf.Tensor, global_batch: tf.Tensor | int | None = None
) -> tf.Tensor:
    """Hinge loss of the discriminator: real pairs up, generated and mismatched pairs down, half each.

    Args:
        real: (B,) logits of real pictures with their sentences.
        mismatched: (M,) logits of real pictures with other pictures' sentences; B - 1 of them as published. None:
            generated pairs alone are pushed down, at full weight (not published).
        fake: (B,) logits of generated pictures with their sentences.
        global_batch: samples over all replicas.

    Returns:
        Scalar. A batch of one has no mismatched pair and that term is 0.
    """
    falling = _mean(tf.nn.relu(1.0 + fake), global_batch)
    if mismatched is not None:
        pairs = tf.size(mismatched) if global_batch is None else global_batch - 1
        falling = (falling + _mean(tf.nn.relu(1.0 + mismatched), pairs)) / 2.0
    return _mean(tf.nn.relu(1.0 - real), global_batch) + falling


def matching_aware_gradient_penalty(
    discriminator: Discriminator, images: tf.Tensor, sentence: tf.Tensor, global_batch: tf.Tensor | int | None = None
) -> tf.Tensor:
    """Matching-aware zero-centred gradient penalty on real pictures with their sentences (DF-GAN, Tao et al. 2022).

    `2 * mean(norm ** 6)`, where norm is the L2 norm of the logit's gradient by picture and sentence together, for each
    sample. Computed as (sum of squares) ** 3: the square root of the published form has no derivative at 0.

    Args:
        discriminator: called as `discriminator(images, sentence)`.
        images: (B, S, S, 3) in [-1, 1].
        sentence: (B, D).
        global_batch: samples over all replicas.

    Returns:
        Scalar, at least float32.
    """
    images, sentence = tf.convert_to_tensor(images), tf.convert_to_tensor(sentence)
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch([images, sentence])
        logits = tf.reduce_sum(discriminator(images, sentence))
    squares = sum(_sum_of_squares(gradient) for gradient in tape.gradient(logits, [images, sentence]))
    return 2.0 * _mean(squares**3, global_batch)


def hinge_generator_loss(fake: tf.Tensor, global_batch: tf.Tensor | int | None = None) -> tf.Tensor:
    """`-mean(logits)` of generated pictures with their sentences: (B,) -> scalar."""
    return -_mean(fake, global_batch)


def word_loss(
    regions: tf.Tensor,
    words: tf.Tensor,
    lengths: tf.Tensor,
    class_ids: tf.Tensor | None = None,
    gamma1: float = 5.0,
    gamma2: float = 5.0,
    gamma3: float = 10.0,
) -> tuple[tf.Tensor, tf.Tensor]:
    """DAMSM's word loss (AttnGAN, Xu et al., CVPR 2018, equations 7 to 12; published `words_loss`).

    Every caption attends to every picture: its words' match is high if each word finds regions like it.

    Args:
        regions: (B, h, w, D) of the pictures.
        words: (B, T, D) of the captions.
        lengths: (B,) words of each caption; one without any counts as one word that no region is like.
        class_ids: (B,); other pairs of the same class are no negatives, but -1 is no class. None: no classes.
        gamma1: sharpness of the attention over regions.
        gamma2: sharpness of the sum over words.
        gamma3: sharpness of the matching.

    Returns:
        Two scalars: cross-entropy of finding each picture's caption, and each caption's picture.
    """
    regions, words, lengths = at_least_float32(regions), at_least_float32(words), tf.maximum(lengths, 1)
    attention = word_attention(regions, words, lengths, gamma1)
    context = tf.einsum("ijhwt,ihwd->ijtd", attention, regions)
    cosine = _cosine(context, words[None])
    real_word = tf.sequence_mask(lengths, tf.shape(words)[1])[None]
    per_word = tf.where(real_word, gamma2 * cosine, cosine.dtype.min)
    return _matching_losses(gamma3 * tf.reduce_logsumexp(per_word, -1), class_ids)


def word_attention(regions: tf.Tensor, words: tf.Tensor, lengths: tf.Tensor, gamma1: float = 5.0) -> tf.Tensor:
    """Where each word of each caption looks in each picture: (picture B, caption B, h, w, T), summing to 1 over h, w.

    First the words of a caption compete for a region, then the regions for a word. Padding's part means nothing.
    """
    real_word = tf.sequence_mask(lengths, tf.shape(words)[1])[None, :, None, None, :]
    similarity = tf.einsum("ihwd,jtd->ijhwt", regions, words)
    over_words = tf.nn.softmax(tf.where(real_word, similarity, similarity.dtype.min), axis=-1)
    flat = tf.reshape(over_words, tf.concat([tf.shape(over_words)[:2], [-1, tf.shape(words)[1]]], 0))
    return tf.reshape(tf.nn.softmax(gamma1 * flat, axis=2), tf.shape(over_words))


def sentence_loss(
    code: tf.Tensor, sentence: tf.Tensor, class_ids: tf.Tensor | None = None, gamma3: float = 10.0
) -> tuple[tf.Tensor, tf.Tensor]:
    """DAMSM's sentence loss (published `sent_loss`).

    Args:
        code: (B, D) of the pictures.
        sentence: (B, D) of the captions.
        class_ids: (B,), as `word_loss`.
        gamma3: sharpness of the matching.

    Returns:
        Two scalars, as `word_loss`.
    """
    code, sentence = at_least_float32(code), at_least_float32(sentence)
    return _matching_losses(gamma3 * _cosine(code[:, None], sentence[None]), class_ids)


def damsm_loss(
    regions: tf.Tensor,
    code: tf.Tensor,
    words: tf.Tensor | None,
    sentence: tf.Tensor,
    lengths: tf.Tensor,
    class_ids: tf.Tensor | None = None,
    gamma1: float = 5.0,
    gamma3: float = 10.0,
) -> tf.Tensor:
    """Both word losses (none without words) and both sentence losses, added up: scalar.

    Published gamma1: 4 in pretraining, else 5.
    """
    by_words = () if words is None else word_loss(regions, words, lengths, class_ids, gamma1, gamma3=gamma3)
    return tf.add_n([*by_words, *sentence_loss(code, sentence, class_ids, gamma3)])


def _mean(x: tf.Tensor, count: tf.Tensor | int | None) -> tf.Tensor:
    count = tf.size(x) if count is None else count
    return tf.math.divide_no_nan(tf.reduce_sum(x), tf.cast(count, x.dtype))


def _sum_of_squares(x: tf.Tensor) -> tf.Tensor:
    """(B, ...) -> (B,), at least float32."""
    return tf.reduce_sum(tf.square(at_least_float32(x)), axis=list(range(1, x.shape.rank)))


def _cosine(a: tf.Tensor, b: tf.Tensor) -> tf.Tensor:
    """Cosine over the last axis, which goes; norms' product at least 1e-8, and differentiable at 0."""
    squares = tf.reduce_sum(a * a, -1) * tf.reduce_sum(b * b, -1)
    return tf.reduce_sum(a * b, -1) * tf.math.rsqrt(tf.maximum(squares, _SAME**2))


def _matching_losses(scores: tf.Tensor, class_ids: tf.Tensor | None) -> tuple[tf.Tensor, tf.Tensor]:
    """scores (picture i, caption j) -> cross-entropies over captions and over pictures; the right pair is i = j."""
    batch = tf.shape(scores)[0]
    if class_ids is not None:
        same_class = (class_ids[:, None] == class_ids[None, :]) & (class_ids[:, None] >= 0)
        scores = tf.where(same_class & ~tf.eye(batch, dtype=tf.bool), scores.dtype.min, scores)
    right = tf.range(batch)
    by_picture = tf.nn.sparse_softmax_cross_entropy_with_logits(right, scores)
    by_caption = tf.nn.sparse_softmax_cross_entropy_with_logits(right, tf.transpose(scores))
    return tf.reduce_mean(by_picture), tf.reduce_mean(by_caption)
