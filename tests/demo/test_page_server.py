"""The page's server hands requests on, and whatever strangers send it, it answers in words and stays as it is."""

import asyncio
import http.client
import http.server
import json
import socket
import threading
import time

import pytest

from ssagan_tf.errors import UserError
from ssagan_tf.serving import assets
from ssagan_tf.serving import page_server as demo_server
from ssagan_tf.serving.page_server import PageServer, checked_endpoint, read_vocabulary

PREDICT = "/v1/models/birds:predict"


class _Endpoint(http.server.BaseHTTPRequestHandler):
    """Says what it was asked; counts how many ask at a time."""

    protocol_version = "HTTP/1.1"
    now = most = 0
    lock = threading.Lock()

    def do_GET(self):
        self._answer(b"")

    def do_POST(self):
        with self.lock:
            _Endpoint.now += 1
            _Endpoint.most = max(self.most, self.now)
        self._answer(self.rfile.read(int(self.headers["Content-Length"])))
        with self.lock:
            _Endpoint.now -= 1

    def _answer(self, body):
        time.sleep(0.002)
        content = json.dumps({"path": self.path, "length": len(body)}).encode()
        self.send_response(400 if b"refuse" in body else 200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_):
        pass


def started(server):
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


@pytest.fixture(scope="module")
def endpoint():
    server = started(http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Endpoint))
    server.daemon_threads = True
    yield "http://{}:{}".format(*server.server_address)
    server.shutdown()
    server.server_close()


@pytest.fixture
def page(endpoint):
    with started(PageServer("birds", b"<end>\nred\n")) as server:
        server.endpoint = endpoint
        yield server
        server.shutdown()


def ask(page, path, body=None, headers=None):
    """(status, headers, content) of a request."""
    connection = http.client.HTTPConnection(*page.server_address, timeout=60)
    connection.request("GET" if body is None else "POST", path, body, headers or {})
    response = connection.getresponse()
    content = response.read()
    connection.close()
    return response.status, response.headers, content


def told(page, *request):
    """(status, error) of a request."""
    status, _, content = ask(page, *request)
    return status, json.loads(content)["error"]


def test_the_page_is_served_and_closed_to_other_places(page):
    status, headers, content = ask(page, "/?from=mail")
    assert status == 200 and b"<title>Pictures of captions</title>" in content
    assert headers["Content-Type"] == "text/html; charset=utf-8"
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert ask(page, "/app.js")[1].get_content_type() in ("text/javascript", "application/javascript")
    assert ask(page, "/vocabulary.txt")[2] == b"<end>\nred\n"
    assert json.loads(ask(page, "/settings.json")[2]) == {"backend": "server", "model": "birds"}


def test_the_page_names_only_files_that_there_are():
    files = assets.page_files()
    for name in ("style.css", "app.js", "icon.svg"):
        assert name in files and name.encode() in files["index.html"]


@pytest.mark.parametrize(
    "path",
    [
        "/../server.py",
        "/..%2fserver.py",
        "/%2e%2e/server.py",
        "/page/../../server.py",
        "//etc/passwd",
        "/etc/passwd",
        "/....//server.py",
        "/app.js/",
        "/app.js%00.html",
        "/\\..\\server.py",
        "/.",
    ],
)
def test_there_is_nothing_beside_the_page(page, path):
    assert told(page, path) == (404, "There is nothing here.")


def test_requests_are_handed_on(page):
    assert json.loads(ask(page, "/v1/models/birds")[2]) == {"path": "/v1/models/birds", "length": 0}
    status, _, content = ask(page, PREDICT, b"{}")
    assert status == 200 and json.loads(content) == {"path": PREDICT, "length": 2}
    assert ask(page, PREDICT, b"refuse")[0] == 400
    page.endpoint += "/under/"
    assert json.loads(ask(page, PREDICT, b"{}")[2])["path"] == f"/under{PREDICT}"


