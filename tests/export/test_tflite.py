"""TFLite files: built-in operators, the weights inside, and pictures close to Keras's."""

import json
import os
import pathlib
import sys
import zipfile

import numpy as np
import processes
import pytest
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter
from PIL import Image

from ssagan_tf import noise, on_device, pictures
from ssagan_tf.export import tflite
from ssagan_tf.on_device import VARIANTS, Sampler

CAPTIONS = ["a red bird", "yellow wings", "a bird with red wings", "red"]
ROOT = pathlib.Path(tflite.__file__).parents[2]
# The least ratio of picture to difference, in decibels, and bytes of a weight.
PSNR = {"float32": 70, "float16": 50, "dynamic": 30, "int8": 20}
BYTES = {"float32": 4, "float16": 2, "dynamic": 1, "int8": 1}


@pytest.fixture(scope="module")
def model(device_export):
    return device_export[0]


@pytest.fixture(scope="module")
def folder(device_export):
    return device_export[1]


def operators(path: pathlib.Path) -> set[str]:
    """Names of the operators that a file calls; those of custom ones, Flex among them, begin with CUSTOM."""
    content = schema.ModelT.InitFromObj(schema.Model.GetRootAs(path.read_bytes()))
    names = {code: name for name, code in vars(schema.BuiltinOperator).items() if not name.startswith("_")}
    found = set()
    for operator in content.operatorCodes:
        # Codes below 127 are in the old field alone.
        name = names[max(operator.builtinCode, operator.deprecatedBuiltinCode)]
        found.add(name if operator.customCode is None else f"{name} {operator.customCode.decode()}")
    return found


def test_the_folder_holds_all_that_a_device_needs(model, folder):
    names = {f"{variant}.tflite" for variant in VARIANTS} | {"vocabulary.txt", "on_device.py"}
    assert {path.name for path in folder.iterdir()} == names
    assert (folder / "on_device.py").read_bytes() == pathlib.Path(on_device.__file__).read_bytes()
    assert (folder / "vocabulary.txt").read_text().split() == list(model.vocabulary.words)


@pytest.mark.parametrize("variant", VARIANTS)
def test_all_operators_are_built_in(folder, variant):
    found = operators(folder / f"{variant}.tflite")
    assert {"CONV_2D", "FULLY_CONNECTED", "GATHER", "TANH"} <= found
    assert not [name for name in found if name.startswith(("CUSTOM", "STABLEHLO", "FLEX"))]


def test_int8_computes_in_integers(folder):
    interpreter = Interpreter(str(folder / "int8.tflite"))
    for index in range(2):
        types = [tensor["dtype"] for tensor in interpreter.get_tensor_details(index)]
        assert types.count(np.int8) > 0.6 * len(types)


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_weights_are_inside(model, folder, variant):
    # The converter can leave them out and say nothing.
    weights = model.generator.count_params() + model.text_encoder.count_params()
    assert (folder / f"{variant}.tflite").stat().st_size > BYTES[variant] * weights


@pytest.mark.parametrize("variant", VARIANTS)
def test_pictures_are_close_to_those_of_keras(model, folder, variant):
    drawn = Sampler(folder / f"{variant}.tflite").generate(CAPTIONS, seed=1, count=2)
    expected = model.generate(CAPTIONS, seed=1, count=2)
    squares = np.mean((drawn.astype(float) - expected) ** 2)
    assert 10 * np.log10(255**2 / max(squares, 1e-9)) > PSNR[variant]


@pytest.mark.parametrize("variant", VARIANTS)
def test_sentences_of_any_length_are_close_to_those_of_keras(model, folder, variant):
    captions = [" ".join(["red", "bird", "a", "yellow", "wings", "with"][:length]) for length in range(1, 7)]
    found, expected = Sampler(folder / f"{variant}.tflite").encode(captions), model.encode(captions)
    most = {"float32": 1e-6, "float16": 1e-3, "dynamic": 0.02, "int8": 0.1}[variant]
    np.testing.assert_allclose(found, expected, atol=most * np.abs(expected).max())


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_batch_of_any_size_is_taken_and_its_rows_are_apart(model, folder, variant):
    interpreter = Interpreter(str(folder / f"{variant}.tflite"))
    assert interpreter.get_signature_list() == {
        "text": {"inputs": ["ids"], "outputs": ["sentence"]},
        "image": {"inputs": ["noise", "sentence"], "outputs": ["image"] + [f"mask_{2**n}" for n in (4, 5, 2, 6, 3)]},
    }
    text, image = (interpreter.get_signature_runner(name) for name in ("text", "image"))
    ids = np.array([[1, 2, 3, 4, 5, 6], [6, 5, 0, 0, 0, 0], [3, 0, 0, 0, 0, 0]], np.int32)
    draws = noise.normals(range(3), model.generator.noise_dim)
    sentences = text(ids=ids)["sentence"]
    images = image(noise=draws, sentence=sentences)["image"]
    assert sentences.dtype == images.dtype == np.float32 and images.shape == (3, 64, 64, 3)
    for row in range(3):
        alone = text(ids=ids[row : row + 1])["sentence"]
        np.testing.assert_allclose(alone[0], sentences[row], atol=1e-6)
        one = image(noise=draws[row : row + 1], sentence=sentences[row : row + 1])["image"]
        np.testing.assert_allclose(one[0], images[row], atol=1e-5)


