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

import keras
from absl import logging

from ssagan_tf.config import Config, ModelConfig, TrainConfig
from ssagan_tf.core import files
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
TERMS_FILE = "terms.txt"
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
_PARTS = ("generator", "discriminator", "text_encoder", "image_encoder", "augmentation")
_OPTIMIZERS = ("generator_optimizer", "discriminator_optimizer", "encoder_optimizer")
# Scheme of a handle -> package that fetches it, and its function.
_FETCHERS = {"hf": ("huggingface_hub", "snapshot_download"), "kaggle": ("kagglehub", "model_download")}
_IMAGE_ENCODERS = {CompactImageEncoder: "compact", ImageEncoder: "inception", type(None): None}
# What of a text encoder is in a configuration, and by which name.
_TEXT_ENCODERS = {
    TextEncoder: {"embedding_dim": "embedding_dim", "dropout": "dropout"},
    HubEncoder: {"handle": "text_encoder", "trained": "train_text_source"},
}
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


class PresetModel(TextToImage):
    """A model that is saved as a folder, or as a `.keras` file, and read again; the vocabulary travels with it."""

    presets: typing.ClassVar = PRESETS
    settings = Config()  # those that the model was read with
    terms = ""  # of the data that it was trained on, if its folder says any

    @classmethod
    def from_model_config(cls, config: ModelConfig, vocabulary: Vocabulary, sampling_only: bool = False, **options):
        raise NotImplementedError

    @classmethod
    def from_settings(cls, config: Config, vocabulary: Vocabulary, sampling_only: bool = False, **options):
        """As `from_model_config`, with those options of a model that are settings of its training."""
        train = config.train
        augment = "none" if sampling_only else train.augment
        return cls.from_model_config(
            config.model,
            vocabulary,
            sampling_only,
            fused=train.fused,
            gradient_checkpointing=train.gradient_checkpointing,
            augmentation=Augmentation.from_settings(augment, train.augment_pictures),
            seed=train.seed,
            **options,
        )

    @classmethod
    def from_preset(cls, folder: str | os.PathLike, trust: bool = False) -> typing.Self:
        """Reads a trained model. Nothing in the folder is run, and nothing outside of it is read.

        Args:
            folder: a name in `presets`, a model folder, or a handle, see `folder_of`.
            trust: whether the configuration may name a SavedModel as text encoder: a program, outside of the folder.

        Raises:
            UserError: something is missing, damaged or does not fit, or a SavedModel is not trusted.
        """
        place = folder_of(folder)
        if (place / "checkpoints").is_dir() and not (place / WEIGHTS_FILE).is_file():
            raise UserError(
                f"This is the folder of a training, which keeps checkpoints. Received: {folder}. "
                "Read its model with `ssagan_tf.training.run.load_model`."
            )
        config = Config.load(files.inside(place, CONFIG_FILE))
        config.refuse_programs(place, trust)
        vocabulary = Vocabulary.load(files.inside(place, VOCABULARY_FILE))
        sampling_only = not (place / TRAINING_FILE).is_file()
        if config.model.text_encoder == "lstm":
            wanted = tensor_files.shapes_of(
                lambda: cls.from_settings(config, vocabulary, sampling_only).all_variables()
            )
            found: dict[str, tuple[int, ...]] = {}
            for name in [WEIGHTS_FILE] if sampling_only else [WEIGHTS_FILE, TRAINING_FILE]:
                found |= tensor_files.read_shapes(files.inside(place, name))
            tensor_files.check_shapes(wanted, found, str(place))
        model = cls.from_settings(config, vocabulary, sampling_only)
        model.settings = config
        model.take_weights(place)
        if (place / TERMS_FILE).is_file():
            terms = read_bytes(files.inside(place, TERMS_FILE), _MOST_TERMS).decode(errors="replace")
            model.terms = " ".join(terms.split())
            logging.warning("Terms of this model: %s", model.terms)
        return model

    def save_to_preset(self, folder: str | os.PathLike, config: Config | None = None, card: str | None = None) -> None:
        """Writes a model folder, all that sampling needs: weights, vocabulary, configuration and a card.

        Args:
            folder: must not exist yet.
            config: the run's, for whoever goes on from here; default: the networks' sizes, and the settings that the
                model was read with, if it was.
            card: Markdown: what the model is and where it comes from; default: its sizes alone.

        Raises:
            UserError: the folder exists, the disk is full or read-only, or the model has no vocabulary.
        """
        if self.vocabulary is None:
            raise UserError("The model has no vocabulary. Received: vocabulary=None. Build it with one to save it.")
        config = config or dataclasses.replace(self.settings, model=self.model_config(), train=self._train_config())
        name, size = pathlib.Path(folder).name, self.generator.image_size
        with files.folder_written_atomically(folder) as aside:
            config.save(aside / CONFIG_FILE)
            self.vocabulary.save(aside / VOCABULARY_FILE)
            tensor_files.write_state(aside / WEIGHTS_FILE, self.sampling_variables())
            if self.discriminator is not None:
                tensor_files.write_state(aside / TRAINING_FILE, self.training_variables())
            card = card if card is not None else _CARD.format(name=name, size=size, words=len(self.vocabulary) - 1)
            files.write_atomically(aside / "README.md", card)
            if self.terms:
                files.write_atomically(aside / TERMS_FILE, self.terms + "\n")

    def model_config(self) -> ModelConfig:
        """The configuration that `from_model_config` would build this model from.

        Raises:
            UserError: encoders of other kinds than a configuration can name.
        """
        parts = {"initial_gate": self.settings.model.initial_gate, **self.get_options(), **self.generator.get_config()}
        kind = type(self.image_encoder)
        known = isinstance(self.text_encoder, tuple(_TEXT_ENCODERS)) and kind in _IMAGE_ENCODERS
        for part, name in _TEXT_ENCODERS.get(type(self.text_encoder), {}).items():
            parts[name] = getattr(self.text_encoder, part)
        if not known:
            raise UserError(
                "No configuration names such encoders. "
                f"Received: {type(self.text_encoder).__name__}, {kind.__name__}. Save with model.save('NAME.keras')."
            )
        names = {field.name for field in dataclasses.fields(ModelConfig)}
        given = {name: value for name, value in parts.items() if name in names}
        return ModelConfig(image_encoder=_IMAGE_ENCODERS[kind], **given)

    def _train_config(self) -> TrainConfig:
        """The settings that the model was read with, but for those that are options of a model."""
        if self.discriminator is None:
            return self.settings.train
        options = self.get_options()
        changed = {name: options[name] for name in ("fused", "gradient_checkpointing", "seed")}
        if self.augmentation is not None:
            changed["augment_pictures"] = self.augmentation.pictures
        augment = Augmentation.setting(self.augmentation)
        return dataclasses.replace(self.settings.train, augment=augment, **changed)

    def take_weights(self, folder: str | os.PathLike) -> None:
        """Takes the weights of a model folder of the same sizes; those of training only if this model can train.

        Raises:
            UserError: something is missing, damaged or does not fit.
        """
        parts = {WEIGHTS_FILE: self.sampling_variables()}
        if self.discriminator is not None:
            parts[TRAINING_FILE] = self.training_variables()
        for name, variables in parts.items():
            path = files.inside(folder, name)
            tensor_files.assign_state(variables, tensor_files.read_state(path), str(path))

    def sampling_variables(self) -> dict[str, keras.Variable]:
        """Everything that sampling needs, by name."""
        return {
            **tensor_files.named_variables("generator", self.generator.variables),
            **tensor_files.named_variables("text_encoder", self.text_encoder.variables),
        }

    def training_variables(self) -> dict[str, keras.Variable]:
        """The networks that only training needs, by name."""
        parts = {"discriminator": self.discriminator, "image_encoder": self.image_encoder}
        named: dict[str, keras.Variable] = {}
        for name, part in parts.items():
            if part is not None:
                named |= tensor_files.named_variables(name, part.variables)
        return named

    def all_variables(self) -> dict[str, keras.Variable]:
        """The networks' weights, by name."""
        return self.sampling_variables() | self.training_variables()

    # === One `.keras` file ===

    def get_options(self) -> dict:
        """The constructor's arguments that are neither layers nor vocabulary."""
        raise NotImplementedError

    def get_config(self):
        parts = {name: keras.saving.serialize_keras_object(getattr(self, name)) for name in _PARTS}
        words = None if self.vocabulary is None else list(self.vocabulary.words)
        return {"name": self.name, **parts, "vocabulary": words, **self.get_options()}

    @classmethod
    def from_config(cls, config):
        parts = {
            name: keras.saving.deserialize_keras_object(value) if isinstance(value, dict) else value
            for name, value in config.items()
        }
        words = parts.pop("vocabulary")
        return cls(**parts, vocabulary=None if words is None else Vocabulary(words))

    def get_compile_config(self):
        if not self.compiled:
            return None
        return {name: getattr(self, name) for name in _OPTIMIZERS}

    def compile_from_config(self, config):
        self.compile(**keras.saving.deserialize_keras_object(config))
