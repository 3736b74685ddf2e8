"""Odd requests to the page's server with a model behind it: each is answered in words, and it goes on drawing."""

import http.client
import json
import threading

import pytest

from ssagan_tf.export import client
from ssagan_tf.serving.page_server import PageServer, read_vocabulary

BIRD = {"signature_name": "generate_png", "inputs": {"captions": ["a red bird"], "seed": [1], "truncation": [1.0]}}


@pytest.fixture(scope="module")
def page(exported, endpoint):
    with PageServer("birds", read_vocabulary(exported)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        server.endpoint = endpoint
        yield server
        server.shutdown()


def predict(page, body):
    connection = http.client.HTTPConnection(*page.server_address, timeout=300)
    connection.request("POST", "/v1/models/birds:predict", body if isinstance(body, bytes) else json.dumps(body))
    response = connection.getresponse()
    answer = json.loads(response.read())
    connection.close()
    return response.status, answer


def with_captions(captions):
    return {"signature_name": "generate_with_masks", "inputs": {"captions": captions, "seed": [1] * len(captions)}}


REFUSED = {
    "ten thousand captions": (with_captions(["a red bird"] * 10_000), "too many pictures"),
    "no JSON": (b"{'instances': ", "JSON Parse error"),
    "deep lists": (b"[" * 1_000_000, "JSON Parse error"),
    "a number for a caption": (with_captions([3]), "not of expected type: string"),
    "nothing for a caption": (with_captions([None]), "not of expected type: string"),
    "a seed that is no whole number": (
        {"inputs": {"captions": ["a"], "seed": [0.5]}, "signature_name": "generate"},
        "int64",
    ),
    "a seed too large": ({"inputs": {"captions": ["a"], "seed": [2**63]}, "signature_name": "generate"}, "int64"),
    "a signature that is none": ({"signature_name": "../../etc", "inputs": {}}, "not found"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_it_is_refused_in_words(page, name):
    body, reason = REFUSED[name]
    status, answer = predict(page, body)
    assert status == 400 and reason in answer["error"]
    assert predict(page, BIRD)[0] == 200


def test_a_caption_of_a_hundred_thousand_characters_is_drawn(page):
    status, answer = predict(page, with_captions([("a red bird " * 10_000)[:100_000]]))
    assert status == 200
    short = predict(page, with_captions([" ".join(["a red bird"] * 6)]))[1]
    assert answer["outputs"]["images"] == short["outputs"]["images"]  # the first 18 words count


def test_the_client_draws_at_the_page_as_at_the_server(page, endpoint):
    direct = client.connect(endpoint, "birds").draw(["a red bird"], [7])
    assert client.connect(page.url, "birds").draw(["a red bird"], [7]) == direct
