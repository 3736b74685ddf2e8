"""What TensorFlow Serving reads: its own definitions take the settings, and the warm-up requests can be answered."""

import pathlib
import re

import numpy as np
import processes
import pytest
import tensorflow as tf
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format, wrappers_pb2

from ssagan_tf.errors import UserError
from ssagan_tf.export import serving
from ssagan_tf.serving.models import Models
from ssagan_tf.serving.saved_model import SavedModel

model_server_config_pb2 = pytest.importorskip(
    "tensorflow_serving.config.model_server_config_pb2", reason="tensorflow-serving-api is not installed"
)


def message(package: str, name: str, **fields: tuple[int, str]):
    """A message type that tensorflow-serving-api does not bring, from its fields' numbers and types."""
    file = descriptor_pb2.FileDescriptorProto(name=f"{name}.proto", package=package, syntax="proto3")
    file.dependency.append(wrappers_pb2.DESCRIPTOR.name)
    made = file.message_type.add(name=name)
    kinds = descriptor_pb2.FieldDescriptorProto
    for field, (number, kind) in fields.items():
        added = made.field.add(name=field, number=number, label=kinds.LABEL_OPTIONAL)
        if kind[0].isupper():
            added.type, added.type_name = kinds.TYPE_MESSAGE, f".google.protobuf.{kind}"
        else:
            added.type = getattr(kinds, f"TYPE_{kind.upper()}")
    pool = descriptor_pool.DescriptorPool()
    wrappers = descriptor_pb2.FileDescriptorProto()
    wrappers_pb2.DESCRIPTOR.CopyToProto(wrappers)
    pool.Add(wrappers)
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{package}.{name}"))


def read(folder: pathlib.Path, name: str) -> str:
    return (folder / name).read_text()


def test_models_config_names_the_model_and_the_folder_that_is_mounted(exported):
    config = text_format.Parse(
        read(exported.parent, "models.config"), model_server_config_pb2.ModelServerConfig()
    ).model_config_list.config[0]
    assert (config.name, config.base_path, config.model_platform) == ("birds", "/models/birds", "tensorflow")
    assert config.model_version_policy.latest.num_versions == 1


def test_monitoring_config_has_a_path_for_prometheus(exported):
    # monitoring_config.proto is not in tensorflow-serving-api; it holds one such message.
    text = read(exported.parent, "monitoring.config").split("prometheus_config {")[1].rsplit("}", 1)[0]
    found = text_format.Parse(
        text, message("tensorflow.serving", "PrometheusConfig", enable=(1, "bool"), path=(2, "string"))()
    )
    assert found.enable and found.path == "/monitoring/prometheus/metrics"


def test_every_signature_is_warmed_up_with_a_request_that_it_answers(exported, served):
    from tensorflow_serving.apis import prediction_log_pb2

    path = exported / "assets.extra" / "tf_serving_warmup_requests"
    records = [record.numpy() for record in tf.data.TFRecordDataset(str(path))]
    requests = [prediction_log_pb2.PredictionLog.FromString(record).predict_log.request for record in records]
    assert [request.model_spec.signature_name for request in requests] == sorted(served.signatures)
    for request in requests:
        assert request.model_spec.name == "birds"
        inputs = {name: tf.make_ndarray(value) for name, value in request.inputs.items()}
        outputs = served.predict(request.model_spec.signature_name, inputs)
        assert all(len(value) == 1 for value in outputs.values())
    assert b"a red bird" in records[0]


def test_the_servers_command_is_the_same_for_docker_and_compose(exported):
    compose, readme = read(exported.parent, "compose.yaml"), read(exported.parent, "SERVING.md")
    flags = [line.strip("- ") for line in compose.splitlines() if line.strip().startswith("- --")]
    command = readme.split("```sh\n")[1].split("docker compose")[0]
    assert command.replace("\\\n", " ").split()[-len(flags) :] == [f"--{flag}" for flag in flags]
    named = [flag.split("/models/birds/")[1] for flag in flags if "/models/birds/" in flag]
    assert len(named) == 2 and all((exported.parent / name).is_file() for name in named)
    assert ".:/models/birds:ro" in compose and '"$PWD":/models/birds:ro' in command


def test_one_bad_caption_cannot_fail_the_requests_of_others(exported):
    assert "batching" not in read(exported.parent, "compose.yaml") + read(exported.parent, "k8s.yaml")


