"""The server answers as TensorFlow Serving's REST API does, and no request breaks it."""

import base64
import json
import shutil
import urllib.error
import urllib.request

import numpy as np
import pytest

from ssagan_tf.serving.models import Models
from ssagan_tf.serving.rest import ServingError, arrays_of, tensor_info


def ask(server, path, body=None):
    """(status, answer) of a request to the server."""
    content = body if isinstance(body, bytes | None) else json.dumps(body).encode()
    try:
        with urllib.request.urlopen(urllib.request.Request(server + path, content), timeout=120) as response:
            return response.status, json.loads(response.read())
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())


PREDICT = "/v1/models/birds:predict"


def test_status_and_metadata_are_told(endpoint):
    status, answer = ask(endpoint, "/v1/models/birds")
    assert status == 200
    assert answer["model_version_status"][0]["state"] == "AVAILABLE"
    status, answer = ask(endpoint, "/v1/models/birds/versions/1/metadata")
    assert answer["model_spec"] == {"name": "birds", "signature_name": "", "version": "1"}
    inputs = answer["metadata"]["signature_def"]["signature_def"]["generate"]["inputs"]
    assert {name: info["dtype"] for name, info in inputs.items()} == {"captions": "DT_STRING", "seed": "DT_INT64"}


def test_rows_and_columns_give_the_same_pictures(endpoint):
    rows = [
        {"captions": "a red bird", "seed": 1},
        {"captions": {"b64": base64.b64encode(b"wings").decode()}, "seed": 2},
    ]
    status, by_rows = ask(endpoint, PREDICT, {"signature_name": "generate", "instances": rows})
    assert status == 200
    columns = {"captions": ["a red bird", "wings"], "seed": [1, 2]}
    status, by_columns = ask(endpoint, PREDICT, {"signature_name": "generate", "inputs": columns})
    assert status == 200
    for index, row in enumerate(by_rows["predictions"]):
        assert row == {name: values[index] for name, values in by_columns["outputs"].items()}
    assert np.shape(by_columns["outputs"]["images"]) == (2, 64, 64, 3)


def test_the_default_signature_takes_plain_captions_and_gives_files_in_base64(endpoint):
    status, answer = ask(endpoint, PREDICT, {"instances": ["a red bird", "wings"]})
    assert status == 200
    pngs = [base64.b64decode(picture["b64"]) for picture in answer["predictions"]]
    assert all(png.startswith(b"\x89PNG") for png in pngs) and pngs[0] != pngs[1]
    assert ask(endpoint, PREDICT, {"inputs": ["a red bird"]})[1]["outputs"] == answer["predictions"][:1]
    assert ask(endpoint, "/v1/models/birds/versions/1:predict", {"inputs": {"captions": ["wings"]}})[0] == 200


def test_masks_are_held_where_the_request_says_so(endpoint):
    def drawn(signature, **more):
        inputs = {"captions": ["a red bird"], "seed": [1], **more}
        return ask(endpoint, PREDICT, {"signature_name": signature, "inputs": inputs})[1]["outputs"]

    plain = drawn("generate_with_masks")
    left, closed = (
        drawn("generate_with_overrides", mask_overrides=np.full([1, 64, 64], value).tolist()) for value in (-1.0, 0.0)
    )
    assert np.allclose(left["images"], plain["images"], atol=1e-5)
    assert not np.any(closed["mask_64"]) and not np.allclose(closed["images"], plain["images"], atol=1e-2)


