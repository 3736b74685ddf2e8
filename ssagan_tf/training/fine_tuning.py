"""Fine-tunes a trained model on other pictures: what is carried over and what is new."""

from __future__ import annotations

import collections
import dataclasses
import re
import typing
from collections.abc import Mapping

import numpy as np

from ssagan_tf.config import PRESETS, Config, preset_name
from ssagan_tf.core import files
from ssagan_tf.errors import UserError
from ssagan_tf.ssagan import SSAGAN
from ssagan_tf.text.vocabulary import Vocabulary
from ssagan_tf.weights.model_folder import CONFIG_FILE, folder_of

# What a model's weights are made for; the rest of a configuration is that of the new training.
_SIZES = (
    "base_filters",
    "noise_dim",
    "sentence_dim",
    "mask_filters",
    "mask_blocks",
    "embedding_dim",
    "text_encoder",
    "train_text_source",
    "max_words",
    "image_encoder",
)
_ENCODERS = ("damsm", "word_vectors")
_EMBEDDING = "text_encoder/embedding/embeddings"
_BLOCK = re.compile(r"^discriminator/block_(\d+)/")
_LEFT_OUT = ("/batches",)  # counters, which are not worth telling of
_TOLD = 8  # new words and arrays


def fine_tuned(config: Config, preset: str, given: Mapping[str, typing.Any]) -> Config:
    """The configuration of a training that goes on from a model.

    Args:
        config: the preset's.
        preset: its name, which also says what is frozen and how fast the rest learns.
        given: settings by name; `initial_model` is a model folder, a run folder, or a model's name or handle.

    Raises:
        UserError: no model there, or flags that make it another one.
    """
    start = given["initial_model"]
    source = Config.load(files.inside(folder_of(start), CONFIG_FILE))
    theirs = source.model
    source.refuse_programs(start, trust=given.get("text_encoder") == theirs.text_encoder)
    sizes = {name: getattr(theirs, name) for name in _SIZES}
    other = [f"{name}={given[name]}, was {was}" for name, was in sizes.items() if given.get(name, was) != was]
    size = given.get("image_size") or theirs.image_size
    if size < theirs.image_size:
        other.append(f"image_size={size}, was {theirs.image_size}")
    other += [f"--{name} beside --from, which brings its own encoders" for name in _ENCODERS if given.get(name)]
    if other:
        raise UserError(
            f"A model keeps its sizes, and its pictures can only grow. Received: {start} with {'; '.join(other)}. "
            "Leave those flags out."
        )
    if size > theirs.image_size or theirs.grown_from:
        sizes["grown_from"] = theirs.grown_from or theirs.image_size
    fine_tuning = PRESETS[preset_name(preset)].fine_tuning
    return config.override(**{**sizes, "image_size": size, **fine_tuning, **given})


@dataclasses.dataclass(frozen=True)
class Carried:
    """What became of the arrays of a model's networks.

    Attributes:
        old: names of the arrays that were carried over.
        new: names of those that start anew.
        words: how many words were known.
        new_words: the words that were not.
    """

    old: list[str]
    new: list[str]
    words: int
    new_words: list[str]

    def text(self) -> str:
        """In words: by network, and the new words."""
        parts = []
        for network, count in collections.Counter(name.split("/")[0] for name in self.old + self.new).items():
            new = [name for name in self.new if name.startswith(f"{network}/")]
            layers = list(dict.fromkeys("/".join(name.split("/")[1:3]) for name in new))
            told = f" (new: {_some(layers)})" if new else ""
            parts.append(f"{network.replace('_', ' ')} {count - len(new)} of {count} arrays{told}")
        words = f"{self.words:,} words were known, {len(self.new_words):,} are new"
        if self.new_words:
            words += f" ({_some(self.new_words)})"
        return f"Carried over: {'; '.join(parts)}. {words}."


def _some(items: list[str]) -> str:
    return ", ".join(items[:_TOLD]) + (", ..." if len(items) > _TOLD else "")


def carry_over(model: SSAGAN, source: SSAGAN, seed: int) -> Carried:
    """Gives a model all of another's weights that have a place in it.

    Blocks of a larger picture are new: the last of the generator and the first of the discriminator. Their gates start
    closed, so that the generator draws what it drew before, enlarged, and the discriminator sees it made small. The
    rows of known words are carried over; new ones are drawn from the normal distribution that each column of the known
    rows has, so that to the layers after it they are words like others.

    Args:
        model: just built, its vocabulary `merged`.
        source: the trained one.
        seed: of the new rows.
    """
    have = source.sampling_variables() | source.training_variables()
    discriminator, theirs, ours = model.require_discriminator(), source.require_vocabulary(), model.require_vocabulary()
    added = len(discriminator.blocks) - (len(source.discriminator.blocks) if source.discriminator else 0)
    old, new = [], []
    for name, variable in (model.sampling_variables() | model.training_variables()).items():
        found = have.get(_BLOCK.sub(lambda block: f"discriminator/block_{int(block[1]) - added}/", name))
        if name == _EMBEDDING and found is not None:
            variable.assign(_rows(found.numpy(), theirs, ours, seed))
        elif found is not None and found.shape == variable.shape:
            variable.assign(found)
        else:
            if not name.endswith(_LEFT_OUT):
                new.append(name)
            continue
        old.append(name)
    if source.discriminator is not None:
        grown: list = [*model.generator.blocks[len(source.generator.blocks) :], *discriminator.blocks[:added]]
        for block in grown:
            block.gate.assign(0.0)
    unknown = [word for word in ours.words if word not in theirs]
    return Carried(old, new, len(theirs) - 1, unknown)


def _rows(known: np.ndarray, theirs: Vocabulary, merged: Vocabulary, seed: int) -> np.ndarray:
    """(words, D): the known rows, and new ones. The padding's row stays as it is and is not looked at."""
    count = len(merged) - len(theirs)
    random = np.random.default_rng(seed % 2**64)
    return np.concatenate([known, random.normal(known[1:].mean(0), known[1:].std(0), (count, known.shape[1]))])


def freeze(model: SSAGAN, blocks: int, grown_from: int | None) -> None:
    """Keeps the discriminator's first layers as they are: `from_rgb` and so many of its blocks that were carried over.

    What they see, edges and colours, is the same in all pictures, and few pictures would only spoil it (Mo et al.,
    "Freeze the discriminator", 2020).
    """
    if not blocks:
        return
    discriminator = model.require_discriminator()
    added = 0 if grown_from is None else (discriminator.image_size // grown_from).bit_length() - 1
    for layer in [discriminator.from_rgb, *discriminator.blocks[added : added + blocks]]:
        layer.trainable = False
