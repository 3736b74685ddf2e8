"""How many floating-point operations the networks take, from the sizes of their layers: two for each multiplication
with the addition that follows it, of convolutions, as if all were direct, and dense layers; all else is small beside
them."""

from __future__ import annotations

import dataclasses

from ssagan_tf.networks import Discriminator, Generator
from ssagan_tf.networks.generator import FIRST_SIZE
from ssagan_tf.networks.layers import SSCBN, MaskPredictor, SSACNBlock


@dataclasses.dataclass(frozen=True)
class Count:
    """Operations for one picture.

    Attributes:
        forward: of a pass; as many again give the gradients by the weights.
        first: of the layers that are applied to what the network is given, part of `forward`: gradients by their
            inputs are not wanted where only weights learn. As many as `forward - first` give the others'.
    """

    forward: int
    first: int

    @property
    def backward(self) -> int:
        """Gradients by all weights, and by inputs as far as those need them."""
        return 2 * self.forward - self.first


def _conv(size: int, kernel: int, in_filters: int, filters: int) -> int:
    return 2 * size**2 * kernel**2 * in_filters * filters


def _mask(size: int, mask: MaskPredictor | None) -> int:
    return 0 if mask is None else _conv(size, 3, mask.in_filters, mask.filters) + _conv(size, 1, mask.filters, 1)


def generator_count(generator: Generator) -> Count:
    size = FIRST_SIZE
    project = 2 * generator.noise_dim * size**2 * generator.first_filters
    forward, first = project + _mask(size, generator.first_mask), project
    for block in generator.blocks:
        before, size = size, size * (2 if block.enlarge else 1)
        hidden, convs = _block_count(block, before, size)
        forward += hidden + convs
        first += sum(4 * norm.sentence_dim**2 for norm in (block.norm1, block.norm2))
    return Count(forward + _conv(size, 3, generator.blocks[-1].filters, 3), first)


def _block_count(block: SSACNBlock, before: int, size: int) -> tuple[int, int]:
    """Of its dense layers, and of its convolutions; the shortcut is applied before the enlargement."""
    convs = _conv(size, 3, block.in_filters, block.filters) + _conv(size, 3, block.filters, block.filters)
    if block.shortcut is not None:
        convs += _conv(before, 1, block.in_filters, block.filters)
    return _norm_count(block.norm1) + _norm_count(block.norm2), convs + _mask(size, block.mask)


def _norm_count(norm: SSCBN) -> int:
    return 4 * norm.sentence_dim * (norm.sentence_dim + norm.filters)


@dataclasses.dataclass(frozen=True)
class DiscriminatorCount:
    """Of features and of the head that judges them with a sentence; `out` is the head's last layer."""

    features: Count
    head: int
    out: int


def discriminator_count(discriminator: Discriminator) -> DiscriminatorCount:
    size, filters = discriminator.image_size, discriminator.base_filters
    first = _conv(size, 3, 3, filters)
    forward = first
    for block in discriminator.blocks:
        size //= 2
        forward += _conv(size, 4, block.in_filters, block.filters) + _conv(size, 3, block.filters, block.filters)
        if block.in_filters != block.filters:
            forward += _conv(size, 1, block.in_filters, block.filters)
    joint = discriminator.joint
    out = _conv(1, size, joint.filters, 1)
    head = _conv(size, 3, discriminator.blocks[-1].filters + discriminator.sentence_dim, joint.filters) + out
    return DiscriminatorCount(Count(forward, first), head, out)


def iteration_count(generator: Generator, discriminator: Discriminator, batch: int, fused: bool = False) -> int:
    """Of one training iteration without encoders and DAMSM, in the order of `SSAGAN.train_step`."""
    g, d = generator_count(generator), discriminator_count(discriminator)
    judged = 3 * batch - 1  # real, mismatched and generated pairs
    hinge = 2 * batch * (d.features.forward + d.features.backward) + 3 * judged * d.head
    once = d.features.forward + d.head
    # Gradients by pictures; then theirs: by the weights and by the gradients that came in, of which the last is a one.
    penalty = batch * (once + 2 * once - d.out)
    # The logits themselves are not wanted there.
    real_again = 0 if fused else batch * (once - d.out)
    by_fake = 2 * batch * once
    return batch * (g.forward + g.backward) + hinge + real_again + penalty + by_fake
