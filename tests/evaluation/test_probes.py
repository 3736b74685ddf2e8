"""Probes of attributes, on a model whose networks know all and on one that knows nothing."""

import numpy as np
import pytest

from ssagan_tf.data.synthbirds import ATTRIBUTES
from ssagan_tf.evaluation.synthbirds import probes


def test_a_probe_reads_what_is_there_and_nothing_else():
    random = np.random.default_rng(0)
    targets = random.integers(0, 4, 800)
    told, noise = np.eye(4)[targets] @ random.normal(size=(4, 8)), random.normal(size=(800, 8))
    assert probes._probe(told[:400], targets[:400], told[400:], targets[400:], 4) == 1.0
    assert probes._probe(noise[:400], targets[:400], noise[400:], targets[400:], 4) == pytest.approx(0.25, abs=0.1)


def test_a_swap_changes_the_attributes_word_alone(tiny_model):
    model = tiny_model()
    source = probes.SynthBirds(64)
    described = probes._described(source, "test", 5)
    words = set(model.require_vocabulary().words)
    for bird, true, false in probes._swapped(described, "crown", model, np.random.default_rng(0)):
        ((old, new),) = [(a, b) for a, b in zip(true.split(), false.split(), strict=True) if a != b]
        assert old == bird.crown and new in ATTRIBUTES["crown"] and new in words
