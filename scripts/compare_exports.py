"""Compares a model's exports with the model: size, difference of the pictures, time and memory, as a Markdown table.

    python scripts/export.py --model=runs/mine --out=saved_models/birds --format=saved_model,tflite
    python scripts/compare_exports.py --model=runs/mine --export=saved_models/birds
    python scripts/compare_exports.py --model=runs/mine --export=saved_models/birds --captions_file=captions.txt

Each draws the same captions with the same seeds, a picture at a time, in a process of its own, once with one thread and
once with two. Differences are in 255ths; times are medians, from caption to picture, and true only on a quiet machine.
"""

import pathlib

from absl import flags

from ssagan_tf.core import cli
from ssagan_tf.data.reading import read_captions
from ssagan_tf.data.synthbirds.captions import FIXED_CAPTIONS
from ssagan_tf.export import comparison

_MODEL = cli.path_flag("model", None, "Run folder or model folder that was exported.", ("hf", "kaggle"), required=True)
_EXPORT = cli.path_flag("export", None, "Folder that export.py wrote.", required=True)
_FILE = cli.path_flag("captions_file", None, "What to draw, a caption a line [default: eight rendered birds].")
_COUNT = flags.DEFINE_integer("count", 4, "Pictures of each caption.", lower_bound=1, upper_bound=1000)


def main(_) -> None:
    captions = FIXED_CAPTIONS if _FILE.value is None else read_captions(_FILE.value)
    paths = pathlib.Path(_MODEL.value), pathlib.Path(_EXPORT.value)
    cli.say(comparison.table(comparison.compare(*paths, captions, _COUNT.value, progress=True)))


if __name__ == "__main__":
    cli.run(main)
