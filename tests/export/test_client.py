"""The client: the same pictures by REST and gRPC as from Keras, patience with servers, and clear words when it ends."""

import http.server
import io
import json
import re
import threading
import time

import numpy as np
import processes
import pytest
from PIL import Image
from processes import ROOT

from ssagan_tf.errors import UserError
from ssagan_tf.serving import client

CAPTIONS = ["a red bird", "yellow wings", "a redd bird", "xyzzy"]
SEEDS = [4, -1, 2**63 - 1, 0]
ONE_PICTURE = b'{"outputs": {"png_bytes": [{"b64": ""}], "known_words": %s, "unknown_words": [1]}}'


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch):
    monkeypatch.setattr(client, "_FIRST_PAUSE", 0.0)


@pytest.fixture(scope="module")
def grpc_address(served):
    pytest.importorskip("tensorflow_serving", reason="tensorflow-serving-api is not installed")
    import grpc_server

    with grpc_server.serving(served) as port:
        yield f"grpc://127.0.0.1:{port}"


@pytest.fixture(params=["rest_address", "grpc_address"])
def address(request):
    return request.getfixturevalue(request.param)


@pytest.fixture
def broken_server():
    """`broken_server(answer)` -> address of a server whose every POST is answered by `answer(handler, number)`."""
    started = []

    def start(answer):
        class Handler(http.server.BaseHTTPRequestHandler):
            asked = 0

            def do_POST(self):
                self.rfile.read(int(self.headers["Content-Length"]))
                type(self).asked += 1
                answer(self, self.asked)

            def log_message(self, *_):
                pass

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        started.append(server)
        return "http://{}:{}".format(*server.server_address), Handler

    yield start
    for server in started:
        server.shutdown()
        server.server_close()


def reply(handler, status, content):
    handler.send_response(status)
    handler.end_headers()
    handler.wfile.write(content)


def drawn(picture):
    return np.asarray(Image.open(io.BytesIO(picture.png))).astype(int)


def test_pictures_are_those_of_keras(random_model, address):
    pictures = client.connect(address, "birds").draw(CAPTIONS, SEEDS)
    assert [(picture.known_words, picture.unknown_words) for picture in pictures] == [(3, 0), (2, 0), (2, 1), (0, 1)]
    for caption, seed, picture in zip(CAPTIONS[:3], SEEDS, pictures, strict=False):
        assert np.abs(drawn(picture) - random_model.generate(caption, seed)[0]).max() <= 2


def test_truncation_is_sent(random_model, address):
    picture = client.connect(address, "birds").draw(["a red bird"], [4], truncation=0.5)[0]
    assert np.abs(drawn(picture) - random_model.generate("a red bird", 4, truncation=0.5)[0]).max() <= 2


def test_many_captions_take_several_requests(address):
    count = client.MOST_PICTURES + 3
    pictures = client.connect(address, "birds").draw(["wings"] * count, range(count))
    assert len({picture.png for picture in pictures}) == count


def test_odd_captions_are_sent(address):
    odd = ["a \ud83d red \0 bird", "é" * 1000, "a red bird " * 9090]
    pictures = client.connect(address, "birds").draw(odd, [1, 1, 1])
    assert [picture.known_words for picture in pictures] == [3, 0, 18]


def test_a_model_that_is_not_there_is_refused_at_once(address):
    with pytest.raises(UserError, match=r"The server refused.*Received: (404|NOT_FOUND)\b.*Servable not found.*fish"):
        client.connect(address, "fish").draw(["a"], [1])


@pytest.mark.parametrize(
    ("captions", "seeds", "told"),
    [([], [], "Nothing to draw"), (["a"], [1, 2], "Nothing to draw"), (["a"], [2**63], "Seeds have 64 bits")],
)
def test_what_cannot_be_asked_for_is_not_sent(captions, seeds, told):
    with pytest.raises(UserError, match=told):
        client.connect("http://127.0.0.1:1", "birds").draw(captions, seeds)


@pytest.mark.parametrize("address", ["127.0.0.1:8501", "ftp://host:1", "http://host", "http://host:many", "http://:80"])
def test_addresses_of_another_kind_are_refused(address):
    with pytest.raises(UserError, match="No such address. Received"):
        client.connect(address, "birds")


@pytest.mark.parametrize("kind", ["http", "grpc"])
def test_a_server_that_is_not_there_is_told_after_all_tries(kind):
    # Port 1 is nobody's.
    with pytest.raises(UserError, match=f"does not answer. Received: {kind}://127.0.0.1:1: .*, 2 times. Check") as told:
        client.connect(f"{kind}://127.0.0.1:1", "birds", tries=2).draw(["a"], [1])
    assert "\n" not in str(told.value)


def test_a_busy_server_is_asked_again(broken_server):
    answer = {"outputs": {"png_bytes": [{"b64": "UE5H"}], "known_words": [1], "unknown_words": [0]}}

    def busy_twice(handler, number):
        reply(handler, *((503, b'{"error": "full"}') if number < 3 else (200, json.dumps(answer).encode())))

    address, handler = broken_server(busy_twice)
    assert client.connect(address, "birds").draw(["a"], [1]) == [client.Picture(b"PNG", 1, 0)]
    assert handler.asked == 3


