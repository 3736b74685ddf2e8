"""TensorFlow Serving's PredictionService, its real definition, with a loaded model behind it."""

import concurrent.futures
import contextlib

import grpc
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

from ssagan_tf.serving.loaded import Loaded
from ssagan_tf.serving.rest import ServingError


class Servicer(prediction_service_pb2_grpc.PredictionServiceServicer):
    """Answers `Predict`; the other calls are unimplemented, as the generated class has them."""

    def __init__(self, model: Loaded):
        self.model = model

    def Predict(self, request, context):
        spec = request.model_spec
        try:
            if spec.name != "birds":
                raise ServingError("NOT_FOUND", f"Servable not found for request: {spec.name}")
            inputs = {name: tf.make_ndarray(value) for name, value in request.inputs.items()}
            outputs = self.model.predict(spec.signature_name or "serving_default", inputs)
        except ServingError as error:
            context.abort(grpc.StatusCode[error.code], str(error))
        response = predict_pb2.PredictResponse(model_spec=spec)
        for name, value in outputs.items():
            response.outputs[name].CopyFrom(tf.make_tensor_proto(value))
        return response


@contextlib.contextmanager
def serving(model: Loaded):
    """Gives the port on loopback at which the model answers."""
    server = grpc.server(concurrent.futures.ThreadPoolExecutor(4))
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(Servicer(model), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield port
    finally:
        server.stop(None).wait()