@pytest.mark.parametrize(
    "path", ["/v1/", "/v1/models/birds?x=1", "/v1/models/b\xe4rds", "/v1/" + "a" * 600, "/v2/models"]
)
def test_paths_that_are_no_requests_are_refused(page, path):
    connection = socket.create_connection(page.server_address, timeout=60)
    connection.sendall(f"POST {path} HTTP/1.1\r\nContent-Length: 0\r\n\r\n".encode("latin-1"))
    assert connection.recv(1000).startswith(b"HTTP/1.1 400 ")
    connection.close()


def test_without_a_model_it_says_so(page, endpoint):
    page.endpoint = None
    assert told(page, "/v1/models/birds") == (503, "The model is being loaded.")
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        page.endpoint = f"http://127.0.0.1:{nobody.getsockname()[1]}"
    assert told(page, PREDICT, b"{}") == (503, "The server that draws does not answer.")


def test_large_requests_are_refused_in_words_and_the_connection_goes_on(page):
    connection = http.client.HTTPConnection(*page.server_address, timeout=60)
    connection.request("POST", PREDICT, b"x" * (5 * 2**20))
    response = connection.getresponse()
    assert response.status == 413
    assert json.loads(response.read())["error"] == "A request has at most 4,194,304 bytes. Received: 5,242,880."
    connection.request("POST", PREDICT, b"{}")
    assert connection.getresponse().status == 200
    connection.close()


def test_requests_of_unknown_length_are_refused(page):
    assert told(page, PREDICT, iter([b"{}"]), {"Transfer-Encoding": "chunked"})[0] == 411
    assert told(page, PREDICT, b"", {"Content-Length": "-1"})[0] == 411
    assert told(page, PREDICT, b"", {"Content-Length": "9" * 4000})[0] == 411


def test_a_connection_that_says_nothing_is_closed(page, monkeypatch):
    monkeypatch.setattr(demo_server._Handler, "timeout", 0.2)
    with socket.create_connection(page.server_address, timeout=60) as connection:
        assert connection.recv(1) == b""


def test_a_thousand_at_once_are_all_answered_by_few_threads(page, monkeypatch):
    monkeypatch.setattr(demo_server._Handler, "timeout", 300.0)  # on a busy machine they are slow to say what they want
    threads = []
    before = threading.active_count()

    async def one(body):
        reader, writer = await asyncio.open_connection(*page.server_address)
        writer.write(
            f"POST {PREDICT} HTTP/1.1\r\nConnection: close\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body
        )
        answer = await reader.read()
        threads.append(threading.active_count())
        writer.close()
        return answer.split(b" ", 2)[1]

    async def all_of_them():
        return await asyncio.gather(*(one(b"x" * 1000) for _ in range(1000)))

    _Endpoint.most = 0
    assert set(asyncio.run(all_of_them())) == {b"200"}
    # A thread for each connection of the page, and for each of the endpoint's.
    assert max(threads) - before <= demo_server._CONNECTIONS + 2 * demo_server._FORWARDED
    assert 1 < _Endpoint.most <= demo_server._FORWARDED
    assert ask(page, "/")[0] == 200


def test_addresses_and_folders_that_are_none_are_told(tmp_path, page):
    assert checked_endpoint("http://127.0.0.1:8501") == "http://127.0.0.1:8501"
    for address in ("127.0.0.1:8501", "grpc://127.0.0.1:8500", "http://", "http://host:port", "http://host:99999"):
        with pytest.raises(UserError, match="No such address. Received: "):
            checked_endpoint(address)
    with pytest.raises(UserError, match="No model found. Received: .* make train"):
        read_vocabulary(tmp_path)
    with pytest.raises(UserError, match="Could not listen. Received: 127.0.0.1:"):
        PageServer("birds", b"", page.server_address[1])


def test_who_keeps_on_asking_keeps_nobody_out(page, monkeypatch):
    monkeypatch.setattr(page, "_connections", threading.Semaphore(2))
    ends = time.monotonic() + 30
    answered = [0] * 6

    def keep_asking(number):
        connection = http.client.HTTPConnection(*page.server_address, timeout=60)
        while time.monotonic() < ends and min(answered) < 3:
            connection.request("GET", "/settings.json")
            connection.getresponse().read()
            answered[number] += 1
        connection.close()

    callers = [threading.Thread(target=keep_asking, args=(number,)) for number in range(len(answered))]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert min(answered) >= 3
