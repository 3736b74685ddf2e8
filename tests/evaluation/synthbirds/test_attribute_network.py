"""The network that reads attributes from rendered birds, with the weights that are shipped."""

import dataclasses

import numpy as np
import pytest

from ssagan_tf.data.synthbirds import ATTRIBUTES, Caption, Dice, SynthBirds, captions_with_attributes, draw
from ssagan_tf.errors import UserError
from ssagan_tf.evaluation.synthbirds import attribute_training
from ssagan_tf.evaluation.synthbirds.attribute_network import (
    NAMED,
    WEIGHTS,
    AttributeNetwork,
    accuracy_of,
    attribute_accuracy,
    attribute_network,
)

COUNT = 300


@pytest.fixture(scope="module")
def birds():
    source = SynthBirds(64, seed=11)
    return [source.bird("test", index) for index in range(COUNT)]


@pytest.fixture(scope="module")
def pictures(birds):
    return np.stack([np.asarray(draw(bird, 64)) for bird in birds])


def test_captions_name_the_attributes_that_are_scored():
    source = SynthBirds(64)
    named = set()
    for index in range(300):
        for caption in captions_with_attributes(source.bird("test", index)):
            named |= set(caption.attributes)
    assert named == set(NAMED)


def test_weights_are_small():
    assert WEIGHTS.stat().st_size < 2**20


def test_each_attribute_of_held_out_birds_is_read_rightly(birds, pictures):
    network = attribute_network()
    found = network.attributes(network.embed(pictures))
    for name, values in ATTRIBUTES.items():
        truth = [values.index(getattr(bird, name)) for bird in birds]
        assert np.mean(found[name] == truth) >= 0.98, name


def test_birds_whose_colours_have_nothing_to_do_with_each_other_are_read_rightly():
    birds = [attribute_training.independent_bird(Dice("tests", index)) for index in range(200)]
    pictures = np.stack([np.asarray(draw(bird, 64)) for bird in birds])
    network = attribute_network()
    found = network.attributes(network.embed(pictures))
    for name, values in ATTRIBUTES.items():
        truth = [values.index(getattr(bird, name)) for bird in birds]
        assert np.mean(found[name] == truth) >= 0.97, name  # of 200, three more than 2 % are a matter of luck


def test_larger_pictures_are_made_smaller(birds):
    large = np.stack([np.asarray(draw(bird, 128)) for bird in birds[:100]])
    captions = [captions_with_attributes(bird)[0] for bird in birds[:100]]
    assert attribute_accuracy(attribute_network(), large, captions)["overall"][0] >= 0.98


def test_pictures_of_their_captions_are_right_and_of_others_wrong(birds, pictures):
    captions = [captions_with_attributes(bird)[0] for bird in birds]
    right = attribute_accuracy(attribute_network(), pictures, captions)
    assert right["overall"][0] >= 0.98
    wrong = attribute_accuracy(attribute_network(), pictures, [*captions[1:], captions[0]])
    assert wrong["crown"][0] < 0.3  # chance is 1/8


def test_a_changed_colour_is_seen_and_nothing_else(birds):
    bird = dataclasses.replace(birds[0], crown="red", belly="blue")
    other = dataclasses.replace(bird, crown="green")
    network = attribute_network()
    found = network.attributes(network.embed(np.stack([np.asarray(draw(b, 64)) for b in (bird, other)])))
    changed = [name for name, values in found.items() if values[0] != values[1]]
    assert changed == ["crown"]


def test_features_do_not_depend_on_the_batch(pictures):
    network = attribute_network()
    whole = network.embed(pictures[:130])
    np.testing.assert_array_equal(network.embed(pictures[117:118]), whole[117:118])
    assert network.embed(pictures[:0]).shape == (0, 128)


def test_accuracy_counts_what_captions_name_and_nothing_else():
    places = {name: np.zeros(2, int) for name in ATTRIBUTES}  # the first value of each
    first = {name: values[0] for name, values in ATTRIBUTES.items()}
    captions = [
        Caption("", {"crown": first["crown"], "tail": ATTRIBUTES["tail"][1]}),
        Caption("", {"crown": ATTRIBUTES["crown"][2]}),
    ]
    assert accuracy_of(places, captions) == {"crown": (0.5, 2), "tail": (0.0, 1), "overall": (1 / 3, 3)}
    with pytest.raises(UserError, match="2 pictures, 1 captions"):
        accuracy_of(places, captions[:1])
    with pytest.raises(UserError, match="name no attribute"):
        accuracy_of(places, [Caption("", {})] * 2)


def test_independent_birds_show_each_value_and_no_bars_of_the_wings_colour():
    birds = [attribute_training.independent_bird(Dice("tests", index)) for index in range(400)]
    assert all({getattr(bird, name) for bird in birds} == set(values) for name, values in ATTRIBUTES.items())
    assert all(bird.wing_bars != bird.wing for bird in birds)


def test_saved_weights_are_those_that_were_measured(tmp_path, monkeypatch, pictures):
    network = AttributeNetwork()
    attribute_training.round_to_half(network)
    path = tmp_path / "weights.safetensors"
    attribute_training.save(network, path)
    monkeypatch.setattr("ssagan_tf.evaluation.synthbirds.attribute_network.WEIGHTS", path)
    restored = attribute_network.__wrapped__()
    np.testing.assert_array_equal(restored.embed(pictures[:3]), network.embed(pictures[:3]))


@pytest.mark.slow
def test_training_learns():
    few = attribute_training.independent_birds(640, 0)
    network = attribute_training.train(*few, epochs=6, seed=0)
    assert attribute_training.accuracies(network, *few)["facing"] > 0.9
