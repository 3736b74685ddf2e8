import io
import os
import pathlib
import struct
import zlib

import numpy as np
import processes
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from ssagan_tf.data.decoding import decode_picture, load_picture
from ssagan_tf.data.reading import MAX_CAPTION_CHARACTERS, path_problem, read_captions
from ssagan_tf.data.source import resize_short_side, working_size
from ssagan_tf.errors import UserError

BROKEN_PICTURES = {
    "truncated.jpg": "damaged",
    "header_only.jpg": "damaged",
    "flipped_bytes.jpg": "damaged",
    "bad_crc.png": "damaged",
    "zero_bytes.jpg": "empty",
    "text_named.jpg": "no JPEG",
    "html_error_page.jpg": "no JPEG",
    "bomb_header.png": "more than",
    "bomb_header.jpg": "more than",
    "bomb_16kx16k.png": "more than",
}
UNUSUAL_PICTURES = {
    **dict.fromkeys(("cmyk.jpg", "grey8.jpg", "grey16.png", "grey_alpha.png", "one_bit.png"), (96, 72)),
    **dict.fromkeys(("palette_alpha.png", "rgba.png", "webp.webp", "png_named.jpg", "name with spaces.jpg"), (96, 72)),
    "animated.gif": (48, 36),
    "exif_rotated.jpg": (64, 96),
    "one_pixel.png": (1, 1),
    "very_wide.png": (2000, 3),
    "good.jpg": (160, 120),
}


def encoded(image: Image.Image, kind: str, **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def one_line(error: pytest.ExceptionInfo) -> str:
    message = str(error.value)
    assert "\n" not in message and "Received: " in message
    return message


@pytest.mark.parametrize("name", BROKEN_PICTURES)
def test_refuses_a_broken_picture_in_one_line_that_names_it(shared_data, name):
    with pytest.raises(UserError, match=BROKEN_PICTURES[name]) as error:
        load_picture(shared_data / "broken" / "images" / name)
    assert name in one_line(error)


@pytest.mark.parametrize("name", UNUSUAL_PICTURES)
def test_reads_a_picture_that_is_only_unusual(shared_data, name):
    image = load_picture(shared_data / "broken" / "images" / name)
    assert (image.mode, image.size) == ("RGB", UNUSUAL_PICTURES[name])


def test_every_shared_picture_has_a_test(shared_data):
    names = {path.name for path in (shared_data / "broken" / "images").iterdir()}
    assert names == BROKEN_PICTURES.keys() | UNUSUAL_PICTURES.keys()


@pytest.mark.parametrize(("width", "height"), [(60_000, 60_000), (8001, 8000), (12_000, 8000)])
def test_refuses_by_the_header_before_decoding_and_without_a_warning(tmp_path, width, height):
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    path = tmp_path / "bomb.png"
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"") + chunk(b"IEND", b""))
    program = f"""
from ssagan_tf.data.decoding import load_picture
try:
    load_picture({str(path)!r})
except ValueError as error:
    print(error)
"""
    done = processes.python("-c", program, check=True)
    assert "claims more than" in done.stdout
    assert done.stderr == ""


def test_sixteen_bits_of_grey_become_eight_by_scaling_not_clipping():
    grey = np.arange(0, 65536, 61, dtype=np.uint16)[None]
    image = decode_picture(encoded(Image.fromarray(grey), "PNG"), "grey")
    expected = np.rint(grey / 257).astype(np.uint8)
    np.testing.assert_array_equal(np.asarray(image), np.repeat(expected[..., None], 3, -1))


def test_a_transparent_value_among_sixteen_bits_of_grey_is_white():
    buffer = io.BytesIO()
    Image.fromarray(np.array([[300, 30000]], np.uint16)).save(buffer, "PNG")
    data = buffer.getvalue()
    text = b"tRNS" + (300).to_bytes(2, "big")
    chunk = (2).to_bytes(4, "big") + text + zlib.crc32(text).to_bytes(4, "big")
    place = data.index(b"IDAT") - 4
    assert np.asarray(decode_picture(data[:place] + chunk + data[place:], "grey"))[0, :, 0].tolist() == [255, 117]


@pytest.mark.parametrize("dtype", [np.int32, np.float32])
def test_numbers_without_a_white_are_refused(dtype):
    with pytest.raises(UserError, match="nothing says what is white"):
        decode_picture(encoded(Image.fromarray(np.full((4, 4), 200, dtype)), "TIFF"), "numbers.tif")


