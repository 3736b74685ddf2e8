"""Every engine draws what the network draws, and a missing one is named."""

import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from ssagan_tf import UserError, sampling
from ssagan_tf.config import ENGINES
from ssagan_tf.export import engines

CAPTIONS = ["a red bird", "yellow wings"]
ROOT = pathlib.Path(__file__).parents[2]
SCRIPT = ROOT / "scripts" / "sample.py"


@pytest.fixture
def model(random_sampler):
    return random_sampler("a red bird with yellow wings")


@pytest.fixture(params=[engine for engine in ENGINES if engine != "tensorflow"])
def engine(request):
    package = {"litert": "ai_edge_litert", "litert_dynamic": "ai_edge_litert", "openvino": "openvino"}.get(
        request.param
    )
    if package:
        pytest.importorskip(package, reason=f"{package} is not installed")
    return request.param


def test_an_engine_draws_the_networks_pictures_without_masks(model, engine):
    expected = model.generate(CAPTIONS, seed=3, count=2)
    between = sampling.interpolate(model, CAPTIONS, (3, 4), 3)
    calls = []
    draw = engines.one_by_one(engine, model.generator)
    model.draw_with(lambda *inputs: calls.append(len(inputs[0])) or draw(*inputs))
    drawn, masks = model.generate_with_masks(CAPTIONS, seed=3, count=2)
    assert sum(calls) == 4 and masks == () and drawn.std() > 20
    for one, other in ((drawn, expected), (sampling.interpolate(model, CAPTIONS, (3, 4), 3), between)):
        off = np.abs(one.astype(int) - other)
        assert off.max() <= 1 if engine != "litert_dynamic" else 0 < off.mean() < 4


def test_what_is_not_installed_is_named(model, monkeypatch):
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(UserError, match="engine is not installed. Received: openvino.*Install openvino"):
        engines.one_by_one("openvino", model.generator)


def run(folder, *arguments):
    command = [sys.executable, SCRIPT, "--caption=a red bird", "--out=sheet.png", *arguments]
    environment = os.environ | {"PYTHONPATH": f"{folder}:{ROOT}"}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=200)


def test_the_script_asks_for_the_engine_that_it_is_told(tmp_path):
    (tmp_path / "openvino.py").write_text("raise ModuleNotFoundError('No module openvino', name='openvino')")
    done = run(tmp_path, "--engine=openvino")
    assert done.returncode == 1 and "Received: openvino: No module openvino. Install openvino." in done.stderr


@pytest.mark.slow
def test_the_script_draws_the_same_sheet_with_an_engine(model, tmp_path):
    model.save_to_preset(tmp_path / "model")
    sampling.write_sheet(model, ["a red bird"], 0, 2, tmp_path / "plain.png")
    done = run(tmp_path, "--model=model", "--count=2", "--engine=folded")
    assert done.returncode == 0, done.stderr
    sheets = [np.asarray(Image.open(tmp_path / name).convert("RGB"), int) for name in ("plain.png", "sheet.png")]
    assert np.abs(sheets[0] - sheets[1]).max() <= 1


def test_masks_of_an_engine_that_has_none_are_refused(tmp_path):
    done = run(tmp_path, "--masks", "--engine=folded")
    assert done.returncode == 2 and "only tensorflow gives masks. Received: --engine=folded --masks" in done.stderr
    assert not list(tmp_path.iterdir())
