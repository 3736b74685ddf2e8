"""The metric "masks": how well the predicted masks find what the text changes, and the bird and its parts."""

from __future__ import annotations

import hashlib
import json
import typing
from collections.abc import Iterator, Sequence

import numpy as np
import tensorflow as tf

from ssagan_tf.core import files
from ssagan_tf.core.progress import Bar
from ssagan_tf.data.synthbirds import PLUMAGE, SynthBirds, part_masks
from ssagan_tf.errors import UserError
from ssagan_tf.evaluation.intervals import mean_interval
from ssagan_tf.evaluation.masks.localization import MaskScores
from ssagan_tf.evaluation.masks.swaps import CHANGED, CHANGED_RULE, SWAP_RULE, Swap, choose_swap, difference
from ssagan_tf.evaluation.synthbirds.most_alike import LIKENESS_RULE, likest_birds
from ssagan_tf.pictures import to_uint8

if typing.TYPE_CHECKING:
    from ssagan_tf.evaluation.metrics import Evaluation, Scores
    from ssagan_tf.text_to_image import TextToImage

CHANGED_PIXELS, BIRD, WORD = "changed", "bird", "word"
_MOST = 500  # pictures; the means hardly move beyond
_BATCH = 16  # pictures drawn together, always so many: half with the old word, half with the new one


class Pair(typing.NamedTuple):
    """A caption before and after a swap, drawn from the same noise.

    Attributes:
        swap: the words.
        before, after: uint8 (S, S, 3).
        masks: of each stage (h, h, 1), of the picture before.
    """

    swap: Swap
    before: np.ndarray
    after: np.ndarray
    masks: list[np.ndarray]


def masks(evaluation: Evaluation) -> Scores:
    """The scores "masks" and, of rendered birds, "masks_bird": area under the ROC curve, mean over stages and pictures.

    Both have "stages" too, with everything of `MaskScores.results`: for the changed pixels; for the bird; for the parts
    whose colour the swapped word names ("word"), and for each part.

    Raises:
        UserError: no caption has a colour word to swap, or no swap changes a pixel.
    """
    model = evaluation.model
    chosen = _chosen(evaluation)
    sizes = [4 * 2**stage for stage in range(len(model.generator.blocks))]
    network, targets = None, [CHANGED_PIXELS]
    if isinstance(evaluation.data, SynthBirds):
        from ssagan_tf.evaluation.synthbirds.attribute_network import attribute_network

        network, targets = attribute_network(), [CHANGED_PIXELS, BIRD, WORD, *PLUMAGE]
    scores = MaskScores(sizes, targets)
    texts = [evaluation.captions[sample].text for sample, _ in chosen]
    seeds = np.array([evaluation.seed + sample for sample, _ in chosen])
    with Bar(len(chosen), "pairs") as bar:
        for pair in drawn_pairs(model, texts, [swap for _, swap in chosen], seeds, evaluation.truncation):
            scores.add(pair.masks, _targets(pair, network))
            bar.step()
    told = json.dumps([[sample, swap.caption] for sample, swap in chosen])
    card = {
        "pairs": len(chosen),
        "pairs_sha256": hashlib.sha256(told.encode()).hexdigest(),
        "swap": SWAP_RULE,
        "changed_pixels": CHANGED_RULE,
        "masks": "of the picture before, enlarged with Pillow's bilinear filter",
    }
    details = scores.results()
    found = {"masks": _score(scores, CHANGED_PIXELS, {CHANGED_PIXELS: details.pop(CHANGED_PIXELS, {})}, card)}
    if network is not None:
        from ssagan_tf.evaluation.synthbirds.attribute_network import WEIGHTS

        card = {**card, "parts": LIKENESS_RULE, "attribute_network_sha256": files.sha256(WEIGHTS)}
        found["masks_bird"] = _score(scores, BIRD, details, card)
    return found


def _chosen(evaluation: Evaluation) -> list[tuple[int, Swap]]:
    """Samples, evenly spread, whose captions have a word to swap."""
    count = min(evaluation.count, _MOST)
    samples = [turn * evaluation.count // count for turn in range(count)]
    known = evaluation.model.vocabulary or ()
    swaps = [choose_swap(evaluation.captions[sample], turn, known) for turn, sample in enumerate(samples)]
    chosen = [(sample, swap) for sample, swap in zip(samples, swaps, strict=True) if swap is not None]
    if not chosen:
        raise UserError("No caption names a colour. Received: no word to swap. Leave 'masks' out of --metrics.")
    return chosen


def _score(scores: MaskScores, target: str, details: dict, card: dict) -> dict:
    areas = scores.areas(target)
    score = {"value": float(areas.mean()), "pictures": len(areas), "stages": details, "card": card}
    return score | ({"interval": mean_interval(areas)} if len(areas) > 1 else {})


def _targets(pair: Pair, network) -> dict[str, np.ndarray]:
    found = {CHANGED_PIXELS: difference(pair.before, pair.after) > CHANGED}
    if network is not None:
        (bird,) = likest_birds(pair.before[None], network)
        parts = part_masks(bird, len(pair.before))
        found |= {name: parts[name] >= 0.5 for name in (BIRD, *PLUMAGE)}
        found[WORD] = np.sum([parts[name] for name in pair.swap.parts], 0) >= 0.5
    return found


def drawn_pairs(
    model: TextToImage,
    captions: Sequence[str],
    swaps: Sequence[Swap],
    seeds: np.ndarray,
    truncation: float | str | None,
) -> Iterator[Pair]:
    """Draws each caption before and after its swap, with the same noise.

    Args:
        model: with a vocabulary.
        captions: before the swaps.
        swaps: one for each.
        seeds: one for each.
        truncation: of the noise, see `noise.truncated`.
    """
    signature = [tf.TensorSpec([_BATCH], tf.string), tf.TensorSpec([_BATCH, model.generator.noise_dim])]
    draw = tf.function(lambda texts, noise: model.with_masks(texts, noise), input_signature=signature)
    half = _BATCH // 2
    for first in range(0, len(captions), half):
        # Filled up with the first, so that results do not depend on the batch.
        rows = [first + index if first + index < len(captions) else first for index in range(half)]
        texts = [captions[row] for row in rows] + [swaps[row].caption for row in rows]
        noise = np.tile(model.noise_of(seeds[rows], truncation), (2, 1))
        image, stages = draw(tf.constant([text.encode(errors="replace") for text in texts]), tf.constant(noise))
        drawn, stages = to_uint8(image.numpy()), [stage.numpy() for stage in stages]
        for place, row in enumerate(rows[: len(captions) - first]):
            before, after = drawn[place], drawn[half + place]
            yield Pair(swaps[row], before, after, [stage[place] for stage in stages])