@pytest.mark.parametrize(("brand", "reason"), [("avif", "damaged"), ("heic", "It is HEIC"), ("mif1", "It is HEIC")])
def test_heic_is_told_from_a_damaged_avif(brand, reason):
    with pytest.raises(UserError, match=reason):
        decode_picture(b"\0\0\0\x18ftyp" + brand.encode() + bytes(40), "picture")


@pytest.mark.parametrize("read", [load_picture, read_captions])
def test_a_pipe_or_device_is_refused_at_once(tmp_path, read):
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "zeros.png").symlink_to("/dev/zero")
    for name in ("pipe.png", "zeros.png"):
        with pytest.raises(UserError, match="no regular file"):
            read(tmp_path / name)


def test_transparency_is_laid_on_white():
    rgba = np.zeros((1, 3, 4), np.uint8)
    rgba[0, :, 3] = (0, 51, 255)
    rgba[0, :, 0] = 255
    image = np.asarray(decode_picture(encoded(Image.fromarray(rgba), "PNG"), "rgba"))
    np.testing.assert_array_equal(image[0], [[255, 255, 255], [255, 204, 204], [255, 0, 0]])


@pytest.mark.parametrize("mode", ["L", "P", "RGB"])
def test_a_transparent_colour_is_laid_on_white_too(mode):
    colour = (7, 7, 7) if mode == "RGB" else 7
    image = Image.new(mode, (2, 1), colour)
    if mode == "P":
        image.putpalette([0] * 768)
    image.putpixel((1, 0), (0, 0, 0) if mode == "RGB" else 0)
    read = decode_picture(encoded(image, "PNG", transparency=colour), mode)
    assert [read.getpixel((x, 0)) for x in (0, 1)] == [(255, 255, 255), (0, 0, 0)]


def test_of_an_animation_the_first_frame_is_read():
    frames = [Image.new("RGB", (4, 4), colour) for colour in ("red", "blue")]
    data = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert decode_picture(data, "gif").getpixel((0, 0)) == (255, 0, 0)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_picture_is_turned_upright(orientation):
    stored = Image.new("RGB", (3, 2))
    stored.putdata([(10 * i, 0, 0) for i in range(6)])
    exif = Image.Exif()
    exif[0x0112] = orientation
    upright = np.asarray(decode_picture(encoded(stored, "PNG", exif=exif), "exif"))[..., 0] // 10
    # Where EXIF says that the stored first row and first column are to be shown.
    grid = np.arange(6).reshape(2, 3)
    shown = {
        1: grid,
        2: grid[:, ::-1],
        3: grid[::-1, ::-1],
        4: grid[::-1],
        5: grid.T,
        6: grid[::-1].T,
        7: grid[::-1, ::-1].T,
        8: grid[:, ::-1].T,
    }
    np.testing.assert_array_equal(upright, shown[orientation])


def test_what_a_picture_carries_beside_pixels_is_left_behind():
    image = Image.new("RGB", (2, 2))
    assert not decode_picture(encoded(image, "PNG", icc_profile=b"x" * 1000, dpi=(72, 72)), "icc").info


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_a_damaged_picture_is_read_or_refused_but_never_anything_else(data):
    kind = data.draw(st.sampled_from(["PNG", "JPEG", "GIF", "BMP", "WEBP"]))
    content = bytearray(encoded(Image.new("RGB", (9, 7), "green"), kind))
    for place in data.draw(st.lists(st.integers(0, len(content) - 1), max_size=6)):
        content[place] = data.draw(st.integers(0, 255))
    try:
        image = decode_picture(bytes(content[: data.draw(st.integers(0, len(content)))]), "damaged")
    except UserError as error:
        assert "\n" not in str(error)
    else:
        assert image.mode == "RGB"


def test_a_missing_picture_and_a_folder_are_refused(tmp_path):
    for path in (tmp_path / "none.jpg", tmp_path, tmp_path / "nul\0.jpg"):
        with pytest.raises(UserError, match="could not be read"):
            load_picture(path)


@pytest.mark.parametrize(
    ("size", "expected"),
    [((500, 335), (453, 304)), ((335, 500), (304, 453)), ((100, 100), (304, 304)), ((1, 1), (304, 304))],
)
def test_the_short_side_becomes_the_target_and_the_long_one_is_rounded_down(size, expected):
    image = resize_short_side(Image.new("RGB", size, (1, 2, 3)), 304)
    assert image.size == expected
    assert image.getextrema() == ((1, 1), (2, 2), (3, 3))


def test_a_strip_keeps_its_middle_only():
    strip = Image.new("RGB", (2000, 3), "red")
    strip.paste("blue", (980, 0, 1020, 3))
    image = resize_short_side(strip, 64)
    assert image.size == (8 * 64, 64)
    assert image.getpixel((256, 32)) == (0, 0, 255)


