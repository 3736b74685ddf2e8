"""From a model to a report, and what may be compared."""

import copy
import json
import types

import numpy as np
import pytest

from ssagan_tf.config import preset
from ssagan_tf.core.files import BUNDLED_MODEL
from ssagan_tf.damsm import DAMSM
from ssagan_tf.data.synthbirds import SynthBirds
from ssagan_tf.errors import UserError
from ssagan_tf.evaluation import METRIC_NAMES, PROTOCOL_NAMES, report
from ssagan_tf.evaluation.comparison import compare, read_report, table
from ssagan_tf.evaluation.extractors import open_extractor
from ssagan_tf.evaluation.feature_cache import embedded
from ssagan_tf.evaluation.intervals import share_interval
from ssagan_tf.evaluation.metrics import METRICS, Evaluation
from ssagan_tf.evaluation.protocols import PROTOCOLS, protocol
from ssagan_tf.evaluation.reference import real_pictures
from ssagan_tf.evaluation.report import evaluate, evaluate_draws
from ssagan_tf.weights import tensor_files

COUNT = 160  # more than there are features
FEATURE_METRICS = ["fid", "kid", "is", "precision_recall", "memorization", "semantics"]


@pytest.fixture(scope="module")
def model(tiny_model, randomize):
    model = tiny_model(64)
    for part in (model.generator, model.text_encoder):
        randomize(part)
    return model


@pytest.fixture(scope="module")
def birds():
    return SynthBirds(64, count={"train": 50, "test": COUNT})


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def written(model, birds, tmp_path_factory):
    out = tmp_path_factory.mktemp("out")
    return evaluate(model, birds, FEATURE_METRICS, "synthbirds", COUNT, out, about={"ema_pictures": 500}), out


def test_a_report_has_every_score_with_all_that_it_depends_on(written):
    found, out = written
    neighbors = {"precision", "recall", "density", "coverage", "copies", "copy_ratio"}
    assert set(found["scores"]) == {"fid", "kid", "is", "semantics"} | neighbors
    assert (out / "nearest_training_pictures.png").is_file()
    for score in found["scores"].values():
        card = score["card"]
        assert {"dataset", "split", "count", "captions", "captions_per_picture", "seed", "truncation"} <= set(
            card["protocol"]
        )
        assert {"weights_sha256", "ema_pictures"} <= set(card["model"])
        assert {"tensorflow", "numpy", "pillow", "ssagan_tf"} <= set(card["versions"])
    fid = found["scores"]["fid"]["card"]["protocol"]
    assert len({score["card"]["pictures_sha256"] for score in found["scores"].values()}) == 1
    assert {"extractor", "extractor_sha256", "resize", "reference_count", "reference_sha256"} <= set(fid)
    assert read_report(out / "report.json") == json.loads(json.dumps(found))
    assert "fid" in (out / "report.txt").read_text()


def test_a_second_evaluation_draws_nothing_and_says_the_same(written, model, birds, monkeypatch):
    found, out = written
    monkeypatch.setattr(model, "generate_from_embeddings", None)
    monkeypatch.setattr("ssagan_tf.evaluation.feature_cache.embed", None)
    again = evaluate(model, birds, FEATURE_METRICS, "synthbirds", COUNT, out, about={"ema_pictures": 500})
    assert again == found


def test_damaged_features_are_made_again(written, model, birds):
    found, out = written
    features = next((out / "features").glob("*/features.npy"))
    data = bytearray(features.read_bytes())
    data[-1] ^= 64
    features.write_bytes(data)
    again = evaluate(model, birds, ["fid"], "synthbirds", COUNT, out)
    assert again["scores"]["fid"]["value"] == found["scores"]["fid"]["value"]


def test_two_processes_that_fill_one_cache_both_succeed(tmp_path):
    random = np.random.default_rng(0).integers(0, 256, (4, 8, 8, 3), np.uint8)
    extractor = open_extractor("synthbirds")

    def cached(pictures):
        return embedded(tmp_path, {"of": "noise"}, extractor, "pillow_bilinear", pictures, 4, "picture")

    def slow():
        results.append(cached([random]))  # another process, which ends first
        yield random

    results: list = []
    results.append(cached(slow()))
    np.testing.assert_array_equal(*(np.array(result.features) for result in results))
    assert len(list(tmp_path.iterdir())) == 1


