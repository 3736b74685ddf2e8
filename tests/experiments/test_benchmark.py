"""The benchmark: operation counts are those of the graph, and sides are timed in turn."""

import dataclasses
import json

import in_process
import keras
import numpy as np
import processes
import pytest
import tensorflow as tf
from processes import ROOT

from ssagan_tf import SSAGAN
from ssagan_tf.experiments.benchmark import machine, modes, operations, report
from ssagan_tf.networks import Discriminator, Generator


class Lookup(keras.Model):
    """Sentences without any multiplication, so that none of the text's is counted."""

    def __init__(self):
        super().__init__(name="lookup")
        self.vocabulary_size, self.sentence_dim = 7, 6
        self.vectors = keras.layers.Embedding(7, 6)
        self(np.zeros((1, 1), "int64"))

    def call(self, ids, training=False):
        return None, tf.reduce_sum(self.vectors(ids), 1)


def batch(count: int, size: int) -> dict[str, tf.Tensor]:
    random = np.random.default_rng(0)
    return {
        "image": tf.constant(random.uniform(-1, 1, (count, size, size, 3)), tf.float32),
        "caption": tf.constant(random.integers(1, 7, (count, 3))),
        "class_id": tf.range(count),
        "noise": tf.constant(random.normal(size=(count, 5)), tf.float32),
    }


def build(size: int, **options):
    made = SSAGAN(Generator(3, size, 5, 6, 4), Discriminator(3, size, 6), Lookup(), **options)
    made.compile()
    return made


def count_of_graph(graph: tf.Graph) -> int:
    """Operations of the convolutions and products that anything depends on."""
    todo, seen, total = [*graph.outputs, *graph.control_outputs], set(), 0
    todo = [getattr(each, "op", each) for each in todo]
    while todo:
        op = todo.pop()
        if op in seen:
            continue
        seen.add(op)
        todo += [each.op for each in op.inputs] + list(op.control_inputs)
        if op.type == "Conv2D":
            kernel, large = op.inputs[1].shape, op.outputs[0].shape
        elif op.type == "Conv2DBackpropInput":
            kernel, large = op.inputs[1].shape, op.inputs[2].shape
        elif op.type == "Conv2DBackpropFilter":
            kernel, large = op.outputs[0].shape, op.inputs[2].shape
        elif op.type == "MatMul":
            inner = op.inputs[0].shape[0 if op.get_attr("transpose_a") else 1]
            total += 2 * int(np.prod(op.outputs[0].shape)) * inner
            continue
        else:
            assert "MatMul" not in op.type and "Conv" not in op.type, op.type
            continue
        total += 2 * int(np.prod(kernel[:3])) * int(np.prod(large))
    return total


@pytest.mark.parametrize("fused", [pytest.param(False, marks=pytest.mark.slow), True])
def test_the_counted_operations_of_an_iteration_are_those_of_its_graph(fused):
    model = build(32, fused=fused)
    graph = tf.function(model.train_step).get_concrete_function(batch(3, 32)).graph
    counted = operations.iteration_count(model.generator, model.discriminator, 3, fused)
    assert counted == count_of_graph(graph)


def test_the_counted_operations_of_a_picture_are_those_of_its_graph():
    generator = Generator(3, 32, 5, 6, 4)
    signature = [tf.TensorSpec([1, size]) for size in (5, 6)]
    graph = tf.function(generator).get_concrete_function(*signature).graph
    assert operations.generator_count(generator).forward == count_of_graph(graph)


def test_a_published_picture_takes_63_billion_operations_and_the_network_has_the_published_size():
    generator = Generator(64)
    assert (
        generator.count_params() - sum(int(np.prod(v.shape)) for v in generator.non_trainable_variables) == 29_494_273
    )
    assert 60e9 < operations.generator_count(generator).forward < 66e9


@pytest.mark.parametrize("mode, tricks", [("sample", {"winograd"}), ("train", {"remat"})])
def test_each_trick_and_all_of_them_are_measured_against_ours(mode, tricks):
    report = modes.measure(modes.Settings(mode, nf=1, batch=2, image_size=8, repeats=1, variant="each"))
    assert {*report["sides"]} == {"ours", *report["gains"]}
    assert {*report["gains"]} == {"plain", *(f"without {name}" for name in tricks)}
    for name, gain in report["gains"].items():
        seconds = [report["sides"][side]["seconds"]["median"] for side in (name, "ours")]
        assert gain["median"] == pytest.approx(seconds[0] / seconds[1])