def test_the_image_has_a_version(exported):
    (image,) = {
        line.split("image: ")[1] for line in read(exported.parent, "compose.yaml").splitlines() if "image:" in line
    }
    assert re.fullmatch(r"tensorflow/serving:\d+\.\d+\.\d+", image)
    assert image in read(exported.parent, "SERVING.md") and image in read(exported.parent, "k8s.yaml")


def test_the_health_check_of_compose_asks_whether_the_model_is_there(exported, rest_address):
    yaml = pytest.importorskip("yaml", reason="PyYAML is not installed")
    test = yaml.safe_load(read(exported.parent, "compose.yaml"))["services"]["server"]["healthcheck"]["test"]
    port = rest_address.rpartition(":")[2]
    for name, status in (("birds", 0), ("elsewhere", 1)):
        command = [part.replace("8501", port).replace("birds", name) for part in test[1:]]
        assert test[0] == "CMD" and processes.run(*command).returncode == status


def test_kubernetes_gets_what_the_readme_starts(exported):
    yaml = pytest.importorskip("yaml", reason="PyYAML is not installed")
    text = read(exported.parent, "k8s.yaml")
    assert "not tried" in text
    parts = {part["kind"]: part for part in yaml.safe_load_all(text)}
    assert list(parts) == ["Deployment", "Service", "HorizontalPodAutoscaler", "InferenceService"]
    pod = parts["Deployment"]["spec"]["template"]
    (server,) = pod["spec"]["containers"]
    assert server["args"] == yaml.safe_load(read(exported.parent, "compose.yaml"))["services"]["server"]["command"]
    assert {"startupProbe", "readinessProbe", "livenessProbe"} <= set(server)
    assert set(server["resources"]) == {"requests", "limits"}
    assert parts["Service"]["spec"]["selector"].items() <= pod["metadata"]["labels"].items()
    assert {port["targetPort"] for port in parts["Service"]["spec"]["ports"]} == {
        port["name"] for port in server["ports"]
    }
    target = parts["HorizontalPodAutoscaler"]["spec"]["scaleTargetRef"]
    assert target["name"] == parts["Deployment"]["metadata"]["name"] == "ssagan-birds"
    assert parts["InferenceService"]["spec"]["predictor"]["model"]["storageUri"] == "pvc://models/birds"


def test_the_readme_lists_every_signature(exported):
    readme = read(exported.parent, "SERVING.md")
    for signature in serving.signatures(exported):
        assert f"| `{signature}` | " in readme
    assert "64 x 64" in readme and "`seed` int64 (B)" in readme
    assert "text, of which the first 18 known words count; `seed`" in readme


def test_settings_that_somebody_changed_stay(random_model, exported, tmp_path):
    version = tmp_path / "other" / "1"
    version.mkdir(parents=True)
    (version / "saved_model.pb").write_bytes((exported / "saved_model.pb").read_bytes())
    (version.parent / "monitoring.config").write_text("prometheus_config {}\n")
    serving.write_server_files(version, random_model.vocabulary, 18)
    assert read(version.parent, "monitoring.config") == "prometheus_config {}\n"
    assert '"/models/other"' in read(version.parent, "models.config")


def test_without_serving_api_a_warning_says_that_the_first_requests_are_slow(
    random_model, tmp_path, monkeypatch, caplog
):
    monkeypatch.setitem(__import__("sys").modules, "tensorflow_serving.apis", None)
    serving.write_warmup(tmp_path, "birds", random_model.vocabulary)
    assert "No warm-up requests were written" in caplog.text and not list(tmp_path.iterdir())


def test_a_folder_without_saved_model_is_told(tmp_path):
    with pytest.raises(UserError, match="No SavedModel could be read"):
        serving.signatures(tmp_path)
    with pytest.raises(UserError, match="No model found"):
        Models({"birds": tmp_path}).refresh()


@pytest.mark.parametrize("content", [b"", b"\xff" * 100])
def test_a_damaged_saved_model_is_told(tmp_path, content):
    (tmp_path / "1").mkdir()
    (tmp_path / "1" / "saved_model.pb").write_bytes(content)
    with pytest.raises(UserError, match="No SavedModel could be read. Received: .*: it is damaged"):
        SavedModel(tmp_path / "1")


def test_an_example_for_a_signature_fits_it(exported):
    info = serving.signatures(exported)["generate_from_embedding"].inputs["sentence"]
    assert serving._example(info, "a bird").shape == (1, 16)
    assert np.isfinite(serving._example(info, "a bird")).all()
