"""What TensorFlow Serving wants beside a SavedModel: its settings, requests to warm up with, and how to start it."""

from __future__ import annotations

import json
import pathlib
import re
import shlex

import numpy as np
import tensorflow as tf
from absl import logging
from google.protobuf.message import DecodeError
from tensorflow.core.protobuf import saved_model_pb2

from ssagan_tf.core import files
from ssagan_tf.errors import UserError
from ssagan_tf.export import MOST_PICTURES
from ssagan_tf.text.vocabulary import Vocabulary

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
_WARMUP_FILE = "assets.extra/tf_serving_warmup_requests"
_FLAGS = {"model_config_file": "models.config", "monitoring_config_file": "monitoring.config"}
_IMAGE = "tensorflow/serving:2.19.1"

_MODELS = """# Which model the server runs: the newest version in the folder, and a newer one as soon as it is there.
model_config_list {{
  config {{
    name: "{name}"
    base_path: "/models/{name}"
    model_platform: "tensorflow"
    model_version_policy {{ latest {{ num_versions: 1 }} }}
  }}
}}
"""

_MONITORING = """# For Prometheus, on the REST port.
prometheus_config {
  enable: true
  path: "/monitoring/prometheus/metrics"
}
"""

# Its image has no curl, but bash speaks TCP.
_HEALTH = (
    "exec 3<>/dev/tcp/127.0.0.1/8501 && printf 'GET /v1/models/{name} HTTP/1.0\\r\\n\\r\\n' >&3 && "
    "grep -q '\"AVAILABLE\"' <&3"
)

_COMPOSE = """# docker compose up: the model on this machine alone, gRPC on port 8500 and REST on port 8501.
services:
  server:
    image: {image}
    command:
{command}
    ports:
      - "127.0.0.1:8500:8500"
      - "127.0.0.1:8501:8501"
    volumes:
      - ".:/models/{name}:ro"
    healthcheck:
      test: ["CMD", "bash", "-c", {health}]
      interval: 10s
      timeout: 5s
      retries: 3
      start_period: 60s
    # For more cores raise this and the parallelism above.
    cpus: 2
    mem_limit: 4g
    restart: unless-stopped
"""

_KUBERNETES = """# Kubernetes, two ways; keep one. Written by the manuals and not tried on a cluster: read it first.
# Both expect this folder on a volume claim, called "models", under the name {name}.

# 1. TensorFlow Serving by itself: kubectl apply -f k8s.yaml --selector way=plain
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {label}
  labels: {{app: {label}, way: plain}}
spec:
  selector:
    matchLabels: {{app: {label}}}
  template:
    metadata:
      labels: {{app: {label}}}
    spec:
      terminationGracePeriodSeconds: 60
      containers:
        - name: server
          image: {image}
          args:
{arguments}
          ports:
            - {{name: grpc, containerPort: 8500}}
            - {{name: rest, containerPort: 8501}}
          # It answers this path with an error until a version of the model is loaded.
          startupProbe:
            httpGet: {{path: /v1/models/{name}/metadata, port: rest}}
            periodSeconds: 5
            failureThreshold: 60
          readinessProbe:
            httpGet: {{path: /v1/models/{name}/metadata, port: rest}}
            periodSeconds: 10
          livenessProbe:
            tcpSocket: {{port: rest}}
            periodSeconds: 20
          resources:
            requests: {{cpu: "1", memory: 1Gi}}
            limits: {{cpu: "2", memory: 4Gi}}
          volumeMounts:
            - {{name: models, mountPath: /models, readOnly: true}}
      volumes:
        - name: models
          persistentVolumeClaim: {{claimName: models, readOnly: true}}
---
apiVersion: v1
kind: Service
metadata:
  name: {label}
  labels: {{app: {label}, way: plain}}
spec:
  selector: {{app: {label}}}
  ports:
    - {{name: grpc, port: 8500, targetPort: grpc}}
    - {{name: rest, port: 8501, targetPort: rest}}
---
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata:
  name: {label}
  labels: {{app: {label}, way: plain}}
spec:
  scaleTargetRef: {{apiVersion: apps/v1, kind: Deployment, name: {label}}}
  minReplicas: 1
  maxReplicas: 4
  metrics:
    - type: Resource
      resource: {{name: cpu, target: {{type: Utilization, averageUtilization: 80}}}}
---
# 2. By KServe, which brings a server of its own: kubectl apply -f k8s.yaml --selector way=kserve
apiVersion: serving.kserve.io/v1beta1
kind: InferenceService
metadata:
  name: {label}
  labels: {{way: kserve}}
spec:
  predictor:
    minReplicas: 1
    maxReplicas: 4
    model:
      modelFormat: {{name: tensorflow}}
      storageUri: pvc://models/{name}
      resources:
        requests: {{cpu: "1", memory: 1Gi}}
        limits: {{cpu: "2", memory: 4Gi}}
"""

_README = """# {name}

Pictures of captions with SSA-GAN, {size} x {size} pixels, for TensorFlow Serving and TensorFlow; exported by ssagan_tf.
The vocabulary, {words} words, is in `assets/vocabulary.txt` of each version.

In this folder:

```sh
{docker}
docker compose up        # or this: the same
# then, in another terminal:
curl http://localhost:8501/v1/models/{name}:predict -d '{{"instances": ["{caption}"]}}'
```

| signature | inputs | outputs |
| --- | --- | --- |
{signatures}

Every first dimension is the batch, of {most} at most. All inputs of a signature must be given: `captions` are UTF-8
text, {read}; `seed` is any 64-bit number, and the same caption and seed give the
same picture; `truncation` is a factor on the noise, 1 for none; `along` goes from 0 to 1. `serving_default` draws with
seed 0. Outputs: `images` in [-1, 1], masks in [0, 1]. Where `known_words` is 0, the caption said nothing to the model.
"""


