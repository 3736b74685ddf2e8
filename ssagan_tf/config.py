"""Settings of a run: frozen dataclasses whose fields carry their own help and limits, JSON both ways, and presets.

What a setting means and may be stands in its field and nowhere else: flags, `--set`, files and `--help` read it there.
"""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
import typing
from collections.abc import Mapping

from ssagan_tf.core import files
from ssagan_tf.core.settings import HUB, Setting, setting, settings_of
from ssagan_tf.errors import UserError, did_you_mean

MAX_BYTES = 2**20
SCHEDULES = ("published", "cosine")
PRECISIONS = ("float32", "mixed_float16", "mixed_bfloat16")
AUTO = "auto"
TEXT_TRAININGS = ("frozen", "damsm", "end_to_end")
AUGMENTATIONS = ("none", "fixed", "adaptive")
_MANY = 10**9


@dataclasses.dataclass(frozen=True)
class ModelConfig:
    """The networks; see `Generator`, `Discriminator`, `TextEncoder` and `SSAGAN`."""

    image_size: int = setting(
        256,
        "Height and width of the pictures: 64, 128 or 256.",
        (8, 1024),
        flag=True,
        rule=(lambda size: size & (size - 1) == 0, "must be a power of two. Use 64, 128 or 256."),
    )
    base_filters: int = setting(64, "Base width of generator and discriminator; 64 in the paper.", (1, 1024), flag=True)
    noise_dim: int = setting(100, "Numbers in a noise vector.", (1, 4096))
    sentence_dim: int = setting(256, "Size of the sentence embedding.", (2, 4096))
    mask_filters: int = setting(100, "Hidden width of the layers that predict masks.", (1, 4096))
    embedding_dim: int = setting(300, "Size of a word embedding.", (1, 4096))
    dropout: float = setting(0.5, "Dropout rate of the text encoder.", (0, 0.99))
    max_words: int = setting(18, "Words of a caption that are read.", (1, 1000))
    text_encoder: str = setting(
        "lstm",
        "lstm, or hub:FOLDER or hub:https://...: a SavedModel from strings to vectors.",
        flag=True,
        rule=(lambda name: name == "lstm" or name.startswith(HUB), "does not exist. Use lstm or hub:FOLDER."),
    )
    train_text_source: bool = setting(
        False, "Train the SavedModel of --text_encoder=hub:... whenever the text encoder is trained.", flag=True
    )
    image_encoder: str | None = setting(
        "compact",
        "compact: small, trained from scratch. inception: as published, with converted weights. none: no DAMSM loss.",
        choices=(None, "compact", "inception"),
    )
    text_training: str = setting(
        "damsm",
        "How the text encoder learns after pretraining. frozen: no updates. damsm: from DAMSM on real pictures, as "
        "published. end_to_end: from the generator's loss, too.",
        choices=TEXT_TRAININGS,
        flag=True,
    )
    damsm_weight: float | None = setting(
        None, "Weight of DAMSM in the generator's loss. none: 0.05 with a frozen text encoder, else 0.1.", (0, 10**6)
    )
    initial_gate: float = setting(0.0, "Where residual gates start: 0 as published, 1 for short trainings.", (-10, 10))
    published: bool = setting(False, "Reproduce the quirks of the published code; see `SSAGAN`.")
    mask_blocks: int | None = setting(None, "Number of leading generator blocks that have a mask. none: all.", (0, 100))
    end_to_end_weight: float = setting(1.0, "Factor on the generator's gradient to the text encoder.", (0, 10**6))
    global_negatives: bool = setting(True, "DAMSM's negatives are the captions of all devices.")
    gradient_penalty: bool = setting(True, "Train the discriminator with its gradient penalty.")
    mismatched_pairs: bool = setting(True, "Show the discriminator real pictures with wrong captions.")
    grown_from: int | None = setting(None, "Image size that a grown model was first built for.", (8, 1024))


@dataclasses.dataclass(frozen=True)
class DataConfig:
    """Where captions and pictures come from and how they are varied."""

    dataset: str = setting("cub", "What to train on.")
    data_dir: str | None = setting(
        None, "Folder of the data set, raw or made by prepare_data.py; synthbirds needs none.", flag=True, path=()
    )
    random_crop: bool = setting(True, "Crop pictures at random, not at their centre.")
    random_flip: bool = setting(True, "Mirror half of the pictures.")


