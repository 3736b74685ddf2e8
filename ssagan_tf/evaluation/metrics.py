"""The scores of one model on one data set: each a function of an `Evaluation`, which makes what they share once."""

from __future__ import annotations

import functools
import hashlib
import os
import pathlib
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from ssagan_tf.config import Config
from ssagan_tf.core import files
from ssagan_tf.damsm import DAMSM, DAMSM_FILE, load_damsm
from ssagan_tf.data import cub
from ssagan_tf.data.records import Prepared
from ssagan_tf.data.source import Source
from ssagan_tf.data.synthbirds import Caption
from ssagan_tf.errors import UserError
from ssagan_tf.evaluation import retrieval, statistics
from ssagan_tf.evaluation.clip import Clip, clip
from ssagan_tf.evaluation.diversity import diversity
from ssagan_tf.evaluation.embeddings import codes
from ssagan_tf.evaluation.extractors import Extractor, open_extractor
from ssagan_tf.evaluation.feature_cache import Embedded, embedded
from ssagan_tf.evaluation.intervals import clustered_share_interval, normal_interval, share_interval
from ssagan_tf.evaluation.masks.metric import masks
from ssagan_tf.evaluation.memorization import memorization
from ssagan_tf.evaluation.neighbors import NEAREST, neighborhoods
from ssagan_tf.evaluation.protocols import Protocol
from ssagan_tf.evaluation.reference import (
    MISMATCH_RULE,
    Described,
    crop_rule,
    described,
    fingerprint,
    matching,
    real_pictures,
)
from ssagan_tf.evaluation.scored_pictures import (
    CAPTION_RULE,
    DrawnPictures,
    choose_captions,
    draw_pictures,
    weights_sha256,
)
from ssagan_tf.text.captions import CaptionEncoder
from ssagan_tf.text.vocabulary import Vocabulary
from ssagan_tf.text_to_image import TextToImage

SPLIT = "test"
# Which classes of ImageNet a data set shows, for "recognised".
IMAGENET_CLASSES = {"cub": cub.IMAGENET_CLASSES}
_DRAWS = 10  # of mismatched captions for each picture


def cache_folder() -> pathlib.Path:
    """Where features of real pictures are kept between evaluations."""
    return pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "ssagan_tf"


class Asked(NamedTuple):
    """What pictures are drawn from.

    Attributes:
        captions: one for each.
        owners: the real picture that each was written for.
    """

    captions: list[Caption]
    owners: list[Described]

    @classmethod
    def of(cls, real: Sequence[Described], count: int) -> Asked:
        """`CAPTION_RULE`. Raises UserError if there is nothing to draw."""
        real = sorted(real, key=lambda known: known.key)  # in which raw and prepared data agree
        chosen = choose_captions([known.captions for known in real], count)
        return cls([real[picture].captions[turn] for picture, turn in chosen], [real[picture] for picture, _ in chosen])

    def matches(self) -> retrieval.Matches:
        """Which captions are no mismatch for a picture drawn from one of them."""
        return matching(self.owners, list(zip(self.owners, self.captions, strict=True)), near=False)

    def check_r_precision(self) -> None:
        """Before anything is trained or drawn: raises UserError if there are too few captions for R-precision."""
        retrieval.check_mismatched(range(len(self.captions)), len(self.captions), self.matches())


