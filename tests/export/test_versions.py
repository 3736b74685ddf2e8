"""Where exports are written: SavedModels numbered upwards, other formats beside them, each whole or not there."""

import pathlib
import types

import pytest

from ssagan_tf import export
from ssagan_tf.errors import UserError
from ssagan_tf.export import FORMATS, exported
from ssagan_tf.weights.versions import newest_version

MODEL = types.SimpleNamespace(vocabulary=("<end>", "bird"), max_words=18)


def write(model, folder, captions):
    (folder / "saved_model.pb").write_text("bird")


@pytest.fixture
def formats(monkeypatch):
    """Formats that write next to nothing."""
    monkeypatch.setattr(export, "FORMATS", dict.fromkeys(FORMATS, write))
    monkeypatch.setattr("ssagan_tf.export.serving.write_server_files", lambda *_: None)


def folders(out: pathlib.Path) -> set[str]:
    return {str(path.parent.relative_to(out)) for path in out.rglob("saved_model.pb")}


def test_saved_models_are_numbered_and_other_formats_lie_beside_them(tmp_path, formats):
    out = tmp_path / "birds"
    assert export.export(MODEL, out) == out / "1"
    assert export.export(MODEL, out, ["tflite", "onnx", "web"]) == out
    assert export.export(MODEL, out, ["tflite", "saved_model", "token_ids"]) == out / "2"
    assert export.export(MODEL, out, ["token_ids"]) == out
    assert folders(out) == {"1", "2", "tflite", "onnx", "web", "token_ids/1", "token_ids/2"}
    # What a server that watches the folder takes for versions are all SavedModels.
    assert newest_version(out) == out / "2"
    assert all((path / "saved_model.pb").is_file() for path in out.iterdir() if path.name.isdecimal())


def test_versions_count_upwards_and_other_names_do_not_count(tmp_path, formats):
    out = tmp_path / "birds"
    for name in ("9", "10", ".11.0123abcd.partial", "12-old", "models.config"):
        (out / name).mkdir(parents=True)
    assert export.export(MODEL, out) == out / "11"
    assert not (out / ".11.0123abcd.partial").exists()  # of an export that was killed


def test_a_format_is_replaced_as_a_whole(tmp_path, formats):
    out = tmp_path / "birds"
    (out / "web").mkdir(parents=True)
    (out / "web/old.js").write_text("old")
    export.export(MODEL, out, ["web"])
    assert [path.name for path in out.iterdir()] == ["web"]
    assert [path.name for path in (out / "web").iterdir()] == ["saved_model.pb"]


def test_formats_are_found_where_they_are_and_where_earlier_exports_put_them(tmp_path, formats):
    export.export(MODEL, tmp_path / "new", ["tflite", "saved_model", "token_ids"])
    new = {"saved_model": "1", "tflite": "tflite", "token_ids": "token_ids/1"}
    assert exported(tmp_path / "new") == {name: tmp_path / "new" / place for name, place in new.items()}
    for place in ("1", "2/onnx", "3/tflite", "4/tflite"):
        (tmp_path / "old" / place).mkdir(parents=True)
    write(MODEL, tmp_path / "old/1", ())
    old = {"saved_model": "1", "onnx": "2/onnx", "tflite": "4/tflite"}
    assert exported(tmp_path / "old") == {name: tmp_path / "old" / place for name, place in old.items()}
    assert exported(tmp_path / "old/3")["tflite"] == tmp_path / "old/3/tflite"
    assert "saved_model" not in exported(tmp_path / "old/3")


def test_what_breaks_leaves_nothing(tmp_path, formats, monkeypatch):
    def broken(model, folder, captions):
        (folder / "half").write_text("half")
        raise RuntimeError("broken")

    monkeypatch.setitem(export.FORMATS, "onnx", broken)
    with pytest.raises(RuntimeError, match="broken"):
        export.export(MODEL, tmp_path / "birds", ["onnx"])
    assert list((tmp_path / "birds").iterdir()) == []


@pytest.mark.parametrize(("names", "told"), [(["pdf", "web"], "pdf. Use some of saved_model"), ([], "none. Use")])
def test_formats_that_there_are_not_are_refused(tmp_path, formats, names, told):
    with pytest.raises(UserError, match=f"No such format. Received: {told}"):
        export.export(MODEL, tmp_path / "birds", names)


def test_a_model_without_vocabulary_is_refused(tmp_path, formats):
    with pytest.raises(UserError, match="no vocabulary"):
        export.export(types.SimpleNamespace(vocabulary=None), tmp_path / "birds")


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=[pytest.mark.slow] * (name not in ("saved_model", "token_ids"))) for name in FORMATS],
)
def test_a_full_disk_is_one_line_for_every_format(random_model, full_disk, name):
    with pytest.raises(UserError, match=r"Could not write. Received: .*: No space left on device. Free some") as told:
        export.export(random_model, full_disk / "birds", [name])
    assert "\n" not in str(told.value)
    assert folders(full_disk) == set() and not list(full_disk.rglob("*.partial"))
