"""Ablation: variants that differ in one thing, a table with its arithmetic, and what is done is not done again."""

import dataclasses
import json
import types

import processes
import pytest

from ssagan_tf.config import preset
from ssagan_tf.errors import UserError
from ssagan_tf.experiments import ablation
from ssagan_tf.experiments.ablation import FINE_TUNED, REFERENCE, VARIANTS, ablate, table
from ssagan_tf.text.vocabulary import Vocabulary
from ssagan_tf.training.run import Run

KEYS = ("semantics", "crown", "wing", "belly", "fid", "r_precision")


def scores(value: float) -> dict[str, float]:
    return dict.fromkeys(KEYS, value)


def row(text: str, variant: str) -> list[list[str]]:
    """The cells of a variant's rows."""
    lines = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith(f"| {variant} |")]
    return [cells[1:] for cells in lines]


def test_every_variant_changes_one_thing_of_the_reference():
    config = preset("small", "synthbirds").override(text_training="damsm")
    for name, changes in VARIANTS.items():
        was, now = dataclasses.asdict(config), dataclasses.asdict(config.override(**changes))
        different = [key for part in was for key in was[part] if was[part][key] != now[part][key]]
        assert different == list(changes) and len(different) == (name not in (REFERENCE, FINE_TUNED))


def test_the_table_has_means_spreads_and_differences_seed_by_seed():
    made = table({REFERENCE: [scores(0.2), scores(0.4)], "no_mask": [scores(0.3), scores(0.1)]})
    means, *_ = row(made, REFERENCE)
    assert means[0] == "30.0 ± 14.1" and means[4] == "0.3 ± 0.1"  # 0.1 * sqrt(2), in percent but for the distance
    means, differences = row(made, "no_mask")
    assert means[0] == "20.0 ± 14.1"
    assert differences[0] == "-10.0 (-30.0 to +10.0)"  # 0.1 and -0.3


def test_one_training_has_no_spread_and_a_lone_variant_no_difference():
    made = table({"no_mask": [scores(0.25)]})
    assert row(made, "no_mask") == [["25.0", "25.0", "25.0", "25.0", "0.2", "25.0"]]


@pytest.mark.parametrize(
    "flag", ["--variants=reference,magic", "--seeds=0,x", "evaluate --metrics=fid,magic", "export --format=magic"]
)
def test_lists_are_checked_before_a_dry_run_answers(flag):
    script, _, flag = flag.rpartition(" ")
    needed = ["--model=x", "--out=y"] if script == "export" else []
    path = processes.ROOT / "scripts" / f"{script or 'ablate'}.py"
    done = processes.python(path, *needed, flag, "--dry_run")
    assert done.returncode == 2 and flag.split("=")[0] in done.stderr and done.stderr.count("\n") <= 2


@pytest.mark.parametrize("variants, seeds", [(["magic"], [0]), ([], [0]), (["no_mask"], [])])
def test_what_cannot_be_trained_is_refused_before_anything_is(tmp_path, variants, seeds):
    with pytest.raises(UserError, match="no such variant. Received.*Use some of reference, no_mask"):
        ablate(preset("small", "synthbirds"), tmp_path, variants, seeds, 100)
    assert not list(tmp_path.iterdir())


def test_what_was_trained_otherwise_is_not_taken_for_done(tmp_path):
    config = preset("small", "synthbirds").override(damsm="somewhere", steps=3)
    before = config.override(text_training="damsm", seed=0, base_filters=4)
    Run(tmp_path / "no_mask" / "seed-0").begin(before.override(mask_blocks=0), Vocabulary.build(["a bird"]))
    with pytest.raises(UserError, match="begun with other settings.*base_filters=8, was 4") as refusal:
        ablate(config.override(precision="auto"), tmp_path, ["no_mask"], [0], 200)
    assert "precision" not in str(refusal.value)  # settled before it is compared


def test_what_could_not_be_scored_is_refused_before_anything_is_trained(tmp_path):
    with pytest.raises(UserError, match=r"too few captions .* of 100 .* 99 are wanted. Give more pictures \(--count\)"):
        ablate(preset("small", "synthbirds"), tmp_path, ["no_mask"], [0], 100)
    assert not list(tmp_path.iterdir())
    examples = [types.SimpleNamespace(key=f"{n:03}", captions=(f"picture {n}",), class_id=-1) for n in range(100)]
    others = types.SimpleNamespace(name="folder", examples=lambda split: examples)
    ablation._check_scorable(others, 100, "synthbirds")
    with pytest.raises(UserError, match="no such feature extractor. Received: 'nowhere'"):
        ablation._check_scorable(others, 100, "nowhere")


def test_what_is_trained_further_is_scored_anew(tmp_path, monkeypatch):
    config, run = preset("small", "synthbirds").override(steps=3), Run(tmp_path)
    run.begin(config, Vocabulary.build(["a bird"]))
    (run.folder / "evaluation").mkdir()
    monkeypatch.setattr(ablation.train, "train", lambda run, config: types.SimpleNamespace(signal=None))
    ablation._train(run, config)
    assert not (run.folder / "evaluation").exists()


@pytest.mark.slow
def test_one_command_trains_scores_and_tells_and_does_nothing_twice(tmp_path):
    flags = ["--steps=2", "--pretraining_steps=2", "--seeds=3", "--count=150", "--variants=reference,no_mask"]
    command = [processes.ROOT / "scripts" / "ablate.py", *flags, "--out=out"]
    first = processes.python(*command, cwd=tmp_path, seconds=900, check=True)
    out = tmp_path / "out"
    assert (out / "table.md").read_text().strip() in first.stdout
    found = json.loads((out / "table.json").read_text())
    assert set(found) == {"reference", "no_mask"} and found["reference"] != found["no_mask"]
    assert all((out / f"{name}.png").is_file() for name in found)
    states = sorted(out.glob("*/seed-3/checkpoints/*/*"))
    written = {path: path.stat().st_mtime_ns for path in [*states, *out.glob("*/seed-3/evaluation/**/*")]}
    again = processes.python(*command, cwd=tmp_path, check=True)
    assert states and all(path.stat().st_mtime_ns == time for path, time in written.items())
    assert first.stdout.endswith(again.stdout)  # the bars of trainings are gone
