r"""Scores a model's pictures; each score comes with the settings that it depends on.

    python scripts/evaluate.py --model=runs/birds --metrics=fid,kid,semantics --count=2000 --out=runs/birds/scores
    python scripts/evaluate.py --model=runs/cub --dataset=cub --data_dir=data/cub-256 --protocol=ttur --count=30000 \
        --metrics=fid,kid,is,precision_recall,r_precision --damsm=runs/damsm --out=runs/cub/ttur
    python scripts/evaluate.py --compare=runs/one/scores/report.json,runs/other/scores/report.json

--compare sets reports side by side, with their differences and 95 % intervals; --draws=3 scores three sets of pictures.
Generates --count pictures of the test captions into OUT/pictures, scores them and writes OUT/report.json and
OUT/report.txt. Stopped, it goes on where it was with the same command. Metrics: fid (Frechet distance), kid (kernel
distance), is (Inception Score), recognised (cub: share of pictures that an ImageNet classifier calls birds),
precision_recall, r_precision (needs --damsm), semantics (synthbirds: whether pictures show what their captions name),
diversity (how different the pictures of one caption are), memorization (copies of training pictures), masks (whether
they find what the text changes) and clip (whether pictures fit their captions; needs the extra [clip]).
Protocols fix the network and the filter behind the first five: ttur, clean, published, torchvision, keras,
efficientnet, and synthbirds, the default for that data. See docs/evaluation.md.
"""

import functools

from absl import app, flags

from ssagan_tf.core import cli, files
from ssagan_tf.data import DATASETS
from ssagan_tf.evaluation import METRIC_NAMES, PROTOCOL_NAMES

_MODEL = cli.path_flag("model", None, "Run folder or model folder.", ("hf", "kaggle"))
_CHECKPOINT = cli.checkpoint_flag()
_OUT = cli.path_flag("out", None, "Folder of the report and the pictures; one for each model.")
_METRICS = cli.names_flag("metrics", ["fid", "kid"], METRIC_NAMES, "What to score.")
_DATASET = flags.DEFINE_enum(
    "dataset", None, DATASETS, "Data whose test split is the reference. [default: what the model was trained on]"
)
_DATA_DIR = cli.path_flag("data_dir", None, "Its folder, prepared or raw. [default: that of the model's training]")
_PROTOCOL = flags.DEFINE_enum(
    "protocol",
    None,
    PROTOCOL_NAMES,
    "How features are made. [default: synthbirds for that data, else ttur, or efficientnet where only that is here]",
)
_EXTRACTOR = cli.path_flag(
    "extractor",
    None,
    "Feature extractor instead of the protocol's own: a name, a SavedModel's folder or its address.",
    ("https",),
)
_COUNT = flags.DEFINE_integer("count", 30_000, "Pictures to draw.", lower_bound=2)
_DAMSM = cli.path_flag("damsm", None, "Folder of pretrain_damsm.py, for r_precision.")
_CLIP = cli.path_flag(
    "clip",
    None,
    "CLIP of KerasHub, for clip: a preset or its folder. [default: clip_vit_base_patch32]",
    ("hf", "kaggle"),
)
_DRAWS = flags.DEFINE_integer("draws", 1, "Sets of --count pictures by other seeds: mean and spread.", lower_bound=1)
_SEED = flags.DEFINE_integer("seed", 0, "Seed of the first picture; the next have seed + 1, ...")
_TRUNCATION = flags.DEFINE_string(
    "truncation", None, "Factor on the noise; dfgan:FACTOR cuts it at +-2 first, as DF-GAN's evaluation does."
)
_TRUST = cli.trust_flag()
_COMPARE = flags.DEFINE_list("compare", [], "Reports to set side by side, with a comma; nothing is drawn.")
_UNPAIRED = flags.DEFINE_bool(
    "unpaired", False, "Compare reports of other seeds, too, and of other counts where a score does not depend on them."
)


def main(_) -> None:
    if _COMPARE.value:
        _compare()
        return
    if _MODEL.value is None or _OUT.value is None:
        raise app.UsageError(
            "A model and a folder are needed. Received: no --model or no --out. Give both, or "
            "--compare=A/report.json,B/report.json."
        )
    cli.start_tensorflow()
    from ssagan_tf.evaluation import protocols, report
    from ssagan_tf.noise import truncation_of
    from ssagan_tf.training.run import load_model

    model = load_model(_MODEL.value, _CHECKPOINT.value, trust=_TRUST.value)
    data = report.open_data(_MODEL.value, _DATASET.value, _DATA_DIR.value, model.generator.image_size)
    evaluate = functools.partial(report.evaluate_draws, _DRAWS.value) if _DRAWS.value > 1 else report.evaluate
    evaluate(
        model=model,
        data=data,
        metrics=_METRICS.value,
        protocol=_PROTOCOL.value or protocols.usual(data.name),
        count=_COUNT.value,
        out=_OUT.value,
        damsm=_DAMSM.value,
        seed=_SEED.value,
        truncation=None if _TRUNCATION.value is None else truncation_of(_TRUNCATION.value),
        extractor=_EXTRACTOR.value,
        clip=_CLIP.value,
        about=report.about(_MODEL.value) | {"checkpoint": _CHECKPOINT.value},
    )
    cli.say(report.table_of(_OUT.value))
    cli.say(f"Wrote {_OUT.value}/report.json")


def _compare() -> None:
    if len(_COMPARE.value) < 2:
        raise app.UsageError(
            "Two reports at least are compared. Received: one. Give --compare=A/report.json,B/report.json."
        )
    from ssagan_tf.evaluation import comparison

    cli.say(comparison.compare([files.user_path(path) for path in _COMPARE.value], _UNPAIRED.value))


if __name__ == "__main__":
    cli.run(main)
