"""Scoring in training: the best checkpoint is kept, and training does not notice."""

import json
import types

import numpy as np
import pytest
import tensorflow as tf

from ssagan_tf import UserError
from ssagan_tf.data.synthbirds import SynthBirds
from ssagan_tf.evaluation import metrics as all_metrics
from ssagan_tf.evaluation import protocols
from ssagan_tf.evaluation.extractors import Extractor
from ssagan_tf.training import checkpoint, scoring, train
from ssagan_tf.training.run import Run, load_model
from ssagan_tf.training.scoring import Scoring

SOURCE = SynthBirds(8, count={"train": 40, "test": 12})


def report(fid: float) -> dict:
    return {"scores": {"fid": {"value": fid, "card": {}}, "semantics": {"value": 0.5, "card": {}}}}


@pytest.fixture
def run(tmp_path):
    found = Run(tmp_path / "run")
    found.folder.mkdir()
    return found


@pytest.fixture(scope="module")
def model(tiny_model):
    made = tiny_model()
    made.compile()
    return made


def made(run, model, step, count=6):
    config = types.SimpleNamespace(batch_size=4, score_every=2, score_count=count, ema_pictures=0, score_extractor=None)
    return Scoring(run, model, SOURCE, types.SimpleNamespace(step=step, pictures=3 * step), config, None)


def best(run):
    found = checkpoint.newest(run.best)
    assert len(list(run.best.iterdir())) == 1
    return found.step, found.note["metric"], found.note["value"]


