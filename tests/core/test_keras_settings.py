"""Settings of the whole process, made for other programs: they change nothing here, or are refused in one line."""

import json

import processes
import pytest

# A step and its pictures as digests; and every layer's dtype and data format.
TRAINING = """
import hashlib, sys
import keras, numpy as np
POLICY = sys.argv[1]
if POLICY:
    keras.config.set_dtype_policy(POLICY)
from ssagan_tf import SSAGAN, Vocabulary
from ssagan_tf.evaluation.synthbirds.attribute_network import AttributeNetwork
from ssagan_tf.networks import CompactImageEncoder, Discriminator, Generator, ImageEncoder, TextEncoder
from ssagan_tf.step.augmentation import Augmentation

keras.utils.set_random_seed(0)
vocabulary = Vocabulary.build(["a red bird with yellow wings"])
model = SSAGAN(
    Generator(2, 8, 5, 6, 3), Discriminator(2, 8, 6), TextEncoder(len(vocabulary), 6, 0.5, 5),
    CompactImageEncoder(6, 8, 2), vocabulary, augmentation=Augmentation(False),
)
model.compile(run_eagerly=True)
images = np.random.default_rng(0).uniform(-1, 1, (3, 8, 8, 3)).astype("float32")
batch = {"image": images, "caption": np.array([[1, 2, 3], [4, 5, 0], [6, 0, 0]])}
losses = model.train_on_batch(batch, return_dict=True) | model.test_on_batch(batch, return_dict=True)
for layer in [part for top in (model, AttributeNetwork(), ImageEncoder(6)) for part in top._flatten_layers()]:
    assert layer.dtype_policy.name == "float32", layer.path
    assert getattr(layer, "data_format", "channels_last") == "channels_last", layer.path
pictures = model.generate("a red bird", count=2)
# The images go through Keras's own adapter, which rounds them to the default float: losses are close, not equal.
print([round(float(value), 2) for value in losses.values()], pictures.shape)
"""


def train(tmp_path, settings: dict, policy: str = "") -> str:
    (tmp_path / "keras.json").write_text(json.dumps(settings))
    environment = processes.environment(KERAS_HOME=str(tmp_path))
    return processes.python("-c", TRAINING, policy, env=environment, check=True).stdout.splitlines()[-1]


def test_floats_policy_and_data_format_of_other_programs_change_nothing(tmp_path):
    usual = train(tmp_path, {})
    assert "nan" not in usual and usual.endswith("(2, 8, 8, 3)")
    half = {"floatx": "float16", "image_data_format": "channels_first", "backend": "tensorflow"}
    assert train(tmp_path, half, "mixed_float16") == usual
    assert train(tmp_path, {"floatx": "float64"}) == usual


@pytest.mark.parametrize("way", ["environment", "keras.json"])
def test_another_backend_is_refused_in_one_line(way, tmp_path):
    backend = "torch" if way == "keras.json" else "tensorflow"
    (tmp_path / "keras.json").write_text(json.dumps({"backend": backend}))
    changed = {"KERAS_HOME": str(tmp_path)} | ({"KERAS_BACKEND": "jax"} if way == "environment" else {})
    for command in (["-c", "import ssagan_tf"], [processes.ROOT / "scripts" / "sample.py", "--help"]):
        done = processes.python(*command, env=processes.environment(**changed))
        assert done.returncode == 1 and not done.stdout
        assert done.stderr.count("\n") == 1 and "Received: the backend" in done.stderr


def test_damaged_settings_of_keras_are_keras_s_business(tmp_path):
    (tmp_path / "keras.json").write_text("[")
    environment = processes.environment(KERAS_HOME=str(tmp_path))
    processes.python("-c", "import ssagan_tf", env=environment, check=True)
