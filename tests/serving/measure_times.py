"""Measures the table of docs/demo.md, and prints it.

python scripts/export.py --model=saved_models/synthbirds-64 --format=web --out=web/birds
(cd web/birds/web && npm ci)
python -m http.server --directory web/birds/web 8000 &
python scripts/demo.py &
python tests/serving/measure_times.py
"""

import re
import statistics
import time

from absl import flags
from browser import Page

from ssagan_tf.core import cli, files
from ssagan_tf.on_device import Sampler

_ALONE = flags.DEFINE_string("alone", "http://127.0.0.1:8000/", "Of the page that draws by itself.")
_SERVED = flags.DEFINE_string("served", "http://127.0.0.1:8080/", "Of the page whose server draws.")
_TIMES = flags.DEFINE_integer("times", 10, "How often each is measured.", lower_bound=1)

_PICTURES = 6  # at once, as the page asks at first


def main(_) -> None:
    rows = {"TFLite float16 in Python, 1 thread": _python()}
    for name, url in (("in the browser alone, in a worker", _ALONE.value), ("`demo.py`, all masks", _SERVED.value)):
        first, picture = _page(url)
        rows[f"{name}: from the address to the first {_PICTURES} pictures"] = first
        rows[name] = picture
    cli.say("| 64 x 64 | ms |\n| --- | ---: |")
    for name, seconds in rows.items():
        cli.say(f"| {name} | {1000 * seconds:.0f} |")


def _python() -> float:
    """Seconds a picture, median."""
    sampler = Sampler(files.BUNDLED_MODEL / "tflite" / "float16.tflite", threads=1)
    return (
        statistics.median(_timed(lambda: sampler.generate("a red bird", count=_PICTURES)) for _ in range(20))
        / _PICTURES
    )


def _page(url: str) -> tuple[float, float]:
    """Seconds to the first pictures where the page was open before, and by the page's own clock a picture; medians."""
    page = Page().open(url)
    first = [_timed(lambda: page.open(url)) for _ in range(_TIMES.value)]
    each = []
    for _ in range(_TIMES.value):
        page.button("Next seeds").click()
        page.wait_until_drawn()
        each.append(float(re.search(r"in ([\d.]+) s\.$", page.status())[1]) / _PICTURES)
    page.driver.quit()
    return statistics.median(first), statistics.median(each)


def _timed(work) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


if __name__ == "__main__":
    cli.run(main)
