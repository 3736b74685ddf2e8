"""OpenVINO Model Server's client, which knows nothing of this project, gets the pictures."""

import base64
import importlib.util
import io
import json
import urllib.parse

import grpc_server
import numpy as np
import processes
import pytest
from PIL import Image


@pytest.mark.slow
def test_ovmsclient_gets_pictures_by_rest_and_grpc_of_the_default_version(random_model, rest_address, served):
    if importlib.util.find_spec("ovmsclient") is None:
        pytest.skip("ovmsclient is not installed: pip install -e '.[runtimes]'.")
    with grpc_server.serving(served) as port:
        addresses = urllib.parse.urlsplit(rest_address).netloc, f"127.0.0.1:{port}"
        told = json.loads(processes.python("tests/export/ovms.py", *addresses, cwd=processes.ROOT, check=True).stdout)
    assert told["status"]["1"]["state"] == "AVAILABLE"
    assert told["metadata"]["model_spec"]["version"] == "1"
    assert "Servable not found for request: fish" in told["refused"]
    for index, expected in enumerate(random_model.generate(["a red bird", "wings"], seed=0)):
        assert told["rest"][index] == told["grpc"][index]
        picture = np.asarray(Image.open(io.BytesIO(base64.b64decode(told["rest"][index])))).astype(int)
        assert np.abs(picture - expected).max() <= 2