def test_a_model_is_scored_against_the_data_that_it_was_trained_on(tmp_path):
    assert report.open_data("synthbirds_64", None, None, 64).name == "synthbirds"
    with pytest.raises(UserError, match="trained on synthbirds, with --dataset=cub. Leave --dataset out"):
        report.open_data("synthbirds_64", "cub", None, 64)
    config = preset("small", "folder").override(data_dir=str(tmp_path / "photographs"))
    config.save(tmp_path / "config.json")
    with pytest.raises(UserError, match="photographs"):
        report.open_data(tmp_path, None, None, 64)
    assert report.about(tmp_path)["trained_on"]["data_dir"] == str(tmp_path / "photographs")


def test_the_protocol_of_drawn_birds_is_refused_for_photographs(model, birds, tmp_path):
    photographs = copy.copy(birds)
    photographs.name = "folder"
    with pytest.raises(UserError, match="rendered birds only. Received: extractor 'synthbirds' for folder"):
        evaluate(model, photographs, ["fid"], "synthbirds", 4, tmp_path)
    assert not any(tmp_path.iterdir())


def test_names_that_scripts_check_are_those_of_the_registries():
    assert tuple(METRICS) == METRIC_NAMES and tuple(PROTOCOLS) == PROTOCOL_NAMES


def test_real_pictures_score_perfectly_and_an_untrained_model_does_not(written, model, birds, tmp_path):
    perfect = Evaluation(model, birds, protocol("synthbirds"), COUNT, tmp_path)
    perfect.drawn = list(real_pictures(birds, "test", 64))
    scores = {}
    for name in FEATURE_METRICS:
        scores |= METRICS[name](perfect)
    untrained = written[0]["scores"]
    assert scores["fid"]["value"] < 1e-6 < 1 < untrained["fid"]["value"]
    assert scores["precision"]["value"] == scores["recall"]["value"] == 1
    assert scores["semantics"]["value"] >= 0.98 > 0.5 > untrained["semantics"]["value"]
    assert scores["kid"]["value"] < 0 < untrained["kid"]["value"]  # unbiased: below 0 for one set taken twice


def _write_damsm(model, folder):
    config = preset("small", "synthbirds")
    damsm = DAMSM.from_model_config(config.model, model.vocabulary)
    config.save(folder / "damsm/config.json")
    model.vocabulary.save(folder / "damsm/vocabulary.txt")
    tensor_files.write_state(folder / "damsm/damsm.safetensors", damsm.encoder_variables())


def test_r_precision_of_encoders_that_know_nothing_is_chance(model, birds, tmp_path):
    _write_damsm(model, tmp_path)
    found = evaluate(model, birds, ["r_precision"], "synthbirds", 500, tmp_path / "out", tmp_path / "damsm")
    score = found["scores"]["r_precision"]
    assert score["value"] < 0.05
    assert score["card"]["protocol"]["mismatched"] == 99
    assert "damsm_sha256" in score["card"]["protocol"]


def test_what_cannot_be_scored_is_told_before_anything_is_drawn(model, birds, tmp_path):
    with pytest.raises(UserError, match="no such metric.*fdi.*fid, kid"):
        evaluate(model, birds, ["fdi"], "synthbirds", 4, tmp_path)
    with pytest.raises(UserError, match="no such protocol"):
        evaluate(model, birds, ["fid"], "ttru", 4, tmp_path)
    with pytest.raises(UserError, match="--damsm=DIR"):
        evaluate(model, birds, ["r_precision"], "synthbirds", 4, tmp_path)
    assert not list(tmp_path.iterdir())
    _write_damsm(model, tmp_path)
    with pytest.raises(UserError, match="too few captions.* of 100 "):
        evaluate(model, birds, ["r_precision"], "synthbirds", 100, tmp_path / "out", tmp_path / "damsm")
    assert not (tmp_path / "out").exists()


# --- comparing


