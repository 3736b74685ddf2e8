"""Pictures that look alike are found however they were saved, and others are not."""

import io

import numpy as np
import pytest
from PIL import Image, ImageEnhance

from ssagan_tf.data.near_duplicates import alike, looks_of


def scene(seed: int, size: int = 96) -> Image.Image:
    """Smooth blots of colour: like photographs, all is in the low frequencies."""
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), np.uint8)
    return Image.fromarray(coarse).resize((size, size), Image.Resampling.BICUBIC)


def saved_again(picture: Image.Image) -> Image.Image:
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=40)
    return Image.open(file).convert("RGB")


CHANGES = {
    "compressed": saved_again,
    "smaller": lambda picture: picture.resize((40, 40), Image.Resampling.BILINEAR),
    "a little brighter": lambda picture: ImageEnhance.Brightness(picture).enhance(1.04),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_copy_is_found_among_others(change):
    pictures = [scene(seed) for seed in range(30)]
    pictures.append(CHANGES[change](pictures[7]))
    assert alike([looks_of(picture) for picture in pictures]) == [(7, 30)]


def test_several_copies_are_each_told_with_the_first():
    pictures = [scene(1), scene(2), scene(1), saved_again(scene(1))]
    assert alike([looks_of(picture) for picture in pictures]) == [(0, 2), (0, 3)]


def test_the_same_shape_in_another_colour_is_another_picture():
    red, blue = (Image.new("RGB", (72, 72), "white") for _ in range(2))
    for picture, colour in ((red, (220, 20, 20)), (blue, (20, 20, 220))):
        picture.paste(colour, (20, 20, 52, 52))
    assert alike([looks_of(red), looks_of(blue)]) == []


def test_nothing_and_one_picture_have_no_pairs():
    assert alike([]) == alike([looks_of(scene(0))]) == []
