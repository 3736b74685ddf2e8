"""What holds of every network: a way to a file and back, and precisions that agree."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from ssagan_tf.errors import UserError
from ssagan_tf.networks import CompactImageEncoder, Discriminator, Generator, TextEncoder

RANDOM = np.random.default_rng(0)
NOISE, SENTENCE = RANDOM.normal(size=(3, 5)), RANDOM.normal(size=(3, 6))
IMAGES = RANDOM.uniform(-1, 1, (3, 16, 16, 3))
IDS = np.array([[3, 1, 4, 1, 5], [9, 2, 6, 0, 0], [5, 0, 0, 0, 0]])
# Network -> (class, arguments, inputs).
NETWORKS = {
    "generator": (Generator, (2, 16, 5, 6, 3), (NOISE, SENTENCE)),
    "discriminator": (Discriminator, (2, 16, 6), (IMAGES, SENTENCE)),
    "text_encoder": (TextEncoder, (12, 6, 0.5, 5), (IDS,)),
    "compact_encoder": (CompactImageEncoder, (6, 16, 2), (IMAGES,)),
}


@pytest.fixture(params=NETWORKS)
def network(request):
    return request.param


def build(network, **options):
    kind, arguments, _ = NETWORKS[network]
    return kind(*arguments, **options)


def outputs(name, network, dtype="float32", **options) -> list[tf.Tensor]:
    given = [tf.constant(x) if x.dtype == int else tf.constant(x, dtype) for x in NETWORKS[name][2]]
    return tf.nest.flatten(network(*given, **options))


def test_it_comes_back_from_a_file(network, randomize, tmp_path):
    before = randomize(build(network, name="named"))
    before.save(tmp_path / "network.keras")
    after = keras.saving.load_model(tmp_path / "network.keras", safe_mode=True)
    assert type(after) is type(before) and after.get_config() == before.get_config()
    assert [v.shape for v in after.trainable_variables] == [v.shape for v in before.trainable_variables]
    for one, other in zip(outputs(network, before), outputs(network, after), strict=True):
        np.testing.assert_array_equal(one, other)


def test_its_configuration_mirrors_its_constructor(network):
    before = build(network, name="named", dtype="float64")
    after = type(before).from_config(before.get_config())
    assert (after.name, after.dtype_policy.name) == ("named", "float64")
    assert [v.shape for v in after.variables] == [v.shape for v in before.variables]


# Absolute, of logits and regions relative to the largest.
TOLERANCES = {
    "generator": {"float32": 2e-5, "mixed_float16": 0.1, "mixed_bfloat16": 0.2},
    "discriminator": {"float32": 1e-4, "mixed_float16": 0.1, "mixed_bfloat16": 0.3},
    "text_encoder": {"float32": 1e-5, "mixed_float16": 0.01, "mixed_bfloat16": 0.05},
    "compact_encoder": {"float32": 1e-5, "mixed_float16": 0.01, "mixed_bfloat16": 0.05},
}


@pytest.mark.parametrize("policy", ["float32", "mixed_float16", "mixed_bfloat16"])
def test_precisions_agree_with_float64(network, policy, randomize):
    exact = randomize(build(network, dtype="float64"))
    short = build(network, dtype=policy)
    short.set_weights(exact.get_weights())
    assert {variable.dtype for variable in short.trainable_variables} == {"float32"}
    for options in [{"training": False}, {"training": True}] if network == "generator" else [{}]:
        expected, found = outputs(network, exact, "float64", **options), outputs(network, short, **options)
        for one, other in zip(expected, found, strict=True):
            in_half = network == "text_encoder" and policy != "float32"  # goes on into networks of half precision
            assert one.dtype == "float64" and (in_half or other.dtype == "float32")
            scale = np.abs(one).max() if network in ("discriminator", "compact_encoder") else 1.0
            tolerance = TOLERANCES[network][policy] * scale
            np.testing.assert_allclose(tf.cast(other, "float64"), one, rtol=0, atol=tolerance)
            if other.shape[-1] == 1:
                assert 0 <= np.min(other) and np.max(other) <= 1  # a mask


@pytest.mark.parametrize("kind", [Generator, Discriminator])
@pytest.mark.parametrize("size", [0, -8, 4, 7, 12, 100, 255])
def test_sizes_that_are_no_power_of_two_from_8_on_are_refused(kind, size):
    with pytest.raises(UserError, match=f"power of two.*Received: {size}. Use"):
        kind(2, size)


@pytest.mark.parametrize("kind", [Generator, Discriminator])
@pytest.mark.parametrize("width", [0, -1])
def test_widths_below_one_are_refused(kind, width):
    with pytest.raises(UserError, match=f"positive.*Received: {width}. Use"):
        kind(width, 64)
