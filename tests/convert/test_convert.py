"""Published names and layouts against the published lists, and states there and back."""

import json

import numpy as np
import pytest
import tensorflow as tf
from processes import ROOT

from ssagan_tf.convert import networks as convert
from ssagan_tf.errors import UserError
from ssagan_tf.networks import CompactImageEncoder, Discriminator, Generator, ImageEncoder, TextEncoder

# Every tensor of a published network and its shape, in its order.
_PUBLISHED = json.loads((ROOT / "tests" / "fixtures" / "published_keys.json").read_text())


def _small(name, dtype="float32"):
    if name == "generator":
        return Generator(2, 16, 5, 6, 3, dtype=dtype)
    if name == "discriminator":
        return Discriminator(1, 32, 6, dtype=dtype)
    return TextEncoder(9, 6, 0.5, 5, dtype=dtype)


def _state(network, seed=0):
    """A random published state: every number another, counters too."""
    random = np.random.default_rng(seed)
    return {
        name: random.integers(1, 10**12, place.shape)
        if name.endswith(convert.COUNTER)
        else random.standard_normal(place.shape).astype(np.float32)
        for name, place in convert.places(network).items()
    }


def _load(name, network, state):
    getattr(convert, f"load_{name}")(network, state)


@pytest.fixture(scope="module")
def image_encoder():
    return ImageEncoder()


# === Names, shapes, counts ===


def _shapes(places):
    return [(key, list(place.shape)) for key, place in places.items()]


def _full_size(name, width):
    return Generator(width) if name == "generator" else Discriminator(width)


@pytest.mark.parametrize(
    ("name", "width", "parameters"),
    [
        ("generator", 32, 10_327_425),
        ("discriminator", 32, 20_170_566),
        pytest.param("generator", 64, 29_494_273, marks=pytest.mark.slow),
        pytest.param("discriminator", 64, 80_379_526, marks=pytest.mark.slow),
    ],
)
def test_full_size_networks_have_the_published_tensors_key_by_key(name, width, parameters):
    places = convert.places(_full_size(name, width))
    assert _shapes(places) == list(_PUBLISHED[f"{name}_nf{width}"].items())
    buffers = ("running_mean", "running_var", convert.COUNTER)
    count = sum(int(np.prod(place.shape)) for key, place in places.items() if not key.endswith(buffers))
    assert count == parameters


def test_the_text_encoder_has_the_published_tensors_key_by_key():
    places = convert.places(TextEncoder(5450))
    assert _shapes(places) == list(_PUBLISHED["text_encoder_5450_words"].items())
    assert sum(int(np.prod(place.shape)) for place in places.values()) == 2_075_320


def test_the_image_encoder_has_the_published_tensors_key_by_key(image_encoder):
    assert _shapes(convert.places(image_encoder)) == list(_PUBLISHED["image_encoder"].items())


@pytest.mark.parametrize("name", ["generator", "discriminator", "text_encoder"])
def test_every_variable_of_a_network_has_one_published_name(name):
    network = _small(name)
    placed = [id(place.variable) for place in convert.places(network).values()]
    owned = [id(variable) for variable in network.variables if "seed_generator" not in variable.path]
    assert sorted(placed) == sorted(owned)


def test_every_variable_of_the_image_encoder_has_one_published_name(image_encoder):
    placed = [id(place.variable) for place in convert.places(image_encoder).values()]
    assert sorted(placed) == sorted(map(id, image_encoder.variables))


def test_unused_tensors_are_named_and_not_trained():
    network = Discriminator(1, 256, 6)
    unused = [f"block{index}.conv_s.{leaf}" for index in (4, 5) for leaf in ("weight", "bias")]
    assert convert.unused_names(network) == unused
    assert not any(convert.places(network)[name].variable.trainable for name in unused)


def test_a_compact_image_encoder_is_not_published():
    network = CompactImageEncoder(6, 16, 2)
    assert not convert.is_published(network)
    with pytest.raises(TypeError):
        convert.to_published_state(network)


# === There and back ===


@pytest.mark.parametrize("prefix", ["", "module."])
@pytest.mark.parametrize("name", ["generator", "discriminator", "text_encoder"])
def test_a_state_comes_back_with_the_same_bytes(name, prefix):
    network = _small(name)
    state = _state(network)
    _load(name, network, {prefix + key: value for key, value in state.items()})
    again = convert.to_published_state(network)
    assert list(again) == list(state)
    for key, value in state.items():
        assert (again[key].dtype, again[key].tobytes()) == (value.dtype, value.tobytes()), key


def test_a_state_of_the_image_encoder_comes_back_with_the_same_bytes(image_encoder):
    state = _state(image_encoder)
    convert.load_image_encoder(image_encoder, state)
    again = convert.to_published_state(image_encoder)
    assert all(again[key].tobytes() == value.tobytes() for key, value in state.items())


def test_float64_networks_hold_the_float32_values_exactly():
    network = _small("generator", "float64")
    state = _state(network)
    convert.load_generator(network, state)
    again = convert.to_published_state(network)
    assert again["fc.weight"].dtype == np.float64
    assert all(np.array_equal(again[key], value) for key, value in state.items())


