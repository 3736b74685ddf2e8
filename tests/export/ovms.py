"""Asks a server by ovmsclient, OpenVINO Model Server's client, and prints what it says, as JSON.

In a process of its own: its messages are TensorFlow's, registered a second time.
"""

import base64
import json
import sys

import ovmsclient

http, grpc = sys.argv[1:]
client = ovmsclient.make_http_client(http)
told = {"status": client.get_model_status("birds"), "metadata": client.get_model_metadata("birds")}
told["rest"] = [picture["b64"] for picture in client.predict({"captions": ["a red bird", "wings"]}, "birds")]
drawn = ovmsclient.make_grpc_client(grpc).predict({"captions": ["a red bird", "wings"]}, "birds")
told["grpc"] = [base64.b64encode(picture).decode() for picture in drawn]
try:
    client.predict({"captions": ["a red bird"]}, "fish")
except ovmsclient.ModelNotFoundError as error:
    told["refused"] = str(error)
print(json.dumps(told))