@pytest.mark.parametrize(
    "flags, told",
    [
        (("--mode=generate", "--variant=plain"), "--mode=generate --variant=plain. Leave"),
        (("--mode=text", "--jit"), "--mode=text --jit=True. Leave"),
        (("--mode=report", "--precision=mixed_float16"), "Received: --precision or --json"),
        (("--mode=train", "--out=a.json"), "--mode=train --out. Leave"),
    ],
)
def test_a_flag_that_would_be_passed_over_is_refused(flags, told):
    done = in_process.run("benchmark", *flags)
    assert done.returncode == 2 and done.stderr.startswith("error: ") and told in done.stderr


def test_the_peak_of_memory_is_that_of_what_was_done_since():
    before = machine.forget_peak()
    if before is None:
        pytest.skip("no /proc here that tells")
    held = np.ones(50_000_000, "float32")
    assert 150e6 < machine.peak_memory() - before < 300e6
    del held
    assert machine.forget_peak() < machine.peak_memory() + 50e6


def test_the_peak_of_tensors_is_of_what_there_was_at_once(allocated):
    tf.config.experimental.reset_memory_stats("CPU:0")
    before = machine.peak_of_tensors()
    for _ in range(3):
        assert tf.reduce_sum(tf.ones([25_000_000])) > 0
    assert 100e6 <= machine.peak_of_tensors() - before < 150e6


def test_sides_are_timed_in_turn_without_the_warm_up():
    called = []
    seconds = machine.in_turn({"a": lambda: called.append("a"), "b": lambda: called.append("b")}, 3, warm_up=1)
    assert called == ["a", "b"] * 4
    assert [len(each) for each in seconds.values()] == [3, 3]


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["train", "sample", "generate", "text", "data", "first_picture"])
def test_the_script_reports_in_json(mode, tmp_path):
    flags = [f"--mode={mode}", "--json", "--repeats=1", "--nf=2", "--batch=2", "--image_size=16"]
    done = processes.python(ROOT / "scripts" / "benchmark.py", *flags, cwd=tmp_path, seconds=500, check=True)
    report = json.loads(done.stdout)
    assert report["mode"] == mode
    for side in report["sides"].values():
        assert 0 < side["seconds"]["least"] <= side["seconds"]["median"] <= side["seconds"]["most"]


def test_a_report_has_all_that_was_measured_as_json_and_as_a_table(tmp_path, monkeypatch):
    asked = []

    def measure(settings):
        asked.append((settings.mode, settings.precision, settings.jit))
        if settings.jit and settings.mode == "sample":
            raise tf.errors.ResourceExhaustedError(None, None, "no memory | left\nand more")
        times = {"median": 0.5, "least": 0.25, "most": 1.0}
        side = {"seconds": times, "pictures_per_second": 4.0}
        return {**dataclasses.asdict(settings), "sides": {"ours": side, "batches": side}, "peak_memory": 2**21}

    monkeypatch.setattr(modes, "measure", measure)
    written = report.write(report.measure_all(modes.Settings("report", nf=8)), tmp_path / "mine.json")
    assert [path.name for path in written] == ["mine.json", "mine.md"]
    halves = {precision for _, precision, _ in asked} - {"float32"}
    assert len(set(asked)) == len(asked) == 9 and len(halves) == 1
    read = json.loads(written[0].read_text())
    assert read["machine"]["tensorflow"] == tf.__version__ and len(read["measured"]) == 9
    rows = written[1].read_text().splitlines()
    assert "| train | 8 | 256 | 4 | float32 | no | 0.500 (0.250 to 1.000) | 4.0 | 2 MB |" in rows
    assert "| sample | 8 | 256 | 4 | float32 | yes | no memory / left | | |" in rows
    assert {row.count("|") for row in rows[2:]} == {10}


def test_training_and_sampling_are_measured_with_xla_too():
    for mode in ("train", "sample"):
        told = modes.measure(modes.Settings(mode, nf=1, batch=2, image_size=8, repeats=1, jit=True))
        assert told["jit"] and told["sides"]["ours"]["seconds"]["median"] > 0