@dataclasses.dataclass(frozen=True)
class TrainConfig:
    """How long and how fast."""

    steps: int = setting(221_400, "Iterations in all.", (1, 99_999_999), flag=True)
    batch_size: int = setting(24, "Pictures in a batch, over all devices.", (1, 65_536), flag=True)
    damsm: str | None = setting(
        None, "Folder made by pretrain_damsm.py: take its encoders instead of pretraining.", flag=True, path=()
    )
    initial_model: str | None = setting(
        None,
        "Model to fine-tune on other pictures: a run or model folder, or a name such as synthbirds_64.",
        flag="from",
        path=("hf", "kaggle"),
    )
    word_vectors: str | None = setting(
        None, "File in GloVe's text format: initial word embeddings of the LSTM.", flag=True, path=()
    )
    frozen_blocks: int = setting(
        0, "Number of leading discriminator blocks frozen, with the input convolution.", (0, 100)
    )
    pretraining_steps: int = setting(
        20_000, "Iterations of DAMSM, which comes before the GAN; 0: none.", (0, 99_999_999), flag=True
    )
    pretraining_batch_size: int = setting(48, "Pictures in a batch of the pretraining.", (1, 65_536))
    pretraining_rate: float = setting(2e-3, "Highest learning rate of the pretraining.", (0, 1))
    pretraining_schedule: str = setting("published", "Learning rate schedule of the pretraining.", choices=SCHEDULES)
    pretraining_gamma3: float = setting(10.0, "Sharpness of DAMSM's matching in the pretraining.", (0, 1000))
    pretraining_word_group: int = setting(
        0, "Pairs that the pretraining's word loss compares at a time; 0: the whole batch, as published.", (0, 65_536)
    )
    generator_rate: float = setting(1e-4, "Learning rate of the generator.", (0, 1))
    discriminator_rate: float = setting(4e-4, "Learning rate of the discriminator.", (0, 1))
    encoder_rate: float = setting(4e-5, "Learning rate of the encoders after the pretraining.", (0, 1))
    augment: str = setting(
        "none",
        "Augmentation of what the discriminator sees, for few pictures. adaptive: strength follows discriminator "
        "overfitting (ADA).",
        choices=AUGMENTATIONS,
        flag=True,
    )
    augment_pictures: int = setting(
        500_000, "Pictures in which the probability of adaptive augmentation can go from 0 to 1.", (1, _MANY)
    )
    precision: str = setting(
        "float32",
        "Dtype policy of generator and discriminator. auto: mixed_bfloat16 on a CPU that is faster with it, else "
        "float32; a short trial tells, and the run keeps it. In bfloat16 on a CPU, gradients of biases are too small.",
        choices=(*PRECISIONS, AUTO),
        flag=True,
    )
    jit: bool = setting(
        False, "Compile the step with XLA: for a GPU, where it has not been measured; on a CPU it is slower.", flag=True
    )
    fused: bool = setting(False, "One update of the discriminator instead of the published two; faster.", flag=True)
    gradient_checkpointing: bool = setting(
        False, "Compute the generator's features again for the gradient: less memory, more time.", flag=True
    )
    ema_pictures: int = setting(
        0, "Half-life of the generator's moving average, in pictures seen; 0: no average, as published.", (0, _MANY)
    )
    checkpoint_every: int = setting(1000, "Iterations between checkpoints.", (1, _MANY), flag=True)
    sample_every: int = setting(1000, "Iterations between sample sheets.", (1, _MANY), flag=True)
    keep: int = setting(3, "Checkpoints that are kept.", (1, 10**6))
    score_every: int = setting(
        0, "Iterations between scorings; the checkpoint that scores best is kept. 0: none.", (0, _MANY), flag=True
    )
    score_count: int = setting(500, "Pictures that are generated for a scoring.", (2, 10**6), flag=True)
    score_extractor: str | None = setting(
        None, "Features that scorings measure distances in, as evaluate.py --extractor.", flag=True, path=("https",)
    )
    stop_overfitting: bool = setting(True, "Stop when the discriminator overfits, as measured by scorings.", flag=True)
    seed: int = setting(0, "Seed of everything random.", (-(2**63), 2**63 - 1), flag=True)
    max_minutes: float = setting(0.0, "Save and stop after this time; 0: no limit.", (0, 10**6), flag=True)


