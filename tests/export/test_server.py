"""The small server answers as TensorFlow Serving's REST API does, and no request breaks it."""

import base64
import http.client
import json
import re
import signal
import socket
import struct
import sys
import threading
import time

import numpy as np
import processes
import pytest
from processes import ROOT

from ssagan_tf.export.rest import arrays_of
from ssagan_tf.export.server import ServedModel


def ask(server, path, body=None, method=None, headers=None):
    """(status, answer) of a request to the server."""
    connection = http.client.HTTPConnection(*server.server_address, timeout=120)
    content = body if isinstance(body, bytes | None) else json.dumps(body).encode()
    connection.request(method or ("POST" if body is not None else "GET"), path, content, headers or {})
    response = connection.getresponse()
    answer = json.loads(response.read())
    connection.close()
    return response.status, answer


PREDICT = "/v1/models/birds:predict"


def test_status_and_metadata_are_told(rest_server):
    status, answer = ask(rest_server, "/v1/models/birds")
    assert status == 200
    assert answer["model_version_status"][0]["state"] == "AVAILABLE"
    status, answer = ask(rest_server, "/v1/models/birds/versions/1/metadata")
    assert answer["model_spec"] == {"name": "birds", "signature_name": "", "version": "1"}
    inputs = answer["metadata"]["signature_def"]["signature_def"]["generate"]["inputs"]
    assert {name: info["dtype"] for name, info in inputs.items()} == {"captions": "DT_STRING", "seed": "DT_INT64"}


def test_rows_and_columns_give_the_same_pictures(rest_server):
    rows = [
        {"captions": "a red bird", "seed": 1},
        {"captions": {"b64": base64.b64encode(b"wings").decode()}, "seed": 2},
    ]
    status, by_rows = ask(rest_server, PREDICT, {"signature_name": "generate", "instances": rows})
    assert status == 200
    columns = {"captions": ["a red bird", "wings"], "seed": [1, 2]}
    status, by_columns = ask(rest_server, PREDICT, {"signature_name": "generate", "inputs": columns})
    assert status == 200
    for index, row in enumerate(by_rows["predictions"]):
        assert row == {name: values[index] for name, values in by_columns["outputs"].items()}
    assert np.shape(by_columns["outputs"]["images"]) == (2, 64, 64, 3)


def test_the_default_signature_takes_plain_captions_and_gives_files_in_base64(rest_server):
    status, answer = ask(rest_server, PREDICT, {"instances": ["a red bird", "wings"]})
    assert status == 200
    pngs = [base64.b64decode(picture["b64"]) for picture in answer["predictions"]]
    assert all(png.startswith(b"\x89PNG") for png in pngs) and pngs[0] != pngs[1]
    assert ask(rest_server, PREDICT, {"inputs": ["a red bird"]})[1]["outputs"] == answer["predictions"][:1]
    assert ask(rest_server, "/v1/models/birds/versions/1:predict", {"inputs": {"captions": ["wings"]}})[0] == 200


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
    "a signature that is no name": ({"signature_name": 3, "instances": ["a"]}, "must be a string"),
    "a number for a caption": ({"instances": [3]}, "3 is not of expected type: string"),
    "base64 that is none": ({"instances": [{"b64": "&&"}]}, "base64"),
    "a caption in a list": ({"instances": [["a"]]}, "depth 1 but got 2"),
    "lists of two depths": ({"instances": ["a", ["b"]]}, "differ in depth"),
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
def test_what_cannot_be_drawn_is_refused_with_a_reason(rest_server, name):
    body, told = REFUSED[name]
    status, answer = ask(rest_server, PREDICT, body)
    assert status == 400 and list(answer) == ["error"]
    assert told in answer["error"] and len(answer["error"]) < 1000


def test_a_caption_of_100_000_characters_and_one_that_is_not_utf8_are_drawn(rest_server):
    odd = base64.b64encode(b"\xff\xfe a red bird \xff").decode()
    status, answer = ask(rest_server, PREDICT, {"instances": ["a red bird " * 9090, {"b64": odd}, "a red bird"]})
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
def test_what_is_not_there_is_told(rest_server, path, status):
    found, answer = ask(rest_server, path)
    assert (found, list(answer)) == (status, ["error"])


def test_another_model_is_not_found(rest_server):
    status, answer = ask(rest_server, "/v1/models/fish:predict", {"instances": ["a"]})
    assert status == 404 and "fish" in answer["error"]


