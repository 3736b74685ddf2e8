"""Serves models by TensorFlow Serving's REST API, and with --page the page.

    python scripts/serve.py --model=saved_models/birds
    python scripts/serve.py --model=saved_models/birds --model=runs/mine --page
    python scripts/serve.py --model=saved_models/birds --page --server=http://127.0.0.1:8501
    python scripts/serve_client.py --model=birds --caption="a bird with a red crown"    # once it serves

A model is served under the name of its folder: its newest version, and a newer one as soon as that answers. What is no
export yet is exported first, for this time alone. With --server, TensorFlow Serving or any other server of its REST API
draws. /healthz, /readyz and /metrics are for whoever watches over it. SIGTERM and Ctrl-C let requests under way end.
"""

from ssagan_tf.core import cli
from ssagan_tf.serving import command

command.define_flags([], 8501, page=False)


def main(_) -> None:
    command.serve()


if __name__ == "__main__":
    cli.run(main)
