"""What strangers send, over real sockets: refused in words, bounded in time and memory, and no one else notices."""

import re
import shutil
import socket
import threading
import time

import processes
import pytest
import servers
from sockets import BODY, LARGE, PREDICT, Echo, all_of, ask, connect, head, port, resident

from ssagan_tf.errors import UserError
from ssagan_tf.serving import app
from ssagan_tf.serving.command import page_of

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


def test_slow_readers_do_not_fill_the_memory(server):
    before = resident()
    large = head("POST", PREDICT, "Content-Length: 5") + b"large"
    readers = [connect(server, large) for _ in range(60)]  # 480 MB, if all were kept
    time.sleep(1.5)
    assert resident() - before < 4 * LARGE / 2**20 + 60
    assert ask(server, PREDICT, BODY)[0] == 200
    for reader in readers:
        reader.close()


def test_a_reader_that_is_stuck_is_not_waited_for(server):
    reader = connect(server, head("POST", PREDICT, "Content-Length: 5") + b"large")
    time.sleep(1)
    assert server.server_state.connections
    end = time.monotonic() + 20
    while server.server_state.connections:
        assert time.monotonic() < end
        time.sleep(0.1)
    reader.close()


def test_slow_bodies_do_not_fill_the_memory(server, monkeypatch):
    monkeypatch.setattr(app, "MOST_KEPT", 3 * 2**20)
    part = head("POST", PREDICT, "Content-Length: 1000000") + b"x" * 900_000
    senders = [connect(server, part) for _ in range(6)]
    refused, end = b'ssagan_requests_total{method="POST",status="429"}', time.monotonic() + 10
    while refused not in ask(server, "/metrics")[2]:
        assert time.monotonic() < end
    assert ask(server, PREDICT, BODY)[0] == 200
    for sender in senders:
        sender.close()


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
