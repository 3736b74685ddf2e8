"""Trains SSA-GAN on captioned pictures, or goes on training.

    python scripts/train.py --dataset=synthbirds --preset=small        # drawn birds, minutes on a CPU
    python scripts/train.py --dataset=cub --data_dir=CUB               # birds at 256 pixels as published, for a GPU
    python scripts/train.py --dataset=cub --data_dir=CUB --preset=small --steps=4000        # the same, on a CPU
    python scripts/train.py --dataset=folder --data_dir=PICTURES --preset=small --out=runs/mine
    python scripts/train.py --dataset=cub --data_dir=CUB --damsm=runs/damsm     # encoders made by pretrain_damsm.py
    python scripts/train.py --dataset=folder --data_dir=PICTURES --from=synthbirds_64       # go on from another model
    python scripts/train.py --dataset=folder --out=runs/mine --resume --steps=20000         # go on

Text and image encoder are pretrained first, unless --damsm has them. Everything goes into the run folder --out:
configuration, losses, sample sheets, checkpoints.
"""

from absl import app, flags

from ssagan_tf.config import AUGMENTATIONS, PRECISIONS, PRESETS, TEXT_TRAININGS
from ssagan_tf.core import cli
from ssagan_tf.data import DATASETS

_DATASET = flags.DEFINE_enum("dataset", None, DATASETS, "What to train on.", required=True)
_DATA_DIR = flags.DEFINE_string("data_dir", None, "Folder of the data set, raw or made by prepare_data.py.")
_OUT = flags.DEFINE_string("out", None, "Run folder. [default: runs/DATASET-TIME]")
_RESUME = flags.DEFINE_bool("resume", False, "Go on with the run in --out from its newest checkpoint.")
_PRESET = flags.DEFINE_enum(
    "preset", None, list(PRESETS), "Settings to start from. [default: published with a GPU, small without]"
)
_STEPS = flags.DEFINE_integer("steps", None, "Iterations in all. [default: the preset's]", lower_bound=1)
_DAMSM = flags.DEFINE_string("damsm", None, "Folder made by pretrain_damsm.py: take its encoders, pretrain none.")
_FROM = flags.DEFINE_string(
    "from", None, "Model to go on from, on other pictures: a run or model folder, or a name such as synthbirds_64."
)
_PRETRAINING = flags.DEFINE_integer(
    "pretraining_steps", None, "Iterations of DAMSM before, at most --steps; 0: none.", lower_bound=0
)
_TEXT = flags.DEFINE_enum(
    "text_training",
    None,
    TEXT_TRAININGS,
    "How the text encoder learns from then on. frozen: not. damsm: from DAMSM on real pictures, as published. "
    "end_to_end: from the generator, too. [default: the preset's]",
)
_AUGMENT = flags.DEFINE_enum(
    "augment",
    None,
    AUGMENTATIONS,
    "What the discriminator sees, varied, for few pictures. adaptive: as much as it knows them by heart. "
    "[default: the preset's, none]",
)
_TEXT_ENCODER = flags.DEFINE_string(
    "text_encoder",
    None,
    "lstm, or hub:FOLDER or hub:https://...: a SavedModel from strings to vectors, as on tensorflow-hub.",
)
_TRAIN_SOURCE = flags.DEFINE_bool("train_text_source", None, "Let that SavedModel learn, too, with the text encoder.")
_WORD_VECTORS = flags.DEFINE_string("word_vectors", None, "GloVe's text format: what the LSTM's words start from.")
_BATCH = flags.DEFINE_integer("batch_size", None, "Pictures of an iteration, over all devices.", lower_bound=1)
_IMAGE_SIZE = flags.DEFINE_integer("image_size", None, "Height and width: 64, 128 or 256.", lower_bound=8)
_FILTERS = flags.DEFINE_integer("base_filters", None, "Base width of both networks; 64 in the paper.", lower_bound=1)
_PRECISION = flags.DEFINE_enum(
    "precision", None, PRECISIONS, "Of both networks' features; mixed ones are for GPUs that are faster with them."
)
_FUSED = flags.DEFINE_bool("fused", None, "One update of the discriminator instead of the published two; faster.")
_CHECKPOINTING = flags.DEFINE_bool(
    "gradient_checkpointing", None, "Compute the generator's features again for the gradient: less memory, more time."
)
_SEED = flags.DEFINE_integer("seed", None, "Of everything random.")
_CHECKPOINT_EVERY = flags.DEFINE_integer("checkpoint_every", None, "Iterations between checkpoints.", lower_bound=1)
_SAMPLE_EVERY = flags.DEFINE_integer("sample_every", None, "Iterations between sample sheets.", lower_bound=1)
_SCORE_EVERY = flags.DEFINE_integer(
    "score_every", None, "Iterations between scorings, of which the best checkpoint is kept; 0: none.", lower_bound=0
)
_SCORE_COUNT = flags.DEFINE_integer("score_count", None, "Pictures drawn for a scoring.", lower_bound=2)
_SCORE_EXTRACTOR = flags.DEFINE_string("score_extractor", None, "What distances are measured with: as evaluate.py.")
_STOP = flags.DEFINE_bool("stop_memorised", None, "End when D knows its pictures by heart. [default: yes]")
_MINUTES = flags.DEFINE_float("max_minutes", None, "Stop, and save, after this time.", lower_bound=0)


def main(_) -> None:
    if _DAMSM.value is not None and _PRETRAINING.value is not None:
        raise app.UsageError("--pretraining_steps has no effect with --damsm. Received: both. Leave one of them out.")
    if _DAMSM.value is not None and _WORD_VECTORS.value is not None:
        raise app.UsageError("--word_vectors has no effect with --damsm. Received: both. Leave one of them out.")
    # TensorFlow takes seconds to start: not before the flags are known to be right.
    cli.start_tensorflow()
    from ssagan_tf.training import trainer

    run, config = trainer.resolve(
        _DATASET.value,
        _PRESET.value,
        _OUT.value,
        _RESUME.value,
        data_dir=_DATA_DIR.value,
        steps=_STEPS.value,
        damsm=_DAMSM.value,
        start=_FROM.value,
        text_encoder=_TEXT_ENCODER.value,
        train_text_source=_TRAIN_SOURCE.value,
        word_vectors=_WORD_VECTORS.value,
        pretraining_steps=_PRETRAINING.value,
        text_training=_TEXT.value,
        augment=_AUGMENT.value,
        batch_size=_BATCH.value,
        image_size=_IMAGE_SIZE.value,
        base_filters=_FILTERS.value,
        precision=_PRECISION.value,
        fused=_FUSED.value,
        gradient_checkpointing=_CHECKPOINTING.value,
        seed=_SEED.value,
        checkpoint_every=_CHECKPOINT_EVERY.value,
        sample_every=_SAMPLE_EVERY.value,
        score_every=_SCORE_EVERY.value,
        score_count=_SCORE_COUNT.value,
        score_extractor=_SCORE_EXTRACTOR.value,
        stop_memorised=_STOP.value,
        max_minutes=_MINUTES.value,
    )
    outcome = trainer.train(run, config)
    cli.say(trainer.summary(outcome, config))
    if outcome.signal is not None:
        raise SystemExit(128 + outcome.signal)


if __name__ == "__main__":
    cli.run(main)
