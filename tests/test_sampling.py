"""Sheets and interpolations: the ends are the pictures of their captions and seeds, and nothing jumps between."""

import pathlib
import shutil

import numpy as np
import processes
import pytest
from PIL import Image

from ssagan_tf import UserError, sampling
from ssagan_tf.core.files import BUNDLED_MODEL
from ssagan_tf.weights.model_folder import WEIGHTS_FILE

ROOT = pathlib.Path(__file__).parents[1]


@pytest.fixture(scope="module")
def model(tiny_model):
    return tiny_model(random=True)


def test_an_interpolation_begins_and_ends_with_the_pictures_of_its_ends(model):
    drawn = sampling.interpolate(model, ["a red bird", "yellow wings"], (3, 4), 7)
    assert drawn.shape == (7, 8, 8, 3) and drawn.dtype == np.uint8
    for frame, caption, seed in ((0, "a red bird", 3), (-1, "yellow wings", 4)):
        difference = drawn[frame].astype(int) - model.generate(caption, seed=seed)[0]
        assert np.abs(difference).max() <= 1
    steps = np.abs(np.diff(drawn.astype(int), axis=0)).mean((1, 2, 3))
    assert (steps > 0).all() and steps.max() < 4 * steps.mean()


def test_one_caption_is_drawn_from_one_seed_to_another(model):
    drawn = sampling.interpolate(model, ["a red bird"], (3, 4), 5)
    for frame, seed in ((0, 3), (-1, 4)):
        assert np.abs(drawn[frame].astype(int) - model.generate("a red bird", seed=seed)[0]).max() <= 1


def test_two_captions_with_one_seed_keep_the_noise(model):
    drawn = sampling.interpolate(model, ["a red bird", "a red bird"], (3, 3), 4)
    assert np.abs(drawn.astype(int) - model.generate("a red bird", seed=3)).max() <= 1


def test_mixtures_of_noise_are_as_long_as_noise():
    random = np.random.default_rng(0)
    start, end = random.normal(size=(2, 100)).astype("float32")
    along = np.linspace(0, 1, 11, dtype="float32")[:, None]
    lengths = np.linalg.norm(sampling._along_sphere(start, end, along), axis=1)
    assert min(lengths) > 0.9 * min(lengths[0], lengths[-1])
    np.testing.assert_allclose(lengths[[0, -1]], [np.linalg.norm(start), np.linalg.norm(end)], rtol=1e-5)


def test_without_noise_one_caption_is_one_picture(model):
    drawn = sampling.interpolate(model, ["a red bird"], (3, 4), 3, truncation=0.0)
    np.testing.assert_array_equal(drawn, np.repeat(model.generate("a red bird", truncation=0.0), 3, 0))


def test_ends_that_cannot_be_drawn_are_refused(model):
    with pytest.raises(UserError, match="no word"):
        sampling.interpolate(model, ["a red bird", "xyzzy"], (0, 0), 3)
    with pytest.raises(UserError, match="Seeds have 64 bits. Received"):
        sampling.interpolate(model, ["a red bird"], (0, 2**64), 3)


def test_sheets_strips_and_films_are_written(model, tmp_path):
    captions = ["a red bird", "yellow wings"]
    (sheet,) = sampling.write_sheet(model, captions, 0, 3, tmp_path / "sheet.png")
    (masks,) = sampling.write_sheet(model, captions, 0, 1, tmp_path / "masks.png", masks=True)
    strip, film = sampling.write_interpolation(model, captions, (0, 1), 5, tmp_path / "way.png")
    assert {path.name for path in tmp_path.iterdir()} == {"sheet.png", "masks.png", "way.png", "way.gif"}
    for path in (sheet, masks, strip, film):
        with Image.open(path) as image:
            image.load()
            assert min(image.size) > 30
    with Image.open(film) as image:
        assert image.n_frames == 8  # five there, three back


