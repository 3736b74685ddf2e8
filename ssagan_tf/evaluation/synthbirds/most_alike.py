"""Locates the parts of a generated bird by the rendered bird most similar to it.

A network reads all attributes off the picture, and of several birds with these attributes, which differ in place and
angle, the one with the nearest pixels is taken. Its masks are known to the pixel.
"""

from __future__ import annotations

import typing

import numpy as np

from ssagan_tf.data.synthbirds import ATTRIBUTES, Bird, draw
from ssagan_tf.evaluation.resizing import pillow_bilinear

if typing.TYPE_CHECKING:
    from ssagan_tf.evaluation.synthbirds.attribute_network import AttributeNetwork

PLACES = 12  # birds that are tried
_SIZE = 64  # pixels at which they are compared
LIKENESS_RULE = f"attributes by the attribute network; of {PLACES} birds that have them, the one of nearest pixels"


def likest_birds(pictures: np.ndarray, network: AttributeNetwork) -> list[Bird]:
    """The rendered bird that each picture is most like.

    Args:
        pictures: uint8 (N, S, S, 3).
        network: see `semantics.attribute_network`.
    """
    found = network.attributes(network.embed(pictures))
    small = pictures if pictures.shape[1] == _SIZE else pillow_bilinear(pictures, _SIZE)
    birds = []
    for index, picture in enumerate(small):
        values = {name: ATTRIBUTES[name][found[name][index]] for name in ATTRIBUTES}
        tried = [Bird(**values, variant=variant) for variant in range(PLACES)]
        birds.append(min(tried, key=lambda bird: _distance(bird, picture)))
    return birds


def _distance(bird: Bird, picture: np.ndarray) -> float:
    return float(np.square(np.asarray(draw(bird, _SIZE), np.float32) - picture).mean())