class Evaluation:
    """A model, real pictures, a protocol, and pictures drawn to be compared.

    Args:
        model: with a vocabulary.
        data: a prepared folder or a source; its "test" split is used.
        protocol: see `protocols`.
        count: pictures to draw.
        out: folder for them and their features.
        damsm: folder of `pretrain_damsm.py`, for "r_precision".
        seed: of the first picture; that of picture i is seed + i.
        truncation: of the noise, see `noise.truncated`.
        clip: for "clip".

    Raises:
        UserError: the data set has no test split, or there is nothing to draw.
    """

    def __init__(
        self,
        model: TextToImage,
        data: Prepared | Source,
        protocol: Protocol,
        count: int,
        out: str | os.PathLike,
        damsm: str | os.PathLike | None = None,
        seed: int = 0,
        truncation: float | str | None = None,
        clip: Clip | None = None,
    ):
        self.model = model
        self.data = data
        self.protocol = protocol
        self.count = count
        self.out = pathlib.Path(out)
        self.damsm = damsm
        self.seed = seed
        self.truncation = truncation
        self.clip = clip
        self.image_size = model.generator.image_size
        self.real: list[Described] = described(data, SPLIT)
        self.asked = Asked.of(self.real, count)
        self.captions = self.asked.captions

    @functools.cached_property
    def extractor(self) -> Extractor:
        return open_extractor(self.protocol.extractor)

    @property
    def damsm_folder(self) -> pathlib.Path:
        """Raises UserError if none was given."""
        if self.damsm is None:
            raise UserError("R-precision needs pretrained encoders. Received: none. Give the folder of some.")
        return pathlib.Path(self.damsm)

    @functools.cached_property
    def encoders(self) -> tuple[DAMSM, Vocabulary, Config]:
        """What is in the folder of DAMSM. Raises UserError if they read pictures of another size."""
        damsm, vocabulary, config = load_damsm(self.damsm_folder)
        if config.model.image_size != self.image_size:
            raise UserError(
                f"The encoders read pictures of another size. Received: {self.damsm} for {config.model.image_size} "
                f"pixels, and a model of {self.image_size}. Use a DAMSM of the same size."
            )
        return damsm, vocabulary, config

    @functools.cached_property
    def drawn(self) -> DrawnPictures:
        texts = [caption.text for caption in self.captions]
        return draw_pictures(self.model, texts, self.out / "pictures", self.seed, self.truncation)

    @functools.cached_property
    def drawn_features(self) -> Embedded:
        return self.features_of_drawn(self.extractor, self.protocol.resize)

    def features_of_drawn(self, extractor: Extractor, resize: str) -> Embedded:
        """Kept, so that another score of the same features costs nothing."""
        key: dict[str, object] = {"weights": weights_sha256(self.model), "captions": self._texts_sha256(self.captions)}
        key |= {"count": self.count, "seed": self.seed, "truncation": self.truncation}
        return embedded(self.out / "features", key, extractor, resize, self.drawn, self.count, "drawn picture read")

    @functools.cached_property
    def real_features(self) -> Embedded:
        return self.features_of_real(SPLIT)

    def features_of_real(self, split: str) -> Embedded:
        """Kept from one evaluation to the next. They are known by their records or, if there are none, their pixels."""
        pictures = fingerprint(self.data, split, self.image_size)
        key = {"dataset": self.data.name, "pictures": pictures, "size": self.image_size, "split": split}
        real, count = real_pictures(self.data, split, self.image_size), len(described(self.data, split))
        folder, resize = cache_folder(), self.protocol.resize
        return embedded(folder, key, self.extractor, resize, real, count, "pictures")

    @staticmethod
    def _texts_sha256(captions: Iterable[Caption]) -> str:
        return hashlib.sha256("\n".join(caption.text for caption in captions).encode(errors="replace")).hexdigest()

    def drawing_card(self) -> dict:
        """What the drawn pictures follow from, model aside."""
        return {
            "dataset": self.data.name,
            "split": SPLIT,
            "image_size": self.image_size,
            "count": self.count,
            "captions": CAPTION_RULE,
            "captions_per_picture": self.count / len(self.real),
            "captions_sha256": self._texts_sha256(self.captions),
            "seed": self.seed,
            "truncation": self.truncation,
        }

    def extractor_card(self, resize: str | None = None) -> dict:
        """What features follow from."""
        return {
            "protocol": self.protocol.name,
            "extractor": self.extractor.name,
            "extractor_sha256": self.extractor.sha256,
            "extractor_input": f"{self.extractor.image_size} pixels, {self.extractor.value_range}",
            "resize": resize or self.protocol.resize,
        }

    def reference_card(self) -> dict:
        """What the real pictures are."""
        return {
            "reference_count": len(self.real),
            "reference_crop": crop_rule(self.data),
            "reference_sha256": self.real_features.pictures_sha256,
        }


Scores = dict[str, dict]  # name -> {"value": ..., perhaps "deviation" and more, "card": what the score depends on}


def _fid(evaluation: Evaluation) -> Scores:
    moments = [statistics.Moments.of(e.features) for e in (evaluation.real_features, evaluation.drawn_features)]
    card = evaluation.extractor_card() | evaluation.reference_card()
    return {"fid": {"value": statistics.frechet_distance(*moments), "card": card}}


def _kid(evaluation: Evaluation) -> Scores:
    features = evaluation.real_features.features, evaluation.drawn_features.features
    value, error = statistics.kernel_distance(*features, progress=True)
    card = evaluation.extractor_card() | evaluation.reference_card() | {"kernel": "(x.y / D + 1)^3, all pairs"}
    return {"kid": {"value": value, "interval": normal_interval(value, error), "card": card}}


def _inception_score(evaluation: Evaluation) -> Scores:
    protocol = evaluation.protocol
    resize = protocol.score_resize or protocol.resize
    logits = evaluation.features_of_drawn(evaluation.extractor, resize).logits
    if logits is None:
        raise UserError(
            f"The extractor gives no classes. Received: {evaluation.extractor.name} for the Inception Score. "
            "Use one with logits, or leave 'is' out of --metrics."
        )
    value, deviation = statistics.inception_score(logits, protocol.splits)
    card = evaluation.extractor_card(resize) | {"splits": protocol.splits}
    return {"is": {"value": value, "deviation": deviation, "card": card}}


