"""A run that takes seconds: twelve pictures of noise, the smallest networks."""

import dataclasses
import shutil

import pytest
from small_data import write_folder

from ssagan_tf.config import Config
from ssagan_tf.training import train
from ssagan_tf.training.run import Run


@pytest.fixture(scope="session")
def pictures(tmp_path_factory):
    """A folder of one's own pictures, raw."""
    folder = tmp_path_factory.mktemp("pictures")
    return write_folder(folder, 12, (14, 12), lambda number: [f"picture {number}", "noise of many dots"])


@pytest.fixture(scope="session")
def tiny(pictures):
    """The configuration: six steps at 8 pixels, an average, a frozen text encoder."""
    config = Config().override(
        dataset="folder",
        data_dir=str(pictures),
        image_size=8,
        base_filters=1,
        batch_size=2,
        steps=6,
        checkpoint_every=2,
        sample_every=3,
        keep=3,
        ema_pictures=8,
        seed=5,
        text_training="frozen",
    )
    sizes = {"noise_dim": 5, "sentence_dim": 6, "mask_filters": 3, "embedding_dim": 5, "image_encoder": None}
    return dataclasses.replace(config, model=dataclasses.replace(config.model, **sizes))


@pytest.fixture(scope="session")
def straight(tiny, tmp_path_factory):
    """Six steps without a break."""
    run = Run(tmp_path_factory.mktemp("straight") / "run")
    return train.train(run, tiny), run


@pytest.fixture
def copy(straight, tmp_path):
    """The same run as if it had been killed after step 2."""
    run = Run(shutil.copytree(straight[1].folder, tmp_path / "copy"))
    for folder in run.checkpoints.iterdir():
        if folder.name > "step-00000002":
            shutil.rmtree(folder)
    shutil.rmtree(run.samples)
    return run
