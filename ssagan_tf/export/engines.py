"""The generator in each engine that draws on a CPU: `ssagan_tf.config.ENGINES`."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from ssagan_tf.errors import UserError
from ssagan_tf.export.graph import ImageGraph
from ssagan_tf.networks import Generator

Draw = Callable[[np.ndarray, np.ndarray], np.ndarray]


def one_by_one(engine: str, generator: Generator) -> Draw:
    """As `drawer`, for any number of pictures: engines are compiled for one number, and on a CPU one at once is about
    as fast as several."""
    draw = drawer(engine, generator, batch=1)
    return lambda noise, sentence: np.concatenate(
        [draw(noise[row : row + 1], sentence[row : row + 1]) for row in range(len(noise))]
    )


def drawer(engine: str, generator: Generator, batch: int) -> Draw:
    """A function that draws: noise (B, noise_dim), sentence (B, sentence_dim) -> image (B, S, S, 3) in [-1, 1].

    Args:
        engine: one of `config.ENGINES`. "tensorflow" runs the network as it is; "folded" its graph for servers, "xla"
            that compiled. "litert" needs ai-edge-litert, "openvino" the package of that name. All draw the same
            pictures but "litert_dynamic", which computes with 8 bits, as the exports' dynamic.tflite.
        generator: its weights.
        batch: B; "tensorflow" and "folded" take any, too.

    Raises:
        UserError: the engine's package is not there.
    """
    if engine in ("tensorflow", "folded", "xla"):
        network = generator if engine == "tensorflow" else ImageGraph(generator)
        function = tf.function(lambda *given: network(*given)[0], jit_compile=engine == "xla")
        return lambda noise, sentence: function(tf.constant(noise), tf.constant(sentence)).numpy()
    try:
        if engine == "openvino":
            return _openvino(generator, batch)
        return _litert(generator, batch, dynamic=engine == "litert_dynamic")
    except ImportError as error:
        package = (error.name or engine).partition(".")[0]
        raise UserError(f"The engine is not installed. Received: {engine}: {error}. Install {package}.") from error


class _Image(tf.Module):
    def __init__(self, generator: Generator, batch: int):
        super().__init__()
        self.graph = ImageGraph(generator)
        sizes = generator.noise_dim, generator.sentence_dim
        self.draw = tf.function(self.image, [tf.TensorSpec([batch, size]) for size in sizes])

    def image(self, noise, sentence):
        return {"image": self.graph(noise, sentence)[0]}


def _saved(generator: Generator, batch: int, folder: str) -> None:
    module = _Image(generator, batch)
    tf.saved_model.save(module, folder, signatures={"image": module.draw})


def _litert(generator: Generator, batch: int, dynamic: bool) -> Draw:
    from ai_edge_litert.interpreter import Interpreter

    with tempfile.TemporaryDirectory() as folder:
        _saved(generator, batch, folder)
        converter = tf.lite.TFLiteConverter.from_saved_model(folder, signature_keys=["image"])
        if dynamic:
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
        content = converter.convert()
    # It would take one core, where the others take all.
    run = Interpreter(model_content=content, num_threads=os.cpu_count()).get_signature_runner("image")
    return lambda noise, sentence: run(noise=noise, sentence=sentence)["image"]


def _openvino(generator: Generator, batch: int) -> Draw:
    import openvino

    with tempfile.TemporaryDirectory() as folder:
        _saved(generator, batch, folder)
        converted = openvino.convert_model(folder)
    hints = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"}
    compiled = openvino.Core().compile_model(converted, "CPU", hints)
    order = {name: port for port in compiled.inputs for name in ("noise", "sentence") if name in port.get_any_name()}
    return lambda noise, sentence: compiled({order["noise"]: noise, order["sentence"]: sentence})[0]