def _recognised(evaluation: Evaluation) -> Scores:
    """The share of pictures whose most likely class is one of those that the data set shows; "real": of real ones."""
    extractor, shown = evaluation.extractor, IMAGENET_CLASSES.get(evaluation.data.name)
    if shown is None:
        raise UserError(
            f"No ImageNet classes are named for the data. Received: {evaluation.data.name}. "
            f"Use --dataset={' or '.join(IMAGENET_CLASSES)}, or leave 'recognised' out of --metrics."
        )
    if not extractor.imagenet:
        raise UserError(
            f"The extractor is no ImageNet classifier. Received: {extractor.name}. Use --protocol=efficientnet."
        )
    drawn, real = (
        np.isin(np.argmax(np.asarray(embedded.logits), 1), list(shown))
        for embedded in (evaluation.drawn_features, evaluation.real_features)
    )
    interval = share_interval(drawn.sum(), len(drawn))
    card = evaluation.extractor_card() | evaluation.reference_card() | {"imagenet_classes": sorted(shown)}
    score = {"value": float(drawn.mean()), "interval": interval, "real": float(real.mean()), "card": card}
    return {"recognised": score}


def _precision_recall(evaluation: Evaluation) -> Scores:
    features = evaluation.real_features.features, evaluation.drawn_features.features
    found = neighborhoods(*features, progress=True)
    card = evaluation.extractor_card() | evaluation.reference_card() | {"nearest": NEAREST}
    scores = {name: {"value": getattr(found, name), "card": card} for name in found._fields if name != "density_error"}
    # The real pictures given, the generated ones are independent trials of these two, and of these two only.
    scores["precision"]["interval"] = share_interval(found.precision * evaluation.count, evaluation.count)
    scores["density"]["interval"] = normal_interval(found.density, found.density_error)
    return scores


def _semantics(evaluation: Evaluation) -> Scores:
    from ssagan_tf.evaluation.synthbirds.attribute_network import WEIGHTS, accuracy_of, attribute_network, hits_of

    network, resize = open_extractor("synthbirds"), "pillow_bilinear"
    features = evaluation.features_of_drawn(network, resize).features
    found = attribute_network().attributes(features)
    right, hits = accuracy_of(found, evaluation.captions), hits_of(found, evaluation.captions)
    value, count = right.pop("overall")
    card = {"attribute_network_sha256": files.sha256(WEIGHTS), "attribute_resize": f"{resize} to {network.image_size}"}
    # What one picture shows right and wrong belongs together.
    interval = clustered_share_interval([sum(each.values()) for each in hits], [len(each) for each in hits])
    return {"semantics": {"value": value, "interval": interval, "named": count, "attributes": right, "card": card}}


def _r_precision(evaluation: Evaluation) -> Scores:
    damsm, vocabulary, config = evaluation.encoders
    read = _reader(damsm, vocabulary, config.model.max_words)
    pictures, captions = codes(read, evaluation.drawn, [caption.text for caption in evaluation.captions])
    own, matches = np.arange(evaluation.count), evaluation.asked.matches()
    precision = retrieval.retrieval_precision(
        pictures, captions, own, matches, _DRAWS, seed=evaluation.seed, progress=True
    )
    digest = files.sha256(evaluation.damsm_folder / DAMSM_FILE)
    card = {"damsm_sha256": digest, "mismatched": retrieval.MISMATCHED, "draws": _DRAWS, "mismatch": MISMATCH_RULE}
    # The draws share their pictures: these, not the mismatched captions, are the trials.
    interval = share_interval(precision.mean * evaluation.count, evaluation.count)
    return {"r_precision": {"value": precision.mean, "interval": interval, "card": card}}


def _reader(damsm, vocabulary, max_words) -> Callable:
    """Function of (uint8 pictures, captions) -> codes of both, (B, D) each."""
    to_ids = CaptionEncoder(vocabulary, max_words)

    @tf.function(reduce_retracing=True)
    def both(images, texts):
        _, code = damsm.image_encoder(tf.cast(images, tf.float32) / 127.5 - 1.0, training=False)
        _, sentence = damsm.text_encoder(to_ids(texts)[0], training=False)
        return code, sentence

    def read(pictures, captions):
        return both(tf.constant(pictures), tf.constant([text.encode(errors="replace") for text in captions]))

    return read


# A new metric is a function and a line here.
METRICS: dict[str, Callable[[Evaluation], Scores]] = {
    "fid": _fid,
    "kid": _kid,
    "is": _inception_score,
    "recognised": _recognised,
    "precision_recall": _precision_recall,
    "r_precision": _r_precision,
    "semantics": _semantics,
    "memorization": memorization,
    "diversity": diversity,
    "masks": masks,
    "clip": clip,
}