def check_name(out: pathlib.Path) -> str:
    """The name of the model in `out`. Raises UserError if a server or an address could not take it."""
    name = out.resolve().name
    if not _NAME.fullmatch(name):
        raise UserError(
            f"The folder's name is the model's name, and a server cannot take it. Received: {name!r}. "
            "Use letters, digits, '-', '_' and '.'."
        )
    return name


def example_caption(vocabulary: Vocabulary) -> str:
    """Some words of the vocabulary, to try a server with."""
    return " ".join([word for word in vocabulary.words if word.isalnum()][:3])


def write_server_files(version: pathlib.Path, vocabulary: Vocabulary, max_words: int) -> None:
    """Writes settings and SERVING.md beside a version; settings that are there already are left alone.

    Args:
        version: folder of a SavedModel.
        vocabulary: the model's.
        max_words: of a caption that count.

    Raises:
        UserError: a name that no server takes, or the folder cannot be written.
    """
    out = version.parent
    name = check_name(out)
    flags = [f"--{flag}=/models/{name}/{file}" for flag, file in _FLAGS.items()]
    flags += ["--tensorflow_intra_op_parallelism=2", "--rest_api_timeout_in_ms=60000"]
    about = {"name": name, "image": _IMAGE, "label": _label(name)}
    about["command"] = "\n".join(f"      - {flag}" for flag in flags)
    about["arguments"] = "\n".join(f"            - {flag}" for flag in flags)
    settings = {
        "models.config": _MODELS.format(**about),
        "monitoring.config": _MONITORING,
        "compose.yaml": _COMPOSE.format(**about, health=json.dumps(_HEALTH.format(name=name))),
        "k8s.yaml": _KUBERNETES.format(**about),
    }
    for file, text in settings.items():
        if not (out / file).exists():
            files.write_atomically(out / file, text)
    mount = ["-p", "127.0.0.1:8500:8500", "-p", "127.0.0.1:8501:8501", "-v", f'"$PWD":/models/{name}:ro']
    docker = " \\\n  ".join([" ".join(["docker run --rm", *mount, _IMAGE]), *flags])
    rows = signatures(version)
    size = rows["generate"].outputs["images"].tensor_shape.dim[1].size
    table = "\n".join(f"| `{name}` | {_listed(row.inputs)} | {_listed(row.outputs)} |" for name, row in rows.items())
    about = {"name": name, "size": str(size), "words": f"{len(vocabulary) - 1:,}", "most": str(MOST_PICTURES)}
    # A text encoder of others reads whatever it reads, words that the vocabulary lacks included.
    by_words = "words" in rows["encode_text"].outputs
    about["read"] = f"of which the first {max_words} known words count" if by_words else "read by its text encoder"
    readme = _README.format(**about, docker=docker, signatures=table, caption=example_caption(vocabulary))
    files.write_atomically(out / "SERVING.md", readme)


def _label(name: str) -> str:
    """A name that Kubernetes takes."""
    return re.sub("[^a-z0-9]+", "-", f"ssagan-{name.lower()}")[:63].strip("-")


def signatures(version: pathlib.Path) -> dict:
    """SignatureDef protos of a SavedModel, by name, without TensorFlow's own.

    Raises:
        UserError: there is no SavedModel, or it is damaged.
    """
    path = version / "saved_model.pb"
    try:
        table = saved_model_pb2.SavedModel.FromString(path.read_bytes()).meta_graphs[0].signature_def
    except (OSError, DecodeError, IndexError) as error:
        reason = getattr(error, "strerror", None) or "it is damaged"
        raise UserError(
            f"No SavedModel could be read. Received: {path}: {reason}. Give a version's folder that export.py wrote."
        ) from error
    return {name: table[name] for name in sorted(table) if not name.startswith("__")}


def _listed(tensors) -> str:
    """Names, types and shapes of a signature's inputs or outputs."""
    rows = []
    for name in sorted(tensors):
        dtype = tf.dtypes.as_dtype(tensors[name].dtype).name
        shape = ", ".join("B" if dim.size < 0 else str(dim.size) for dim in tensors[name].tensor_shape.dim)
        rows.append(f"`{name}` {dtype} ({shape})")
    return ", ".join(rows)


def write_warmup(folder: pathlib.Path, name: str, vocabulary: Vocabulary) -> None:
    """Writes a request to each signature, which a server answers to itself before it takes others.

    Without tensorflow-serving-api it says so and writes none: the model can be served all the same, its first requests
    are slow.

    Args:
        folder: of a SavedModel.
        name: the model's.
        vocabulary: the model's.
    """
    try:
        from tensorflow_serving.apis import prediction_log_pb2
    except ImportError:
        command = shlex.join(["pip", "install", "tensorflow-serving-api"])
        logging.warning("No warm-up requests were written: tensorflow-serving-api is missing (%s).", command)
        return
    caption = example_caption(vocabulary)
    path = folder / _WARMUP_FILE
    path.parent.mkdir(exist_ok=True)
    with tf.io.TFRecordWriter(str(path)) as writer:
        for signature, definition in signatures(folder).items():
            log = prediction_log_pb2.PredictionLog()
            request = log.predict_log.request
            request.model_spec.name = name
            request.model_spec.signature_name = signature
            for key, info in definition.inputs.items():
                request.inputs[key].CopyFrom(tf.make_tensor_proto(_example(info, caption), dtype=info.dtype))
            writer.write(log.SerializeToString())


def _example(info, caption: str) -> np.ndarray:
    """An input for one picture."""
    value = caption.encode() if info.dtype == tf.string.as_datatype_enum else 0
    return np.full([abs(dim.size) for dim in info.tensor_shape.dim], value)
