"""What a run is: frozen dataclasses, JSON both ways, and presets. Presets are data; flags only override them."""

from __future__ import annotations

import dataclasses
import json
import pathlib
import typing

from ssagan_tf.core import files
from ssagan_tf.errors import UserError

MAX_BYTES = 2**20
SCHEDULES = ("published", "cosine")
PRECISIONS = ("float32", "mixed_float16", "mixed_bfloat16")
TEXT_TRAININGS = ("frozen", "damsm", "end_to_end")
AUGMENTATIONS = ("none", "fixed", "adaptive")


@dataclasses.dataclass(frozen=True)
class ModelConfig:
    """The networks; see `Generator`, `Discriminator`, `TextEncoder` and `SSAGAN` for what most of it means.

    Attributes:
        text_encoder: "lstm" as published, or "hub:" and the folder or https:// address of a SavedModel: `HubEncoder`.
        train_text_source: whether that SavedModel learns, too, whenever the text encoder does.
        image_encoder: "compact", "inception" as published (its weights are converted ones), or None: no DAMSM loss.
        grown_from: the image size that the model was built for, if it has grown since; see `Generator`.
        initial_gate: where the residual gates start: 0 as published; 1 opens them at once, for short trainings.
        mask_blocks, end_to_end_weight, global_negatives, penalised, mismatched_pairs: what `ablate.py` varies.
    """

    image_size: int = 256
    base_filters: int = 64
    noise_dim: int = 100
    sentence_dim: int = 256
    mask_filters: int = 100
    embedding_dim: int = 300
    dropout: float = 0.5
    max_words: int = 18
    text_encoder: str = "lstm"
    train_text_source: bool = False
    image_encoder: str | None = "compact"
    text_training: str = "damsm"
    damsm_weight: float | None = None
    initial_gate: float = 0.0
    published: bool = False
    mask_blocks: int | None = None
    end_to_end_weight: float = 1.0
    global_negatives: bool = True
    penalised: bool = True
    mismatched_pairs: bool = True
    grown_from: int | None = None


@dataclasses.dataclass(frozen=True)
class DataConfig:
    """Where captions and pictures come from and how they are varied.

    Attributes:
        dataset: one of `data.DATASETS`.
        data_dir: raw or prepared folder; None for synthbirds, which is drawn.
        random_crop: a random part of the slightly larger prepared picture, else its centre.
        random_flip: half of the pictures mirrored.
    """

    dataset: str = "cub"
    data_dir: str | None = None
    random_crop: bool = True
    random_flip: bool = True


@dataclasses.dataclass(frozen=True)
class TrainConfig:
    """How long and how fast.

    Attributes:
        steps: iterations in all.
        batch_size: pictures of an iteration, over all devices.
        damsm: folder made by pretrain_damsm.py, whose text and image encoder are taken; None: they are pretrained.
        start: model that the training goes on from, on other pictures; None: it begins anew. See
            `training.fine_tuning`.
        word_vectors: file in GloVe's text format, from which the LSTM's words start; None: random ones.
        frozen_blocks: of the discriminator's first blocks, so many do not learn; nor does what is before them.
        pretraining_steps: iterations of DAMSM before, on text and image encoder alone, with
            `pretraining_batch_size`; in train.py never more than `steps`, so that a short trial is short.
        pretraining_rate: its highest learning rate.
        pretraining_schedule: of the rate, "published" or "cosine": see `training.schedules`.
        pretraining_gamma3: sharpness of DAMSM's matching in pretraining.
        pretraining_word_group: pairs that its word loss tells apart at a time; 0: the whole batch, as published.
        pretraining_family: drawn birds in a row that have crown, wing and belly in common, so that a batch asks for the
            rest, too.
        generator_rate, discriminator_rate, encoder_rate: learning rates of the Adams.
        augment: what the discriminator sees varied: "none" as published, "fixed", or "adaptive" as in ADA; see
            `augmentation`.
        augment_pictures: pictures seen in which an adaptive chance can go from 0 to 1.
        precision: dtype policy of generator and discriminator; "float32" or a mixed one, for devices that are faster
            with half as many bits. Weights, encoders, masks and losses are float32 all the same.
        fused: hinge loss and gradient penalty in one update of the discriminator, not as published; see `SSAGAN`.
        gradient_checkpointing: features of the generator are computed again for the gradient instead of kept, which
            needs less memory; see `SSAGAN`.
        ema_pictures: half-life, in pictures seen, of the generator's moving average; 0: none (published).
        checkpoint_every: iterations between checkpoints.
        sample_every: iterations between sample sheets.
        keep: checkpoints kept.
        score_every: iterations between scorings, of which the best checkpoint is kept; 0: none.
        score_count: pictures that are drawn for one.
        score_extractor: of the features that distances are measured in, as `evaluate.py --extractor`; None: the usual.
        stop_memorised: ends training when scorings say that the discriminator knows its pictures by heart.
        seed: of everything random.
        max_minutes: stops (and saves) after this time; 0: no limit.
    """

    steps: int = 221_400
    batch_size: int = 24
    damsm: str | None = None
    start: str | None = None
    word_vectors: str | None = None
    frozen_blocks: int = 0
    pretraining_steps: int = 20_000
    pretraining_batch_size: int = 48
    pretraining_rate: float = 2e-3
    pretraining_schedule: str = "published"
    pretraining_gamma3: float = 10.0
    pretraining_word_group: int = 0
    pretraining_family: int = 1
    generator_rate: float = 1e-4
    discriminator_rate: float = 4e-4
    encoder_rate: float = 4e-5
    augment: str = "none"
    augment_pictures: int = 500_000
    precision: str = "float32"
    fused: bool = False
    gradient_checkpointing: bool = False
    ema_pictures: int = 0
    checkpoint_every: int = 1000
    sample_every: int = 1000
    keep: int = 3
    score_every: int = 0
    score_count: int = 500
    score_extractor: str | None = None
    stop_memorised: bool = True
    seed: int = 0
    max_minutes: float = 0.0