def test_the_vocabulary_is_an_associated_file(model, folder):
    with zipfile.ZipFile(folder / "int8.tflite") as archive:
        assert archive.namelist() == ["vocabulary.txt"]
        # Stored, as readers of associated files on phones map the file.
        assert archive.infolist()[0].compress_type == zipfile.ZIP_STORED
        assert archive.read("vocabulary.txt") == (folder / "vocabulary.txt").read_bytes()


@pytest.mark.slow  # only because `make test-slow` installs tflite-support
@pytest.mark.parametrize("variant", VARIANTS)
def test_the_tools_of_litert_read_the_metadata(model, folder, variant):
    metadata = pytest.importorskip(
        "tensorflow_lite_support.metadata.python.metadata", reason="tflite-support is not installed"
    )
    found = metadata.MetadataDisplayer.with_model_file(str(folder / f"{variant}.tflite"))
    assert found.get_packed_associated_file_list() == ["vocabulary.txt"]
    graphs = {graph["name"]: graph for graph in json.loads(found.get_metadata_json())["subgraph_metadata"]}
    (ids,) = graphs["text"]["input_tensor_metadata"]
    assert ids["name"] == "ids" and ids["stats"] == {"max": [float(len(model.vocabulary) - 1)], "min": [0.0]}
    assert [(file["name"], file["type"]) for file in ids["associated_files"]] == [("vocabulary.txt", "VOCABULARY")]
    interpreter = Interpreter(str(folder / f"{variant}.tflite"))
    runner = interpreter.get_signature_runner("image")
    # In the order of the graph's own inputs and outputs, which is none of the signature's.
    described = graphs["image"]["input_tensor_metadata"]
    inputs = {details["index"]: name for name, details in runner.get_input_details().items()}
    assert [entry["name"] for entry in described] == [inputs[each["index"]] for each in interpreter.get_input_details()]
    outputs = {entry["name"]: entry for entry in graphs["image"]["output_tensor_metadata"]}
    assert outputs["image"]["stats"] == {"max": [1.0], "min": [-1.0]}
    assert outputs["image"]["content"]["content_properties"] == {"color_space": "RGB"}
    assert outputs["mask_4"]["dimension_names"] == ["batch", "height", "width", "channels"]


def run(python: pathlib.Path, *arguments: object):
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return processes.run(python, ROOT / "scripts/sample_tflite.py", *arguments, env=environment)


def test_the_script_writes_the_sheet_of_the_pictures(folder, tmp_path):
    out = tmp_path / "sheet.png"
    done = run(sys.executable, f"--model={folder}", "--caption=a red bird", "--count=2", "--seed=5", f"--out={out}")
    assert done.returncode == 0, done.stderr
    drawn = Sampler(folder).generate("a red bird", seed=5, count=2)
    expected = pictures.caption_grid([("a red bird", drawn)])
    np.testing.assert_array_equal(np.asarray(Image.open(out)), np.asarray(expected))


@pytest.mark.parametrize(
    "arguments, status, problem",
    [
        (["--model=none", "--caption=red"], 1, "error: No model found. Received: none."),
        (["--model=none"], 1, "error: No caption."),
        (["--model=none", "--caption=red", "--count=0"], 2, "error: Argument --count: must be 1 to 100."),
        (["--caption=red", "--seed=one"], 2, "error: Argument --seed:"),
        (["--caption=red", "--truncation=nan"], 2, "error: Argument --truncation: must be a number, 0 or more."),
    ],
)
def test_the_script_tells_errors_in_one_line(arguments, status, problem):
    done = run(sys.executable, *arguments)
    assert done.returncode == status and done.stdout == ""
    assert done.stderr.startswith(problem) and done.stderr.count("\n") == 1


@pytest.mark.slow
def test_the_script_draws_the_same_where_there_is_no_tensorflow(folder, model, tmp_path):
    python = tmp_path / "venv/bin/python"
    processes.python("-m", "venv", tmp_path / "venv", check=True)
    install = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    processes.run(*install, "ai-edge-litert", "numpy", "pillow", check=True)
    for module in ("tensorflow", "keras", "absl", "ssagan_tf"):
        assert processes.run(python, "-c", f"import {module}", cwd=tmp_path, env=None).returncode == 1
    out = tmp_path / "sheet.png"
    done = run(python, f"--model={folder}", "--caption=a red bird", "--count=2", f"--out={out}")
    assert done.returncode == 0, done.stderr
    sheet = np.asarray(Image.open(out)).astype(int)
    expected = pictures.caption_grid([("a red bird", model.generate("a red bird", count=2))])
    assert np.abs(sheet - np.asarray(expected)).max() <= 2
