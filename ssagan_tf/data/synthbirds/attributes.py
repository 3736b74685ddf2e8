"""What a synthetic bird can be, how one is drawn by lot, and which ones are kept for testing."""

from __future__ import annotations

import dataclasses
import hashlib
import random
from collections.abc import Sequence

from ssagan_tf.errors import UserError

# Plumage colours, told apart at 64 pixels. The order matters: `held_out` counts in it.
COLOURS: dict[str, tuple[int, int, int]] = {
    "red": (219, 42, 40),
    "orange": (248, 138, 28),
    "yellow": (253, 218, 54),
    "green": (58, 164, 72),
    "blue": (40, 104, 220),
    "purple": (140, 70, 184),
    "black": (42, 42, 50),
    "white": (250, 250, 248),
}
BEAK_COLOURS: dict[str, tuple[int, int, int]] = {
    "orange": (246, 140, 36),
    "black": (52, 50, 56),
    "grey": (140, 144, 152),
}
BACKGROUNDS: dict[str, tuple[int, int, int]] = {
    "blue": (178, 214, 238),
    "green": (196, 224, 198),
    "peach": (246, 214, 192),
    "lilac": (216, 206, 236),
}

# Every attribute with its values; a `Bird` has exactly these, and `variant`.
ATTRIBUTES: dict[str, tuple[str, ...]] = {
    "crown": tuple(COLOURS),
    "wing": tuple(COLOURS),
    "belly": tuple(COLOURS),
    "breast": tuple(COLOURS),
    "tail": tuple(COLOURS),
    "beak": tuple(BEAK_COLOURS),
    "beak_length": ("short", "long"),
    "beak_shape": ("pointed", "curved", "thick"),
    "wing_bars": ("none", "white", "black"),
    "body": ("round", "slim"),
    "size": ("small", "large"),
    "pose": ("upright", "level"),
    "facing": ("left", "right"),
    "setting": ("branch", "water", "sky"),
    "background": tuple(BACKGROUNDS),
}
# Attributes that are the colour of a part; each has a mask of the same name.
PLUMAGE = ("crown", "wing", "belly", "breast", "tail")


@dataclasses.dataclass(frozen=True)
class Bird:
    """Everything about one bird. What is left out has a plain default.

    The crown reaches down to the eye; the breast includes cheek and throat; the wing includes the back.

    Attributes:
        variant: any whole number; settles what has no name: small differences of place and angle, leaves,
            clouds, and the wording of the captions.

    Raises:
        UserError: a value that `ATTRIBUTES` does not list.
    """

    crown: str
    wing: str
    belly: str
    breast: str
    tail: str
    beak: str = "orange"
    beak_length: str = "short"
    beak_shape: str = "pointed"
    wing_bars: str = "none"
    body: str = "round"
    size: str = "large"
    pose: str = "level"
    facing: str = "right"
    setting: str = "branch"
    background: str = "blue"
    variant: int = 0

    def __post_init__(self) -> None:
        for name, values in ATTRIBUTES.items():
            value = getattr(self, name)
            if value not in values:
                raise UserError(f"A bird has no such {name}. Received: {value!r}. Use one of {', '.join(values)}.")


class Dice:
    """Chance that is the same on every machine and in every version: only `random.Random(int).random()`,
    whose sequence Python promises to keep, seeded with a hash of the key's text."""

    def __init__(self, *key: int | str) -> None:
        digest = hashlib.sha256("/".join(map(str, ("synthbirds", *key))).encode()).digest()
        self.number = random.Random(int.from_bytes(digest[:8], "big")).random

    def between(self, low: float, high: float) -> float:
        return low + (high - low) * self.number()

    def chance(self, probability: float) -> bool:
        return self.number() < probability

    def choice(self, values: Sequence):
        return values[int(self.number() * len(values))]

    def sample(self, values: Sequence, count: int) -> list:
        """`count` different ones, in the order drawn."""
        rest = list(values)
        return [rest.pop(int(self.number() * len(rest))) for _ in range(count)]


def held_out(crown: str, wing: str, belly: str) -> tuple[bool, bool, bool]:
    """Whether the pairs crown and wing, wing and belly, crown and belly are kept for testing.

    A training bird has none of the three, a test bird all three. So a test caption that names any two of
    the three colours describes a bird that training never saw, while each colour of each part occurs in
    training. With places in `COLOURS` counted modulo 8, the pairs kept are wing = crown + 1 or 5,
    belly = wing + 2, belly = crown + 3 or 7.
    """
    order = list(COLOURS)
    c, w, b = order.index(crown), order.index(wing), order.index(belly)
    return (w - c) % 8 in (1, 5), (b - w) % 8 == 2, (b - c) % 8 in (3, 7)


_KEYS = [(c, w, b) for c in COLOURS for w in COLOURS for b in COLOURS]
COMBINATIONS: dict[str, tuple[tuple[str, str, str], ...]] = {
    "train": tuple(key for key in _KEYS if not any(held_out(*key))),
    "test": tuple(key for key in _KEYS if all(held_out(*key))),
}


def random_bird(split: str, dice: Dice, family: Dice | None = None) -> Bird:
    """A bird by lot, its crown, wing and belly from the split's `COMBINATIONS`; by the lot of `family` if given."""
    crown, wing, belly = dice.choice(COMBINATIONS[split])
    if family is not None:
        crown, wing, belly = family.choice(COMBINATIONS[split])
    # Often two parts share a colour, as in nature: a calmer picture, and less to learn.
    breast = belly if dice.chance(0.5) else dice.choice(ATTRIBUTES["breast"])
    tail = wing if dice.chance(0.5) else dice.choice(ATTRIBUTES["tail"])
    bars = "none" if dice.chance(0.7) else ("black" if wing == "white" else "white")
    setting = dice.choice(("branch", "branch", "branch", "water", "water", "sky"))
    rest = ("beak", "beak_length", "beak_shape", "body", "size", "pose", "facing", "background")
    return Bird(
        crown=crown,
        wing=wing,
        belly=belly,
        breast=breast,
        tail=tail,
        wing_bars=bars,
        setting=setting,
        variant=int(dice.number() * 2**32),
        **{name: dice.choice(ATTRIBUTES[name]) for name in rest},
    )
