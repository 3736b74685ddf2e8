"""How well masks find a set of pixels: area under the ROC curve and intersection over union, in NumPy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from PIL import Image

from ssagan_tf.errors import UserError

THRESHOLDS = np.arange(51) / 50  # at which a mask is cut
_HALF = 25  # the place of 0.5 in them


def enlarged(mask: np.ndarray, size: int) -> np.ndarray:
    """A mask as large as the picture, bilinear with half-pixel centres: (h, w) or (h, w, 1) -> float32 (size, size)."""
    cells = np.asarray(mask, np.float32)
    cells = cells[..., 0] if cells.ndim == 3 else cells
    return np.asarray(Image.fromarray(cells).resize((size, size), Image.Resampling.BILINEAR))


def areas_under_curve(scores: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Area under the ROC curve: the chance that a pixel of the target has a higher score than one outside of it.

    From the sum of ranks (Mann and Whitney, 1947); equal scores count half, so that a constant one has 0.5.

    Args:
        scores: float (P,).
        targets: bool (T, P), each a set of pixels.

    Returns:
        float64 (T,); nan for a target of no pixel or of all.
    """
    _, places, counts = np.unique(scores, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    ranks = (last - (counts - 1) / 2)[places.ravel()]
    inside = targets.sum(1).astype(np.float64)
    pairs = inside * (targets.shape[1] - inside)
    pairs[pairs == 0] = np.nan
    return (targets @ ranks - inside * (inside + 1) / 2) / pairs


def overlaps(scores: np.ndarray, targets: np.ndarray, thresholds: np.ndarray = THRESHOLDS) -> np.ndarray:
    """Intersection over union of the pixels with a score of at least each threshold, and each target.

    Args:
        scores: float (P,).
        targets: bool (T, P).
        thresholds: float (K,).

    Returns:
        float64 (T, K); nan for a target of no pixel at a threshold that no score reaches.
    """
    chosen = scores >= thresholds[:, None].astype(scores.dtype)
    shared = targets.astype(np.float32) @ chosen.T.astype(np.float32)  # whole numbers, exact below 2^24
    union = targets.sum(1)[:, None] + chosen.sum(1) - shared.astype(np.float64)
    return shared / np.where(union == 0, np.nan, union)


class MaskScores:
    """Means over pictures of how well each stage's mask finds each target.

    A picture in which a target has no pixel, or all, is left out for that target.

    Args:
        stages: sizes of the masks, such as (4, 8, 16, 32, 64).
        targets: their names.
    """

    def __init__(self, stages: Sequence[int], targets: Sequence[str]):
        self.stages = tuple(stages)
        self.targets = tuple(targets)
        shape = len(self.stages), len(self.targets)
        self._area, self._area_of_another = _Mean(shape), _Mean(shape)
        self._overlaps = _Mean((*shape, len(THRESHOLDS)))
        self._share = _Mean((len(self.targets),))
        self._area_of_each: list[np.ndarray] = []  # (T,) of each picture, mean over stages
        self._before: list[np.ndarray] | None = None  # the masks of the picture before

    def add(self, masks: Sequence[np.ndarray], targets: Mapping[str, np.ndarray]) -> None:
        """Adds a picture: its masks, (h, w) or (h, w, 1), and its targets, bool (S, S)."""
        size = len(targets[self.targets[0]])
        pixels = np.stack([targets[name].ravel() for name in self.targets])
        scores = [enlarged(mask, size).ravel() for mask in masks]
        share = pixels.mean(1)
        usable = (share > 0) & (share < 1)
        self._share.add(np.where(usable, share, np.nan))
        areas = np.stack([areas_under_curve(each, pixels) for each in scores])
        self._area.add(areas)
        self._area_of_each.append(areas.mean(0))
        cut = np.stack([overlaps(each, pixels) for each in scores])
        self._overlaps.add(np.where(usable[:, None], cut, np.nan))
        if self._before is not None:
            self._area_of_another.add(np.stack([areas_under_curve(each, pixels) for each in self._before]))
        self._before = scores

    def count(self, target: str) -> int:
        """Pictures that a target's means are of."""
        return int(self._share.counts[self.targets.index(target)])

    def areas(self, target: str) -> np.ndarray:
        """The area under the curve, mean over stages, of each picture that has the target.

        Raises:
            UserError: none has it.
        """
        if not self.count(target):
            raise UserError(f"No picture could be scored. Received: none with {target!r}. Draw more pictures.")
        values = np.stack(self._area_of_each)[:, self.targets.index(target)]
        return values[~np.isnan(values)]

    def results(self) -> dict[str, dict[str, dict[str, float]]]:
        """For each target that was in some picture, for each stage, named as "16x16":

        "area": under the ROC curve; "area_of_another": the same for the mask of another picture, which knows where
        things mostly are but not where they are here; "iou": the mask cut at 0.5; "best_iou": cut where the mean over
        all pictures is best, at "threshold"; "share": of the picture's pixels in the target, which is the overlap of a
        mask of ones.
        """
        parts = self._area.value(), self._area_of_another.value(), self._overlaps.value()
        found: dict[str, dict[str, dict[str, float]]] = {}
        for column, target in enumerate(self.targets):
            if not self.count(target):
                continue
            found[target] = {}
            for row, stage in enumerate(self.stages):
                area, another, cut = (part[row, column] for part in parts)
                best = int(cut.argmax())
                values = {"area": area, "area_of_another": another, "iou": cut[_HALF], "best_iou": cut[best]}
                values |= {"threshold": THRESHOLDS[best], "share": self._share.value()[column]}
                found[target][f"{stage}x{stage}"] = {
                    name: float(value) for name, value in values.items() if np.isfinite(value)
                }
        return found


class _Mean:
    """A mean of arrays of one shape, entry by entry; nan is no value."""

    def __init__(self, shape: tuple[int, ...]):
        self.counts = np.zeros(shape, np.int64)
        self._sums = np.zeros(shape)

    def add(self, values: np.ndarray) -> None:
        given = ~np.isnan(values)
        self.counts += given
        self._sums += np.where(given, values, 0)

    def value(self) -> np.ndarray:
        return np.divide(self._sums, self.counts, out=np.full(self._sums.shape, np.nan), where=self.counts > 0)
