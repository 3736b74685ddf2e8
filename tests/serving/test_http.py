"""What strangers send, over real sockets: refused in words, bounded in time and memory, and no one else notices."""

import gzip
import http.client
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import sys
import threading
import time

import processes
import pytest
import servers

from ssagan_tf.errors import UserError
from ssagan_tf.export import assets
from ssagan_tf.serving import app
from ssagan_tf.serving.command import page_of
from ssagan_tf.serving.forward import Forward
from ssagan_tf.serving.rest import ServingError

PREDICT = "/v1/models/birds:predict"
BODY = b'{"instances": ["a red bird"]}'
LARGE = 8 * 2**20
PAGE = {**assets.page_files(), "settings.json": b"{}", "vocabulary.txt": b"<end>\n"}


class Echo:
    """Draws nothing: says what it was asked, after a while or at length where the body says so."""

    ready, failed = True, None

    def __init__(self):
        self.now = self.most = 0

    def start(self):
        pass

    def stop(self):
        pass

    def answer(self, name, version, what, body):
        if name == "fish":
            raise ServingError("NOT_FOUND", "Servable not found for request: fish")
        self.now += 1
        self.most = max(self.most, self.now)
        if body.startswith(b"slow"):
            time.sleep(float(body[4:]))
        self.now -= 1
        if body == b"large":
            return 200, b"x" * LARGE
        if body == b"fail":
            raise ZeroDivisionError
        return 200, json.dumps({"name": name, "version": version, "what": what, "length": len(body)}).encode()


@pytest.fixture(scope="module")
def server():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(app, "MOST_KEPT", 4 * LARGE)
        with servers.running(Echo(), PAGE, patience=2, max_body=2**20) as server:
            yield server


def port(server):
    return server.socket.getsockname()[1]


def ask(server, path, body=None, method=None, **headers):
    """(status, headers, content)."""
    connection = http.client.HTTPConnection("127.0.0.1", port(server), timeout=60)
    connection.request(method or ("GET" if body is None else "POST"), path, body, headers)
    response = connection.getresponse()
    found = response.status, response.headers, response.read()
    connection.close()
    return found


def connect(server, *parts):
    connection = socket.create_connection(("127.0.0.1", port(server)), timeout=20)
    for part in parts:
        connection.sendall(part)
    return connection


def all_of(connection):
    content = b""
    while part := connection.recv(2**16):
        content += part
    connection.close()
    return content


def head(method, path, *lines):
    return "\r\n".join([f"{method} {path} HTTP/1.1", "Host: localhost", *lines, "", ""]).encode()


HIDDEN = head("POST", PREDICT, "Content-Length: 0")
SMUGGLED = {
    "a GET with a body": head("GET", "/v1/models/birds", f"Content-Length: {len(HIDDEN)}") + HIDDEN,
    "a chunked GET": head("GET", "/", "Transfer-Encoding: chunked") + b"0\r\n\r\n" + HIDDEN,
    "length and chunks": head("POST", PREDICT, "Content-Length: 4", "Transfer-Encoding: chunked") + b"0\r\n\r\n",
    "two lengths": head("POST", PREDICT, "Content-Length: 0", f"Content-Length: {len(HIDDEN)}") + HIDDEN,
    "a list of lengths": head("POST", PREDICT, "Content-Length: 0, 3") + HIDDEN,
    "a length with a sign": head("POST", PREDICT, "Content-Length: +3") + HIDDEN,
    "another coding": head("POST", PREDICT, "Transfer-Encoding: gzip, chunked") + HIDDEN,
    "a space before the colon": head("POST", PREDICT, "Content-Length : 0") + HIDDEN,
    "no host": b"GET / HTTP/1.1\r\n\r\n" + HIDDEN,
    "two hosts": head("GET", "/", "Host: localhost") + HIDDEN,
    "a folded header": head("POST", PREDICT, "Content-Length: 0", " Transfer-Encoding: chunked") + HIDDEN,
    "a NUL": head("POST", PREDICT, "X: a\0b", "Content-Length: 0") + HIDDEN,
    "a bare CR": head("POST", PREDICT, "X: a\rContent-Length: 9", "Content-Length: 0") + HIDDEN,
    "a chunk with no end": head("POST", PREDICT, "Transfer-Encoding: chunked") + b"2\r\n{}??0\r\n\r\n" + HIDDEN,
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + HIDDEN,
    "an address for a path": head("GET", "http://evil.example/v1/models/birds", "Connection: close") + HIDDEN,
}


