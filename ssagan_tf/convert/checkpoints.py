"""Converts published checkpoints to a model folder and back, for `convert_weights.py`."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import pathlib
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
import safetensors.numpy

from ssagan_tf.config import Config, ModelConfig, preset
from ssagan_tf.convert import networks
from ssagan_tf.core import files
from ssagan_tf.damsm import DAMSM, DAMSM_FILE, load_damsm
from ssagan_tf.data.cub import read_captions_pickle
from ssagan_tf.errors import UserError
from ssagan_tf.ssagan import SSAGAN
from ssagan_tf.text.vocabulary import Vocabulary
from ssagan_tf.training.run import load_model
from ssagan_tf.weights import pth, tensor_files
from ssagan_tf.weights.model_folder import CONFIG_FILE, VOCABULARY_FILE

# The tensor that tells a part's sizes, by part; no other part has one of that name and rank.
_TELLTALE = {
    "generator": "fc.weight",
    "discriminator": "conv_img.weight",
    "text_encoder": "rnn.weight_hh_l0",
    "image_encoder": "emb_features.weight",
}
_FILE_NAMES = {
    "generator": "netG",
    "discriminator": "netD",
    "text_encoder": "text_encoder",
    "image_encoder": "image_encoder",
}
_LOADERS: dict[str, Callable] = {
    "generator": networks.load_generator,
    "discriminator": networks.load_discriminator,
    "text_encoder": networks.load_text_encoder,
    "image_encoder": networks.load_image_encoder,
}
_CARD = """# Converted from published SSA-GAN weights

{size} x {size} pixels, base width {width}, {words:,} words. Converted from: {origins}.

Draw: `python scripts/sample.py --model={folder} --caption="..." --out=sheet.png`
"""


_DAMSM_CARD = """# Converted from published DAMSM weights

