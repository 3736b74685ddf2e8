"""A trained model as a folder to hand out: whole, drawing what the run draws, and with scores of no other weights."""

import errno
import json

import numpy as np
import pytest

from ssagan_tf import SSAGAN, UserError
from ssagan_tf.config import preset
from ssagan_tf.data import open_source
from ssagan_tf.evaluation.report import evaluate
from ssagan_tf.export.bundle import bundle
from ssagan_tf.on_device import Sampler
from ssagan_tf.training import train
from ssagan_tf.training.run import Run, load_model

CAPTION = "a bird with a red crown and a yellow belly"


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    run = Run(tmp_path_factory.mktemp("run") / "run")
    config = preset("small", "synthbirds").override(steps=2, pretraining_steps=2, base_filters=2, batch_size=2, seed=5)
    train.train(run, config.override(pretraining_batch_size=2))
    scores = run.folder / "scores"
    evaluate(load_model(run.folder), open_source("synthbirds", None, 64), ["semantics"], "synthbirds", 100, scores)
    return run, scores


@pytest.mark.slow
def test_the_folder_has_all_formats_that_draw_what_the_run_draws(trained, tmp_path):
    run, scores = trained
    out = bundle(run, tmp_path / "birds", scores, ["first command", "second command"], "abc123", [CAPTION])
    expected = load_model(run.folder).generate(CAPTION, seed=3, count=2)
    model = SSAGAN.from_preset(out)
    np.testing.assert_array_equal(model.generate(CAPTION, seed=3, count=2), expected)
    assert model.discriminator is not None and model.image_encoder is not None
    drawn = Sampler(out / "tflite").generate(CAPTION, seed=3, count=2)
    assert np.abs(drawn.astype(int) - expected).max() <= 2
    assert (out / "1" / "saved_model.pb").is_file() and (out / "sheet.png").is_file()
    card = (out / "README.md").read_text()
    share = json.loads((scores / "report.json").read_text())["scores"]["semantics"]["value"]
    assert all(words in card for words in ("first command\nsecond command", "abc123", f"{share:.1%}", "Iteration 2 of"))
    with pytest.raises(UserError, match="birds"):
        bundle(run, out, scores, ["command"], "abc123", [CAPTION])


@pytest.mark.slow
def test_nothing_is_left_of_one_that_could_not_be_finished(trained, tmp_path, monkeypatch):
    run, scores = trained

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("ssagan_tf.export.bundle.export", full)
    with pytest.raises(UserError, match="Could not write. Received: .*birds: No space left"):
        bundle(run, tmp_path / "birds", scores, ["command"], "abc123", [CAPTION])
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_scores_of_other_weights_are_refused(trained, tmp_path):
    run, scores = trained
    report = json.loads((scores / "report.json").read_text())
    report["scores"]["semantics"]["card"]["model"]["weights_sha256"] = "other"
    (tmp_path / "report.json").write_text(json.dumps(report))
    with pytest.raises(UserError, match="scores are those of other weights. Received: .*Evaluate this model into"):
        bundle(run, tmp_path / "birds", tmp_path, ["command"], "abc123", [CAPTION])
    assert not (tmp_path / "birds").exists()
