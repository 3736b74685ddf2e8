"""Runtimes that share no code with TensorFlow draw the same pictures: ONNX Runtime and OpenVINO."""

import sys

import numpy as np
import pytest
import tensorflow as tf

from ssagan_tf import noise
from ssagan_tf.errors import UserError
from ssagan_tf.export import export
from ssagan_tf.export.graph import ImageGraph

CAPTIONS = ["a red bird", "yellow wings", "bird with red wings with red wings"]


@pytest.fixture(scope="module")
def onnx_folder(random_model, tmp_path_factory):
    pytest.importorskip("tf2onnx", reason="tf2onnx is not installed")
    return export(random_model, tmp_path_factory.mktemp("onnx") / "birds", ["onnx"]) / "onnx"


@pytest.fixture(scope="module")
def inputs(random_model):
    return {"noise": noise.normals([1, 2, 3], 5), "sentence": random_model.encode(CAPTIONS)}


@pytest.mark.slow
def test_onnx_runtime_reads_and_draws_what_keras_does(random_model, onnx_folder, inputs):
    runtime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    text, image = (
        runtime.InferenceSession(str(onnx_folder / f"{name}.onnx"), providers=["CPUExecutionProvider"])
        for name in ("text", "image")
    )
    dimensions = [value.shape[0] for session in (text, image) for value in session.get_inputs() + session.get_outputs()]
    assert set(dimensions) == {"batch"}
    ids = random_model.caption_encoder(tf.constant(CAPTIONS))[0].numpy().astype(np.int32)
    (sentence,) = text.run(["sentence"], {"ids": ids})
    np.testing.assert_allclose(sentence, inputs["sentence"], atol=1e-5)
    names = ["image", *(f"mask_{size}" for size in (4, 8, 16, 32, 64))]
    drawn = dict(zip(names, image.run(names, inputs), strict=True))
    wanted, masks = random_model.generator(inputs["noise"], inputs["sentence"])
    np.testing.assert_allclose(drawn["image"], wanted, atol=1e-4)
    for mask in masks:
        np.testing.assert_allclose(drawn[f"mask_{mask.shape[1]}"], mask, atol=1e-4)
    assert len((onnx_folder / "vocabulary.txt").read_text().splitlines()) == len(random_model.vocabulary)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["saved_model", "onnx"])
def test_openvino_draws_what_keras_does(random_model, inputs, kind, tmp_path, request):
    openvino = pytest.importorskip("openvino", reason="openvino is not installed")
    if kind == "onnx":
        source = request.getfixturevalue("onnx_folder") / "image.onnx"
    else:
        # The generator alone: of a whole SavedModel OpenVINO cannot read the tokenizer.
        source = tmp_path / "generator"
        graph = ImageGraph(random_model.generator)
        specs = [tf.TensorSpec([None, value.shape[1]], name=name) for name, value in inputs.items()]
        graph.draw = tf.function(lambda noise, sentence: {"image": graph(noise, sentence)[0]}, specs)
        tf.saved_model.save(graph, str(source), signatures=graph.draw)
    # In float32, which it does not use by itself where the processor has a shorter type.
    compiled = openvino.Core().compile_model(
        openvino.convert_model(str(source)), "CPU", {"INFERENCE_PRECISION_HINT": "f32"}
    )
    drawn = compiled(inputs)[compiled.output("image") if kind == "onnx" else compiled.output(0)]
    wanted, _ = random_model.generator(inputs["noise"], inputs["sentence"])
    np.testing.assert_allclose(drawn, wanted, atol=1e-4)


@pytest.mark.slow
def test_openvino_takes_the_saved_model_of_token_ids(random_model, inputs, tmp_path):
    openvino = pytest.importorskip("openvino", reason="openvino is not installed")
    export(random_model, tmp_path / "birds", ["token_ids"])
    folder = tmp_path / "birds/token_ids/1"
    assert (folder / "vocabulary.txt").is_file()
    model = openvino.Core().compile_model(
        openvino.convert_model(str(folder)), "CPU", {"INFERENCE_PRECISION_HINT": "f32"}
    )
    ids = random_model.caption_encoder(tf.constant(CAPTIONS))[0].numpy().astype(np.int32)
    drawn = model({"ids": ids, "noise": inputs["noise"]})
    wanted, masks = random_model.generator(inputs["noise"], inputs["sentence"])
    np.testing.assert_allclose(drawn["image"], wanted, atol=1e-4)
    np.testing.assert_allclose(drawn["mask_64"], masks[-1], atol=1e-4)


def test_without_tf2onnx_it_is_told_what_to_install(random_model, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tf2onnx", None)
    with pytest.raises(UserError, match=r"pip install -e '\.\[onnx\]'"):
        export(random_model, tmp_path / "birds", ["onnx"])
    assert not list((tmp_path / "birds").iterdir())
