"""Pictures to be scored: which captions, resuming, and that a picture does not depend on its batch."""

import numpy as np
import pytest

from ssagan_tf.core import files
from ssagan_tf.errors import UserError
from ssagan_tf.evaluation import scored_pictures
from ssagan_tf.evaluation.scored_pictures import choose_captions, draw_pictures

CAPTIONS = [f"a {colour} bird with {other} wings" for colour in ("red", "yellow") for other in ("red", "yellow")] * 25


@pytest.fixture(scope="module")
def model(tiny_model, randomize):
    model = tiny_model()
    for part in (model.generator, model.text_encoder):
        randomize(part)
    return model


def _drawn(model, folder, captions=CAPTIONS, **options):
    return np.concatenate(list(draw_pictures(model, captions, folder, **options)))


# --- which captions


def test_every_picture_has_its_turn_before_one_has_another_caption():
    captions = [["a", "b"], ["c"], ["d", "e", "f"]]
    chosen = choose_captions(captions, 8)
    assert chosen == [(0, 0), (1, 0), (2, 0), (0, 1), (1, 0), (2, 1), (0, 0), (1, 0)]


def test_of_fewer_samples_than_pictures_evenly_spread_ones_are_drawn():
    assert choose_captions([["x"]] * 10, 4) == [(0, 0), (2, 0), (5, 0), (7, 0)]
    with pytest.raises(UserError, match="nothing to draw"):
        choose_captions([], 4)


# --- drawing


def test_a_picture_is_that_of_its_caption_and_seed(model, tmp_path):
    drawn = _drawn(model, tmp_path, CAPTIONS[:20], seed=7, truncation=0.5)
    for index in (0, 19):
        expected = model.generate(CAPTIONS[index], seed=7 + index, truncation=0.5)
        # A batch of one may round otherwise than one of sixteen.
        assert np.abs(drawn[index].astype(int) - expected[0]).max() <= 1
    assert np.ptp(drawn, 0).max() > 0


@pytest.mark.parametrize("shard", [16, 48])
def test_pictures_do_not_depend_on_shards_or_count(model, tmp_path, monkeypatch, shard):
    whole = _drawn(model, tmp_path / "whole")
    monkeypatch.setattr(scored_pictures, "_SHARD", shard)
    np.testing.assert_array_equal(_drawn(model, tmp_path / "shards"), whole)
    np.testing.assert_array_equal(_drawn(model, tmp_path / "fewer", CAPTIONS[:21]), whole[:21])


def test_what_was_stopped_goes_on_where_it_was(model, tmp_path, monkeypatch):
    monkeypatch.setattr(scored_pictures, "_SHARD", 16)
    expected = _drawn(model, tmp_path / "whole")
    write, written = files.write_atomically, []

    def stopping(path, content):
        if len(written) == 7:  # settings and three shards, each with its checksum
            raise KeyboardInterrupt
        written.append(path)
        write(path, content)

    monkeypatch.setattr(files, "write_atomically", stopping)
    with pytest.raises(KeyboardInterrupt):
        _drawn(model, tmp_path / "stopped")
    monkeypatch.setattr(files, "write_atomically", write)
    times = {path: path.stat().st_mtime_ns for path in (tmp_path / "stopped").glob("*.npy")}
    assert len(times) == 3
    damaged = min(times)
    damaged.write_bytes(damaged.read_bytes()[:-1])
    np.testing.assert_array_equal(_drawn(model, tmp_path / "stopped"), expected)
    times.pop(damaged)
    assert {path: path.stat().st_mtime_ns for path in times} == times


def test_blackened_pictures_are_told_and_drawn_again(model, tmp_path, monkeypatch):
    expected = draw_pictures(model, CAPTIONS[:20], tmp_path)
    whole = np.concatenate(list(expected))
    path = tmp_path / "pictures-00000.npy"
    np.save(path, np.zeros_like(whole))
    said = []
    monkeypatch.setattr(scored_pictures.logging, "warning", lambda text, *values: said.append(text % values))
    again = draw_pictures(model, CAPTIONS[:20], tmp_path)
    np.testing.assert_array_equal(np.concatenate(list(again)), whole)
    assert again.sha256 == expected.sha256 and len(said) == 1 and str(path) in said[0]


def test_a_folder_of_other_pictures_is_refused_by_the_names_of_what_differs(model, tiny_model, tmp_path):
    _drawn(model, tmp_path, CAPTIONS[:3])
    with pytest.raises(UserError, match="count is 3 there, 4 here"):
        _drawn(model, tmp_path, CAPTIONS[:4])
    with pytest.raises(UserError, match="seed is 0 there, 1 here; truncation is None there, 0.5 here"):
        _drawn(model, tmp_path, CAPTIONS[:3], seed=1, truncation=0.5)
    with pytest.raises(UserError, match="weights is"):
        _drawn(tiny_model(), tmp_path, CAPTIONS[:3])
    (tmp_path / "settings.json").write_text("{")
    with pytest.raises(UserError, match="damaged"):
        _drawn(model, tmp_path, CAPTIONS[:3])


def test_pictures_of_which_nothing_says_where_they_are_from_are_not_gone_on_with(model, tmp_path):
    _drawn(model, tmp_path)
    (tmp_path / "settings.json").unlink()
    with pytest.raises(UserError, match="Nothing says what the pictures were drawn from. Received: .*settings.json"):
        _drawn(model, tmp_path)
