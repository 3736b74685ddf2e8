"""Losses: pure functions of tensors.

Each is a mean over the batch. Under a `tf.distribute` strategy give `global_batch`, the number of samples over all
replicas: then what the replicas return adds up to the loss of the global batch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import tensorflow as tf

from ssagan_tf.networks.primitives import at_least_float32

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
    discriminator: Callable[[tf.Tensor, tf.Tensor], tf.Tensor],
    images: tf.Tensor,
    sentence: tf.Tensor,
    global_batch: tf.Tensor | int | None = None,
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
    return penalty_of_gradients(tape.gradient(logits, [images, sentence]), global_batch)


def penalty_of_gradients(gradients: Sequence[tf.Tensor], global_batch: tf.Tensor | int | None = None) -> tf.Tensor:
    """The penalty of the logits' gradients by picture (B, S, S, 3) and sentence (B, D), once they are known: scalar."""
    squares = sum(_sum_of_squares(gradient) for gradient in gradients)
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

    Every caption attends to every picture: its words' match is high if each word finds regions like it. There is no
    loop over captions: memory is what this costs, a few tensors of B * B * T * (h * w or D) numbers. At B = 24, T = 18,
    289 regions and D = 256 the largest has 12 MB, and all that the gradient needs less than 100 MB.

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
    attention = _unnormalised_attention(regions, words, lengths, gamma1)
    total = tf.reduce_sum(attention, 1)
    context = tf.matmul(attention, _flat(regions), transpose_a=True)
    flat_words = tf.reshape(words, [-1, words.shape[-1]])
    # The length of a context does not matter for a cosine, so it is divided only where that is cheap.
    cosine = _cosine(context, flat_words[None], total)
    cosine = tf.reshape(cosine, [-1, tf.shape(words)[0], tf.shape(words)[1]])
    real_word = tf.sequence_mask(lengths, tf.shape(words)[1])[None]
    per_word = tf.where(real_word, gamma2 * cosine, cosine.dtype.min)
    return _matching_losses(gamma3 * tf.reduce_logsumexp(per_word, -1), class_ids)


def grouped_word_loss(
    regions: tf.Tensor,
    words: tf.Tensor,
    lengths: tf.Tensor,
    class_ids: tf.Tensor | None,
    group: int,
    gamma1: float = 5.0,
    gamma3: float = 10.0,
) -> tuple[tf.Tensor, tf.Tensor]:
    """The mean of the word losses of `group` pairs each, neighbours in the batch: time and memory grow with the batch
    instead of its square. Arguments as `word_loss`; of a batch sorted by length, shorter captions take less time.
    """
    if class_ids is None:
        class_ids = -tf.ones_like(lengths)

    def one(first):
        part = slice(first, first + group)
        longest = tf.cast(tf.maximum(tf.reduce_max(lengths[part]), 1), tf.int32)
        losses = word_loss(regions[part], words[part, :longest], lengths[part], class_ids[part], gamma1, gamma3=gamma3)
        return tf.stack(losses)

    starts = tf.range(0, tf.shape(words)[0], group)
    each = tf.map_fn(one, starts, fn_output_signature=at_least_float32(words).dtype, parallel_iterations=1)
    return tuple(tf.unstack(tf.reduce_mean(each, 0), num=2))


def word_attention(regions: tf.Tensor, words: tf.Tensor, lengths: tf.Tensor, gamma1: float = 5.0) -> tf.Tensor:
    """Where each word of each caption looks in each picture: (picture B, caption B, h, w, T), summing to 1 over h, w.

    First the words of a caption compete for a region, then the regions for a word. Padding's part means nothing.
    """
    attention = _unnormalised_attention(regions, words, lengths, gamma1)
    attention /= tf.reduce_sum(attention, 1, keepdims=True)
    _, height, width, _ = tf.unstack(tf.shape(regions))
    captions, length, _ = tf.unstack(tf.shape(words))
    return tf.transpose(tf.reshape(attention, [-1, height, width, captions, length]), [0, 3, 1, 2, 4])


def _unnormalised_attention(regions: tf.Tensor, words: tf.Tensor, lengths: tf.Tensor, gamma1: float) -> tf.Tensor:
    """(picture B, regions h * w, words of all captions B * T): in this order nothing so large is ever transposed."""
    captions, length, _ = tf.unstack(tf.shape(words))
    seen = _flat(regions)
    pictures, count, size = tf.unstack(tf.shape(seen))
    # One product for all: (pictures * regions, captions * words).
    similarity = tf.matmul(tf.reshape(seen, [-1, size]), tf.reshape(words, [-1, size]), transpose_b=True)
    similarity = tf.reshape(similarity, [-1, captions, length])
    real_word = tf.sequence_mask(lengths, length)[None]
    over_words = tf.nn.softmax(tf.where(real_word, similarity, similarity.dtype.min), -1)
    # What is a share already needs no shift by its largest value; this one makes the sums as large as can be.
    return tf.reshape(tf.exp(gamma1 * (over_words - 1.0)), [pictures, count, captions * length])


def _flat(regions: tf.Tensor) -> tf.Tensor:
    """(B, h, w, D) -> (B, h * w, D)."""
    shape = tf.shape(regions)
    return tf.reshape(regions, [shape[0], shape[1] * shape[2], regions.shape[-1]])


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
    word_group: int = 0,
) -> tf.Tensor:
    """Both word losses (none without words) and both sentence losses, added up: scalar.

    Published gamma1: 4 in pretraining, else 5. `word_group`: as `grouped_word_loss`; 0, as published: the whole batch.
    """
    by_words: tuple[tf.Tensor, ...] = ()
    if words is not None and word_group:
        by_words = grouped_word_loss(regions, words, lengths, class_ids, word_group, gamma1, gamma3)
    elif words is not None:
        by_words = word_loss(regions, words, lengths, class_ids, gamma1, gamma3=gamma3)
    return tf.add_n([*by_words, *sentence_loss(code, sentence, class_ids, gamma3)])


def _mean(x: tf.Tensor, count: tf.Tensor | int | None) -> tf.Tensor:
    count = tf.size(x) if count is None else count
    return tf.math.divide_no_nan(tf.reduce_sum(x), tf.cast(count, x.dtype))


def _sum_of_squares(x: tf.Tensor) -> tf.Tensor:
    """(B, ...) -> (B,), at least float32."""
    return tf.reduce_sum(tf.square(at_least_float32(x)), axis=list(range(1, x.shape.rank)))


def _cosine(a: tf.Tensor, b: tf.Tensor, divisor: tf.Tensor | float = 1.0) -> tf.Tensor:
    """Cosine of a / divisor and b over the last axis, which goes; norms' product at least 1e-8; differentiable at 0."""
    squares = tf.reduce_sum(a * a, -1) * tf.reduce_sum(b * b, -1) / divisor**2
    return tf.reduce_sum(a * b, -1) / divisor * tf.math.rsqrt(tf.maximum(squares, _SAME**2))


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