def test_the_checkpoint_with_the_lowest_distance_is_kept(run, model, monkeypatch):
    asked, bias = [], model.generator.to_rgb.bias
    fids = iter([5.0, 3.0, 4.0, 3.0, 2.0])
    monkeypatch.setattr(scoring, "evaluate", lambda *args, **more: asked.append(args) or report(next(fids)))
    callback = made(run, model, 0)
    for step, expected in ((2, 2), (3, 2), (4, 4), (6, 4), (8, 4)):
        callback._progress.step, callback._progress.pictures = step, 3 * step + 1
        bias.assign(np.full(3, step))
        callback.on_train_batch_end(0)
        assert best(run)[0] == expected
    assert best(run) == (4, "fid", 3.0)
    np.testing.assert_array_equal(checkpoint.newest(run.best).state["generator/to_rgb/bias"], [4, 4, 4])
    lines = [json.loads(line) for line in (run.folder / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [2, 4, 6, 8]
    assert lines[0] == {"step": 2, "pictures": 7, "fid": 5.0, "semantics": 0.5}
    # What it is asked for is what evaluate.py would be, for the model in training.
    drawn_by, data, metrics, protocol, count, out = asked[0]
    assert drawn_by.generator is model.generator and data is SOURCE and count == 6
    assert (metrics, protocol, out) == (["fid", "semantics"], "synthbirds", run.scores / "step-00000002")
    # Gone back to an earlier checkpoint, it still knows what is to be beaten.
    again = made(run, model, 2)
    again._progress.step = 2
    again.look()
    assert best(run) == (2, "fid", 2.0)


@pytest.mark.parametrize(
    ("name", "installed", "extractor", "expected"),
    [
        ("folder", False, None, (["kid"], "ttur")),
        ("folder", True, None, (["kid"], "efficientnet")),
        ("cub", True, None, (["kid", "recognised"], "efficientnet")),
        ("cub", True, "inception_keras", (["kid"], "efficientnet")),
    ],
)
def test_other_data_is_chosen_by_the_kernel_distance(name, installed, extractor, expected, monkeypatch):
    monkeypatch.setattr(protocols.efficientnet, "weights_file", lambda: "there" if installed else None)
    monkeypatch.setattr(protocols.third_party_models, "is_fetched", lambda address: False)
    assert scoring.metrics_for(types.SimpleNamespace(name=name), extractor) == expected


def test_a_value_of_another_count_is_not_the_one_to_beat(run, model, monkeypatch):
    fids = iter([2.0, 3.0])  # of more pictures, the larger one may be the better
    monkeypatch.setattr(scoring, "evaluate", lambda *args, **more: report(next(fids)))
    made(run, model, 2).look()
    made(run, model, 4, count=60).look()
    assert best(run) == (4, "fid", 3.0)


def test_scores_are_in_tensorboard(run, model, monkeypatch):
    monkeypatch.setattr(scoring, "evaluate", lambda *args, **more: report(7.0))
    callback = made(run, model, 4)
    callback.look()
    callback.on_train_end()
    found = {}
    for path in run.tensorboard.iterdir():
        for event in tf.compat.v1.train.summary_iterator(str(path)):
            found |= {value.tag: (event.step, float(tf.make_ndarray(value.tensor))) for value in event.summary.value}
    assert found == {"score/fid": (4, 7.0), "score/semantics": (4, 0.5)}


def test_a_run_without_scores_has_no_best(tmp_path, tiny):
    run = Run(tmp_path)
    tiny.save(tmp_path / "config.json")
    with pytest.raises(UserError, match="Nothing was scored. Received: .*--score_every=N, or take --checkpoint=newest"):
        load_model(run.folder, "best")


def test_data_without_a_test_split_is_refused_before_training():
    with pytest.raises(UserError, match="nothing to measure against. Received"):
        scoring.check_scorable(types.SimpleNamespace(name="mine", examples=lambda split: []))


def test_one_test_picture_is_refused_before_training():
    one = SynthBirds(8, count={"train": 4, "test": 1})
    with pytest.raises(UserError, match="Two test pictures at least.*Received: 1 in synthbirds. Add some, or leave"):
        scoring.check_scorable(one)


@pytest.mark.parametrize(
    "error, told",
    [
        (UserError("The disk is full. Received: x. Free some space."), "The disk is full. Received: x."),
        (tf.errors.ResourceExhaustedError(None, None, "out of memory"), "ResourceExhaustedError: out of memory"),
        (OSError(28, "No space left on device"), "OSError: [Errno 28] No space left"),
    ],
)
def test_a_scoring_that_fails_is_a_warning_and_training_goes_on(run, model, monkeypatch, caplog, error, told):
    def fails(*args, **more):
        raise error

    monkeypatch.setattr(scoring, "evaluate", fails)
    with caplog.at_level("WARNING", logger="absl"):
        assert made(run, model, 2).look() == {}
    assert f"The scoring after iteration 2 failed: {told}" in caplog.text
    (line,) = [json.loads(line) for line in (run.folder / "log.jsonl").read_text().splitlines()]
    assert line["step"] == 2 and told in line["warning"]


def test_a_damaged_best_is_forgotten_and_another_is_kept(run, model, monkeypatch, caplog):
    fids = iter([2.0, 3.0])
    monkeypatch.setattr(scoring, "evaluate", lambda *args, **more: report(next(fids)))
    made(run, model, 2).look()
    (run.best / "step-00000002" / "state.safetensors").write_bytes(b"")
    with caplog.at_level("WARNING", logger="absl"):
        made(run, model, 4).look()
    assert "The best so far is forgotten" in caplog.text
    assert best(run) == (4, "fid", 3.0)


# === With a training ===


def mean_colours(images):
    return tf.reshape(tf.image.resize(images, [2, 2]), [-1, 12])[:, :3], None


@pytest.fixture(scope="module")
def patched(tmp_path_factory):
    """Twelve birds to be scored against, and features that cost nothing."""
    cheap = Extractor("cheap", "0" * 64, 8, 0.0, 1.0, mean_colours)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        patch.setattr(train, "open_training_data", lambda config, run: SOURCE)
        patch.setattr(scoring, "metrics_for", lambda data, extractor: (["fid"], "synthbirds"))
        for module in (all_metrics, scoring):
            patch.setattr(module, "open_extractor", lambda name: cheap)
        yield


def config(tiny, **changes):
    return tiny.override(dataset="synthbirds", keep=1, steps=4, sample_every=4, **changes)


@pytest.fixture(scope="module")
def scored(patched, tiny, tmp_path_factory):
    run = Run(tmp_path_factory.mktemp("scored") / "run")
    train.train(run, config(tiny, score_every=1, score_count=6))
    return run


@pytest.mark.slow
def test_a_training_keeps_its_best_beside_its_newest(scored):
    fids = {}
    for path in sorted(scored.scores.iterdir()):
        assert sorted(file.name for file in path.iterdir()) == ["report.json", "report.txt"]
        score = json.loads((path / "report.json").read_text())["scores"]["fid"]
        fids[int(path.name.removeprefix("step-"))] = score["value"]
        assert score["card"]["protocol"]["count"] == 6
    assert set(fids) == {1, 2, 3, 4}
    step = min(fids, key=fids.get)
    assert best(scored) == (step, "fid", fids[step])
    assert [path.name for path in scored.checkpoints.iterdir()] == ["step-00000004"]
    for which, wanted in (("best", scored.best), ("newest", scored.checkpoints)):
        bias = load_model(scored.folder, which).generator.to_rgb.bias.numpy()
        np.testing.assert_array_equal(bias, checkpoint.newest(wanted).state["average/to_rgb/bias"])


@pytest.mark.slow
def test_training_is_the_same_with_scores_without_and_with_a_break(scored, patched, tiny, tmp_path):
    wanted = checkpoint.newest(scored.checkpoints).state
    plain, broken = Run(tmp_path / "plain"), Run(tmp_path / "broken")
    train.train(plain, config(tiny))
    train.train(broken, config(tiny, score_every=1, score_count=6).override(steps=2))
    train.train(broken, config(tiny, score_every=1, score_count=6))
    for run in (plain, broken):
        found = checkpoint.newest(run.checkpoints).state
        assert set(found) == set(wanted)
        for name, value in wanted.items():
            np.testing.assert_array_equal(found[name], value, err_msg=name)
    assert best(broken) == best(scored)
