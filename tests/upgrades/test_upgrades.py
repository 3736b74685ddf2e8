"""What earlier versions wrote is read for ever after: run folders, checkpoints, exports."""

import io
import json
import pathlib
import tarfile

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from ssagan_tf import SSAGAN
from ssagan_tf.step.optimizers import adam
from ssagan_tf.training import checkpoint
from ssagan_tf.training.callbacks import AverageGenerator
from ssagan_tf.training.run import Run, load_model
from ssagan_tf.weights import tensor_files

FIXTURES = pathlib.Path(__file__).resolve().parents[1] / "fixtures"
VERSIONS = sorted(path.name for path in FIXTURES.glob("version-*.tar.xz"))
LARGEST = 300_000  # bytes of one


@pytest.fixture(scope="module", params=VERSIONS)
def folder(request, tmp_path_factory):
    """Of one version: `run`, `dots/1` and `expected.json`."""
    place = tmp_path_factory.mktemp("version")
    with tarfile.open(FIXTURES / request.param) as archive:
        archive.extractall(place, filter="data")
    return place


@pytest.fixture
def expected(folder):
    return json.loads((folder / "expected.json").read_text())


def test_there_is_one_and_none_is_large():
    assert VERSIONS and all((FIXTURES / name).stat().st_size < LARGEST for name in VERSIONS)


def test_a_run_of_an_earlier_version_draws_what_it_drew(folder, expected):
    model = load_model(folder / "run")
    for caption, seed, picture in zip(*expected.values(), strict=True):
        assert np.abs(model.generate(caption, seed)[0].astype(int) - picture).max() <= 2


def test_a_training_of_an_earlier_version_goes_on_with_all_that_it_had(folder):
    run = Run(folder / "run")
    config, found = run.config(), checkpoint.newest(run.checkpoints)
    model = SSAGAN.from_model_config(config.model, run.vocabulary(), seed=config.train.seed)
    model.compile(*(adam(1.0) for _ in range(3)))
    average = AverageGenerator(model, config.train.ema_pictures, config.train.batch_size).average
    named = checkpoint.variables(model, average)
    tensor_files.assign_state(named, found.state, "the checkpoint")
    assert int(model.generator_optimizer.iterations) == found.step == 3
    assert int(model.discriminator_optimizer.iterations) == 6
    # The rates are those of the run, not those that the optimizers were made with.
    assert float(model.generator_optimizer.learning_rate) == pytest.approx(config.train.generator_rate)
    assert found.note["pictures"] == 3 * config.train.batch_size


def test_an_export_of_an_earlier_version_draws_what_it_drew(folder, expected):
    loaded = tf.saved_model.load(str(folder / "dots" / "1"))
    captions = tf.constant(expected["captions"])
    drawn = loaded.signatures["generate_png"](
        captions=captions, seed=tf.constant(expected["seeds"], tf.int64), truncation=tf.ones([len(captions)])
    )
    for png, picture in zip(drawn["png_bytes"].numpy(), expected["pictures"], strict=True):
        found = np.asarray(Image.open(io.BytesIO(png))).astype(int)
        assert np.abs(found - picture).max() <= 2
