import io

import numpy as np
import processes
import pytest
from PIL import Image

from ssagan_tf import pictures
from ssagan_tf.errors import UserError
from ssagan_tf.pictures import colors, layout

RED, GREEN, BLUE = (255, 0, 0), (0, 255, 0), (0, 0, 255)
MARGIN, GAP, ROW_GAP, LINE = 16, 8, 18, 20
BACKGROUND = (248, 247, 243)


def plain(*colours, size=64):
    """One-coloured pictures: uint8 (B, size, size, 3)."""
    return np.stack([np.full((size, size, 3), colour, np.uint8) for colour in colours])


def has_text(sheet, left, top, right, bottom):
    """Whether something dark is written on the pale ground of a part of a sheet."""
    return np.asarray(sheet)[top:bottom, left:right].min() < 100


def test_pictures_become_8_bits_by_truncation():
    values = np.float32([-1, -0.9999, 0, 0.9999, 1, -7, 7, np.inf, -np.inf])
    assert pictures.to_uint8(values).tolist() == [0, 0, 127, 254, 255, 0, 255, 255, 0]


def test_every_8_bit_value_comes_back():
    values = np.arange(256, dtype=np.uint8)
    centres = (values.astype(np.float32) + 0.5) / 127.5 - 1
    assert (pictures.to_uint8(centres) == values).all()


def test_a_diverged_picture_is_refused():
    with pytest.raises(UserError, match="diverged"):
        pictures.to_uint8(np.float32([0, np.nan]))


def test_a_png_holds_the_pixels():
    picture = np.random.default_rng(0).integers(0, 256, (5, 7, 3), np.uint8)
    for given in (picture, Image.fromarray(picture)):
        assert (np.asarray(Image.open(io.BytesIO(pictures.png_bytes(given)))) == picture).all()


def test_a_png_is_saved_or_refused(tmp_path):
    pictures.save_png(plain(RED)[0], tmp_path / "new" / "a.png")
    assert Image.open(tmp_path / "new" / "a.png").size == (64, 64)
    with pytest.raises(UserError):
        pictures.save_png(plain(RED)[0], tmp_path / "new")


@pytest.mark.parametrize(("size", "shown"), [(1, 192), (64, 192), (100, 200), (128, 256), (256, 256), (299, 299)])
def test_one_picture_is_enlarged_by_a_whole_number(size, shown):
    assert pictures.grid(plain(RED, size=size)).size == (shown + 2 * MARGIN, shown + 2 * MARGIN)


def test_enlarged_pixels_stay_squares():
    picture = np.random.default_rng(0).integers(0, 256, (1, 64, 64, 3), np.uint8)
    sheet = np.asarray(pictures.grid(picture))
    assert (sheet[MARGIN:-MARGIN, MARGIN:-MARGIN] == picture[0].repeat(3, 0).repeat(3, 1)).all()
    assert (sheet[:MARGIN] == BACKGROUND).all()


def test_pictures_fill_a_grid_row_by_row():
    sheet = pictures.grid(plain(RED, GREEN, BLUE), columns=2)
    assert sheet.size == (2 * MARGIN + 2 * 192 + GAP, 2 * MARGIN + 2 * 192 + ROW_GAP)
    right, below = MARGIN + 192 + GAP, MARGIN + 192 + ROW_GAP
    assert sheet.getpixel((MARGIN, MARGIN)) == RED
    assert sheet.getpixel((right, MARGIN)) == GREEN
    assert sheet.getpixel((MARGIN, below)) == BLUE
    assert sheet.getpixel((right, below)) == BACKGROUND
    assert sheet.getpixel((right - 1, MARGIN)) == sheet.getpixel((MARGIN, below - 1)) == BACKGROUND


@pytest.mark.parametrize(("count", "columns"), [(1, 1), (2, 2), (4, 2), (6, 3), (7, 3), (8, 4), (12, 4), (16, 4)])
def test_a_grid_has_about_as_many_columns_as_rows(count, columns):
    width = pictures.grid(plain(*[RED] * count), tile=1).width
    assert width == 2 * MARGIN + columns * (64 + GAP) - GAP


def test_titles_are_written_under_their_own_pictures():
    sheet = pictures.grid(plain(RED, RED), columns=2, titles=["", "a red bird"])
    assert sheet.height == 2 * MARGIN + 192 + GAP + LINE
    under = MARGIN + 192 + GAP
    assert not has_text(sheet, 0, under, MARGIN + 192, sheet.height)
    assert has_text(sheet, MARGIN + 192 + GAP, under, sheet.width, sheet.height)


def test_long_titles_are_wrapped_within_their_column():
    title = "this bird has a white breast and a red crown"
    sheet = pictures.grid(plain(RED, RED), columns=2, titles=[title, ""])
    assert (sheet.height - 2 * MARGIN - 192 - GAP) / LINE in (2, 3)
    assert not has_text(sheet, MARGIN + 192, MARGIN + 192, sheet.width, sheet.height)


