"""An export runs in TensorFlow 2.15, the last that TensorFlow Addons runs beside, and draws the same pictures."""

import json
import pathlib

import numpy as np
import processes
import pytest

from ssagan_tf import noise
from ssagan_tf.export import export

HERE = pathlib.Path(__file__).resolve().parent
PYTHON = HERE.parents[1] / ".venv-legacy" / "bin" / "python"
CAPTIONS = ["a red bird", "yellow wings", "a redd bird"]
SEEDS = [4, -1, 2**63 - 1]


@pytest.mark.slow
@pytest.mark.skipif(not PYTHON.exists(), reason="there is no .venv-legacy: `make test-legacy` builds it")
def test_tensorflow_2_15_draws_what_keras_3_draws(tiny_model, tmp_path):
    model = tiny_model(64, random=True)
    version = export(model, tmp_path / "birds")
    images, _ = model.generator(noise.normals(SEEDS, 5), model.encode(CAPTIONS))
    pixels = [model.generate(caption, seed)[0] for caption, seed in zip(CAPTIONS, SEEDS, strict=True)]
    wanted = tmp_path / "wanted.npz"
    np.savez(wanted, captions=CAPTIONS, seed=np.array(SEEDS), images=images, pixels=pixels)
    done = processes.run(PYTHON, HERE / "run_export.py", version, wanted, cwd=tmp_path, check=True)
    found = json.loads(done.stdout.splitlines()[-1])
    assert (found["tensorflow"], found["addons"]) == ("2.15.1", "0.23.0")
    assert found["images"] < 1e-4 and found["pixels"] <= 2
    assert found["turned"] < 1e-5
    assert found["unknown"] == [0, 0, 1]
    assert len(found["signatures"]) == 8