def test_layouts_a_convolution_and_a_linear_layer_compute_what_pytorch_would():
    network = Discriminator(2, 8, 6)
    state = {name: value * 0 for name, value in _state(network).items()}
    # One weight: output channel 1 takes input channel 2 from one row up and one column to the right.
    state["conv_img.weight"][1, 2, 0, 2] = 1.0
    convert.load_discriminator(network, state)
    image = np.zeros((1, 8, 8, 3), np.float32)
    image[0, 3, 5, 2] = 7.0
    features = network.from_rgb(tf.constant(image)).numpy()
    assert np.argwhere(features).tolist() == [[0, 4, 4, 1]]

    generator = Generator(2, 8, 5, 6, 3)
    state = {name: value * 0 for name, value in _state(generator).items()}
    state["fc.weight"][3, 4] = 1.0
    convert.load_generator(generator, state)
    noise = np.eye(5, dtype=np.float32)
    assert np.argwhere(generator.project(tf.constant(noise)).numpy()).tolist() == [[4, 3]]


def test_the_two_biases_of_a_direction_stay_apart():
    network = TextEncoder(9, 6, 0.5, 5)
    state = _state(network)
    convert.load_text_encoder(network, state)
    cell = network.backwards.cell
    np.testing.assert_array_equal(cell.bias.numpy(), state["rnn.bias_ih_l0_reverse"])
    np.testing.assert_array_equal(cell.recurrent_bias.numpy(), state["rnn.bias_hh_l0_reverse"])


# === Counters ===


def test_counters_count_on_in_training_alone():
    network = Generator(2, 16, 5, 6, 3)
    state = _state(network)
    convert.load_generator(network, state)
    inputs = tf.zeros([2, 5]), tf.zeros([2, 6])
    network(*inputs)
    network(*inputs, training=True)
    again = convert.to_published_state(network)
    counters = [name for name in state if name.endswith(convert.COUNTER)]
    assert counters
    assert all(again[name] == state[name] + 1 for name in counters)


def test_a_state_from_before_there_were_counters_is_read_with_counters_at_zero():
    network = _small("generator")
    state = _state(network)
    convert.load_generator(network, state)
    old = {name: value for name, value in state.items() if not name.endswith(convert.COUNTER)}
    convert.load_generator(network, old)
    again = convert.to_published_state(network)
    assert all(again[name] == 0 for name in state.keys() - old.keys())


def test_one_counter_missing_is_an_error():
    network = _small("generator")
    state = _state(network)
    del state["conv_img.0.num_batches_tracked"]
    with pytest.raises(UserError, match="conv_img.0.num_batches_tracked is missing"):
        convert.load_generator(network, state)


# === What does not fit ===


def test_all_differences_are_told_at_once_and_nothing_is_changed():
    network = _small("discriminator")
    before = network.get_weights()
    state = _state(network)
    del state["block1.gamma"]
    state["block9.gamma"] = np.zeros(1, np.float32)
    state["conv_img.weight"] = np.zeros((4, 3, 3, 3), np.float32)
    state["conv_img.bias"] = np.zeros(1, np.int64)
    with pytest.raises(UserError) as caught:
        convert.load_discriminator(network, state)
    message = str(caught.value)
    assert "4 differences" in message
    for part in (
        "block1.gamma is missing",
        "block9.gamma is not known",
        "conv_img.weight is (4, 3, 3, 3), not (1, 3, 3, 3)",
        "conv_img.bias is of type int64",
    ):
        assert part in message
    assert all(map(np.array_equal, before, network.get_weights()))


def test_a_state_of_another_network_is_refused_with_every_difference_named():
    wanted, given = _small("generator"), _state(_small("discriminator"))
    with pytest.raises(UserError, match="Received [0-9]+ differences") as caught:
        convert.load_generator(wanted, given)
    message = str(caught.value)
    assert "\n" not in message
    missing = {name for name in convert.places(wanted) if not name.endswith(convert.COUNTER)} - set(given)
    assert all(f"{name} is missing" in message for name in missing)
    assert all(f"{name} is not known" in message for name in set(given) - set(convert.places(wanted)))


def test_weights_that_are_not_finite_are_refused():
    network = _small("generator")
    state = _state(network)
    name = next(name for name, value in state.items() if value.dtype.kind == "f")
    state[name] = np.full_like(state[name], np.nan)
    with pytest.raises(UserError, match=f"{name} is not finite"):
        convert.load_generator(network, state)


def test_no_weights_at_all_are_refused():
    with pytest.raises(UserError, match="is missing"):
        convert.load_text_encoder(_small("text_encoder"), {})


def test_the_prefix_goes_only_if_all_have_it():
    state = {"module.a": np.zeros(1), "b": np.zeros(1)}
    assert list(convert.without_prefix(state)) == ["module.a", "b"]


def test_a_generator_without_masks_has_no_published_form():
    with pytest.raises(UserError, match="has masks. Received: mask_blocks=0"):
        convert.to_published_state(Generator(1, 8, 5, 6, 3, mask_blocks=0))