@pytest.mark.parametrize("text", ["word " * 2000, "x" * 10_000, "i" * 10_000, "a\u0301" * 5000, "\u200d" * 10_000])
def test_a_caption_of_10000_characters_is_cut_after_six_lines(text):
    sheet = pictures.grid(plain(RED), titles=[text])
    assert sheet.size == (192 + 2 * MARGIN, 192 + 2 * MARGIN + GAP + 6 * LINE)
    assert not has_text(sheet, MARGIN + 192 + 1, 0, sheet.width, sheet.height)
    lines = layout._wrapped(text, 192)
    assert lines[-1].endswith(" …") and not any("…" in line for line in lines[:-1])


def test_no_word_is_lost_or_changed_by_wrapping():
    text = "a small bird with a very long and slightly curved bill and brown wings"
    lines = layout._wrapped(text, 192)
    assert " ".join(lines) == text and len(lines) > 1
    assert "".join(layout._wrapped("donaudampfschifffahrtsgesellschaft", 50)) == "donaudampfschifffahrtsgesellschaft"


@pytest.mark.parametrize(
    "text",
    ["एक लाल पक्षी", "一只红色的鸟", "طائر أحمر", "🐦🏽", "\ud800", "a\0b", "line\nline\r\ttab", "<b>&amp;", "%s {}"],
)
def test_any_caption_is_drawn(text):
    assert has_text(pictures.grid(plain(RED), titles=[text]), MARGIN, MARGIN + 192, 200, MARGIN + 192 + GAP + LINE)


@pytest.mark.parametrize("text", ["", " ", "\n\t"])
def test_an_empty_caption_takes_no_room(text):
    assert pictures.grid(plain(RED), titles=[text]).size == pictures.grid(plain(RED)).size


def test_each_caption_has_its_row_of_pictures():
    sheet = pictures.caption_grid([("a red bird", plain(RED, RED)), ("a blue bird", plain(BLUE, GREEN))])
    row = 192 + GAP + LINE + ROW_GAP
    assert sheet.size == (2 * MARGIN + 2 * 192 + GAP, 2 * MARGIN + 2 * row - ROW_GAP)
    for top, colours in ((MARGIN, (RED, RED)), (MARGIN + row, (BLUE, GREEN))):
        assert tuple(sheet.getpixel((x, top)) for x in (MARGIN, MARGIN + 192 + GAP)) == colours
        assert has_text(sheet, MARGIN, top + 192 + GAP, sheet.width, top + 192 + GAP + LINE)


def test_a_caption_may_be_as_wide_as_its_row():
    caption = "this bird has a white breast and a red crown"
    height = 2 * MARGIN + 192 + GAP + LINE
    assert pictures.caption_grid([(caption, plain(RED, RED, RED))]).height == height
    assert pictures.caption_grid([(caption, plain(RED))]).height > height


def lightness(colour):
    """L of OKLab (Ottosson, 2020) of an sRGB colour."""
    value = np.asarray(colour) / 255
    linear = np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)
    to_cones = [(0.4122214708, 0.5363325363, 0.0514459929), (0.2119034982, 0.6806995451, 0.1073969566)]
    cones = np.cbrt(np.array([*to_cones, (0.0883024619, 0.2817188376, 0.6299787005)]) @ linear)
    return cones @ (0.2104542553, 0.7936177850, -0.0040720468)


def test_a_masks_colours_grow_lighter_evenly():
    values = np.linspace(0, 1, 9)[None]
    steps = np.diff([lightness(colour) for colour in colors.heat_colors(values)[0]])
    np.testing.assert_allclose(steps, steps.mean(), atol=0.01)


def test_a_mask_is_dark_at_0_and_light_at_1():
    black = np.zeros((8, 8, 3), np.uint8)
    overlay = pictures.mask_overlay(black, np.float32([[0, 1], [1, 0]]))
    assert overlay.size == (8, 8)
    dark, light = (round(0.7 * value) for value in (13, 254))
    assert overlay.getpixel((0, 0))[0] == overlay.getpixel((7, 7))[0] == overlay.getpixel((3, 3))[0] == dark
    assert overlay.getpixel((4, 0))[0] == overlay.getpixel((0, 7))[0] == light


def test_the_picture_is_seen_through_the_mask():
    picture = plain(RED, size=4)[0]
    picture[0, 0] = 255
    overlay = np.asarray(pictures.mask_overlay(picture, np.zeros((1, 1, 1), np.float32))).astype(int)
    white, red = overlay[0, 0], overlay[1, 1]
    np.testing.assert_allclose(white - red, 0.3 * 255 * (1 - 0.299), atol=1)  # 0.299: red's part of grey


@pytest.mark.parametrize(
    "mask",
    [
        np.full((4, 4), 1.1, np.float32),
        np.full((4, 4), -0.1, np.float32),
        np.full((4, 4), np.nan, np.float32),
        np.zeros((128, 128), np.float32),
        np.zeros((4, 4, 3), np.float32),
        np.zeros((0, 4), np.float32),
        np.zeros(4, np.float32),
    ],
)
def test_what_is_no_mask_is_refused(mask):
    with pytest.raises(UserError, match="mask"):
        pictures.mask_overlay(plain(RED)[0], mask)


