"""A server that draws nothing, and requests to it by bare sockets."""

import http.client
import json
import pathlib
import socket
import time

from ssagan_tf.export import assets
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


def resident():
    return int(pathlib.Path("/proc/self/status").read_text().split("VmRSS:")[1].split()[0]) / 1024  # MB