Text encoder of {words:,} words and image encoder (Inception v3). Converted from: {origins}.
"""


@dataclasses.dataclass(frozen=True)
class Row:
    """What was converted of one part.

    Attributes:
        part: generator, discriminator, text_encoder or image_encoder.
        tensors: of its published state, counters and running statistics included.
        parameters: numbers in those that are neither.
        difference: largest absolute one between what was read and what came back from what was written.
    """

    part: str
    tensors: int
    parameters: int
    difference: float


def to_model_folder(
    out: str | os.PathLike,
    captions_pickle: str | os.PathLike,
    checkpoints: Mapping[str, str | os.PathLike],
    dataset: str = "cub",
) -> list[Row]:
    """Published checkpoints into a model folder. Image size, widths and vocabulary size are found from the tensors.

    Args:
        out: the model folder; must not exist yet.
        captions_pickle: with the words of the ids that the text encoder was trained on.
        checkpoints: part -> .pth or .safetensors file; "generator" and "text_encoder" at least.
        dataset: what the weights were trained on, for going on with it.

    Returns:
        One row for each part, checked by reading the folder back.

    Raises:
        UserError: a file that cannot be read or is of another part, parts that do not fit together, a vocabulary of
            another size.
    """
    if "image_encoder" in checkpoints and "discriminator" not in checkpoints:
        raise UserError(
            "A model folder keeps the image encoder for going on with training. Received: no discriminator. "
            "Give --discriminator too, or leave --image_encoder out; both encoders without --generator make a folder "
            "of their own."
        )
    states, vocabulary = _read(checkpoints, captions_pickle)
    config = _config(model_config(states), dataset)
    model = SSAGAN.from_model_config(config.model, vocabulary, sampling_only="discriminator" not in states)
    _load(model, states)
    card = _CARD.format(
        size=config.model.image_size,
        width=config.model.base_filters,
        words=len(vocabulary),
        origins=_origins(checkpoints),
        folder=out,
    )
    model.save_to_preset(out, config, card)
    return _rows(states, SSAGAN.from_preset(out))


def to_damsm_folder(
    out: str | os.PathLike,
    captions_pickle: str | os.PathLike,
    checkpoints: Mapping[str, str | os.PathLike],
    dataset: str = "cub",
) -> list[Row]:
    """Both published encoders into a folder of DAMSM, which evaluation and trainings take.

    Args:
        out, captions_pickle, dataset: as for `to_model_folder`.
        checkpoints: "text_encoder" and "image_encoder" -> .pth or .safetensors file.

    Returns, raises:
        As `to_model_folder`.
    """
    states, vocabulary = _read(checkpoints, captions_pickle)
    config = _config(ModelConfig(**_text_sizes(states["text_encoder"]), image_encoder="inception"), dataset)
    damsm = DAMSM.from_model_config(config.model, vocabulary)
    _load(damsm, states)
    with files.folder_written_atomically(out) as aside:
        config.save(aside / CONFIG_FILE)
        vocabulary.save(aside / VOCABULARY_FILE)
        tensor_files.write_state(aside / DAMSM_FILE, damsm.encoder_variables())
        card = _DAMSM_CARD.format(words=len(vocabulary), origins=_origins(checkpoints))
        files.write_atomically(aside / "README.md", card)
    return _rows(states, load_damsm(out)[0])


def to_published(model_folder: str | os.PathLike, out: str | os.PathLike, file_format: str = "pth") -> list[Row]:
    """Our networks as published checkpoints: `netG.pth`, `text_encoder.pth` and so on, float32.

    Args:
        model_folder: a model folder, or a run folder: of that, what sampling needs. Any image size and width; a compact
            image encoder is left out, since there is none in the published code.
        out: folder for the checkpoints; must not exist yet.
        file_format: "pth", which needs PyTorch, or "safetensors".

    Returns:
        One row for each part, checked by reading the files back.

    Raises:
        UserError: no model folder, or one that cannot be written.
    """
    model = load_model(model_folder)
    parts = {part: getattr(model, part) for part in _LOADERS if networks.is_published(getattr(model, part))}
    with files.folder_written_atomically(out) as aside:
        for part, network in parts.items():
            state = networks.to_published_state(network)
            write_state(aside / f"{_FILE_NAMES[part]}.{file_format}", state)
    return [
        _row(part, networks.to_published_state(network), _written(out, part, file_format))
        for part, network in parts.items()
    ]


def table(rows: Sequence[Row]) -> str:
    """The rows as text, with a heading."""
    lines = [f"{'part':<14} {'tensors':>8} {'parameters':>12} {'largest difference':>19}"]
    lines += [f"{row.part:<14} {row.tensors:>8,} {row.parameters:>12,} {row.difference:>19g}" for row in rows]
    return "\n".join(lines)


def read_state(path: str | os.PathLike, part: str) -> dict[str, np.ndarray]:
    """A part's published state from a .pth or .safetensors file, without `module.`.

    Raises:
        UserError: the file cannot be read, or is of another part.
    """
    read = tensor_files.read_state if pathlib.Path(path).suffix == ".safetensors" else pth.read
    state = networks.without_prefix(read(path))
    if _TELLTALE[part] not in state:
        looks = [name for name, tensor in _TELLTALE.items() if tensor in state]
        received = f"a checkpoint of the {looks[0]}" if looks else f"{len(state)} tensors without {_TELLTALE[part]}"
        raise UserError(f"The file is of no {part}. Received: {path}: {received}. Give the {part}'s file.")
    return state


def write_state(path: pathlib.Path, state: Mapping[str, np.ndarray]) -> None:
    """Writes a published state as float32, in the format that the file's name ends with."""
    state = {name: value.astype("f4") if value.dtype.kind == "f" else value for name, value in state.items()}
    if path.suffix == ".safetensors":
        files.write_atomically(path, safetensors.numpy.save(state))
    else:
        pth.write(path, state)