def test_the_same_sheet_is_drawn_again(model, tmp_path):
    for name in ("one.png", "two.png"):
        sampling.write_sheet(model, ["a red bird"], 5, 2, tmp_path / name)
    assert (tmp_path / "one.png").read_bytes() == (tmp_path / "two.png").read_bytes()


# === By LiteRT ===


@pytest.fixture
def folder(tmp_path):
    """A model folder whose TFLite file is stamped."""
    (tmp_path / "birds" / "tflite").mkdir(parents=True)
    shutil.copy(BUNDLED_MODEL / WEIGHTS_FILE, tmp_path / "birds")
    shutil.copy(next(BUNDLED_MODEL.rglob("float32.tflite")), tmp_path / "birds" / "tflite")
    sampling.stamp(tmp_path / "birds")
    return tmp_path / "birds"


def test_a_stamped_folder_is_sampled_without_tensorflow(folder, tmp_path):
    code = (
        "import runpy, sys, atexit\n"
        "atexit.register(lambda: print('tensorflow' in sys.modules, 'keras' in sys.modules))\n"
        f"sys.argv = ['sample.py', '--model={folder}', '--caption=a red bird', '--caption=a blue bird', "
        f"'--out={tmp_path / 'sheet.png'}', *sys.argv[1:]]\n"
        "runpy.run_path('scripts/sample.py', run_name='__main__')"
    )
    for flags in ([], ["--masks"], ["--interpolate"]):
        done = processes.python("-c", code, *flags, cwd=ROOT)
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.splitlines()[0].startswith("Wrote ") and done.stdout.endswith("False False\n")
        assert Image.open(tmp_path / "sheet.png").width > 200


def test_lite_pictures_are_those_of_the_model(folder):
    from ssagan_tf.training.run import load_model

    light, model = sampling.light_model(folder), load_model(BUNDLED_MODEL)
    arguments = (["a small bird with a red crown", "a blue bird"], (3, 4), 5)
    by_both = [sampling.interpolate(each, *arguments).astype(int) for each in (light, model)]
    assert np.abs(by_both[0] - by_both[1]).max() <= 1
    drawn = [each.generate_with_masks("a red bird", 5, 2, 0.7) for each in (light, model)]
    assert np.abs(drawn[0][0].astype(int) - drawn[1][0]).max() <= 1
    for ours, theirs in zip(drawn[0][1], drawn[1][1], strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-4)


@pytest.mark.parametrize(
    "harm", ["other weights", "endless weights", "endless stamp", "no stamp", "damaged", "missing"]
)
def test_files_that_are_not_of_these_weights_are_left_alone(folder, harm):
    if harm == "other weights":
        (folder / WEIGHTS_FILE).write_bytes(b"later ones")
    elif harm.startswith("endless"):
        path = folder / (WEIGHTS_FILE if harm == "endless weights" else f"tflite/{sampling.STAMP_FILE}")
        path.unlink()
        path.symlink_to("/dev/zero")
    elif harm == "no stamp":
        (folder / "tflite" / sampling.STAMP_FILE).unlink()
    elif harm == "damaged":
        (folder / "tflite" / "float32.tflite").write_bytes(b"TFL3")
    else:
        shutil.rmtree(folder / "tflite")
    assert sampling.light_model(folder) is None


def test_the_name_of_the_weights_is_one():
    assert sampling._WEIGHTS_FILE == WEIGHTS_FILE


def test_a_sheet_of_stages_has_a_column_for_each_model(model, tiny_model, tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(sampling.pictures, "caption_grid", lambda rows, header: seen.append((rows, header)))
    monkeypatch.setattr(sampling.pictures, "save_png", lambda sheet, path: None)
    models = {"early": model, "late": tiny_model()}
    sampling.write_stages(models, ["a red bird", "yellow wings"], 5, tmp_path / "stages.png")
    ((rows, header),) = seen
    assert header == ["early", "late"] and [caption for caption, _ in rows] == ["a red bird", "yellow wings"]
    for caption, row in rows:
        for drawn, each in zip(row, models.values(), strict=True):
            np.testing.assert_array_equal(drawn, each.generate(caption, seed=5)[0])
