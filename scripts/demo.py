"""Serves the demo page: type a caption, see the picture and where each word acts. It is `serve.py --page`.

    python scripts/demo.py
    python scripts/demo.py --model=runs/mine
    python scripts/demo.py --model=synthbirds_64
    python scripts/demo.py --model=saved_models/birds --server=http://127.0.0.1:8501

Open the address that it prints. The model is a folder that export.py wrote, a run folder, a model folder or a name or
handle of one; --model may be given several times, and the page has a picker then. What is no export yet is exported
first, to a folder for this time alone, which takes a while; the first model answers meanwhile.

The page is for this machine alone. --host=0.0.0.0 with --allowed_hosts=NAME shows it to everybody who reaches this
machine: there is no password and no encryption, and everybody's captions take this machine's time.
"""

from ssagan_tf.core import cli
from ssagan_tf.core.files import BUNDLED_MODEL, SAVED_MODELS
from ssagan_tf.serving import command

# Rendered birds and, in a checkout, real ones.
_BUNDLED = [str(folder) for folder in (BUNDLED_MODEL, SAVED_MODELS / "cub-64") if folder.is_dir()]
command.define_flags(_BUNDLED or [str(BUNDLED_MODEL)], 8080, page=True)


def main(_) -> None:
    command.serve()


if __name__ == "__main__":
    cli.run(main)