def model_config(states: Mapping[str, Mapping[str, np.ndarray]]) -> ModelConfig:
    """Every size of the networks, found from the shapes of a generator's and a text encoder's tensors.

    Raises:
        UserError: tensors that tell nothing.
    """
    generator = states["generator"]
    with _telling_sizes():
        first, noise_dim = generator["fc.weight"].shape
        return ModelConfig(
            image_size=2 ** (_blocks(generator) + 1),
            base_filters=first // 128,  # the first features are 8 widths deep and 4 x 4 large
            noise_dim=noise_dim,
            mask_filters=generator["conv_mask.0.weight"].shape[0],
            **_text_sizes(states["text_encoder"]),
            image_encoder="inception" if "image_encoder" in states else None,
            text_training="frozen",
        )


def _blocks(state: Mapping[str, np.ndarray]) -> int:
    return sum(name.endswith(".gamma") for name in state)


def _text_sizes(text_encoder: Mapping[str, np.ndarray]) -> dict[str, typing.Any]:
    with _telling_sizes():
        return {
            "sentence_dim": 2 * text_encoder["rnn.weight_hh_l0"].shape[1],
            "embedding_dim": text_encoder["encoder.weight"].shape[1],
        }


@contextlib.contextmanager
def _telling_sizes() -> Iterator[None]:
    try:
        yield
    except (KeyError, ValueError, IndexError, TypeError) as error:
        raise UserError(
            f"The sizes of the networks cannot be told. Received: {error}. Give checkpoints as published."
        ) from error


def _read(
    checkpoints: Mapping[str, str | os.PathLike], captions_pickle: str | os.PathLike
) -> tuple[dict[str, dict[str, np.ndarray]], Vocabulary]:
    """States by part, and the vocabulary, which fits the text encoder."""
    states = {part: read_state(path, part) for part, path in checkpoints.items()}
    _, vocabulary = read_captions_pickle(pathlib.Path(captions_pickle))
    with _telling_sizes():
        words = len(states["text_encoder"]["encoder.weight"])
    if words != len(vocabulary):
        raise UserError(
            f"Text encoder and captions pickle do not fit. Received: an encoder of {words:,} words and "
            f"{captions_pickle} with {len(vocabulary):,}. Use the pickle that came with the text encoder: with another "
            "one every word would mean something else."
        )
    return states, vocabulary


def _origins(checkpoints: Mapping[str, str | os.PathLike]) -> str:
    return ", ".join(f"`{pathlib.Path(path).name}`" for path in checkpoints.values())


def _written(out: str | os.PathLike, part: str, file_format: str) -> dict[str, np.ndarray]:
    return read_state(pathlib.Path(out) / f"{_FILE_NAMES[part]}.{file_format}", part)


def _config(model: ModelConfig, dataset: str) -> Config:
    config = dataclasses.replace(preset("paper", dataset), model=model)
    config.check("the checkpoints: ")
    return config


def _load(model: SSAGAN | DAMSM, states: Mapping[str, Mapping[str, np.ndarray]]) -> None:
    for part, state in states.items():
        _LOADERS[part](getattr(model, part), state)


def _rows(states: Mapping[str, Mapping[str, np.ndarray]], again: SSAGAN | DAMSM) -> list[Row]:
    return [_row(part, state, networks.to_published_state(getattr(again, part))) for part, state in states.items()]


def _row(part: str, before: Mapping[str, np.ndarray], after: Mapping[str, np.ndarray]) -> Row:
    # In the wider type, so that what a narrower one lost is seen.
    differences = [np.max(np.abs(np.subtract(after[name], value, dtype=np.float64))) for name, value in before.items()]
    difference = float(max(differences))
    return Row(part, len(before), parameters(before), difference)


def parameters(state: Mapping[str, np.ndarray]) -> int:
    """Numbers in a published state that PyTorch counts as parameters: no running statistics, no counters."""
    buffers = ("running_mean", "running_var", networks.COUNTER)
    return sum(value.size for name, value in state.items() if not name.endswith(buffers))