@dataclasses.dataclass(frozen=True)
class Config:
    """All settings of a run."""

    model: ModelConfig = ModelConfig()
    data: DataConfig = DataConfig()
    train: TrainConfig = TrainConfig()

    def to_json(self) -> str:
        return json.dumps(dataclasses.asdict(self), indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str, origin: str = "config.json") -> Config:
        """A whole configuration; a field that was not there yet when it was written has its default.

        Raises:
            UserError: it names what is wrong.
        """
        raw = _parsed(text, origin)
        missing = [part for part in _PARTS if part not in raw]
        if missing:
            raise UserError(
                f"The configuration is not complete. Received: {origin} without {', '.join(missing)}. Restore the file."
            )
        config = Config()._with(_values(raw, origin))
        config.check(f"{origin}: ")
        return config

    def save(self, path: pathlib.Path) -> None:
        files.write_atomically(path, self.to_json())

    @classmethod
    def load(cls, path: pathlib.Path) -> Config:
        """Raises UserError if the file is missing or is no configuration."""
        return cls.from_json(_read(path), str(path))

    def refuse_programs(self, origin: str | os.PathLike, trust: bool) -> None:
        """Raises UserError if the networks are none of ours: a SavedModel is a program, and lies outside of the folder.

        Args:
            origin: where the configuration comes from.
            trust: the caller answers for it.
        """
        if self.model.text_encoder != "lstm" and not trust:
            raise UserError(
                "The configuration wants a SavedModel, which is a program, from outside of its folder. Received: "
                f"{origin}: text_encoder={self.model.text_encoder!r}. If you know what it does, say trust=True or "
                "--trust; or, to train, name it with --text_encoder."
            )

    def override(self, **values) -> Config:
        """A copy in which settings, by name whatever part they are in, have other values."""
        config = self._with(values)
        config.check()
        return config

    def _with(self, values: Mapping[str, typing.Any]) -> Config:
        unknown = sorted(set(values) - set(SETTINGS))
        if unknown:
            raise TypeError(f"No such settings: {unknown}")
        parts = {}
        for part in _PARTS:
            mine = {name: value for name, value in values.items() if SETTINGS[name].part == part}
            parts[part] = dataclasses.replace(getattr(self, part), **mine)
        return Config(**parts)

    def flat(self) -> dict[str, typing.Any]:
        """All values by name."""
        return {name: getattr(getattr(self, setting.part), name) for name, setting in SETTINGS.items()}

    def check(self, where: str = "") -> None:
        """Raises UserError for a value that cannot be meant; what was received begins with `where`."""
        for name, value in self.flat().items():
            SETTINGS[name].check(value, where)


_PARTS = tuple(field.name for field in dataclasses.fields(Config))
SETTINGS: dict[str, Setting] = settings_of(model=ModelConfig, data=DataConfig, train=TrainConfig)
# Names of earlier versions, whose files go on being read.
_RENAMED = {"penalised": "gradient_penalty", "start": "initial_model", "stop_memorised": "stop_overfitting"}
_GONE = ("pretraining_family",)  # follows from the data set now


def named_setting(name: str, origin: str = "") -> Setting:
    """The setting of a name, "steps" or "train.steps". Raises UserError, with near names, if there is none."""
    part, _, short = name.rpartition(".")
    found = SETTINGS.get(_RENAMED.get(short, short))
    if found is None or part not in ("", found.part):
        near = f"Did you mean {found.key}? " if found is not None else did_you_mean(name, _names(with_part=bool(part)))
        raise UserError(f"No such setting. Received: {origin}{name}. {near}See train.py --help for all of them.")
    return found


def _names(with_part: bool) -> list[str]:
    return [each.key if with_part else each.name for each in SETTINGS.values()]


def read_settings(path: pathlib.Path) -> dict[str, typing.Any]:
    """The values that a file like a run's `config.json` gives, by name; it may leave out whatever it likes.

    Raises:
        UserError: no such file, or a setting or a value that does not exist.
    """
    values = _values(_parsed(_read(path), str(path)), str(path))
    for name, value in values.items():
        SETTINGS[name].check(value, f"{path}: ")
    return {name: SETTINGS[name].expanded(value) for name, value in values.items()}


def _read(path: pathlib.Path) -> str:
    try:
        return files.read_regular(path, MAX_BYTES).decode()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"No configuration could be read. Received: {path}: {reason}. Check the path.") from error


def _parsed(text: str, origin: str) -> dict[str, dict]:
    try:
        raw = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UserError(f"The configuration is not JSON. Received: {origin}: {error}. Restore the file.") from error
    if not isinstance(raw, dict) or not all(isinstance(part, dict) for part in raw.values()) or set(raw) - set(_PARTS):
        found = sorted(raw) if isinstance(raw, dict) else type(raw).__name__
        raise UserError(
            f"The configuration's parts are not as expected. Received: {origin}: {found}. "
            f'Write {{"train": {{"steps": 900}}}}, with the parts {", ".join(_PARTS)}.'
        )
    return raw


