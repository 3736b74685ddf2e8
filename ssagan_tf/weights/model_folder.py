"""Trained models as folders, and the names and addresses by which they are found.

config.json           sizes of the networks, settings of the training
vocabulary.txt        the words that the model knows
model.safetensors     weights of generator and text encoder
training.safetensors  those of what only training needs; may be missing
terms.txt             what the data it was trained on may be used for, told whenever the model is read; may be missing
README.md             what the model is and where it comes from
"""

from __future__ import annotations

import dataclasses
import importlib
import os
import pathlib
import typing

from absl import logging

from ssagan_tf.config import Config, ModelConfig, TrainConfig
from ssagan_tf.core import files
from ssagan_tf.core.arguments import check_path
from ssagan_tf.data.reading import read_bytes
from ssagan_tf.errors import UserError
from ssagan_tf.networks import CompactImageEncoder, HubEncoder, ImageEncoder, TextEncoder
from ssagan_tf.step.augmentation import Augmentation
from ssagan_tf.text.vocabulary import Vocabulary
from ssagan_tf.text_to_image import TextToImage
from ssagan_tf.weights import tensor_files

CONFIG_FILE = "config.json"
VOCABULARY_FILE = "vocabulary.txt"
WEIGHTS_FILE = "model.safetensors"
TRAINING_FILE = "training.safetensors"
_MOST_TERMS = 2**16  # bytes

PRESETS: dict[str, dict[str, typing.Any]] = {
    "synthbirds_64": {
        "metadata": {
            "description": "Birds that the package itself draws, 64 x 64 pixels; trained jointly with its encoders.",
            "params": 837_053,
        },
        "folder": files.BUNDLED_MODEL,
    },
    # In a checkout; not in the wheel, which stays free of its data's terms.
    "cub_64": {
        "metadata": {
            "description": "Real birds, 64 x 64 pixels, of human captions; CUB's terms: non-commercial research.",
            "params": 1_989_629,
        },
        "folder": files.SAVED_MODELS / "cub-64",
    },
}
# Scheme of a handle -> package that fetches it, and its function.
_FETCHERS = {"hf": ("huggingface_hub", "snapshot_download"), "kaggle": ("kagglehub", "model_download")}
_IMAGE_ENCODERS = {CompactImageEncoder: "compact", ImageEncoder: "inception", type(None): None}
# What of a text encoder is in a configuration, and by which name.
_TEXT_ENCODERS = {
    TextEncoder: {"embedding_dim": "embedding_dim", "dropout": "dropout"},
    HubEncoder: {"handle": "text_encoder", "trained": "train_text_source"},
}
Model = typing.TypeVar("Model", bound=TextToImage)
_CARD = """# {name}

Text to image with SSA-GAN (Liao et al., CVPR 2022), {size} x {size} pixels, {words:,} words; saved by ssagan_tf.

    from ssagan_tf import SSAGAN
    pictures = SSAGAN.from_preset("{name}").generate("...", seed=0, count=4)
"""


def folder_of(preset: str | os.PathLike) -> pathlib.Path:
    """The folder that a name in `PRESETS`, a handle ("hf://OWNER/NAME@REVISION", "kaggle://...") or a path means.

    A handle is downloaded, once, by the package of the service, which must be installed. The revision is a commit, tag
    or, of kaggle, version; without one the newest is taken, which is told.

    Raises:
        UserError: a name that nothing has, or a handle that cannot be downloaded.
    """
    check_path(preset)
    scheme, colon, handle = str(preset).partition("://")
    if not colon:
        name = str(preset)
        if not pathlib.Path(name).exists():
            name = name.replace("-", "_")  # "synthbirds-64", its folder's name, means the same
        known = PRESETS.get(name)
        place = known["folder"] if known else pathlib.Path(preset)
        if str(preset) == place.name and not place.exists():
            raise UserError(
                f"No such model. Received: {str(preset)!r}. Give a model folder, one of {', '.join(PRESETS)}, or a "
                "handle: hf://OWNER/NAME@REVISION."
            )
        return place
    if scheme not in _FETCHERS:
        raise UserError(
            f"No such handle. Received: {preset}. "
            "Use hf://OWNER/NAME@REVISION or kaggle://OWNER/NAME/keras/VARIATION@VERSION."
        )
    package, fetch = _FETCHERS[scheme]
    handle, pinned, revision = handle.partition("@")
    try:
        download = getattr(importlib.import_module(package), fetch)
        if not pinned:
            place = pathlib.Path(download(handle))
            logging.warning(
                "%s names no revision: the newest, %s, was taken. Pin one with @REVISION.", preset, place.name
            )
            return place
        if scheme == "kaggle":
            return pathlib.Path(download(f"{handle}/{revision}"))
        return pathlib.Path(download(handle, revision=revision))
    except ImportError as error:
        raise UserError(f"A package is missing. Received: {preset}. Run: pip install {package}") from error
    except Exception as error:  # each service has errors of its own
        reason = " ".join(str(error).split())
        raise UserError(
            f"The model could not be downloaded. Received: {preset}: {reason}. Check the handle."
        ) from error


