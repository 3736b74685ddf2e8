"""A trained model as a folder to hand out: weights, SavedModel, TFLite files, and a card that says where it comes from.

NAME/README.md                       model card: what it is, its scores, how it was made
NAME/config.json  vocabulary.txt  model.safetensors  training.safetensors    for `SSAGAN.from_preset`
NAME/1/  NAME/tflite/                SavedModel, TFLite files
NAME/SERVING.md, *.config, compose.yaml                                      for TensorFlow Serving
NAME/sheet.png                       what it draws
"""

from __future__ import annotations

import dataclasses
import datetime
import pathlib
from collections.abc import Sequence

from ssagan_tf.core import files
from ssagan_tf.data.source import DRAWN
from ssagan_tf.data.synthbirds import FIXED_CAPTIONS
from ssagan_tf.errors import UserError
from ssagan_tf.evaluation.comparison import REPORT, read_report, table
from ssagan_tf.evaluation.scored_pictures import weights_sha256
from ssagan_tf.export import export
from ssagan_tf.export.serving import check_name
from ssagan_tf.sampling import write_sheet
from ssagan_tf.training import checkpoint
from ssagan_tf.training.run import Run, load_model

FORMATS = ("saved_model", "tflite")
_SHEET, _SHEET_PICTURES = "sheet.png", 6
_CARD = """# {name}

Text to image with SSA-GAN (Liao et al., CVPR 2022), {image_size} x {image_size} pixels, trained by ssagan_tf on
{dataset}.

![{captions} captions, {pictures} pictures each]({sheet})

Each row is a caption, each column a seed from 0 on; samples are not cherry-picked.

```sh
python scripts/sample.py --model={folder} --caption="{caption}"
```

The SavedModel is in `1/`, how to serve it in `SERVING.md`, files for LiteRT in `tflite/`.

## What it is

- Generator of base width {base_filters}, sentence embedding of {sentence_dim}, text training "{text_training}"; all
  settings are in `config.json`.
- It knows {words:,} words. Others are left out, and the model says so.
- {about_data}

## Scores

{scores}

## How it was made

```sh
{commands}
```

- Code: {commit}. Seed of the training, which fixes its data and their order: {seed}.
- Iteration {step:,} of batches of {batch_size} pictures; the weights are averages with a half-life of {ema_pictures:,}
  pictures. Written on {date}.
- `weights_sha256` of generator and text encoder: `{sha256}`.

On another machine, or with another number of threads, sums are taken in another order: the same commands make a model
of the same kind, not the same numbers.
"""
_ABOUT_DRAWN = """Its data are drawn by the package itself: no photograph, no personal data, no licence but the
  package's own. So it knows nothing but such birds: each part in one of eight colours, before a plain ground."""
_ABOUT_OTHERS = "Its pictures and captions have licences and terms of their own, which go for the model, too."


def bundle(
    run: Run,
    out: pathlib.Path,
    scores: pathlib.Path,
    commands: Sequence[str],
    commit: str,
    captions: Sequence[str] = FIXED_CAPTIONS,
    which: str = "newest",
) -> pathlib.Path:
    """Writes the folder, whole or not at all.

    Args:
        run: of train.py.
        out: must not exist yet; its name is the model's name.
        scores: folder of evaluate.py, of this very model; the card quotes it.
        commands: that made the run, for the card.
        commit: of the code that ran them.
        captions: of the sheet; also what the TFLite file of 8 bits is calibrated on.
        which: of the run's checkpoints: "newest", or "best", the one that scored best.

    Returns:
        `out`.

    Raises:
        UserError: the folder exists, its name is none that a server takes, the run has no checkpoint, or the scores are
            those of other weights.
    """
    check_name(out)
    config, model = run.config(), load_model(run.folder, which, sampling_only=False)
    report, sha256 = read_report(scores / REPORT), weights_sha256(model)
    scored = {score["card"]["model"].get("weights_sha256") for score in report["scores"].values()}
    if scored != {sha256}:
        raise UserError(
            f"The scores are those of other weights. Received: {scores}, for {run.folder}. Evaluate this model "
            f"with --checkpoint={which} into another --out, and name that."
        )
    found = checkpoint.newest(run.best if which == "best" else run.checkpoints)
    if found is None:
        raise UserError(f"A model folder does not say how it was made. Received: {run.folder}. Give a run folder.")
    card = _CARD.format(
        name=out.name,
        folder=out,
        caption=captions[0],
        captions=len(captions),
        pictures=_SHEET_PICTURES,
        sheet=_SHEET,
        words=len(model.require_vocabulary()) - 1,
        about_data=_ABOUT_DRAWN if config.data.dataset in DRAWN else _ABOUT_OTHERS,
        scores="    " + table({"": report}).strip().replace("\n", "\n    "),
        commands="\n".join(commands),
        commit=commit,
        step=found.step,
        sha256=sha256,
        date=datetime.date.today(),
        **dataclasses.asdict(config.model) | dataclasses.asdict(config.train) | {"dataset": config.data.dataset},
    )
    with files.folder_written_atomically(out, same_name=True) as aside:
        model.save_to_preset(aside, config, card)
        export(model, aside, FORMATS, captions)
        write_sheet(model, captions, 0, _SHEET_PICTURES, aside / _SHEET)
    return out