def test_a_mask_sheet_shows_each_picture_and_its_masks():
    masks = [np.stack([np.full((side, side, 1), value, np.float32) for value in (0, 1)]) for side in (4, 8, 16)]
    sheet = pictures.mask_sheet(plain(RED, BLUE), masks, ["a red bird", "a blue bird"])
    row = 192 + GAP + LINE + ROW_GAP
    top = MARGIN + LINE
    assert sheet.size == (2 * MARGIN + 4 * 192 + 3 * GAP, top + 2 * row - ROW_GAP + LINE + MARGIN)
    for index, colour in enumerate((RED, BLUE)):
        assert sheet.getpixel((MARGIN, top + index * row)) == colour
        expected = pictures.mask_overlay(plain(colour)[0], masks[0][index]).getpixel((0, 0))
        for column in (1, 2, 3):
            assert sheet.getpixel((MARGIN + column * (192 + GAP), top + index * row)) == expected
    for column in range(4):
        left = MARGIN + column * (192 + GAP)
        assert has_text(sheet, left, 0, left + 192, top)


def test_a_strip_is_one_row():
    assert pictures.strip(plain(*[RED] * 9)).size == (2 * MARGIN + 9 * 192 + 8 * GAP, 192 + 2 * MARGIN)


def test_a_long_strip_goes_on_below():
    assert pictures.strip(plain(*[RED] * 30)).size == (2 * MARGIN + 12 * 192 + 11 * GAP, 2 * MARGIN + 3 * 192 + 36)


def test_a_film_shows_its_frames_for_their_time_and_begins_anew():
    film = Image.open(io.BytesIO(pictures.gif_bytes(plain(RED, GREEN, BLUE), milliseconds=120)))
    assert (film.n_frames, film.size, film.info["loop"]) == (3, (192, 192), 0)
    for index, colour in enumerate((RED, GREEN, BLUE)):
        film.seek(index)
        assert film.info["duration"] == 120
        assert film.convert("RGB").getpixel((96, 96)) == colour


def test_a_frame_of_at_most_256_colours_is_exact():
    colours = np.random.default_rng(0).integers(0, 256, (2, 8, 8, 3), np.uint8)
    film = Image.open(io.BytesIO(pictures.gif_bytes(colours)))
    for index, frame in enumerate(colours):
        film.seek(index)
        assert (np.asarray(film.convert("RGB").resize((8, 8), Image.Resampling.NEAREST)) == frame).all()


def test_a_film_may_have_one_frame_and_very_short_ones():
    assert Image.open(io.BytesIO(pictures.gif_bytes(plain(RED)))).n_frames == 1
    assert Image.open(io.BytesIO(pictures.gif_bytes(plain(RED, BLUE), milliseconds=1))).info["duration"] == 20


@pytest.mark.parametrize("milliseconds", [0, -5, 60_001])
def test_a_film_out_of_time_is_refused(milliseconds):
    with pytest.raises(UserError, match="milliseconds"):
        pictures.gif_bytes(plain(RED), milliseconds)


NO_PICTURES = [
    [],
    np.zeros((0, 64, 64, 3), np.uint8),
    np.zeros((1, 0, 64, 3), np.uint8),
    np.zeros((64, 64, 3), np.uint8),
    np.zeros((1, 64, 64, 1), np.uint8),
    np.zeros((1, 64, 64, 3), np.float32),
]


@pytest.mark.parametrize("wrong", NO_PICTURES)
def test_what_are_no_pictures_is_refused(wrong):
    for draw in (pictures.grid, pictures.strip, pictures.gif_bytes, lambda wrong: pictures.mask_sheet(wrong, [])):
        with pytest.raises(UserError, match="no pictures. Received: "):
            draw(wrong)
    with pytest.raises(UserError, match="no pictures. Received: "):
        pictures.caption_grid([("a", wrong)])


@pytest.mark.parametrize(
    "draw",
    [
        lambda: pictures.caption_grid([]),
        lambda: pictures.caption_grid([("a", plain(RED)), ("b", plain(RED, size=100))]),
        lambda: pictures.grid(plain(RED), columns=0),
        lambda: pictures.grid(plain(RED), titles=[]),
        lambda: pictures.grid(plain(RED), tile=1_000_000),
        lambda: pictures.gif_bytes(np.broadcast_to(plain(RED), (4000, 64, 64, 3))),
        lambda: pictures.caption_grid([("a", plain(RED))] * 3000),
        lambda: pictures.strip(np.broadcast_to(plain(RED), (4000, 64, 64, 3))),
        lambda: pictures.mask_sheet(plain(RED), [np.zeros((2, 4, 4, 1), np.float32)]),
        lambda: pictures.mask_sheet(plain(RED), [np.zeros((1, 4, 4, 1), np.float32)], ["a", "b"]),
    ],
)
def test_what_makes_no_sheet_is_refused(draw):
    with pytest.raises(UserError, match="Received: "):
        draw()


def test_pictures_do_without_tensorflow():
    code = "import sys, ssagan_tf.pictures; sys.exit('tensorflow' in sys.modules or 'keras' in sys.modules)"
    processes.python("-c", code, check=True)