def test_an_answer_that_breaks_off_is_asked_for_again(broken_server):
    def break_off(handler, _):
        handler.send_response(200)
        handler.send_header("Content-Length", "100")
        handler.end_headers()
        handler.wfile.write(b'{"outputs": ')

    address, handler = broken_server(break_off)
    with pytest.raises(UserError, match="does not answer.*broke off 88 bytes before its end, 2 times"):
        client.connect(address, "birds", tries=2).draw(["a"], [1])
    assert handler.asked == 2


def test_pauses_grow(broken_server, monkeypatch):
    pauses = []
    monkeypatch.setattr(client, "_FIRST_PAUSE", 1.0)
    monkeypatch.setattr(client.time, "sleep", pauses.append)
    address, _ = broken_server(lambda handler, _: reply(handler, 429, b"busy"))
    with pytest.raises(UserError, match=r"429 b'busy', 4 times"):
        client.connect(address, "birds").draw(["a"], [1])
    assert [0.5 * 2**index <= pause <= 2**index for index, pause in enumerate(pauses)] == [True] * 3


@pytest.mark.parametrize(
    ("status", "content", "told"),
    [
        (400, b'{"error": "no such input"}', "400 no such input"),
        (500, b"<html>", "500 b'<html>'"),
        (400, b'{"error": "\\u001b]0;owned\\u0007\\u202e"}', r"400 \x1b]0;owned\x07\u202e"),  # a terminal would obey
        (200, b"hello", "none of TensorFlow Serving's: b'hello'"),
        (200, b'{"outputs": [1]}', "none of TensorFlow Serving's"),
        (200, b"[" * 100_000, "none of TensorFlow Serving's"),
        (500, b"[" * 100_000, "500 b'[[["),
        (200, b'{"outputs": {"png_bytes": []}}', "none of this model's"),
        (200, b'{"outputs": {"png_bytes": [], "known_words": [], "unknown_words": []}}', "0 pictures"),
        *(
            (200, ONE_PICTURE % known, "none of this model's")
            for known in (b"[]", b"[null]", b"1", b"[1e999]", b"[[1]]")
        ),
    ],
)
def test_a_refusal_is_told_and_not_repeated(broken_server, status, content, told):
    address, handler = broken_server(lambda handler, _: reply(handler, status, content))
    with pytest.raises(UserError, match=re.escape(told)):
        client.connect(address, "birds").draw(["a"], [1])
    assert handler.asked == 1


def test_a_silent_server_is_left_after_the_timeout(broken_server):
    address, handler = broken_server(lambda handler, _: time.sleep(2))
    begin = time.monotonic()
    with pytest.raises(UserError, match="timed out, 2 times"):
        client.connect(address, "birds", timeout=0.2, tries=2).draw(["a"], [1])
    assert time.monotonic() - begin < 1.5 and handler.asked == 2


def test_load_tells_percentiles_and_throughput():
    told = client.load(lambda number: time.sleep(0.05 if number == 7 else 0.01), 20, 4)
    numbers = [float(number) for number in re.findall(r"\d+\.\d+", told)]
    median, ninety, _, longest, throughput, alone, ratio = numbers
    assert told.startswith("20 requests, 4 at once.")
    assert 10 <= median <= ninety <= longest and longest >= 50
    assert throughput < 4 / 0.01
    assert 10 <= alone < 50 and ratio == pytest.approx(numbers[2] / alone / 4, abs=0.02)


def test_load_ends_with_the_first_failure():
    def refuse(_):
        raise UserError("no")

    with pytest.raises(UserError, match="no"):
        client.load(refuse, 4, 2)


def run(*arguments):
    return processes.python("scripts/serve_client.py", *arguments, cwd=ROOT)


def test_the_script_writes_pictures_and_measures(random_model, rest_address, tmp_path):
    flags = [f"--server={rest_address}", "--model=birds", "--caption=a redd bird", "--seed=3"]
    done = run(*flags, "--count=2", f"--out={tmp_path}/pictures")
    assert done.returncode == 0 and "1 unknown words are left out: 'a redd bird'" in done.stderr
    for index in range(2):
        picture = np.asarray(Image.open(tmp_path / "pictures" / f"00{index}.png")).astype(int)
        assert np.abs(picture - random_model.generate("a bird", 3 + index)[0]).max() <= 2
    done = run(*flags, "--load=6", "--at_once=2")
    assert done.stdout.startswith("6 requests, 2 at once. Latency in ms: median")


def test_the_script_says_in_one_line_that_there_is_no_server():
    done = run("--server=http://127.0.0.1:1", "--model=birds", "--caption=a bird", "--tries=1")
    assert done.returncode == 1 and done.stderr.count("\n") == 1
    assert done.stderr.startswith("error: The server does not answer. Received: http://127.0.0.1:1")


def test_rest_needs_no_tensorflow(tmp_path):
    (tmp_path / "tensorflow.py").write_text("raise SystemExit('tensorflow was imported')")
    code = (
        "from ssagan_tf.serving import client; client.connect('http://127.0.0.1:1', 'birds', tries=1).draw(['a'], [1])"
    )
    done = processes.python("-c", code, cwd=ROOT, env={"PYTHONPATH": str(tmp_path)})
    assert "does not answer" in done.stderr and "tensorflow was imported" not in done.stderr