def _values(raw: dict[str, dict], origin: str) -> dict[str, typing.Any]:
    values = {}
    for part, fields in raw.items():
        for name, value in fields.items():
            if name not in _GONE:
                found = named_setting(f"{part}.{name}", f"{origin}: ")
                values[found.name] = found.typed(value, origin)
    return values


@dataclasses.dataclass(frozen=True)
class Preset:
    """Settings for one purpose, each table by setting names.

    Attributes:
        settings: what is otherwise than in `Config()`.
        datasets: what a data set changes.
        fine_tuning: what `--from` changes: the first layers of the discriminator know edges and colours already.
        pretraining: what a data set changes where pretrain_damsm.py, which has more time, is all that is done.
    """

    settings: dict[str, typing.Any]
    datasets: dict[str, dict[str, typing.Any]] = dataclasses.field(default_factory=dict)
    fine_tuning: dict[str, typing.Any] = dataclasses.field(default_factory=dict)
    pretraining: dict[str, dict[str, typing.Any]] = dataclasses.field(default_factory=dict)


PRESETS: dict[str, Preset] = {
    # Seconds on a CPU: every part of a large training, and pictures of nothing.
    "tiny": Preset(
        settings={
            "image_size": 16,
            "base_filters": 2,
            "noise_dim": 8,
            "sentence_dim": 16,
            "mask_filters": 4,
            "embedding_dim": 8,
            "initial_gate": 1.0,
            "steps": 20,
            "batch_size": 4,
            "pretraining_steps": 10,
            "pretraining_batch_size": 8,
            "augment_pictures": 1000,
            "ema_pictures": 20,
            "checkpoint_every": 10,
            "sample_every": 10,
            "score_count": 8,
        },
    ),
    "small": Preset(
        settings={
            "image_size": 64,
            "base_filters": 8,
            "mask_filters": 16,
            "sentence_dim": 128,
            "embedding_dim": 64,
            "dropout": 0.1,
            "text_training": "frozen",
            "damsm_weight": 0.1,
            "initial_gate": 1.0,
            "steps": 2500,
            "batch_size": 16,
            "pretraining_steps": 1500,
            "pretraining_batch_size": 32,
            "pretraining_rate": 5e-3,
            "pretraining_schedule": "cosine",
            "pretraining_gamma3": 20.0,
            "pretraining_word_group": 16,
            "augment_pictures": 20_000,
            "ema_pictures": 500,
            "checkpoint_every": 100,
            "sample_every": 100,
        },
        # Some eight minutes on two cores.
        datasets={
            "synthbirds": {"pretraining_steps": 300, "steps": 900, "generator_rate": 4e-4, "encoder_rate": 1.6e-4}
        },
        fine_tuning={"frozen_blocks": 1},
        pretraining={"synthbirds": {"pretraining_steps": 3000, "pretraining_batch_size": 64, "pretraining_rate": 8e-3}},
    ),
    # As published: 600 epochs of the 8,855 birds and 120 of COCO's 82,783 pictures at batch 24, and before that 600
    # epochs of DAMSM at batch 48, with COCO's captions cut to fewer words.
    "paper": Preset(
        settings={"published": True, "image_encoder": "inception", "pretraining_steps": 110_400},
        datasets={"coco": {"steps": 413_900, "pretraining_steps": 1_034_400}},
        fine_tuning={"frozen_blocks": 2, "generator_rate": 5e-5, "discriminator_rate": 2e-4},
        pretraining={"coco": {"max_words": 15}},
    ),
}
_FORMER_PRESETS = {"published": "paper"}


def preset_name(name: str) -> str:
    """The present name of a preset. Raises UserError if there is no such preset."""
    name = _FORMER_PRESETS.get(name, name)
    if name not in PRESETS:
        near = did_you_mean(name, PRESETS)
        raise UserError(f"No such preset. Received: {name!r}. {near}Use one of {', '.join(PRESETS)}.")
    return name


def preset(name: str, dataset: str, pretraining: bool = False) -> Config:
    """A preset's configuration for a data set.

    Args:
        name: in `PRESETS`.
        dataset: in `data.DATASETS`.
        pretraining: the pretraining is a run of its own.

    Raises:
        UserError: no such preset.
    """
    chosen = PRESETS[preset_name(str(name))]
    config = Config().override(dataset=dataset, **chosen.settings)
    config = config.override(**chosen.datasets.get(dataset, {}))
    if pretraining:
        config = config.override(**chosen.pretraining.get(dataset, {}))
    if dataset == "synthbirds":
        # Rendered at just the right size, and another bird for every index: no need to vary them.
        config = config.override(random_crop=False, random_flip=False)
    return config
