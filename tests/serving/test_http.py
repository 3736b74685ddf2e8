"""The server over real sockets: what it answers, to whom, and how it ends."""

import gzip
import http.client
import json
import os
import signal
import socket
import sys
import time

import processes
import pytest
import servers
from sockets import BODY, PAGE, PREDICT, Echo, all_of, ask, connect, head, port, resident

from ssagan_tf.errors import UserError
from ssagan_tf.serving.command import page_of
from ssagan_tf.serving.forward import Forward


def test_keep_alive_has_no_pause(server):
    connection = http.client.HTTPConnection("127.0.0.1", port(server), timeout=20)
    seconds = []
    for _ in range(100):
        start = time.perf_counter()
        connection.request("GET", "/v1/models/birds")
        assert connection.getresponse().read()
        seconds.append(time.perf_counter() - start)
    connection.close()
    assert sorted(seconds)[10] < 0.002  # a busy machine slows some, Nagle's 40 ms would be in all


NAMES = {
    "birds": "birds",
    "red%20birds": "red birds",
    "birds[1]": "birds[1]",
    "a%2Fb": "a/b",
    "%F0%9F%90%A6": "🐦",
    "%C0%AE%C0%AE": "\ufffd" * 4,
}
NAMES |= {"e%CC%81": "e\u0301", "%C3%A9": "\xe9", "%EF%BC%8E%EF%BC%8E": "．．", "a%00%0d%1b": "a\0\r\x1b"}


@pytest.mark.parametrize("sent", NAMES)
def test_names_may_be_odd_and_a_query_is_ignored(server, sent):
    told = json.loads(ask(server, f"/v1/models/{sent}/versions/3:predict?x=/../y", BODY)[2])
    assert told == {"name": NAMES[sent], "version": 3, "what": ":predict", "length": len(BODY)}


def test_version_0_is_the_newest_as_ovmsclient_asks_for_it(server):
    assert json.loads(ask(server, "/v1/models/birds/versions/0:predict", BODY)[2])["version"] is None


def test_bodies_are_chunked_and_zipped(server):
    chunked = (
        head("POST", PREDICT, "Transfer-Encoding: chunked", "Connection: close")
        + b"3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n"
    )
    assert all_of(connect(server, chunked)).endswith(b'"length": 5}')
    gzipped = {"Content-Encoding": "gzip"}
    assert json.loads(ask(server, PREDICT, gzip.compress(BODY), **gzipped)[2])["length"] == len(BODY)
    bomb = gzip.compress(b" " * 2**28)
    before = resident()
    assert ask(server, PREDICT, bomb, **gzipped)[0] == 413 and resident() - before < 50
    for content in (b"no gzip", gzip.compress(BODY)[:-3], gzip.compress(BODY) + b"more"):
        assert ask(server, PREDICT, content, **gzipped)[0] == 400
    assert ask(server, PREDICT, BODY, **{"Content-Encoding": "br"})[0] == 415


def test_a_body_has_a_bound(server):
    assert ask(server, PREDICT, b"x" * 2**20)[0] == 200
    assert b" 413 " in all_of(connect(server, head("POST", PREDICT, "Content-Length: 9999999999")))
    endless = connect(
        server, head("POST", PREDICT, "Transfer-Encoding: chunked"), b"100000\r\n" + b"x" * 2**20 + b"\r\n"
    )
    endless.sendall(b"1\r\nx\r\n")
    assert b" 413 " in all_of(endless)


def test_head_and_options_and_other_methods(server):
    status, headers, content = ask(server, "/", method="HEAD")
    assert status == 200 and int(headers["Content-Length"]) == len(PAGE["index.html"]) and not content
    status, headers, _ = ask(server, PREDICT, method="OPTIONS")
    assert status == 204 and headers["Allow"] == "GET, HEAD, POST, OPTIONS"
    assert ask(server, PREDICT, method="DELETE")[0] == 405
    assert ask(server, PREDICT)[0] == 400 and ask(server, "/v1/models/birds", BODY)[0] == 400


def test_the_page_is_served_with_its_own_types_and_closed_to_other_places(server):
    status, headers, content = ask(server, "/app.js")
    assert (status, content) == (200, PAGE["app.js"]) and headers["Content-Type"].startswith("text/javascript")
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    for path in ("/app.py", "/page", "/settings", "/web/README.md", "/%00"):
        assert ask(server, path)[0] == 404


