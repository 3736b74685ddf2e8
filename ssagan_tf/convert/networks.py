"""Converts published weights, network by network, and back.

A published state maps the names of the PyTorch code's `state_dict` to arrays in PyTorch's layout. Values are copied,
never computed with, so a way there and back gives the same bytes if the network is of the state's own type. Counters of
batch norms (`num_batches_tracked`) are int64 and have a place of their own in our batch norms, which count on as the
published ones do.
"""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Callable, Iterator, Mapping

import keras
import numpy as np

from ssagan_tf.errors import UserError
from ssagan_tf.networks import Discriminator, Generator, ImageEncoder, TextEncoder
from ssagan_tf.networks.layers import SSCBN, BatchNorm, MaskPredictor, SSACNBlock

PREFIX = "module."  # what PyTorch's DataParallel, which the published training uses, puts before every name
COUNTER = "num_batches_tracked"
_TO_PUBLISHED = {2: (1, 0), 4: (3, 2, 0, 1)}  # axes of kernels by rank: PyTorch has the outputs first

Network = Generator | Discriminator | TextEncoder | ImageEncoder


@dataclasses.dataclass(frozen=True)
class Place:
    """Where a published tensor lives in one of our networks.

    Attributes:
        variable: ours.
        kernel: whether its axes are in another order.
        unused: the published network owns it, and nothing it computes depends on it.
    """

    variable: keras.Variable
    kernel: bool = False
    unused: bool = False

    @property
    def shape(self) -> tuple[int, ...]:
        """As published; the gates are vectors of one number there."""
        shape = tuple(self.variable.shape)
        if self.kernel:
            return tuple(shape[axis] for axis in _TO_PUBLISHED[len(shape)])
        return shape if shape or not self.variable.dtype.startswith("float") else (1,)

    def to_published(self, value: np.ndarray) -> np.ndarray:
        """An array of our layout, the variable's value or a gradient by it, in PyTorch's."""
        if self.kernel:
            value = value.transpose(_TO_PUBLISHED[value.ndim])
        return np.ascontiguousarray(value).reshape(self.shape)

    def assign(self, value: np.ndarray) -> None:
        """Sets the variable from an array in PyTorch's layout."""
        if self.kernel:
            value = value.transpose(np.argsort(_TO_PUBLISHED[value.ndim]))
        self.variable.assign(value.reshape(self.variable.shape))


def load_generator(model: Generator, state: Mapping[str, np.ndarray]) -> None:
    """Sets every weight of a generator from a published `NetG` state.

    Args:
        model: of the same width and image size.
        state: by published name, with or without `module.`. States from before PyTorch 0.4.1 have no
            counters of batch norms at all: then these are 0, as PyTorch itself reads them.

    Raises:
        UserError: names, shapes or types that do not fit, all of them in one message; the model is unchanged.
    """
    _load(model, state)


def load_discriminator(model: Discriminator, state: Mapping[str, np.ndarray]) -> None:
    """Sets every weight of a discriminator from a published `NetD` state; otherwise as `load_generator`.

    The published blocks own a 1x1 shortcut convolution even where the width stays and it is not used. So do ours.
    """
    _load(model, state)


def load_text_encoder(model: TextEncoder, state: Mapping[str, np.ndarray]) -> None:
    """Sets every weight of a text encoder from a published `RNN_ENCODER` state; otherwise as `load_generator`."""
    _load(model, state)


def load_image_encoder(model: ImageEncoder, state: Mapping[str, np.ndarray]) -> None:
    """Sets every weight of an image encoder from a published `CNN_ENCODER` state; otherwise as `load_generator`."""
    _load(model, state)


def to_published_state(model: Network) -> dict[str, np.ndarray]:
    """All weights of a network under their published names, in PyTorch's layout and order.

    Returns:
        Arrays of the variables' own type: float32, but float64 for a network of dtype policy "float64"; counters int64.
    """
    return {name: place.to_published(place.variable.numpy()) for name, place in places(model).items()}


def unused_names(model: Network) -> list[str]:
    """Published names of tensors that are carried along, and on which nothing depends."""
    return [name for name, place in places(model).items() if place.unused]


