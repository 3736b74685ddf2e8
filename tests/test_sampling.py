"""Sheets and interpolations: the ends are the pictures of their captions and seeds, and nothing jumps between."""

import numpy as np
import pytest
from PIL import Image

from ssagan_tf import UserError, sampling


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
