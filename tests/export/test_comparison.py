"""The table of exports: differences by closed forms, each one measured in a process of its own."""

import dataclasses
import shutil
import sys

import numpy as np
import pytest

from ssagan_tf import UserError
from ssagan_tf.config import Config, preset
from ssagan_tf.export import FORMATS, comparison
from ssagan_tf.export.comparison import Row, compare, table

CAPTIONS = ["a red bird", "yellow wings"]


def test_differences_are_in_255ths_and_decibels():
    reference = np.full((2, 2, 2, 3), 100, np.uint8)
    drawn = reference.copy()
    drawn[0] = 90
    # Half of the numbers differ by 10: the mean square is 50.
    assert comparison._difference(drawn, reference) == (10, 5.0, pytest.approx(10 * np.log10(255**2 / 50)))
    assert comparison._difference(reference, reference) == (0, 0.0, float("inf"))


def test_the_table_has_a_line_for_each_export_and_a_column_for_each_number():
    rows = [
        Row("Keras", 3_350_000, 0, 0.0, float("inf"), (0.0282, 0.019), 710_000_000),
        Row("TFLite int8", 1_200_000, 51, 2.3631, 36.91, (0.0062, 0.0071), None),
    ]
    lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in table(rows).splitlines()]
    assert lines[0] == ["format", "MB", "largest", "mean", "PSNR, dB", "ms, 1 thread", "ms, 2 threads", "peak MB"]
    assert lines[2] == ["Keras", "3.35", "0", "0.000", "equal", "28.2", "19.0", "710"]
    assert lines[3] == ["TFLite int8", "1.20", "51", "2.363", "36.9", "6.2", "7.1", "-"]


def test_a_measurement_draws_every_caption_with_every_seed(device_export):
    model, folder = device_export
    path = folder / "float32.tflite"
    measured = comparison._in_a_process("x", "tflite", path, 1, CAPTIONS, 3)
    assert np.abs(measured["drawn"].astype(int) - model.generate(CAPTIONS, count=3)).max() <= 2
    assert measured["size"] == path.stat().st_size
    assert 0 < measured["seconds"] < 10
    # More than the file, less than TensorFlow takes.
    assert measured["memory"] is None or measured["size"] < measured["memory"] < 300e6


def test_what_cannot_be_measured_is_told_in_one_line(device_export, tmp_path):
    with pytest.raises(UserError, match="No export found. Received: "):
        compare(tmp_path, tmp_path, CAPTIONS)
    with pytest.raises(UserError, match="TFLite x cannot be measured. Received: .*: The caption holds no word") as told:
        comparison._in_a_process("TFLite x", "tflite", device_export[1] / "float32.tflite", 1, ["xyzzy"], 1)
    assert "\n" not in str(told.value)


def test_without_a_runtime_it_is_told_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(UserError, match=r"Received: .*onnxruntime.* Run pip install -e '\.\[runtimes\]'"):
        comparison._onnx(tmp_path, 1)


@pytest.mark.slow
def test_keras_saved_model_and_tflite_draw_the_same(device_export, tmp_path, monkeypatch):
    model, tflite_folder = device_export
    sizes = {
        "base_filters": 2,
        "noise_dim": 5,
        "sentence_dim": 6,
        "mask_filters": 3,
        "embedding_dim": 5,
        "max_words": 6,
    }
    parts = dataclasses.replace(preset("small", "synthbirds").model, image_encoder=None, **sizes)
    model.save_to_preset(tmp_path / "model", Config(model=parts), "# Random\n")
    exports = tmp_path / "exports"
    FORMATS["saved_model"](model, exports / "1")
    shutil.copytree(tflite_folder, exports / "tflite")
    monkeypatch.setattr(comparison, "THREADS", (1,))
    rows = {row.name: row for row in compare(tmp_path / "model", exports, CAPTIONS)}
    names = ["SavedModel", "TFLite float32", "TFLite float16", "TFLite dynamic", "TFLite int8"]
    assert list(rows) == ["Keras", *names]
    assert rows["Keras"].largest == 0
    assert rows["SavedModel"].largest <= 2 and rows["TFLite float32"].largest <= 2
    assert rows["TFLite float16"].largest <= 4
    assert rows["TFLite float32"].size > rows["TFLite int8"].size > 0
    assert all(seconds > 0 for row in rows.values() for seconds in row.seconds)