def _report(path, value=1.0, metric="fid", **card):
    protocol_card = {"protocol": "ttur", "extractor": "x", "resize": "y", "count": 10, "dataset": "cub"}
    protocol_card |= {"split": "test", "seed": 0} | card
    score = {"value": value, "card": {"protocol": protocol_card, "model": {}, "versions": {}}}
    path.write_text(json.dumps({"scores": {metric: score}}))
    return path


def test_reports_of_one_protocol_stand_side_by_side(tmp_path):
    shown = compare([_report(tmp_path / "a.json", 12.5), _report(tmp_path / "b.json", 20.25)])
    assert _cells(shown, "fid").split() == ["12.5", "20.25", "+7.75"]


def test_reports_of_different_protocols_are_refused_by_the_names_of_what_differs(tmp_path):
    paths = [_report(tmp_path / "a.json"), _report(tmp_path / "b.json", resize="z", count=20)]
    with pytest.raises(
        UserError, match="resize is y there, z here; count is 10 there, 20 here, and fid of one model change with it"
    ):
        compare(paths)
    with pytest.raises(UserError, match="no score in common"):
        compare([paths[0], _report(tmp_path / "c.json", metric="kid")])


def _scored(path, value, metric="kid", seed=0, **score):
    _report(path, value, metric, seed=seed)
    report = json.loads(path.read_text())
    report["scores"][metric] |= score
    path.write_text(json.dumps(report))
    return path


def _cells(shown, name):
    (line,) = [line for line in shown.splitlines() if line.startswith(f"{name} ")]
    return line.split(maxsplit=1)[1]


def test_draws_by_the_same_seeds_are_compared_pair_by_pair(tmp_path):
    paths = [
        _scored(tmp_path / f"{shift}.json", 20 + shift, draws=[10 + shift, 20 + shift, 30 + shift]) for shift in (0, 1)
    ]
    assert _cells(compare(paths), "kid").endswith("+1 [+1, +1]")
    assert _cells(compare(paths, unpaired=True), "kid").endswith("+1 [-34.13, +36.13]")  # 4.3027 * 10 * sqrt(2 / 3)


def test_single_scores_are_compared_as_independent_ones(tmp_path):
    paths = [_scored(tmp_path / f"{value}.json", value, interval=[value - 3, value + 3]) for value in (10, 14)]
    assert _cells(compare(paths), "kid").endswith("+4 [-0.2426, +8.243]")


def test_reports_of_other_seeds_are_compared_when_asked_and_of_other_counts_where_these_change_nothing(tmp_path):
    def both(metric):
        return [_report(tmp_path / f"{seed}.json", 5, metric, seed=seed, count=10 + seed) for seed in (0, 1)]

    with pytest.raises(UserError, match="seed is 0 there, 1 here.*or compare other seeds with --unpaired"):
        compare(both("kid"))
    assert _cells(compare(both("kid"), unpaired=True), "kid").endswith("+0")
    with pytest.raises(
        UserError, match="Received: [^ ]* and [^ ]*: count is 10 there, 11 here, and recall of one model"
    ):
        compare(both("recall"), unpaired=True)


def test_networks_are_compared_by_their_hashes_and_not_by_where_they_are(tmp_path):
    one, copy, other = (
        _report(tmp_path / f"{name}.json", extractor=f"/{name}", extractor_sha256=digest)
        for name, digest in [("one", "ab"), ("copy", "ab"), ("other", "cd")]
    )
    assert "fid" in compare([one, copy])
    with pytest.raises(UserError, match="Received: [^ ]* and [^ ]*: extractor_sha256 is ab there, cd here. Eval"):
        compare([one, other])


@pytest.mark.parametrize("content", ["", "[]", '{"scores": {"fid": {}}}', '{"scores": 3}'])
def test_what_is_no_report_is_refused(tmp_path, content):
    path = tmp_path / "report.json"
    path.write_text(content)
    with pytest.raises(UserError, match="no report"):
        compare([path, path])


def test_a_table_shows_attributes_and_deviations():
    card = {"protocol": {"count": 10, "dataset": "synthbirds", "split": "test", "seed": 0}}
    scores = {
        "is": {"value": 3.25, "deviation": 0.5, "card": card},
        "semantics": {"value": 0.5, "attributes": {"crown": [0.25, 8]}, "card": card},
    }
    lines = [" ".join(line.split()) for line in table({"run": {"scores": scores}}).splitlines()]
    assert {"is 3.25 ± 0.5", "semantics 50.0%", "crown 25.0% of 8"} <= set(lines)


