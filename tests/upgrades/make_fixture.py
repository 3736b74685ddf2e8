"""Writes what this version leaves behind, as small as it can be, for all later versions to read.

    python tests/upgrades/make_fixture.py tests/fixtures/version-0.1.tar.xz

A run folder after three steps in which everything moves, an export of it, and pictures that both must go on drawing.
Run once for each version that changes a format; earlier files stay as they are.
"""

import json
import os
import pathlib
import sys
import tarfile
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "training"))

import kills

from ssagan_tf.export import export
from ssagan_tf.training import train
from ssagan_tf.training.run import Run, load_model

CAPTIONS, SEEDS = ["picture of many dots", "noise"], [4, 2**40]


def main(path: str) -> None:
    path = pathlib.Path(path).resolve()
    with tempfile.TemporaryDirectory() as place:
        place = pathlib.Path(place)
        run = Run(place / "run")
        os.chdir(place)  # so that no path of this machine is written down
        train.train(run, kills._config(place).override(steps=3, keep=1, data_dir="pictures"))
        model = load_model(run.folder)
        export(model, place / "dots")
        drawn = [model.generate(caption, seed)[0].tolist() for caption, seed in zip(CAPTIONS, SEEDS, strict=True)]
        (place / "expected.json").write_text(json.dumps({"captions": CAPTIONS, "seeds": SEEDS, "pictures": drawn}))
        with tarfile.open(path, "w:xz", preset=9) as archive:
            for name in ("config.json", "vocabulary.txt", "checkpoints"):
                archive.add(run.folder / name, f"run/{name}", filter=_plain)
            archive.add(place / "dots", "dots", filter=_plain)
            archive.add(place / "expected.json", "expected.json", filter=_plain)


def _plain(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    entry.uid = entry.gid = entry.mtime = 0
    entry.uname = entry.gname = ""
    return entry


if __name__ == "__main__":
    main(sys.argv[1])
