"""Copies of training pictures are found, counted and shown beside their originals."""

import types

import numpy as np

from ssagan_tf import pictures
from ssagan_tf.data.synthbirds import SynthBirds
from ssagan_tf.evaluation import memorization
from ssagan_tf.evaluation.reference import real_pictures


def test_a_model_that_copies_is_told_and_shown(tmp_path, monkeypatch):
    birds = SynthBirds(32, count={"train": 30, "test": 40})
    parts = {split: list(real_pictures(birds, split, 32)) for split in ("train", "test")}
    copies = [np.concatenate(parts["train"])[[29, 3, 7]]]

    def features(batches):
        flat = np.concatenate(batches).reshape(sum(map(len, batches)), -1).astype(np.float32)
        return types.SimpleNamespace(features=flat, pictures_sha256="")

    evaluation = types.SimpleNamespace(
        data=birds,
        image_size=32,
        out=tmp_path,
        drawn=copies,
        captions=[types.SimpleNamespace(text=f"bird {index}") for index in range(3)],
        drawn_features=features(copies),
        real_features=features(parts["test"]),
        features_of_real=lambda split: features(parts[split]),
        extractor_card=dict,
        reference_card=dict,
    )
    shown, grid = [], pictures.caption_grid
    monkeypatch.setattr(pictures, "caption_grid", lambda rows, header: shown.extend(rows) or grid(rows, header))
    scores = memorization.memorization(evaluation)
    assert (scores["copies"]["value"], scores["copy_ratio"]["value"]) == (1, 0)
    assert sorted(title for title, _ in shown) == ["bird 0", "bird 1", "bird 2"]
    assert all((pair[0] == pair[1]).all() for _, pair in shown)
    assert (tmp_path / memorization.SHEET_FILE).is_file()