def test_drawn_pictures_keep_their_size_and_others_leave_room_to_crop():
    assert working_size("synthbirds", 64) == 64
    assert [working_size("cub", size) for size in (64, 128, 256)] == [76, 152, 304]


CAPTIONS = {
    "bom.txt": ("this bird is blue", "this bird has a crest"),
    "crlf_blank_lines.txt": ("this bird is red", "this bird has a black crown", "a yellow bird"),
    "emoji_and_cjk.txt": ("a bird 🐦 with red wings", "这只鸟是红色的"),
    "latin1.txt": ("a bird with a caf\ufffd au lait breast", "a bird with na\ufffdve eyes"),
    "no_final_newline.txt": ("this bird is blue", "this bird has a crest"),
    "nul_bytes.txt": ("this bird is blue",),
    "replacement_pairs.txt": (
        "this bird\ufffd\ufffds wings are brown and it has a white belly",
        "it has a long\ufffd\ufffdcurved beak",
        "a small bird\ufffd with grey wings",
    ),
    "three_captions_only.txt": ("this bird is blue", "a blue bird", "it has a short beak"),
    "utf16.txt": ("this bird is blue",),
}
BROKEN_CAPTIONS = {
    "empty.txt": "no caption",
    "only_blank_lines.txt": "no caption",
    "punctuation_only.txt": "no caption",
    "very_long_line.txt": "too long",
}


@pytest.mark.parametrize("name", CAPTIONS)
def test_reads_captions_that_are_only_unusual(shared_data, name):
    assert read_captions(shared_data / "broken" / "captions" / name) == CAPTIONS[name]


@pytest.mark.parametrize("name", BROKEN_CAPTIONS)
def test_refuses_captions_that_cannot_be_meant(shared_data, name):
    with pytest.raises(UserError, match=BROKEN_CAPTIONS[name]) as error:
        read_captions(shared_data / "broken" / "captions" / name)
    assert name in one_line(error)


def test_bytes_that_are_not_utf8_become_replacement_characters(shared_data):
    captions = read_captions(shared_data / "broken" / "captions" / "invalid_utf8.txt")
    assert captions[0] == "this bird has a white belly"
    assert "is \ufffd\ufffd\ufffd( black with a red cr\ufffdst" in captions[1]


def test_every_shared_caption_file_has_a_test(shared_data):
    names = {path.name for path in (shared_data / "broken" / "captions").iterdir()}
    assert names == CAPTIONS.keys() | BROKEN_CAPTIONS.keys() | {"invalid_utf8.txt"}


def test_a_caption_may_have_just_as_many_characters_as_allowed(tmp_path):
    path = tmp_path / "long.txt"
    path.write_text("a" * MAX_CAPTION_CHARACTERS)
    assert len(read_captions(path)[0]) == MAX_CAPTION_CHARACTERS
    path.write_text("a" * (MAX_CAPTION_CHARACTERS + 1))
    with pytest.raises(UserError, match="too long"):
        read_captions(path)


@settings(max_examples=150, deadline=None)
@given(content=st.binary(max_size=200))
def test_any_bytes_are_captions_or_refused(tmp_path_factory, content):
    path = tmp_path_factory.getbasetemp() / "any.txt"
    path.write_bytes(content)
    try:
        captions = read_captions(path)
    except UserError:
        return
    assert captions and all(caption.strip() for caption in captions)
    assert not any("\0" in caption or "\n" in caption for caption in captions)


@pytest.mark.parametrize(
    "name",
    [
        "a" * 256,
        "é" * 128,
        "/".join(["a" * 100] * 30),
        "",
        ".",
        "..",
        "../a",
        "/a",
        "a/../../b",
        "a/../b",
        "a\\b",
        "..\\a",
        "a\0.png",
        "a\nb",
        "C:\\a",
        "a\ud800",
    ],
)
def test_paths_that_could_lead_elsewhere_are_refused(name):
    assert path_problem(name)


@pytest.mark.parametrize("name", ["a.png", "a/b c.png", "./a", "ä/鳥.png", "a..b/..c", "👨\u200d👩.png"])
def test_plain_paths_are_accepted(name):
    assert path_problem(name) is None


@given(name=st.text(st.sampled_from("./\\a~\0"), max_size=8))
def test_an_accepted_path_stays_inside(name):
    if path_problem(name) is None:
        resolved = pathlib.Path("/data/set", name).resolve()
        assert resolved.is_relative_to("/data/set") and resolved != pathlib.Path("/data/set")
