"""Generates pictures of captions with a .tflite file, without TensorFlow and Keras.

    pip install ai-edge-litert numpy pillow
    python scripts/sample_tflite.py --caption="a small bird with a red crown and a yellow belly"
    python scripts/sample_tflite.py --model=saved_models/birds/tflite --caption="a bird with a red crown"
    python scripts/sample_tflite.py --model=float16.tflite --caption="a red bird" --caption="a blue bird" --seed=7
    python scripts/sample_tflite.py --model=float16.tflite --captions_file=captions.txt --out=sheet.png

The model is a file that export.py --format=tflite wrote, or the folder of these files, of which the most accurate is
taken; without --model, of the bundled one. The same caption and seed give the picture that sample.py draws. This
package need not be installed.
"""

import argparse
import logging
import math
import pathlib
import sys
from typing import NoReturn

# From a checkout alone: with nothing installed but what the first line above installs.
if not __package__:
    sys.path.append(str(pathlib.Path(__file__).resolve().parent.parent))

from ssagan_tf import on_device, pictures
from ssagan_tf.core import calling  # noqa: E402
from ssagan_tf.core.files import BUNDLED_MODEL  # noqa: E402
from ssagan_tf.data.reading import read_captions  # noqa: E402
from ssagan_tf.errors import UserError  # noqa: E402

_SEED = "Seed of the first picture of each caption; the next have seed + 1, ..."


class _Parser(argparse.ArgumentParser):
    """Tells errors in one line, as the other scripts do; absl, which they use, is not there."""

    def error(self, message: str) -> NoReturn:
        _fail(f"{message[0].upper()}{message[1:]}. See {calling.command()} --help.", 2)


def main() -> None:
    flags = _flags()
    if flags.dry_run:
        return
    logging.addLevelName(logging.WARNING, "warning")
    logging.basicConfig(format="%(levelname)s: %(message)s")
    try:
        captions = flags.caption + list(read_captions(flags.captions_file) if flags.captions_file else [])
        if not captions:
            raise UserError('No caption. Received: none. Give --caption="..." or --captions_file=FILE.')
        sampler = on_device.Sampler(flags.model, flags.threads)
        rows = [(caption, sampler.generate(caption, flags.seed, flags.count, flags.truncation)) for caption in captions]
        pictures.save_png(pictures.caption_grid(rows), flags.out)
    except (UserError, on_device.OnDeviceError) as error:
        _fail(error, 1)
    except KeyboardInterrupt:
        _fail("Interrupted.", 130)
    print(f"Wrote {flags.out}".encode(sys.stdout.encoding, "backslashreplace").decode(sys.stdout.encoding))


def _flags() -> argparse.Namespace:
    parser = _Parser(
        usage=argparse.SUPPRESS,
        description=calling.usage(__doc__),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    bundled = str(BUNDLED_MODEL / "tflite")
    add("--model", default=bundled, metavar="PATH", help="A .tflite file, or a folder of them [default: bundled].")
    add("--caption", action="append", default=[], metavar="TEXT", help="What to draw; may be given several times.")
    add("--captions_file", metavar="FILE", help="Text file with more captions, one a line.")
    add("--out", default="sheet.png", type=_png, metavar="FILE", help="PNG file to write [default: sheet.png].")
    add("--seed", type=int, default=0, metavar="INTEGER", help=f"{_SEED} [default: 0]")
    add("--count", type=_positive, default=4, metavar="INTEGER", help="Pictures of each caption [default: 4].")
    add("--truncation", type=_factor, metavar="NUMBER", help="Factor on the noise: below 1, more usual pictures.")
    add("--threads", type=_positive, default=2, metavar="INTEGER", help="Of the interpreter [default: 2].")
    add("--dry_run", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args()


def _png(name: str) -> str:
    if not name.lower().endswith(".png"):
        raise argparse.ArgumentTypeError(f"must end in .png. Received: {name}. Use --out=sheet.png")
    return name


def _factor(text: str) -> float:
    try:
        factor = float(text)
    except ValueError:
        factor = math.nan
    if not 0 <= factor < math.inf:
        raise argparse.ArgumentTypeError(f"must be a number, 0 or more. Received: {text}. Use 0.7, say")
    return factor


def _positive(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 100:
        raise argparse.ArgumentTypeError(f"must be 1 to 100. Received: {text}. Use a whole number between")
    return int(text)


def _fail(error: object, status: int) -> NoReturn:
    print("error:", error, file=sys.stderr)
    sys.exit(status)


if __name__ == "__main__":
    main()