@dataclasses.dataclass(frozen=True)
class Config:
    """A whole run."""

    model: ModelConfig = ModelConfig()
    data: DataConfig = DataConfig()
    train: TrainConfig = TrainConfig()

    def to_json(self) -> str:
        return json.dumps(dataclasses.asdict(self), indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str, origin: str = "config.json") -> Config:
        """Raises UserError naming what is not as it should be."""
        try:
            raw = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise UserError(f"The configuration is not JSON. Received: {origin}: {error}. Restore the file.") from error
        try:
            config = _from_dict(cls, raw, origin)
        except OverflowError as error:
            raise UserError(f"A number of the configuration is too large. Received: {origin}. Restore it.") from error
        config.check(f"{origin}: ")
        return config

    def save(self, path: pathlib.Path) -> None:
        files.write_atomically(path, self.to_json())

    @classmethod
    def load(cls, path: pathlib.Path) -> Config:
        """Raises UserError if the file is missing or is no configuration."""
        try:
            if path.stat().st_size > MAX_BYTES:
                raise UserError(
                    f"The configuration is too large. Received: {path}. Restore it: at most {MAX_BYTES:,} bytes."
                )
            return cls.from_json(path.read_text(encoding="utf-8"), str(path))
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(f"No configuration could be read. Received: {path}: {error}. Check the folder.") from error

    def override(self, **values) -> Config:
        """A copy in which fields, by name whatever part they are in, have other values; None changes nothing."""
        given = {name: value for name, value in values.items() if value is not None}
        parts = {}
        for part in dataclasses.fields(self):
            old = getattr(self, part.name)
            mine = {field.name: given.pop(field.name) for field in dataclasses.fields(old) if field.name in given}
            parts[part.name] = dataclasses.replace(old, **mine)
        if given:
            raise TypeError(f"No such fields: {sorted(given)}")
        config = Config(**parts)
        config.check()
        return config

    def check(self, where: str = "") -> None:
        """Raises UserError for numbers that cannot be meant; it begins what was received with `where`."""
        values = {name: value for part in dataclasses.asdict(self).values() for name, value in part.items()}
        for name, (least, most) in _LIMITS.items():
            if values[name] is not None and not least <= values[name] <= most:
                raise UserError(f"{name} is out of range. Received: {where}{values[name]}. Use {least} to {most}.")
        size = self.model.image_size
        if size & (size - 1):
            raise UserError(f"image_size must be a power of two. Received: {where}{size}. Use 64, 128 or 256.")
        for name, known in _CHOICES.items():
            if values[name] not in known:
                raise UserError(f"No such {name}. Received: {where}{values[name]!r}. Use one of {', '.join(known)}.")
        if self.model.text_encoder != "lstm" and not self.model.text_encoder.startswith("hub:"):
            raise UserError(
                f"No such text_encoder. Received: {where}{self.model.text_encoder!r}. Use 'lstm' or 'hub:FOLDER'."
            )
        if self.model.image_encoder not in (None, "compact", "inception"):
            raise UserError(
                f"No such image_encoder. Received: {where}{self.model.image_encoder!r}. "
                "Use 'compact', 'inception' or null."
            )


