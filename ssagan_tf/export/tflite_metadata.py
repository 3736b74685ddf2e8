"""Metadata inside a `.tflite` file: what each input and output is, in the format that LiteRT's tools read.

The format is TensorFlow Lite's `metadata_schema.fbs`, file identifier M001: names, descriptions, dimensions and ranges
of the tensors, and the vocabulary as the associated file of the ids. Its generated code is in no maintained package,
so the few tables that are needed are built here, by the numbers of their fields.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import flatbuffers
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.tools import flatbuffer_utils

from ssagan_tf.on_device import VOCABULARY_FILE

_NAME, _IDENTIFIER = b"TFLITE_METADATA", b"M001"
_VOCABULARY_TYPE = 5  # of AssociatedFileType
_ALIGNMENT = 16  # bytes
_IMAGE_PROPERTIES, _RGB = 2, 1  # of ContentProperties, of ColorSpaceType


@dataclasses.dataclass(frozen=True)
class Tensor:
    """An input or output: what it is, names of its dimensions, and the range of its values, if it has one."""

    description: str
    dimensions: tuple[str, ...]
    range: tuple[float, float] | None = None
    is_image: bool = False
    has_vocabulary: bool = False


def described(content: bytes, name: str, description: str, tensors: dict[str, Tensor]) -> bytes:
    """A model with metadata.

    Args:
        content: of a `.tflite` file, without associated files.
        name, description: of the model.
        tensors: by their names in the signatures.
    """
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(content))
    graphs = {}
    for signature in model.signatureDefs:
        graph = model.subgraphs[signature.subgraphIndex]
        names = {entry.tensorIndex: entry.name.decode() for entry in [*signature.inputs, *signature.outputs]}
        ends = ([names[index] for index in graph.inputs], [names[index] for index in graph.outputs])
        graphs[signature.subgraphIndex] = (signature.signatureKey.decode(), *ends)
    buffer = schema.BufferT()
    buffer.data = list(_Writer().model(name, description, [graphs[index] for index in sorted(graphs)], tensors))
    model.buffers.append(buffer)
    entry = schema.MetadataT()
    entry.name, entry.buffer = _NAME, len(model.buffers) - 1
    model.metadata = [*(model.metadata or []), entry]
    return _packed(model, content)


def _packed(model: schema.ModelT, content: bytes) -> bytes:
    """The file of a model; weights that lie behind the rest of `content` stay there, aligned as they were."""
    outside = [buffer for buffer in model.buffers if buffer.offset]
    if not outside:
        return bytes(flatbuffer_utils.convert_object_to_bytearray(model))
    first = min(buffer.offset for buffer in outside)
    # Offsets have 64 bits whatever they are, so the first part is as long with the new ones.
    length = len(flatbuffer_utils.convert_object_to_bytearray(model))
    start = length + (first - length) % _ALIGNMENT
    for buffer in outside:
        buffer.offset += start - first
    return bytes(flatbuffer_utils.convert_object_to_bytearray(model)).ljust(start, b"\0") + content[first:]


class _Writer:
    def __init__(self):
        self.builder = flatbuffers.Builder()

    def model(self, name: str, description: str, graphs: Sequence[tuple], tensors: dict[str, Tensor]) -> bytes:
        """Table ModelMetadata; `graphs` are (name, names of inputs, names of outputs), in the model's order."""
        written = []
        for graph, *ends in graphs:
            lists = [self._vector([self._tensor(end, tensors[end]) for end in names]) for names in ends]
            written.append(self._table(9, {0: self._string(graph), 2: lists[0], 3: lists[1]}))
        fields = {0: self._string(name), 1: self._string(description), 3: self._vector(written)}
        self.builder.Finish(self._table(8, fields | {7: self._string("1.0.0")}), file_identifier=_IDENTIFIER)
        return bytes(self.builder.Output())

    def _tensor(self, name: str, about: Tensor) -> int:
        """Table TensorMetadata."""
        fields = {0: self._string(name), 1: self._string(about.description)}
        fields[2] = self._vector([self._string(dimension) for dimension in about.dimensions])
        if about.is_image:
            fields[3] = self._image_content()
        if about.range:
            low, high = (self._floats([value]) for value in about.range)
            fields[5] = self._table(2, {0: high, 1: low})
        if about.has_vocabulary:
            text = self._string("A word a line; a line's number from 0 is its word's id.")
            file = {0: self._string(VOCABULARY_FILE), 1: text}
            fields[6] = self._vector([self._table(5, file, {2: _VOCABULARY_TYPE})])
        return self._table(7, fields)

    def _image_content(self) -> int:
        """Table Content with ImageProperties."""
        return self._table(3, {1: self._table(2, {}, {0: _RGB})}, {0: _IMAGE_PROPERTIES})

    def _table(self, size: int, offsets: dict[int, int], numbers: dict[int, int] | None = None) -> int:
        """A table of so many fields: offsets of others by field, and numbers of one byte."""
        self.builder.StartObject(size)
        for field, offset in offsets.items():
            self.builder.PrependUOffsetTRelativeSlot(field, offset, 0)
        for field, number in (numbers or {}).items():
            self.builder.PrependUint8Slot(field, number, 0)
        return self.builder.EndObject()

    def _string(self, text: str) -> int:
        return self.builder.CreateString(text)

    def _vector(self, offsets: Sequence[int]) -> int:
        self.builder.StartVector(4, len(offsets), 4)
        for offset in reversed(offsets):
            self.builder.PrependUOffsetTRelative(offset)
        return self.builder.EndVector()

    def _floats(self, values: Sequence[float]) -> int:
        self.builder.StartVector(4, len(values), 4)
        for value in reversed(values):
            self.builder.PrependFloat32(value)
        return self.builder.EndVector()