def without_prefix(state: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The state without `module.` before its names, if every name has it."""
    prefixed = bool(state) and all(name.startswith(PREFIX) for name in state)
    return {name.removeprefix(PREFIX) if prefixed else name: value for name, value in state.items()}


def is_published(model: object) -> bool:
    """Whether it is a network that the published code has, too."""
    return isinstance(model, tuple(_ENTRIES))


def places(model: Network) -> dict[str, Place]:
    """Published name -> where that tensor lives in the network, in the published order."""
    for kind, entries in _ENTRIES.items():
        if isinstance(model, kind):
            return dict(entries(model))
    raise TypeError(f"not a published network: {type(model).__name__}")


def _load(model: Network, state: Mapping[str, np.ndarray]) -> None:
    wanted = places(model)
    if not isinstance(state, Mapping):
        raise UserError(f"A state has arrays by name. Received: {type(state).__name__}. Give a dictionary.")
    state = {name: np.asarray(value) for name, value in without_prefix(state).items()}
    if not any(name.endswith(COUNTER) for name in state):
        state |= {name: np.zeros((), np.int64) for name in wanted if name.endswith(COUNTER)}
    problems = [f"{name} is missing" for name in wanted if name not in state]
    problems += [f"{name} is not known" for name in state if name not in wanted]
    for name, place in wanted.items():
        if name in state:
            problems += _differences(name, place, state[name])
    if problems:
        raise UserError(
            f"The published weights do not fit the {type(model).__name__}. Received {len(problems)} differences: "
            f"{'; '.join(problems)}. Use weights of a network of the same sizes."
        )
    for name, place in wanted.items():
        place.assign(state[name])


def _differences(name: str, place: Place, value: np.ndarray) -> list[str]:
    if value.shape != place.shape:
        return [f"{name} is {value.shape}, not {place.shape}"]
    kinds = "f" if place.variable.dtype.startswith("float") else "iu"
    if value.dtype.kind not in kinds:
        return [f"{name} is of type {value.dtype}"]
    return [] if np.isfinite(value).all() else [f"{name} is not finite"]


# === Published names ===

_Entries = Iterator[tuple[str, Place]]


def _linear(name: str, layer: keras.layers.Conv2D | keras.layers.Dense, unused: bool = False) -> _Entries:
    yield f"{name}.weight", Place(layer.kernel, kernel=True, unused=unused)
    if layer.use_bias:
        yield f"{name}.bias", Place(layer.bias, unused=unused)


def _norm(name: str, layer: BatchNorm) -> _Entries:
    if layer.affine:
        yield f"{name}.weight", Place(layer.scale)
        yield f"{name}.bias", Place(layer.shift)
    yield f"{name}.running_mean", Place(layer.running_mean)
    yield f"{name}.running_var", Place(layer.running_variance)
    yield f"{name}.{COUNTER}", Place(layer.batches)


def _mask_predictor(name: str, layer: MaskPredictor) -> _Entries:
    yield from _linear(f"{name}.0", layer.hidden)
    yield from _norm(f"{name}.1", layer.norm)
    yield from _linear(f"{name}.3", layer.out)


def _affine(name: str, layer: SSCBN) -> _Entries:
    yield from _norm(f"{name}.batch_norm2d", layer.norm)
    yield from _linear(f"{name}.fc_gamma.linear1", layer.scale_hidden)
    yield from _linear(f"{name}.fc_gamma.linear2", layer.scale_out)
    yield from _linear(f"{name}.fc_beta.linear1", layer.shift_hidden)
    yield from _linear(f"{name}.fc_beta.linear2", layer.shift_out)


def _generator_block(name: str, block: SSACNBlock) -> _Entries:
    yield f"{name}.gamma", Place(block.gate)
    yield from _linear(f"{name}.c1", block.conv1)
    yield from _linear(f"{name}.c2", block.conv2)
    yield from _affine(f"{name}.affine0", block.norm1)
    yield from _affine(f"{name}.affine2", block.norm2)
    if block.shortcut is not None:
        yield from _linear(f"{name}.c_sc", block.shortcut)
    if block.mask is not None:
        yield from _mask_predictor(f"{name}.conv_mask", block.mask)


def _generator(model: Generator) -> _Entries:
    if model.first_mask is None:
        raise UserError("The published generator has masks. Received: mask_blocks=0. Use a generator that has them.")
    yield from _mask_predictor("conv_mask", model.first_mask)
    yield from _linear("fc", model.project)
    for index, block in enumerate(model.blocks):
        yield from _generator_block(f"block{index}", block)
    yield from _norm("conv_img.0", model.norm)
    yield from _linear("conv_img.2", model.to_rgb)


def _discriminator(model: Discriminator) -> _Entries:
    yield from _linear("conv_img", model.from_rgb)
    for index, block in enumerate(model.blocks):
        yield f"block{index}.gamma", Place(block.gate)
        yield from _linear(f"block{index}.conv_r.0", block.conv1)
        yield from _linear(f"block{index}.conv_r.2", block.conv2)
        yield from _linear(f"block{index}.conv_s", block.shortcut, unused=block.in_filters == block.filters)
    yield from _linear("COND_DNET.joint_conv.0", model.joint)
    yield from _linear("COND_DNET.joint_conv.2", model.out)


def _text_encoder(model: TextEncoder) -> _Entries:
    yield "encoder.weight", Place(model.embedding.embeddings)
    for direction, suffix in ((model.forwards, ""), (model.backwards, "_reverse")):
        yield f"rnn.weight_ih_l0{suffix}", Place(direction.cell.kernel, kernel=True)
        yield f"rnn.weight_hh_l0{suffix}", Place(direction.cell.recurrent_kernel, kernel=True)
        yield f"rnn.bias_ih_l0{suffix}", Place(direction.cell.bias)
        yield f"rnn.bias_hh_l0{suffix}", Place(direction.cell.recurrent_bias)


def _image_encoder(model: ImageEncoder) -> _Entries:
    for name, unit in model.units.items():
        yield from _linear(f"{name}.conv", unit.conv)
        yield from _norm(f"{name}.bn", unit.norm)
    yield from _linear("emb_features", model.region_head)
    yield from _linear("emb_cnn_code", model.code_head)


_ENTRIES: dict[type, Callable[[typing.Any], Iterator[tuple[str, Place]]]] = {
    Generator: _generator,
    Discriminator: _discriminator,
    TextEncoder: _text_encoder,
    ImageEncoder: _image_encoder,
}
