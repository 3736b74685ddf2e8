"""Versions: numbered upwards, whole or not there."""

import types

import pytest

from ssagan_tf import export
from ssagan_tf.errors import UserError

MODEL = types.SimpleNamespace(vocabulary=("<end>", "bird"))


@pytest.fixture
def only_words(monkeypatch):
    monkeypatch.setattr(
        export, "FORMATS", {"words": lambda model, folder, captions: (folder / "words").write_text("bird")}
    )


def test_versions_count_upwards_and_other_names_do_not_count(tmp_path, only_words):
    out = tmp_path / "birds"
    assert export.export(MODEL, out, ["words"]) == out / "1"
    for name in ("9", "10", ".11.0123abcd.partial", "12-old", "models.config"):
        (out / name).mkdir()
    assert export.export(MODEL, out, ["words"]) == out / "11"
    assert (out / "11" / "words").read_text() == "bird"


def test_what_breaks_leaves_no_version(tmp_path, monkeypatch):
    def broken(model, folder, captions):
        (folder / "half").write_text("half")
        raise RuntimeError("broken")

    monkeypatch.setattr(export, "FORMATS", {"broken": broken})
    with pytest.raises(RuntimeError, match="broken"):
        export.export(MODEL, tmp_path / "birds", ["broken"])
    assert list((tmp_path / "birds").iterdir()) == []


@pytest.mark.parametrize(("formats", "told"), [(["pdf", "words"], "pdf. Use some of words"), ([], "none. Use")])
def test_formats_that_there_are_not_are_refused(tmp_path, only_words, formats, told):
    with pytest.raises(UserError, match=f"No such format. Received: {told}"):
        export.export(MODEL, tmp_path / "birds", formats)


def test_a_model_without_vocabulary_is_refused(tmp_path, only_words):
    with pytest.raises(UserError, match="no vocabulary"):
        export.export(types.SimpleNamespace(vocabulary=None), tmp_path / "birds", ["words"])
