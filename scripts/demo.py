"""A page to play with: type a caption, see the picture, see where each word acted.

    python scripts/demo.py
    python scripts/demo.py --model=runs/mine
    python scripts/demo.py --model=synthbirds_64
    python scripts/demo.py --model=saved_models/birds --server=http://127.0.0.1:8501

Open the address that it prints. The model is a folder that export.py wrote, a run folder, a model folder or a name or
handle of one; what is no export yet is exported first, to a folder for this time alone, which takes a while. With
--server, TensorFlow Serving or any other server of its REST API draws; the model's name there is the name of the
folder, which then gives the vocabulary.

The page is for this machine alone. --host=0.0.0.0 shows it to everybody who reaches this machine: there is no password
and no encryption, and everybody's captions take this machine's time. Put a proxy that has both before it.
"""

import pathlib
import tempfile
import threading

from absl import flags

from ssagan_tf.core import cli
from ssagan_tf.core.files import BUNDLED_MODEL
from ssagan_tf.serving import page_server as demo

_MODEL = cli.path_flag(
    "model",
    str(BUNDLED_MODEL),
    "Folder of an export, of a run or of a model, or a name. [default: bundled]",
    ("hf", "kaggle"),
)
_SERVER = flags.DEFINE_string("server", None, "http:// or https://HOST:PORT of a server that draws instead.")
_PORT = flags.DEFINE_integer("port", 8080, "Of the page; 0 for any that is free.", lower_bound=0, upper_bound=65535)
_HOST = flags.DEFINE_string("host", "127.0.0.1", "Address to listen at. See above before you change it.")
_TRUST = cli.trust_flag()


def main(_) -> None:
    endpoint = _SERVER.value and demo.checked_endpoint(_SERVER.value)
    model = _folder(_MODEL.value).resolve()
    with demo.PageServer(model.name, demo.read_vocabulary(model), _PORT.value, _HOST.value) as page:
        threading.Thread(target=page.serve_forever, daemon=True).start()
        cli.say(f"Open {page.url} in a browser. Ctrl-C ends it.")
        with tempfile.TemporaryDirectory() as scratch:
            page.endpoint = endpoint or _start_drawing(model, pathlib.Path(scratch))
            cli.say("Ready.")
            threading.Event().wait()


def _folder(model: str) -> pathlib.Path:
    """The model's folder; names and handles take as long as TensorFlow takes to start."""
    if pathlib.Path(model).is_dir():
        return pathlib.Path(model)
    cli.start_tensorflow()
    from ssagan_tf.weights.model_folder import folder_of

    return folder_of(model)


def _start_drawing(model: pathlib.Path, scratch: pathlib.Path) -> str:
    """Address of a server that draws with the model, in a thread of this process."""
    cli.start_tensorflow()
    from ssagan_tf.export import export
    from ssagan_tf.export.server import serve
    from ssagan_tf.training.run import load_model
    from ssagan_tf.weights.versions import newest_version

    if newest_version(model) is None:
        cli.say("The model is being exported.")
        export(load_model(model, trust=_TRUST.value), scratch / model.name)
        model = scratch / model.name
    drawing = serve(model, port=0)
    threading.Thread(target=drawing.serve_forever, daemon=True).start()
    return "http://{}:{}".format(*drawing.server_address)


if __name__ == "__main__":
    cli.run(main)
