"""A stranger's model folder is data: nothing in it is run, nothing outside of it is read, nothing large is built."""

import json
import os
import pathlib
import resource
import shutil
import struct
import sys
import types

import in_process
import pytest
import tensorflow as tf

from ssagan_tf import SSAGAN, UserError, Vocabulary
from ssagan_tf.config import Config
from ssagan_tf.damsm import load_damsm
from ssagan_tf.training.fine_tuning import fine_tuned
from ssagan_tf.training.run import load_model
from ssagan_tf.weights.model_folder import folder_of

ROOT = pathlib.Path(__file__).parents[2]
LARGEST = {
    "image_size": 1024,
    "base_filters": 1024,
    "noise_dim": 4096,
    "sentence_dim": 4096,
    "mask_filters": 4096,
    "embedding_dim": 4096,
}
SMALLEST = {
    "image_size": 8,
    "base_filters": 1,
    "noise_dim": 5,
    "sentence_dim": 6,
    "mask_filters": 3,
    "embedding_dim": 5,
}


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    config = Config().override(**SMALLEST, mask_blocks=None)
    folder = tmp_path_factory.mktemp("models") / "birds"
    SSAGAN.from_model_config(config.model, Vocabulary.build(["a red bird"])).save_to_preset(folder, config)
    return folder


@pytest.fixture
def folder(good, tmp_path):
    return shutil.copytree(good, tmp_path / "birds")


def configure(folder, **values):
    config = json.loads((folder / "config.json").read_text())
    config["model"].update(values)
    (folder / "config.json").write_text(json.dumps(config))


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    """A text encoder that leaves a file behind where it is loaded, and that file."""
    there = tmp_path_factory.mktemp("program")
    written = there / "written"

    class Table(tf.lookup.StaticHashTable):
        def _initialize(self):
            tf.io.write_file(str(written), "here")
            return super()._initialize()

    module = tf.Module()
    module.table = Table(tf.lookup.KeyValueTensorInitializer(["a"], tf.constant([1], tf.int64)), 0)
    vectors = lambda texts: tf.cast(module.table.lookup(texts), tf.float32)[:, None]  # noqa: E731
    module.__call__ = tf.function(vectors, [tf.TensorSpec([None], tf.string)])
    tf.saved_model.save(module, str(there / "encoder"))
    written.unlink(missing_ok=True)
    return there / "encoder", written


@pytest.mark.parametrize("handle", ["hub:{}", "hub:https://example.org/encoder/1"])
def test_a_configuration_runs_no_program(handle, folder, program, monkeypatch):
    saved_model, written = program
    configure(folder, text_encoder=handle.format(saved_model))
    # Nothing is fetched either.
    monkeypatch.setitem(sys.modules, "tensorflow_hub", types.SimpleNamespace(resolve=pytest.fail))
    shutil.copy(folder / "model.safetensors", folder / "damsm.safetensors")
    readers = [
        SSAGAN.from_preset,
        load_model,
        load_damsm,
        lambda path: fine_tuned(Config(), "small", {"initial_model": path}),
    ]
    for read in readers:
        with pytest.raises(UserError, match="wants a SavedModel, which is a program.*Received: .*say trust=True"):
            read(folder)
    assert not written.exists()


def test_what_is_trusted_is_scanned_all_the_same(folder, program):
    saved_model, written = program
    configure(folder, text_encoder=f"hub:{saved_model}")
    with pytest.raises(UserError, match="may do more than compute. Received: .* with WriteFile"):
        SSAGAN.from_preset(folder, trust=True)
    assert not written.exists()


@pytest.mark.parametrize("flags", [[], ["--trust"]])
def test_the_script_says_so_in_a_line(flags, folder, program):
    saved_model, written = program
    configure(folder, text_encoder=f"hub:{saved_model}")
    done = in_process.run("sample", f"--model={folder}", "--caption=a red bird", *flags, cwd=folder)
    assert done.returncode == 1 and done.stderr.count("\n") == 1 and not done.stdout
    assert ("with WriteFile" if flags else "--trust") in done.stderr
    assert not written.exists() and not (folder / "sheet.png").exists()


def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 2**10  # MB


def test_the_largest_sizes_are_compared_with_the_files_before_anything_is_built(folder):
    configure(folder, **LARGEST)
    before = peak()
    for read in (SSAGAN.from_preset, load_model):
        with pytest.raises(UserError, match="The weights do not fit the model. Received: "):
            read(folder)
    assert peak() - before < 200  # where the variables would have 200 GB


def test_weights_that_say_they_are_larger_than_their_file_are_damaged(folder):
    header = json.dumps({"a": {"dtype": "F32", "shape": [2**40], "data_offsets": [0, 2**42]}}).encode()
    for content in (struct.pack("<Q", len(header)) + header, struct.pack("<Q", 2**60), b""):
        (folder / "model.safetensors").write_bytes(content)
        with pytest.raises(UserError, match="The weights file is damaged"):
            SSAGAN.from_preset(folder)


@pytest.mark.parametrize("name", ["config.json", "vocabulary.txt", "model.safetensors"])
@pytest.mark.parametrize("target", ["/dev/zero", "/etc/passwd", "../elsewhere"])
def test_links_do_not_leave_the_folder(name, target, folder):
    shutil.copy(folder / name, folder.parent / "elsewhere")
    (folder / name).unlink()
    (folder / name).symlink_to(target)
    with pytest.raises(UserError, match=f"A link leads out of the folder. Received: .*{name}, linked to /"):
        SSAGAN.from_preset(folder)


@pytest.mark.parametrize("name", ["config.json", "vocabulary.txt", "model.safetensors"])
def test_a_pipe_is_not_waited_for(name, folder):
    (folder / name).unlink()
    os.mkfifo(folder / name)
    with pytest.raises(UserError, match="it is no regular file|No weights found"):
        SSAGAN.from_preset(folder)


def test_links_within_the_folder_and_those_of_a_hugging_face_cache_are_followed(good, tmp_path):
    snapshot = tmp_path / "models--x--birds" / "snapshots" / "0123abc"
    snapshot.mkdir(parents=True)
    blobs = tmp_path / "models--x--birds" / "blobs"
    blobs.mkdir()
    for number, file in enumerate(good.iterdir()):
        shutil.copy(file, blobs / str(number))
        (snapshot / file.name).symlink_to(f"../../blobs/{number}")
    assert SSAGAN.from_preset(snapshot).generate("a red bird").shape == (1, 8, 8, 3)
    (tmp_path / "link").symlink_to(good)
    assert load_model(tmp_path / "link").generate("a red bird").shape == (1, 8, 8, 3)


def test_a_handle_pins_its_revision_and_without_one_is_told(monkeypatch, caplog, tmp_path):
    asked = []

    def fetch(name, **options):
        asked.append((name, options))
        return str(tmp_path / "0123abc")

    monkeypatch.setitem(sys.modules, "huggingface_hub", types.SimpleNamespace(snapshot_download=fetch))
    monkeypatch.setitem(sys.modules, "kagglehub", types.SimpleNamespace(model_download=fetch))
    folder_of("hf://x/birds@0123abc")
    folder_of("kaggle://x/birds/keras/small@2")
    assert asked == [("x/birds", {"revision": "0123abc"}), ("x/birds/keras/small/2", {})] and not caplog.records
    folder_of("hf://x/birds")
    assert "hf://x/birds names no revision: the newest, 0123abc, was taken" in caplog.text