@pytest.mark.parametrize("name", SMUGGLED)
def test_nothing_hides_in_a_request(server, name):
    """One answer, an error, and the connection ends: what followed is no second request."""
    answer = all_of(connect(server, SMUGGLED[name]))
    assert answer.count(b"HTTP/1.1 ") == 1 and answer.split()[1][:1] == b"4", answer[:200]
    assert b"connection: close" in answer.lower()


def test_an_upgrade_is_not_followed_and_a_body_is_asked_for_in_time(server):
    upgrade = head("GET", "/healthz", "Connection: upgrade, close", "Upgrade: websocket", "Sec-WebSocket-Key: eA==")
    assert all_of(connect(server, upgrade)).startswith(b"HTTP/1.1 200 ")
    waits = "Expect: 100-continue", f"Content-Length: {len(BODY)}", "Connection: close"
    patient = connect(server, head("POST", PREDICT, *waits))
    assert patient.recv(25).startswith(b"HTTP/1.1 100 ")
    patient.sendall(BODY)
    assert b"HTTP/1.1 200 " in all_of(patient)
    too_long = "Expect: 100-continue", "Content-Length: 999999999"
    assert all_of(connect(server, head("POST", PREDICT, *too_long))).startswith(b"HTTP/1.1 413 ")


@pytest.mark.parametrize("line", [b"X: y\r\n", b"x" * 100])
def test_a_head_has_a_bound(server, line):
    endless = connect(server, b"GET / HTTP/1.1\r\n")
    with pytest.raises(ConnectionError):
        for _ in range(10**6):
            endless.sendall(line * 100)
    endless.close()


def test_requests_in_a_row_are_answered_in_turn(server):
    row = b"".join(head("GET", f"/v1/models/{number}") for number in range(50))
    answers = all_of(connect(server, row, head("GET", "/healthz", "Connection: close")))
    found = re.findall(rb'"name": "(\d+)"', answers)
    assert found == [str(number).encode() for number in range(50)] and answers.endswith(b'{"status": "ok"}')


def test_who_comes_by_too_many_connections_is_sent_away():
    with servers.running(Echo(), max_connections=4, patience=2) as server:
        idle = [connect(server) for _ in range(12)]
        time.sleep(0.5)
        assert len(server.server_state.connections) <= 8
        idle.pop(0).close()
        time.sleep(0.2)
        assert ask(server, "/healthz")[0] == 503
        for connection in idle:
            connection.close()
        time.sleep(0.2)
        assert ask(server, "/healthz")[0] == 200


NGINX = """
daemon off; pid {folder}/pid; error_log {folder}/log; worker_processes 1; events {{}}
http {{
  access_log off; client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/f;
  uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  upstream server {{ server 127.0.0.1:{behind}; keepalive 4; }}
  server {{
    listen 127.0.0.1:{port};
    location / {{ proxy_pass http://server; proxy_http_version 1.1; proxy_set_header Connection "";
                  proxy_set_header Host $host; }}
  }}
}}
"""


def test_behind_nginx_the_next_visitor_gets_an_own_answer(server, tmp_path):
    """nginx keeps connections open and passes on a GET's body: what is in it must not be answered."""
    nginx = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
    if nginx is None:
        pytest.skip("nginx is not installed.")
    with socket.create_server(("127.0.0.1", 0)) as free:
        front = free.getsockname()[1]
    (tmp_path / "conf").write_text(NGINX.format(folder=tmp_path, behind=port(server), port=front))
    with processes.started(nginx, "-p", tmp_path, "-e", tmp_path / "log", "-c", tmp_path / "conf", seconds=60):
        for _ in range(100):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", front)) == 0:
                    break
            time.sleep(0.05)
        for _ in range(10):
            with socket.create_connection(("127.0.0.1", front), timeout=20) as attacker:
                attacker.sendall(SMUGGLED["a GET with a body"])
                assert b" 400 " in attacker.recv(2**16).split(b"\r\n")[0]
            with socket.create_connection(("127.0.0.1", front), timeout=20) as visitor:
                visitor.sendall(head("GET", "/healthz", "Connection: close"))
                assert all_of(visitor).endswith(b'{"status": "ok"}')


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