def test_protocols_name_known_filters():
    from ssagan_tf.evaluation.resizing import FILTERS

    for known in PROTOCOLS.values():
        assert {known.resize, known.score_resize or known.resize} <= set(FILTERS)


def test_draws_give_mean_and_spread(model, birds, tmp_path):
    given = {"model": model, "data": birds, "metrics": ["semantics"], "protocol": "synthbirds"}
    report = evaluate_draws(2, count=8, out=tmp_path, seed=5, **given)
    found = report["scores"]["semantics"]
    alone = [
        evaluate(model, birds, ["semantics"], "synthbirds", 8, tmp_path / f"draw-{k}", seed=5 + 8 * k)["scores"]
        for k in range(2)
    ]
    assert found["draws"] == [scores["semantics"]["value"] for scores in alone]
    assert found["value"] == np.mean(found["draws"]) and found["deviation"] == np.std(found["draws"], ddof=1)
    assert found["card"]["protocol"]["draws"] == 2 and read_report(tmp_path / "report.json")


def test_what_draws_is_told_by_its_weights_and_words(model, tiny_model):
    assert report.weights_sha256(model) == report.weights_sha256(model)
    other = tiny_model(64)
    assert report.weights_sha256(other) != report.weights_sha256(model)
    before = report.weights_sha256(other)
    bias = next(variable for variable in other.generator.trainable_variables)
    bias.assign(np.asarray(bias) + 1)
    assert report.weights_sha256(other) != before


def test_scores_of_an_earlier_call_stay_if_they_are_of_the_same_pictures(model, birds, tmp_path):
    evaluate(model, birds, ["semantics"], "synthbirds", 4, tmp_path)
    first = read_report(tmp_path / "report.json")["scores"]
    evaluate(model, birds, ["kid"], "synthbirds", 4, tmp_path)
    both = read_report(tmp_path / "report.json")["scores"]
    assert list(both) == ["semantics", "kid"] and both["semantics"] == first["semantics"]


def test_a_metric_that_fails_takes_no_other_along(model, birds, tmp_path, monkeypatch):
    def fails(evaluation):
        raise UserError("Nothing to score.")

    monkeypatch.setitem(METRICS, "fails", fails)
    with pytest.raises(UserError, match="Nothing to score"):
        evaluate(model, birds, ["semantics", "fails"], "synthbirds", 4, tmp_path)
    assert list(json.loads((tmp_path / "report.json").read_text())["scores"]) == ["semantics"]


def test_a_model_by_name_says_what_its_folder_says():
    named, folder = report.about("synthbirds_64"), report.about(BUNDLED_MODEL)
    assert named == folder | {"path": "synthbirds_64"} and named["ema_pictures"] == 500


def test_the_share_of_recognised_pictures_is_that_of_the_named_classes():
    classifier = types.SimpleNamespace(name="classifier", imagenet=True)
    logits = np.eye(1000, dtype=np.float32)[[6, 7, 24, 25, 80, 100, 101, 127, 146, 147]]  # birds and their neighbours
    evaluation = types.SimpleNamespace(
        extractor=classifier,
        data=types.SimpleNamespace(name="cub"),
        drawn_features=types.SimpleNamespace(logits=logits),
        real_features=types.SimpleNamespace(logits=logits[1:3]),
        extractor_card=dict,
        reference_card=dict,
    )
    score = METRICS["recognised"](evaluation)["recognised"]
    assert (
        (score["value"], score["real"]) == (0.6, 1.0)
        and score["interval"] == share_interval(6, 10)
        and len(score["card"]["imagenet_classes"]) == 59
    )
    classifier.imagenet = False
    with pytest.raises(UserError, match="no ImageNet classifier. Received: classifier"):
        METRICS["recognised"](evaluation)
    evaluation.data.name = "coco"
    with pytest.raises(UserError, match="No ImageNet classes are named for the data. Received: coco"):
        METRICS["recognised"](evaluation)
