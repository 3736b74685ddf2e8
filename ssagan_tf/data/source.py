"""What every data set gives, and what is said of what it lacks."""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Callable, Sequence

from PIL import Image

from ssagan_tf.errors import UserError

if typing.TYPE_CHECKING:
    from ssagan_tf.text.vocabulary import Vocabulary

SPLITS = ("train", "test")
DRAWN = ("synthbirds",)  # sources that draw their pictures at the size asked for
MAX_ASPECT = 8
_NAMED = 3  # of many things, in a message


@dataclasses.dataclass(frozen=True)
class Example:
    """One picture of a data set with everything said about it.

    Attributes:
        key: unique and stable within the data set, e.g. "001.Albatross/Albatross_0046_18".
        captions: raw text; at least one, none without a word.
        class_id: -1 where the source has no classes.
        load: gives the picture, RGB, cropped as the data set's rule says, not yet resized; raises UserError.
        wordless: how many captions were left out because there is no word in them.
    """

    key: str
    captions: tuple[str, ...]
    class_id: int
    load: Callable[[], Image.Image]
    wordless: int = 0


@dataclasses.dataclass
class Findings:
    """What listing a data set found beside its examples, a line each.

    Attributes:
        problems: what is wrong with it, with its repair; examples are refused, or with `skip_broken` leave it out.
        left_out: what is left out in any case, with its repair.
        notes: what was read, and what was left out on purpose.
    """

    problems: list[str] = dataclasses.field(default_factory=list)
    left_out: list[str] = dataclasses.field(default_factory=list)
    notes: list[str] = dataclasses.field(default_factory=list)

    def add(self, what: str, names: Sequence[str], repair: str) -> None:
        """A problem of so many things, if there are any."""
        self.problems += [f"{what} ({len(names):,}). Received: {some(names)}. {repair}"] if names else []

    def leave_out(self, what: str, names: Sequence[str], repair: str) -> None:
        """So many things that are left out, if there are any."""
        self.left_out += [f"{what} ({len(names):,}). Received: {some(names)}. {repair}"] if names else []

    def note(self, what: str, names: Sequence[str]) -> None:
        """So many things to be told, if there are any."""
        self.notes += [f"{what}: {len(names):,} ({some(names)})"] if names else []

    def refuse(self, skip_broken: bool) -> None:
        """Raises UserError, a line with all problems, unless what is broken may be left out."""
        if self.problems and not skip_broken:
            raise UserError(f"{' '.join(self.problems)} Or leave them out with `prepare_data.py --skip_broken`.")


class Source(typing.Protocol):
    """A data set of captioned pictures.

    Attributes:
        name: "cub", "coco", "folder" or "synthbirds".
        tokenizer: the rule by which its captions become words, see `tokenize`; a vocabulary that came with the data
            has its own.
        findings: what `examples` found beside them.
    """

    name: str
    tokenizer: str
    findings: Findings

    def examples(self, split: str) -> Sequence[Example]:
        """The examples of "train" or "test", in a stable order; lists only, decodes nothing.

        Raises:
            UserError: the folder is not this data set's layout, or something in it is broken.
        """

    def vocabulary(self) -> Vocabulary | None:
        """The vocabulary that came with the data, or None (then it is built from the training captions)."""


def check_split(split: str) -> None:
    """Raises UserError unless `split` is one of `SPLITS`."""
    if split not in SPLITS:
        raise UserError(f"There is no such split. Received: {split!r}. Use one of {', '.join(SPLITS)}.")


def some(items: Sequence[str]) -> str:
    """The first few of many, in one line."""
    more = f" and {len(items) - _NAMED:,} more" if len(items) > _NAMED else ""
    return "; ".join(items[:_NAMED]) + more


def working_size(source_name: str, image_size: int) -> int:
    """Short side at which pictures are kept: int(image_size * 76 / 64) as published, room for random crops.

    Drawn pictures come at exactly the right size and are not cropped.
    """
    return image_size if source_name in DRAWN else int(image_size * 76 / 64)


def resize_short_side(image: Image.Image, target: int) -> Image.Image:
    """Makes the short side `target` and the long one int(target * long / short), bilinear with antialiasing.

    That is torchvision's `Resize(int)`. Of a picture more than `MAX_ASPECT` times as long as wide only the
    middle is taken, since a strip of one pixel's width would grow without bound.
    """
    width, height = image.size
    limit = MAX_ASPECT * min(width, height)
    if max(width, height) > limit:
        left, top = max(0, (width - limit) // 2), max(0, (height - limit) // 2)
        image = image.crop((left, top, left + min(width, limit), top + min(height, limit)))
        width, height = image.size
    if width <= height:
        size = (target, int(target * height / width))
    else:
        size = (int(target * width / height), target)
    return image if size == image.size else image.resize(size, Image.Resampling.BILINEAR)