@pytest.mark.parametrize(
    "sent", [b"GET /", head("POST", PREDICT, "Content-Length: 100") + b"{", head("GET", "/")[:-2] + b"X: y"]
)
def test_a_slow_client_is_not_waited_for_and_takes_no_place(server, sent):
    begin = time.monotonic()
    slow = [connect(server, sent) for _ in range(20)]
    for _ in range(3):
        for connection in slow:
            connection.sendall(b"x")
        start = time.monotonic()
        assert ask(server, PREDICT, BODY)[0] == 200 and time.monotonic() - start < 1.5
        time.sleep(0.2)
    for connection in slow:
        try:
            answer = all_of(connection)
        except ConnectionError:
            answer = b""
        assert not answer or b" 408 " in answer.split(b"\r\n")[0]
    assert time.monotonic() - begin < 15


def test_bodies_in_tiny_chunks_keep_nobody_waiting(server):
    """h11 takes as long for a chunk of a byte as for one of a thousand."""
    tiny = head("POST", PREDICT, "Transfer-Encoding: chunked") + b"1\r\nx\r\n" * 100_000
    senders = [threading.Thread(target=lambda: connect(server, tiny).close(), daemon=True) for _ in range(3)]
    for sender in senders:
        sender.start()
    time.sleep(0.3)
    start = time.monotonic()
    assert ask(server, "/healthz")[0] == 200 and time.monotonic() - start < 1.5
    for sender in senders:
        sender.join()


def resident():
    return int(pathlib.Path("/proc/self/status").read_text().split("VmRSS:")[1].split()[0]) / 1024  # MB


def test_slow_readers_do_not_fill_the_memory(server):
    before = resident()
    large = head("POST", PREDICT, "Content-Length: 5") + b"large"
    readers = [connect(server, large) for _ in range(60)]  # 480 MB, if all were kept
    time.sleep(1.5)
    assert resident() - before < 4 * LARGE / 2**20 + 60
    assert ask(server, PREDICT, BODY)[0] == 200
    for reader in readers:
        reader.close()


HOSTS = {"localhost": 200, "127.0.0.1:8501": 200, "[::1]:80": 200, "evil.example": 421, "127.0.0.1.evil.example": 421}


@pytest.mark.parametrize("host", HOSTS)
@pytest.mark.parametrize("path", ["/", "/v1/models/birds"])
def test_another_name_gets_neither_page_nor_api(server, host, path):
    assert ask(server, path, Host=host)[0] == HOSTS[host]


def test_health_checks_use_addresses_or_no_name(server):
    assert ask(server, "/healthz", Host="10.0.0.7:8501")[0] == ask(server, "/readyz", Host="10.0.0.7:8501")[0] == 200
    assert b" 200 " in all_of(connect(server, b"GET /healthz HTTP/1.0\r\n\r\n")).split(b"\r\n")[0]


def test_other_sites_pages_may_not_ask(server):
    own = f"127.0.0.1:{port(server)}"
    assert ask(server, PREDICT, BODY, Origin=f"http://{own}")[0] == 200
    for origin in ("https://evil.example", "null", "http://127.0.0.1:1"):
        status, headers, content = ask(server, PREDICT, BODY, Origin=origin)
        assert status == 403 and "access-control-allow-origin" not in headers and b"Other sites" in content


@pytest.mark.parametrize(
    "path",
    [
        "/v1/../x",
        "/v1/models/../../x",
        "/v1/%2e%2e/x",
        "/v1/models/..",
        "/v1/models/%2E%2e/versions/1",
        "/v1/models/a%2f..%2fb",
        "/v1/models/a%5c..%5cb",
        "/v1/..\\x",
        "/%761/models/birds",
    ],
)
def test_a_path_leads_nowhere_else(server, path):
    assert ask(server, path)[0] == 400


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


@pytest.mark.parametrize("name", ["vocabulary.txt", "terms.txt", "1/assets/vocabulary.txt"])
@pytest.mark.parametrize("target", ["/dev/zero", "/etc/passwd", "../../../elsewhere"])
def test_a_folders_links_lead_nowhere(tmp_path, name, target):
    folder = tmp_path / "birds"
    (folder / "1/assets").mkdir(parents=True)
    (folder / "vocabulary.txt").write_text("<end>\nred\n")
    if name.startswith("1/"):
        (folder / "1/saved_model.pb").touch()
    (folder / name).unlink(missing_ok=True)
    (folder / name).symlink_to(target)
    with pytest.raises(UserError, match="A link leads out of the folder. Received: "):
        page_of({"birds": folder})


SERVE = """
import asyncio, sys, time
sys.path[:0] = ["tests", "tests/serving"]
from test_http import Echo
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