def read(cls: type[Model], preset: str | os.PathLike, trust: bool = False) -> Model:
    """Reads a model of `cls`; see `SSAGAN.from_preset`."""
    place = folder_of(preset)
    if (place / "checkpoints").is_dir() and not (place / WEIGHTS_FILE).is_file():
        raise UserError(
            f"This is the folder of a training, which keeps checkpoints. Received: {preset}. "
            "Read its model with `ssagan_tf.training.run.load_model`."
        )
    config = Config.load(files.inside(place, CONFIG_FILE))
    config.refuse_programs(place, trust)
    vocabulary = Vocabulary.load(files.inside(place, VOCABULARY_FILE))
    sampling_only = not (place / TRAINING_FILE).is_file()

    def build():
        return cls.from_settings(config, vocabulary, sampling_only)

    if config.model.text_encoder == "lstm":
        wanted = tensor_files.shapes_of(lambda: build().all_variables())
        found: dict[str, tuple[int, ...]] = {}
        for name in [WEIGHTS_FILE] if sampling_only else [WEIGHTS_FILE, TRAINING_FILE]:
            found |= tensor_files.read_shapes(files.inside(place, name))
        tensor_files.check_shapes(wanted, found, str(place))
    model = build()
    model.settings = config
    take_weights(model, place)
    if (place / files.TERMS_FILE).is_file():
        terms = read_bytes(files.inside(place, files.TERMS_FILE), _MOST_TERMS).decode(errors="replace")
        model.terms = " ".join(terms.split())
        logging.warning("Terms of this model: %s", model.terms)
    return model


def write(model: TextToImage, folder: str | os.PathLike, config: Config | None = None, card: str | None = None) -> None:
    """Writes a model folder; see `SSAGAN.save_to_preset`."""
    check_path(folder)
    if model.vocabulary is None:
        raise UserError("The model has no vocabulary. Received: vocabulary=None. Build it with one to save it.")
    config = config or dataclasses.replace(model.settings, model=model_config(model), train=_train_config(model))
    name, size = pathlib.Path(folder).name, model.generator.image_size
    with files.folder_written_atomically(folder) as aside:
        config.save(aside / CONFIG_FILE)
        model.vocabulary.save(aside / VOCABULARY_FILE)
        tensor_files.write_state(aside / WEIGHTS_FILE, model.sampling_variables())
        if model.discriminator is not None:
            tensor_files.write_state(aside / TRAINING_FILE, model.training_variables())
        card = card if card is not None else _CARD.format(name=name, size=size, words=len(model.vocabulary) - 1)
        files.write_atomically(aside / "README.md", card)
        if model.terms:
            files.write_atomically(aside / files.TERMS_FILE, model.terms + "\n")


def model_config(model: TextToImage) -> ModelConfig:
    """The configuration that the model would be built from.

    Raises:
        UserError: encoders of other kinds than a configuration can name.
    """
    parts = {"initial_gate": model.settings.model.initial_gate, **model.get_options(), **model.generator.get_config()}
    parts |= dataclasses.asdict(model.ablation)
    kind = type(model.image_encoder)
    known = isinstance(model.text_encoder, tuple(_TEXT_ENCODERS)) and kind in _IMAGE_ENCODERS
    for part, name in _TEXT_ENCODERS.get(type(model.text_encoder), {}).items():
        parts[name] = getattr(model.text_encoder, part)
    if not known:
        raise UserError(
            "No configuration names such encoders. "
            f"Received: {type(model.text_encoder).__name__}, {kind.__name__}. Save with model.save('NAME.keras')."
        )
    names = {field.name for field in dataclasses.fields(ModelConfig)}
    given = {name: value for name, value in parts.items() if name in names}
    return ModelConfig(image_encoder=_IMAGE_ENCODERS[kind], **given)


def _train_config(model: TextToImage) -> TrainConfig:
    """The settings that the model was read with, but for those that are options of a model."""
    if model.discriminator is None:
        return model.settings.train
    changed = {name: getattr(model, name) for name in ("fused", "gradient_checkpointing", "seed")}
    if model.augmentation is not None:
        changed["augment_pictures"] = model.augmentation.pictures
    return dataclasses.replace(model.settings.train, augment=Augmentation.setting(model.augmentation), **changed)


def take_weights(model: TextToImage, folder: str | os.PathLike) -> None:
    """Takes the weights of a model folder of the same sizes; those of training only if the model can train.

    Raises:
        UserError: something is missing, damaged or does not fit.
    """
    parts = {WEIGHTS_FILE: model.sampling_variables()}
    if model.discriminator is not None:
        parts[TRAINING_FILE] = model.training_variables()
    for name, variables in parts.items():
        path = files.inside(folder, name)
        tensor_files.assign_state(variables, tensor_files.read_state(path), str(path))
