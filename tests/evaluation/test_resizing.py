"""Resize filters pixel by pixel against other implementations of the same rule."""

import numpy as np
import pytest
from PIL import Image

from ssagan_tf.errors import UserError
from ssagan_tf.evaluation.resizing import FILTERS, pillow_bicubic, pillow_bilinear, tf1_bilinear

SIZES = [(64, 299), (37, 19), (19, 37), (50, 50), (300, 299)]


def _pictures(size, count=2):
    return np.random.default_rng(size).integers(0, 256, [count, size, size + 3, 3], np.uint8)


def _tf1_by_formula(picture, size):
    """The rule written out for each pixel, in float64: source position i * (in / out), clamped at the far edge."""
    height, width, _ = picture.shape
    result = np.empty([size, size, 3])
    for i in range(size):
        for j in range(size):
            y, x = i * height / size, j * width / size
            top, left = int(y), int(x)
            bottom, right = min(top + 1, height - 1), min(left + 1, width - 1)
            a, b = y - top, x - left
            above = picture[top, left] * (1 - b) + picture[top, right] * b
            below = picture[bottom, left] * (1 - b) + picture[bottom, right] * b
            result[i, j] = above * (1 - a) + below * a
    return result


@pytest.mark.parametrize("before, after", SIZES)
def test_tf1_bilinear_is_tensorflows_legacy_kernel_and_its_formula(before, after):
    import tensorflow as tf

    pictures = _pictures(before)
    found = tf1_bilinear(pictures, after)
    images = pictures.astype(np.float32)
    kernel = tf.raw_ops.ResizeBilinear(
        images=images, size=[after, after], align_corners=False, half_pixel_centers=False
    )
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, kernel.numpy(), rtol=0, atol=1e-4)
    if after < 100:
        np.testing.assert_allclose(found[0], _tf1_by_formula(pictures[0].astype(np.float64), after), rtol=0, atol=2e-3)


def _weights(before, after, kernel, support):
    """(after, before): a filter widened by the scale where a picture gets smaller, centred on half pixels."""
    scale = max(before / after, 1.0)
    centres = (np.arange(after) + 0.5) * before / after
    distance = (np.arange(before) + 0.5 - centres[:, None]) / scale
    weights = np.where(np.abs(distance) < support, kernel(np.abs(distance)), 0)
    return weights / weights.sum(1, keepdims=True)


def _triangle(x):
    return np.maximum(1 - x, 0)


def _cubic(x):
    """Keys's cubic with a = -1/2, Pillow's."""
    near, far = 1.5 * x**3 - 2.5 * x**2 + 1, -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2
    return np.where(x < 1, near, np.where(x < 2, far, 0))


def _by_matrices(pictures, size, kernel, support):
    rows = _weights(pictures.shape[1], size, kernel, support)
    columns = _weights(pictures.shape[2], size, kernel, support)
    return np.einsum("ih,nhwc,jw->nijc", rows, pictures.astype(np.float64), columns, optimize=True)


@pytest.mark.parametrize("before, after", SIZES)
def test_pillow_bicubic_is_the_antialiased_cubic_and_clipped(before, after):
    pictures = _pictures(before)
    expected = _by_matrices(pictures, after, _cubic, 2)
    assert (expected < 0).any() or before >= after  # or nothing would show the clipping
    np.testing.assert_allclose(pillow_bicubic(pictures, after), np.clip(expected, 0, 255), rtol=0, atol=2e-3)


@pytest.mark.parametrize("before, after", SIZES)
def test_pillow_bilinear_is_the_antialiased_triangle_in_whole_numbers(before, after):
    pictures = _pictures(before)
    found = pillow_bilinear(pictures, after)
    np.testing.assert_array_equal(found, np.round(found))
    # Pillow rounds after each of the two passes, and its weights to 22 bits.
    np.testing.assert_allclose(found, _by_matrices(pictures, after, _triangle, 1), rtol=0, atol=1.01)


@pytest.mark.parametrize("name, mode", [("pillow_bicubic", "bicubic"), ("pillow_bilinear", "bilinear")])
def test_filters_are_torchs_with_antialiasing(name, mode):
    torch = pytest.importorskip("torch", reason="torch comes with the extra [torch]")
    pictures = _pictures(64)
    channels_first = torch.from_numpy(pictures.astype(np.float32)).permute(0, 3, 1, 2)
    for size in (299, 19):
        theirs = torch.nn.functional.interpolate(channels_first, (size, size), mode=mode, antialias=True)
        theirs = theirs.permute(0, 2, 3, 1).clamp(0, 255).numpy()
        np.testing.assert_allclose(FILTERS[name](pictures, size), theirs, atol=2e-3 if mode == "bicubic" else 1.01)


def test_the_published_inception_score_goes_by_way_of_128_pixels():
    picture = np.asarray(Image.effect_mandelbrot((256, 256), (-2, -1.5, 1, 1.5), 20).convert("RGB"))
    small = np.asarray(Image.fromarray(picture).resize((128, 128), Image.Resampling.BILINEAR))
    expected = tf1_bilinear(small[None], 299)
    np.testing.assert_array_equal(FILTERS["published_for_inception_score"](picture[None], 299), expected)


@pytest.mark.parametrize("name", FILTERS)
def test_no_pictures_give_none_and_what_is_no_picture_is_refused(name):
    assert FILTERS[name](np.zeros([0, 8, 8, 3], np.uint8), 5).shape == (0, 5, 5, 3)
    for wrong in (np.zeros([1, 8, 8, 3]), np.zeros([8, 8, 3], np.uint8), np.zeros([1, 8, 8, 1], np.uint8)):
        with pytest.raises(UserError, match="no pictures"):
            FILTERS[name](wrong, 5)