ONE = {"captions": "bird", "seed": 1}
REFUSED = {
    "no captions": ({"instances": []}, "No values in 'instances'"),
    "not JSON": (b"{'instances'", "JSON Parse error"),
    "nothing": (b"", "JSON Parse error"),
    "half a surrogate pair": (b'{"instances": ["\\ud83d"]}', "surrogate"),
    "bytes that are not UTF-8": (b'{"instances": ["\xff\xfe"]}', "JSON Parse error"),
    "a list": ([1], "not a JSON object"),
    "no inputs": ({}, "one of 'instances' and 'inputs'"),
    "both": ({"instances": ["a"], "inputs": ["a"]}, "one of 'instances' and 'inputs'"),
    "no such signature": ({"signature_name": "draw", "instances": ["a"]}, '"draw" not found'),
    "a signature of 100,000 letters": ({"signature_name": "x" * 100_000, "instances": ["a"]}, 'xx" not found'),
    "a signature that is no name": ({"signature_name": 3, "instances": ["a"]}, "must be a string"),
    "a number for a caption": ({"instances": [3]}, "3 is not of expected type: string"),
    "base64 that is none": ({"instances": [{"b64": "&&"}]}, "base64"),
    "a caption in a list": ({"instances": [["a"]]}, "depth 1 but got 2"),
    "lists of two depths": ({"instances": ["a", ["b"]]}, "is not of expected type: string"),
    "one caption alone": ({"inputs": "a red bird"}, "depth 1 but got 0"),
    "deep lists": (b'{"instances": ' + b"[" * 900 + b"]" * 900 + b"}", "depth"),
    "deeper lists": (b'{"instances": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "JSON Parse error"),
    "a seed of 65 bits": ({"signature_name": "generate", "instances": [{**ONE, "seed": 2**63}]}, "type: int64"),
    "a seed of 5,000 digits": (
        b'{"signature_name": "generate", "instances": [{"captions": "a", "seed": 1' + b"0" * 5000 + b"}]}",
        "JSON Parse error",
    ),
    "a seed with a point": ({"signature_name": "generate", "instances": [{**ONE, "seed": 1.0}]}, "type: int64"),
    "a seed that is true": ({"signature_name": "generate", "instances": [{**ONE, "seed": True}]}, "type: int64"),
    "an input too few": ({"signature_name": "generate", "instances": [{"captions": "a"}]}, "equal to: captions,seed"),
    "an input too many": ({"instances": [{"captions": "a", "seed": 1}]}, "equal to: captions"),
    "a plain list for two inputs": ({"signature_name": "generate", "instances": ["a"]}, "several inputs"),
    "a column too few": ({"signature_name": "generate", "inputs": {"captions": ["a"]}}, "Missing named input: seed"),
    "columns of two lengths": (
        {"signature_name": "generate", "inputs": {"captions": ["a", "b"], "seed": [1]}},
        "Received inputs of lengths",
    ),
    "a factor that overflows": (
        {"signature_name": "generate_png", "inputs": {"captions": ["a"], "seed": [1], "truncation": [3e38]}},
        "truncation must be at most",
    ),
    "a sentence that overflows": (
        {"signature_name": "generate_from_embedding", "inputs": {"sentence": [[3e38] * 16], "seed": [1]}},
        "is not finite",
    ),
    "an infinite factor": (
        b'{"signature_name": "generate_png", "inputs": {"captions": ["a"], "seed": [1], "truncation": [Infinity]}}',
        "type: float32",
    ),
    "a sentence that is too short": (
        {"signature_name": "generate_from_embedding", "inputs": {"sentence": [[0.5]], "seed": [1]}},
        "must be of shape",
    ),
    "10,000 captions": ({"instances": ["a red bird"] * 10_000}, "too many pictures. Received:] [10000] [Send"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_drawn_is_refused_with_a_reason(endpoint, name):
    body, told = REFUSED[name]
    status, answer = ask(endpoint, PREDICT, body)
    assert status == 400 and list(answer) == ["error"]
    assert told in answer["error"] and len(answer["error"]) < 1000


def test_a_caption_of_100_000_characters_and_one_that_is_not_utf8_are_drawn(endpoint):
    odd = base64.b64encode(b"\xff\xfe a red bird \xff").decode()
    status, answer = ask(endpoint, PREDICT, {"instances": ["a red bird " * 9090, {"b64": odd}, "a red bird"]})
    assert status == 200
    assert answer["predictions"][1] == answer["predictions"][2] != answer["predictions"][0]


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/v1/models/fish", 404),
        ("/v1/models/birds/versions/7", 404),
        ("/v1/models/birds/versions/7/metadata", 404),
        ("/v1/models/", 400),
        ("/v1/models/birds/versions/" + "9" * 5000, 400),
        ("/", 404),
        ("/etc/passwd", 404),
    ],
)
def test_what_is_not_there_is_told(endpoint, path, status):
    found, answer = ask(endpoint, path)
    assert (found, list(answer)) == (status, ["error"])


def test_another_model_is_not_found(endpoint):
    status, answer = ask(endpoint, "/v1/models/fish:predict", {"instances": ["a"]})
    assert status == 404 and "fish" in answer["error"]


def test_an_empty_name_is_the_default_signature(endpoint):
    named = ask(endpoint, PREDICT, {"signature_name": "serving_default", "instances": ["a red bird"]})
    assert named[0] == 200 and ask(endpoint, PREDICT, {"signature_name": "", "instances": ["a red bird"]}) == named


def test_a_newer_version_takes_over_when_it_answers(exported, tmp_path, caplog):
    """The old one answers until then, and for good where the new one is damaged."""
    (tmp_path / "birds").mkdir()
    shutil.copytree(exported / "1", tmp_path / "birds" / "2")
    models = Models({"birds": tmp_path / "birds"})
    models.refresh()
    first = models.get("birds")
    assert first.version == 2
    (tmp_path / "birds" / "3").mkdir()
    (tmp_path / "birds" / "3" / "saved_model.pb").write_bytes(b"damaged")
    models.refresh()
    models.refresh()
    assert models.get("birds") is first and caplog.text.count("Version 3 of birds is not served") == 1
    shutil.copytree(exported / "1", tmp_path / "birds" / "3", dirs_exist_ok=True)  # it was not copied wholly yet
    models.refresh()
    assert models.get("birds").version == 3
    shutil.copytree(exported / "1", tmp_path / "birds" / "10")
    models.refresh()
    assert models.get("birds").version == 10
    with pytest.raises(ServingError, match="Servable not found for request: birds, version 2"):
        models.get("birds", 2)


def test_text_is_read_as_bytes():
    info = tensor_info("captions", "DT_STRING", [-1])
    body = '{"instances": ["gr\u00fcn\\u0000"]}'.encode()
    signature, inputs, rows = arrays_of(body, lambda _: {"captions": info})
    assert (signature, rows, inputs["captions"][0]) == ("serving_default", True, "grün\0".encode())
