"""The metric "clip": how well pictures fit their captions in the eyes of CLIP, by KerasHub (an extra)."""

from __future__ import annotations

import dataclasses
import hashlib
import pathlib
import typing
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from ssagan_tf.errors import UserError
from ssagan_tf.evaluation.embeddings import codes
from ssagan_tf.evaluation.intervals import mean_interval
from ssagan_tf.networks.primitives import keras_defaults

if typing.TYPE_CHECKING:
    from ssagan_tf.evaluation.metrics import Evaluation, Scores

CLIP_PRESET = "clip_vit_base_patch32"  # OpenAI's ViT-B/32, as in Hessel et al.
FORMULA = "mean of 100 * max(cosine(picture, caption), 0)"


@dataclasses.dataclass(frozen=True)
class Clip:
    """A CLIP model.

    Attributes:
        name: KerasHub's preset or a folder.
        sha256: of its weights.
        resize: what its preprocessor does to pictures.
        read: function of (uint8 pictures (B, S, S, 3), B captions) -> embeddings of both, (B, D) each.
    """

    name: str
    sha256: str
    resize: str
    read: Callable[[np.ndarray, list[str]], tuple[tf.Tensor, tf.Tensor]]


def open_clip(name: str | None = None) -> Clip:
    """A CLIP model by KerasHub.

    Args:
        name: one of KerasHub's presets, or the folder of one; None: `CLIP_PRESET`.

    Raises:
        UserError: KerasHub or the weights are not there: says what to install, or what to put where.
    """
    name = name or CLIP_PRESET
    try:
        from keras_hub.models import CLIPBackbone, CLIPPreprocessor
    except ImportError as error:
        raise UserError(
            f"A CLIP score needs KerasHub. Received: {' '.join(str(error).split())}. "
            "Run pip install -e '.[clip]', or leave 'clip' out of --metrics."
        ) from error
    try:
        with keras_defaults():
            return _clip(name, CLIPBackbone.from_preset(name), CLIPPreprocessor.from_preset(name))
    except Exception as error:  # What a failed download or a damaged folder raises is no closed list.
        preset = CLIP_PRESET if pathlib.Path(name).exists() else name
        raise UserError(
            f"The CLIP model cannot be read. Received: {name}: {' '.join(str(error).split())}. Download "
            f"https://www.kaggle.com/models/keras/clip/keras/{preset}, unpack it and give that folder as --clip."
        ) from error


def _clip(name: str, backbone, preprocessor) -> Clip:
    digest = hashlib.sha256()
    for value in backbone.get_weights():
        digest.update(np.ascontiguousarray(value).tobytes())

    @tf.function(reduce_retracing=True)
    def embed(images, token_ids):
        return backbone.get_vision_embeddings(images), backbone.get_text_embeddings(token_ids)

    def read(pictures, captions):
        ready = preprocessor({"images": pictures.astype(np.float32), "prompts": captions})
        return embed(ready["images"], ready["token_ids"])

    converter = preprocessor.image_converter
    antialiased = "antialiased" if converter.antialias else "not antialiased"
    resize = f"to {converter.image_size[0]} pixels, {converter.interpolation}, {antialiased}, by Keras"
    return Clip(name, digest.hexdigest(), resize, read)


def clip(evaluation: Evaluation) -> Scores:
    """The score "clip": `FORMULA`.

    Hessel et al. (EMNLP 2021) have 2.5 in place of 100, and put "A photo depicts" before the caption; here the caption
    is taken as it is.
    """
    texts = [caption.text.encode(errors="replace").decode() for caption in evaluation.captions]
    model = evaluation.clip or open_clip()
    vectors = codes(model.read, evaluation.drawn, texts)
    pictures, captions = (v.astype(np.float64) / np.linalg.norm(v, axis=1, keepdims=True) for v in vectors)
    values = 100 * np.maximum(np.sum(pictures * captions, axis=1), 0)
    card = {
        "clip": model.name,
        "clip_sha256": model.sha256,
        "clip_resize": model.resize,
        "clip_formula": FORMULA,
    }
    return {"clip": {"value": float(values.mean()), "interval": mean_interval(values), "card": card}}