def test_a_mistake_of_the_server_is_an_answer_too(server):
    status, _, content = ask(server, PREDICT, b"fail")
    assert (status, json.loads(content)) == (500, {"error": "The server failed."})
    assert ask(server, "/v1/models/fish")[0] == 404


def test_health_and_metrics(server):
    assert ask(server, "/healthz")[0] == 200 and ask(server, "/readyz")[0] == 200
    content = ask(server, "/metrics")[2]
    assert (
        b'ssagan_requests_total{method="GET",status="200"}' in content and b"ssagan_request_seconds_bucket" in content
    )


def test_who_does_not_fit_in_the_queue_is_told_to_come_back():
    with servers.running(Echo(), places=1, queue=3) as server:
        busy = [
            connect(server, head("POST", PREDICT, "Content-Length: 5", "Connection: close") + b"slow1")
            for _ in range(3)
        ]
        time.sleep(0.3)
        status, headers, _ = ask(server, PREDICT, BODY)
        assert status == 429 and headers["Retry-After"] == "1"
        assert all(b" 200 " in all_of(connection) for connection in busy)
        assert server.backend.most == 1 and ask(server, PREDICT, BODY)[0] == 200
        assert not server.config.app.waiting


def test_a_key_is_asked_for_where_there_is_one():
    with servers.running(Echo(), api_key="0123456789abcdef") as server:
        for headers in ({}, {"X-API-Key": "wrong"}, {"Authorization": "Bearer 0123456789abcde"}):
            assert ask(server, PREDICT, BODY, **headers)[0] == 401
        for headers in ({"X-API-Key": "0123456789abcdef"}, {"Authorization": "Bearer 0123456789abcdef"}):
            assert ask(server, PREDICT, BODY, **headers)[0] == 200
        assert ask(server, "/healthz")[0] == 200 and ask(server, "/metrics")[0] == 401


@pytest.mark.parametrize(("hosts", "status"), [(("birds.example",), 200), (("*",), 200), (("other.example",), 421)])
def test_a_server_is_called_by_the_names_it_is_given(hosts, status):
    with servers.running(Echo(), hosts=hosts) as server:
        headers = {"Host": "Birds.example:443", "Origin": "https://Birds.example:443"}
        assert ask(server, PREDICT, BODY, **headers)[0] == status
        assert ask(server, "/x", Host="[::1")[0] == (404 if "*" in hosts else 421)


def test_requests_are_handed_on_by_name_and_version(server):
    with servers.running(Forward(f"http://127.0.0.1:{port(server)}"), PAGE) as front:
        told = json.loads(ask(front, "/v1/models/red%20birds/versions/3:predict", BODY)[2])
        assert told == {"name": "red birds", "version": 3, "what": ":predict", "length": len(BODY)}
        assert ask(front, "/v1/models/fish")[0] == 404 and ask(front, "/v1/../x")[0] == 400
    with servers.running(Forward("http://127.0.0.1:1")) as front:
        assert ask(front, PREDICT, BODY)[0] == 503
    with pytest.raises(UserError, match="No such address. Received: localhost"):
        Forward("localhost")


def test_a_folder_that_is_no_model_is_told(tmp_path):
    with pytest.raises(UserError, match="No model found. Received: "):
        page_of({"birds": tmp_path})


SERVE = """
import asyncio, sys, time
sys.path[:0] = ["tests", "tests/serving"]
from sockets import Echo
from ssagan_tf.core import cli
from ssagan_tf.serving.app import App, Options
from ssagan_tf.serving.server import Server
def main(_):
    server = Server(App(Echo(), Options()), 0)
    cli.say(server.url)
    server.run_until_stopped()
cli.run(main)
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_what_is_under_way_is_answered_before_it_ends(number):
    with processes.started(sys.executable, "-c", SERVE, cwd=processes.ROOT, stderr=processes.PIPE) as process:
        url = process.stdout.readline().strip()
        servers.wait_until_ready(url)
        address = int(url.rstrip("/").rpartition(":")[2])
        connection = socket.create_connection(("127.0.0.1", address), timeout=30)
        connection.sendall(head("POST", PREDICT, "Content-Length: 5") + b"slow2")
        time.sleep(0.5)
        os.kill(process.pid, number)
        answer = all_of(connection)
        assert b" 200 " in answer and b'"length": 5' in answer
        _, said = process.communicate()
    assert process.returncode == 0
    line = json.loads(said.splitlines()[-1])  # the access log
    assert (line["method"], line["path"], line["status"]) == ("POST", PREDICT, 200) and line["ms"] > 1000
