"""Embeds pictures and their captions with networks that read both."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np

from ssagan_tf.core.progress import Bar

_BATCH = 50  # pairs that networks read at a time, always so many


def codes(
    read: Callable[[np.ndarray, list[str]], tuple], pictures: Iterable[np.ndarray], captions: Sequence[str]
) -> tuple[np.ndarray, np.ndarray]:
    """Codes of pairs, always a whole batch at a time, so that results do not depend on the batch.

    Args:
        read: function of (uint8 pictures (B, S, S, 3), B captions) -> tensors of their codes, (B, D) each.
        pictures: uint8 arrays (n, S, S, 3) of any n.
        captions: one for each picture.

    Returns:
        Codes of the pictures and of the captions, (N, D) each.
    """
    of_pictures: list[np.ndarray] = []
    of_captions: list[np.ndarray] = []
    done = 0
    with Bar(len(captions), "pictures") as bar:
        for part in pictures:
            for first in range(0, len(part), _BATCH):
                images = part[first : first + _BATCH]
                texts = list(captions[done : done + len(images)])
                spare = _BATCH - len(images)
                filled = np.pad(images, [(0, spare), (0, 0), (0, 0), (0, 0)])
                both = read(filled, texts + [texts[-1]] * spare)
                for found, code in zip((of_pictures, of_captions), both, strict=True):
                    found.append(code.numpy()[: len(images)])
                done += len(images)
                for _ in images:
                    bar.step()
    return np.concatenate(of_pictures), np.concatenate(of_captions)
