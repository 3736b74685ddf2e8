"""Serves a model that export.py wrote, on this machine alone: a small server with TensorFlow Serving's REST API.

    python scripts/serve.py --model=saved_models/birds
    python scripts/serve_client.py --model=birds --caption="a bird with a red crown"    # once it serves

To try clients with, and to demonstrate; TensorFlow Serving itself is for the rest. The newest version is served, under
the name of the folder. Ctrl-C ends it.
"""

from absl import flags

from ssagan_tf.core import cli

_MODEL = cli.path_flag("model", None, "Folder of all versions, as export.py writes it.", required=True)
_PORT = flags.DEFINE_integer("port", 8501, "To listen at; 0 for any that is free.", lower_bound=0, upper_bound=65535)


def main(_) -> None:
    cli.start_tensorflow()
    from ssagan_tf.export.server import serve

    with serve(_MODEL.value, _PORT.value) as server:
        cli.say(f"Serving {_MODEL.value} at http://127.0.0.1:{server.server_port}. Ctrl-C ends it.")
        server.serve_forever()


if __name__ == "__main__":
    cli.run(main)