@pytest.mark.parametrize("length", ["-1", "999999999999", "9" * 5000, "many"])
def test_a_body_without_bounds_is_not_read(rest_server, length):
    status, answer = ask(rest_server, PREDICT, b"", headers={"Content-Length": length})
    assert status == 400 and "bytes. Received" in answer["error"]


def test_who_waits_too_long_is_told_to_come_again(rest_server, served, monkeypatch):
    monkeypatch.setattr("ssagan_tf.export.server._PATIENCE", 0.01)
    monkeypatch.setattr(served, "_turn", threading.Semaphore(0))
    status, answer = ask(rest_server, PREDICT, {"instances": ["a"]})
    assert status == 503 and "too much to do" in answer["error"]


def test_a_mistake_of_the_server_is_an_answer_too(rest_server, monkeypatch):
    monkeypatch.setattr(ServedModel, "predict", lambda *_: 1 / 0)
    assert ask(rest_server, PREDICT, {"instances": ["a"]}) == (500, {"error": "The server failed."})


def test_the_newest_version_is_served_by_number(exported, tmp_path, monkeypatch):
    monkeypatch.setattr("tensorflow.saved_model.load", str)
    for version in ("2", "10"):
        (tmp_path / "birds" / version).parent.mkdir(exist_ok=True)
        (tmp_path / "birds" / version).symlink_to(exported)
    served = ServedModel(tmp_path / "birds")
    assert (served.version, served._loaded) == (10, str(tmp_path / "birds" / "10"))


def test_text_is_read_as_bytes(served):
    signature, inputs, rows = arrays_of('{"instances": ["gr\u00fcn\\u0000"]}'.encode(), served.inputs_of)
    assert (signature, rows, inputs["captions"][0]) == ("serving_default", True, "grün\0".encode())


def test_large_requests_are_read_a_few_at_a_time_and_small_ones_pass_them(rest_server, monkeypatch):
    handler = rest_server.RequestHandlerClass
    monkeypatch.setattr(handler, "large", threading.Semaphore(1))
    body = json.dumps({"instances": ["a red bird " * 10_000]}).encode()
    connections = [http.client.HTTPConnection(*rest_server.server_address, timeout=60) for _ in range(2)]
    for connection in connections:
        connection.putrequest("POST", PREDICT)
        connection.putheader("Content-Length", str(len(body)))
        connection.endheaders(body[:10])  # and no more: whoever is first now has the only turn
        time.sleep(0.2)
    first, second = connections
    second.send(body[10:])
    second.sock.settimeout(0.5)
    with pytest.raises(TimeoutError):
        second.getresponse()
    assert ask(rest_server, PREDICT, {"instances": ["a red bird"]})[0] == 200
    first.send(body[10:])
    assert first.getresponse().status == 200
    for connection in connections:
        connection.close()


@pytest.mark.parametrize("sent", [b"", b"POST /v1/models/birds:predict HTTP/1.1\r\nContent-Length: 99\r\n\r\n{"])
def test_a_client_that_hangs_up_is_no_error(rest_server, sent, capfd, caplog, monkeypatch):
    ended, end = threading.Event(), rest_server.shutdown_request
    monkeypatch.setattr(rest_server, "shutdown_request", lambda request: (end(request), ended.set()))
    with socket.create_connection(rest_server.server_address) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # closes with a reset
        connection.sendall(b"GET /v1/models/birds HTTP/1.1\r\n\r\n" + sent)
        connection.recv(10)
    assert ended.wait(30)
    assert (capfd.readouterr().err, caplog.text) == ("", "")
    assert ask(rest_server, "/v1/models/birds")[0] == 200


def test_the_script_says_where_it_serves_and_ends_on_ctrl_c_without_another_word(exported):
    command = [sys.executable, "scripts/serve.py", f"--model={exported.parent}", "--port=0"]
    with processes.started(*command, cwd=ROOT, stderr=processes.PIPE) as process:
        words = r"Serving (.*) at http://(127\.0\.0\.1):(\d+)\. Ctrl-C ends it\.\n"
        said = re.fullmatch(words, process.stdout.readline())
        connection = http.client.HTTPConnection(said[2], int(said[3]), timeout=60)
        connection.request("GET", "/v1/models/birds")
        assert (said[1], connection.getresponse().status) == (str(exported.parent), 200)
        connection.close()
        process.send_signal(signal.SIGINT)
        assert process.communicate() == ("", "Interrupted.\n")
    assert process.returncode == 130
