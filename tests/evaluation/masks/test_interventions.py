"""Masks from outside: which stages, with what, and sheets that show it."""

import numpy as np
import pytest
from PIL import Image

from ssagan_tf import UserError
from ssagan_tf.evaluation.masks import interventions
from ssagan_tf.evaluation.masks.interventions import Intervention, chosen_stages, draw, overrides_of, painted

SIZES = [4, 8, 16]


@pytest.fixture(scope="module")
def model(tiny_model):
    return tiny_model(16, random=True)


def test_stages_are_named_by_their_size():
    assert chosen_stages("all", SIZES) == [True] * 3
    assert chosen_stages("16, 4", SIZES) == [True, False, True]
    for wrong in ("5", "4,", "", "4x4"):
        with pytest.raises(UserError, match="There is no such mask. Received: .* Use all, or some of 4, 8, 16 with"):
            chosen_stages(wrong, SIZES)


def test_a_painted_mask_is_white_where_the_text_acts():
    image = Image.new("RGB", (32, 64), "black")
    image.paste("white", (0, 0, 16, 64))
    for mask, size in zip(painted(image, SIZES), SIZES, strict=True):
        assert mask.shape == (1, size, size, 1) and mask.dtype == np.float32
        assert (mask[:, :, : size // 2 - 1] == 1).all() and (mask[:, :, size // 2 + 1 :] == 0).all()


def test_without_other_masks_a_picture_is_the_usual_one(model):
    drawn = draw(model, "a red bird", 3, 0.5)
    usual, masks = model.generate_with_masks("a red bird", 3, truncation=0.5)
    assert np.abs(drawn.picture.astype(int) - usual[0]).max() <= 1
    for one, other in zip(drawn.masks, masks, strict=True):
        np.testing.assert_allclose(one, other[0], atol=1e-5)


def test_interventions_put_their_masks_at_their_stages_alone(model, tmp_path):
    usual, other = draw(model, "a red bird", 3), draw(model, "yellow wings", 3)
    white = tmp_path / "white.png"
    Image.new("L", (5, 5), 255).save(white)
    for intervention, expected in (
        (Intervention("ablate", "8"), np.zeros([8, 8, 1])),
        (Intervention("ones", "8"), np.ones([8, 8, 1])),
        (Intervention("freeze", "8"), other.masks[1]),
        (Intervention("paint", "8", str(white)), np.ones([8, 8, 1])),
    ):
        given = overrides_of(intervention, SIZES, other.masks)
        assert [mask is not None for mask in given] == [False, True, False]
        changed = draw(model, "a red bird", 3, overrides=given)
        np.testing.assert_array_equal(changed.masks[0], usual.masks[0])
        np.testing.assert_array_equal(changed.masks[1], expected)


def test_with_all_masks_at_zero_the_caption_says_nothing(model):
    closed = overrides_of(Intervention("ablate"), SIZES, ())
    pictures = [draw(model, caption, 3, overrides=closed).picture for caption in ("a red bird", "yellow wings")]
    np.testing.assert_array_equal(*pictures)


def test_sheets_and_film_are_written(model, tmp_path):
    out = tmp_path / "m.png"
    captions = ["a red bird", "a yellow bird"]
    asked = [Intervention("ablate", "4,8"), Intervention("freeze")]
    written = interventions.write_inspection(model, captions, 1, 2, out, None, asked, [("red", "yellow")])
    assert [path.name for path in written] == ["m.png", "m.gif", "m-interventions.png", "m-swaps.png"]
    sizes = {path.name: Image.open(path).size for path in written}
    tile, gap, margin = 192, 8, 16
    widths = {"m.png": 4, "m-interventions.png": 5, "m-swaps.png": 6}  # tiles in a row
    for name, columns in widths.items():
        assert sizes[name][0] == columns * (tile + gap) - gap + 2 * margin
    assert sizes["m-interventions.png"][1] > 4 * tile and 2 * tile < sizes["m-swaps.png"][1] < 3 * tile
    with Image.open(tmp_path / "m.gif") as film:
        assert film.n_frames == 4
    few = interventions.write_inspection(model, captions[:1], 1, 1, tmp_path / "few.png")
    assert [path.name for path in few] == ["few.png", "few.gif"]


def test_what_cannot_be_done_is_refused_before_anything_is_drawn(model, tmp_path):
    def write(captions, asked=(), swaps=()):
        interventions.write_inspection(model, captions, 0, 1, tmp_path / "m.png", None, asked, swaps)

    with pytest.raises(UserError, match="another caption needs one. Received: one caption. Give a second --caption"):
        write(["a red bird"], [Intervention("freeze")])
    with pytest.raises(UserError, match="no such mask"):
        write(["a red bird"], [Intervention("ones", "5")])
    with pytest.raises(UserError, match="does not have that word"):
        write(["a red bird"], swaps=[("blue", "red")])
    with pytest.raises(UserError, match="Received: .*nothing.png"):
        write(["a red bird"], [Intervention("paint", picture=str(tmp_path / "nothing.png"))])
    assert not list(tmp_path.iterdir())