_CHOICES = {
    "text_training": TEXT_TRAININGS,
    "pretraining_schedule": SCHEDULES,
    "augment": AUGMENTATIONS,
    "precision": PRECISIONS,
}
_LIMITS = {
    "image_size": (8, 1024),
    "base_filters": (1, 1024),
    "noise_dim": (1, 4096),
    "sentence_dim": (2, 4096),
    "mask_filters": (1, 4096),
    "embedding_dim": (1, 4096),
    "dropout": (0, 0.99),
    "max_words": (1, 1000),
    "initial_gate": (-10, 10),
    "mask_blocks": (0, 100),
    "grown_from": (8, 1024),
    "frozen_blocks": (0, 100),
    "damsm_weight": (0, 10**6),
    "end_to_end_weight": (0, 10**6),
    "steps": (1, 99_999_999),
    "batch_size": (1, 65_536),
    "pretraining_steps": (0, 99_999_999),
    "pretraining_batch_size": (1, 65_536),
    "pretraining_rate": (0, 1),
    "pretraining_gamma3": (0, 1000),
    "pretraining_word_group": (0, 65_536),
    "pretraining_family": (1, 100),
    "generator_rate": (0, 1),
    "discriminator_rate": (0, 1),
    "encoder_rate": (0, 1),
    "augment_pictures": (1, 10**9),
    "ema_pictures": (0, 10**9),
    "checkpoint_every": (1, 10**9),
    "sample_every": (1, 10**9),
    "keep": (1, 10**6),
    "score_every": (0, 10**9),
    "score_count": (2, 10**6),
    "seed": (-(2**63), 2**63 - 1),
    "max_minutes": (0, 10**6),
}


def _from_dict(cls, raw, origin):
    """A dataclass from JSON's dict, nested ones too: no field unknown, each of its type, no part missing.

    A field that is missing was not there yet when the configuration was written: it has its default.
    """
    hints = typing.get_type_hints(cls)
    parts = {name for name, hint in hints.items() if dataclasses.is_dataclass(hint)}
    if not isinstance(raw, dict) or not parts <= set(raw) <= set(hints):
        found = sorted(raw) if isinstance(raw, dict) else type(raw).__name__
        raise UserError(
            f"The configuration's fields are not as expected. Received: {origin}: {found}. Expected {sorted(hints)}."
        )
    values = {}
    for name, hint in hints.items():
        if name not in raw:
            continue
        if name in parts:
            values[name] = _from_dict(hint, raw[name], f"{origin}: {name}")
            continue
        value = float(raw[name]) if hint is float and type(raw[name]) is int else raw[name]
        # Exact types: True is no number here.
        if type(value) not in (typing.get_args(hint) or (hint,)):
            raise UserError(
                f"A field of the configuration has the wrong type. Received: {origin}: {name}={raw[name]!r}. "
                f"Expected {hint}."
            )
        values[name] = value
    return cls(**values)


# As published: 600 epochs of the 8,855 birds and 120 of COCO's 82,783 pictures at batch 24, and before that 600 epochs
# of DAMSM at batch 48.
PUBLISHED = Config(
    model=ModelConfig(published=True, image_encoder="inception"), train=TrainConfig(pretraining_steps=110_400)
)
SMALL = Config(
    model=ModelConfig(
        image_size=64,
        base_filters=8,
        mask_filters=16,
        sentence_dim=128,
        embedding_dim=64,
        dropout=0.1,
        text_training="frozen",
        damsm_weight=0.1,
        initial_gate=1.0,
    ),
    train=TrainConfig(
        steps=2500,
        batch_size=16,
        pretraining_steps=1500,
        pretraining_batch_size=32,
        pretraining_rate=5e-3,
        pretraining_schedule="cosine",
        pretraining_gamma3=20.0,
        pretraining_word_group=16,
        augment_pictures=20_000,
        ema_pictures=500,
        checkpoint_every=100,
        sample_every=100,
    ),
)
PRESETS = {"published": PUBLISHED, "small": SMALL}
# What --from changes in a preset: the first layers of the discriminator know what edges and colours are.
FINE_TUNING: dict[str, dict[str, typing.Any]] = {
    "published": {"frozen_blocks": 2, "generator_rate": 5e-5, "discriminator_rate": 2e-4},
    "small": {"frozen_blocks": 1},
}
# What a data set changes in a preset.
_CHANGES: dict[tuple[str, str], dict[str, typing.Any]] = {
    ("published", "coco"): {"steps": 413_900, "pretraining_steps": 1_034_400},
    # Some eight minutes on two cores.
    ("small", "synthbirds"): {"pretraining_steps": 300, "steps": 900, "generator_rate": 4e-4, "encoder_rate": 1.6e-4},
}


def preset(name: str, dataset: str) -> Config:
    """A preset's configuration for a data set.

    Raises:
        UserError: no such preset.
    """
    if name not in PRESETS:
        raise UserError(f"No such preset. Received: {name!r}. Use one of {', '.join(PRESETS)}.")
    config = PRESETS[name].override(dataset=dataset, **_CHANGES.get((name, dataset), {}))
    if dataset == "synthbirds":
        # Drawn at just the right size, and another bird for every index: no need to vary them.
        config = config.override(random_crop=False, random_flip=False)
    return config
