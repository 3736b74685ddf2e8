"""Measures speed and memory on this machine.

    python scripts/benchmark.py --mode=train --nf=32 --batch=4                       # an iteration at 256 pixels
    python scripts/benchmark.py --mode=train --nf=32 --batch=4 --variant=both        # against the plain layers, in turn
    python scripts/benchmark.py --mode=train --nf=32 --batch=4 --variant=each        # what each optimization gives
    python scripts/benchmark.py --mode=sample --nf=64 --batch=8
    python scripts/benchmark.py --mode=text --batch=24
    python scripts/benchmark.py --mode=data --batch=24
    python scripts/benchmark.py --mode=first_picture
    python scripts/benchmark.py --mode=report --batch=24 --out=report.json           # all a GPU owner can tell

Time is the median of several calls after two that do not count, with the range. Operations are counted from the layers'
sizes, as if all convolutions were direct, without what --gradient_checkpointing computes again; their share is of the
rate at which the machine multiplies large matrices, measured between the calls.
--mode=report measures training, sampling and data, in float32 and half precision, with and without XLA, and writes
JSON and, beside it, a Markdown table.
--variant=plain computes what the layers say as they say it; see `ssagan_tf.networks.fast` for the optimizations.
"""

import json
import pathlib

from absl import app, flags

from ssagan_tf.config import PRECISIONS
from ssagan_tf.core import cli

_MODE = flags.DEFINE_enum(
    "mode",
    None,
    ["train", "sample", "generate", "data", "text", "first_picture", "report"],
    "What to measure; sample: at once, generate: in parts, as sample.py does.",
    required=True,
)
_NF = flags.DEFINE_integer("nf", 32, "Base width of both networks.", lower_bound=1)
_BATCH = flags.DEFINE_integer("batch", 4, "Pictures at once.", lower_bound=1)
_IMAGE_SIZE = flags.DEFINE_integer("image_size", 256, "Height and width.", lower_bound=8)
_PRECISION = flags.DEFINE_enum("precision", "float32", PRECISIONS, "Of both networks' features.")
_FUSED = flags.DEFINE_bool("fused", False, "One update of the discriminator instead of the published two.")
_CHECKPOINTING = flags.DEFINE_bool(
    "gradient_checkpointing", False, "Compute the generator's features again for the gradient; not counted."
)
_JIT = flags.DEFINE_bool("jit", False, "Compile with XLA, in --mode=train and --mode=sample.")
_VARIANT = flags.DEFINE_enum(
    "variant",
    "ours",
    ["ours", "plain", "both", "each"],
    "plain: with all optimizations switched off; both: in turn; each: also with one switched off.",
)
_REPEATS = flags.DEFINE_integer("repeats", 5, "Calls that count.", lower_bound=1)
_JSON = flags.DEFINE_bool("json", False, "All figures as JSON.")
_OUT = cli.path_flag("out", "benchmark.json", "JSON file of --mode=report.")
flags.register_validator("out", lambda out: out.lower().endswith(".json"), "must end in .json")


def main(_) -> None:
    _refuse_flags_without_effect()
    cli.start_tensorflow()
    from ssagan_tf.experiments.benchmark import modes, report

    settings = modes.Settings(
        mode=_MODE.value,
        nf=_NF.value,
        batch=_BATCH.value,
        image_size=_IMAGE_SIZE.value,
        precision=_PRECISION.value,
        fused=_FUSED.value,
        gradient_checkpointing=_CHECKPOINTING.value,
        jit=_JIT.value,
        variant=_VARIANT.value,
        repeats=_REPEATS.value,
    )
    if _MODE.value == "report":
        written = report.write(report.measure_all(settings), pathlib.Path(_OUT.value))
        cli.say("Wrote " + " and ".join(map(str, written)))
        return
    measured = modes.measure(settings)
    cli.say(json.dumps(measured, indent=2) if _JSON.value else _words(measured))


def _refuse_flags_without_effect() -> None:
    for flag, usual in ((_VARIANT, "ours"), (_JIT, False)):
        if flag.value != usual and _MODE.value not in ("train", "sample"):
            raise app.UsageError(
                f"--{flag.name} is for --mode=train and --mode=sample. Received: --mode={_MODE.value} "
                f"--{flag.name}={flag.value}. Leave --{flag.name} out."
            )
    if _MODE.value == "report" and (_PRECISION.value != "float32" or _JSON.value):
        raise app.UsageError(
            "--mode=report measures both precisions and writes files. Received: --precision or --json. Leave them out."
        )
    if _MODE.value != "report" and flags.FLAGS["out"].present:
        raise app.UsageError(f"--out is for --mode=report. Received: --mode={_MODE.value} --out. Leave --out out.")


def _words(report: dict) -> str:
    lines = []
    for name, side in report["sides"].items():
        times = side["seconds"]
        line = f"{name}: {times['median']:.3f} s ({times['least']:.3f} to {times['most']:.3f}), "
        line += f"{side['pictures_per_second']:.2f} pictures a second"
        if "share" in side:
            line += f", {side['operations'] / 1e9:,.0f} GFLOP, {side['share']:.2f} of the rate of matrix products"
        lines.append(line)
    if "matmul_rate" in report:
        lines.append(f"matrix products: {report['matmul_rate'] / 1e9:,.0f} GFLOP/s")
    for name, gain in report.get("gains", {}).items():
        lines.append(f"{name} / ours: {gain['median']:.2f} ({gain['least']:.2f} to {gain['most']:.2f})")
    if "peak_memory" in report:
        lines.append(f"peak memory of the process: {report['peak_memory'] / 2**20:,.0f} MB")
    if report.get("peak_of_tensors"):
        lines.append(f"peak of all tensors: {report['peak_of_tensors'] / 2**20:,.0f} MB")
    return "\n".join(lines)


if __name__ == "__main__":
    cli.run(main)
