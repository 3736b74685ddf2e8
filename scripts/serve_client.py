"""Requests pictures from TensorFlow Serving, with a model that export.py wrote.

    python scripts/serve_client.py --model=birds --caption="a bird with a red crown" --out=pictures
    python scripts/serve_client.py --server=grpc://127.0.0.1:8500 --model=birds --caption="a red bird" --count=4
    python scripts/serve_client.py --model=birds --caption="a red bird" --load=100 --at_once=4

Writes 000.png, 001.png, ... into --out. A server that is not there, busy or slow is asked again, each time after a
longer pause. --load sends so many requests for one picture each, writes none, and tells latencies and throughput.
REST needs nothing but this package; gRPC needs tensorflow-serving-api (pip install -e '.[serving]').
"""

import pathlib

from absl import flags, logging

from ssagan_tf.core import cli, files
from ssagan_tf.data.reading import asked_captions
from ssagan_tf.serving import client

_SERVER = flags.DEFINE_string("server", "http://127.0.0.1:8501", "http://, https:// or grpc://HOST:PORT.")
_MODEL = flags.DEFINE_string("model", None, "The model's name on the server.", required=True)
_CAPTION = flags.DEFINE_multi_string("caption", [], "What to draw; may be given several times.")
_FILE = cli.path_flag("captions_file", None, "Text file with more captions, one a line.")
_SEED = flags.DEFINE_integer("seed", 0, "Seed of the first picture of each caption; the next have seed + 1, ...")
_COUNT = flags.DEFINE_integer("count", 1, "Pictures of each caption.", lower_bound=1, upper_bound=1000)
_TRUNCATION = flags.DEFINE_float("truncation", 1.0, "Factor on the noise: below 1, more usual pictures.", lower_bound=0)
_OUT = cli.path_flag("out", "pictures", "Folder to write to.")
_TIMEOUT = flags.DEFINE_float("timeout", 60.0, "Seconds of a try; by REST, of silence.", lower_bound=0.001)
_TRIES = flags.DEFINE_integer("tries", 4, "How often to ask in all.", lower_bound=1, upper_bound=20)
_LOAD = flags.DEFINE_integer("load", 0, "Measure with so many requests.", lower_bound=0)
_AT_ONCE = flags.DEFINE_integer("at_once", 1, "With --load: requests at the same time.", lower_bound=1, upper_bound=256)


def main(_) -> None:
    captions = asked_captions(_CAPTION.value, _FILE.value)
    server = client.connect(_SERVER.value, _MODEL.value, _TIMEOUT.value, _TRIES.value)
    if _LOAD.value:

        def draw(number: int) -> None:
            server.draw([captions[number % len(captions)]], [_SEED.value + number], _TRUNCATION.value)

        draw(0)  # the first may be slow
        cli.say(client.load(draw, _LOAD.value, _AT_ONCE.value))
        return
    wanted = [(caption, _SEED.value + index) for caption in captions for index in range(_COUNT.value)]
    wanted_captions, seeds = map(list, zip(*wanted, strict=True))
    pictures = server.draw(wanted_captions, seeds, _TRUNCATION.value)
    for index, ((caption, seed), picture) in enumerate(zip(wanted, pictures, strict=True)):
        if not picture.known_words:
            logging.warning("The model knows no word of this caption: %r.", caption)
        elif picture.unknown_words:
            logging.warning("%d unknown words are left out: %r.", picture.unknown_words, caption)
        path = pathlib.Path(_OUT.value) / f"{index:03d}.png"
        files.write_atomically(path, picture.png)
        cli.say(f"Wrote {path}: {caption} (seed {seed})")


if __name__ == "__main__":
    cli.run(main)
