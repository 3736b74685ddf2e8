"""Says about a bird what people said about photographs of birds: short, plain, each in another way."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import NamedTuple

from ssagan_tf.data.synthbirds.attributes import Bird, Dice

# Eight for sample sheets. Each pair of colours occurs in training, so that a sheet shows what was learnt.
FIXED_CAPTIONS = (
    "a bird with a red crown and a yellow belly",
    "a bird with a blue crown and an orange belly",
    "a bird with a green crown and a white belly",
    "a bird with a white crown and a blue belly",
    "a bird with black wings and a yellow belly",
    "a bird with blue wings and a red belly",
    "a small bird with a black crown, red wings and a black belly",
    "this bird has a purple crown, green wings and a yellow belly",
)
COUNT = 10  # captions for a bird

# The plain word stands first and is taken half the time.
_NOUNS = {
    "crown": ("crown", "head", "cap"),
    "wing": ("wings", "wings", "back and wings"),
    "belly": ("belly", "tummy", "underside"),
    "breast": ("breast", "chest", "throat and breast"),
    "tail": ("tail", "tail feathers", "tail"),
    "beak": ("beak", "bill", "beak"),
}
_WORDS = {
    "small": ("small", "little", "tiny"),
    "large": ("large", "big"),
    "round": ("round", "plump"),
    "slim": ("slim", "slender"),
    "pointed": ("pointed", "pointy", "sharp"),
    "curved": ("curved", "hooked"),
    "thick": ("thick", "stout"),
}
_PLURAL = ("wings", "back and wings", "throat and breast", "tail feathers", "wing bars")
_SETTINGS = {
    "branch": ("sitting on a branch", "perched on a branch"),
    "water": ("floating on the water", "swimming in water"),
    "sky": ("flying in the sky", "in flight"),
}


class Caption(NamedTuple):
    """A caption, and what it says: names of `Bird`'s attributes with their values."""

    text: str
    attributes: dict[str, str]


def captions(bird: Bird) -> tuple[str, ...]:
    """Ten captions. Each names at least two of the colours of crown, wing and belly, and all it says is true."""
    return tuple(caption.text for caption in captions_with_attributes(bird))


def captions_with_attributes(bird: Bird) -> list[Caption]:
    """The same ten captions, each with the attributes that it names."""
    dice = Dice(bird.variant, "captions")
    found: dict[str, Caption] = {}
    patterns = itertools.cycle(dice.sample(_PATTERNS, len(_PATTERNS)))
    while len(found) < COUNT:
        caption = _Speaker(bird, dice).say(next(patterns))
        found.setdefault(caption.text, caption)
    return list(found.values())


class _Speaker:
    """Puts one caption together and keeps in mind what it named."""

    def __init__(self, bird: Bird, dice: Dice) -> None:
        self._bird = bird
        self._dice = dice
        self._named: dict[str, str] = {}

    def say(self, pattern: Callable[[_Speaker], str]) -> Caption:
        return Caption(pattern(self), self._named)

    def value(self, attribute: str) -> str:
        self._named[attribute] = getattr(self._bird, attribute)
        return self._named[attribute]

    def word(self, attribute: str) -> str:
        """A word for the attribute's value, which need not be the value itself."""
        value = self.value(attribute)
        return self._dice.choice(_WORDS.get(value, (value,)))

    def noun(self, part: str) -> str:
        first, *others = _NOUNS[part]
        return first if self._dice.chance(0.5) else self._dice.choice(others)

    def a(self, part: str) -> str:
        """The part with its colour: "a red crown", "blue wings"."""
        noun, colour = self.noun(part), self.value(part)
        return f"{colour} {noun}" if noun in _PLURAL else _article(f"{colour} {noun}")

    def its(self, part: str, owner: str) -> str:
        """The part, its colour behind it: "its crown is red"."""
        noun = self.noun(part)
        return f"{owner} {noun} {'are' if noun in _PLURAL else 'is'} {self.value(part)}"

    def that(self, part: str) -> str:
        """The part, its colour in a clause: "a crown that is red"."""
        noun = self.noun(part)
        thing = f"{noun} that are" if noun in _PLURAL else f"{_article(noun)} that is"
        return f"{thing} {self.value(part)}"

    def parts(self, count: int) -> list[str]:
        """`count` of crown, wing and belly in any order."""
        return self._dice.sample(("crown", "wing", "belly"), count)

    def bird(self) -> str:
        """The bird itself, sometimes with its size or build: "small bird"."""
        if self._dice.chance(0.5):
            return "bird"
        attribute = self._dice.choice(("size", "body"))
        return f"{self.word(attribute)} bird"

    def beak(self) -> str:
        """The beak with two things about it: "a long pointed beak"."""
        first, second = self._dice.choice(
            (("beak_length", "beak_shape"), ("beak_length", "beak"), ("beak_shape", "beak"))
        )
        return _article(f"{self.word(first)} {self.word(second)} {self.noun('beak')}")

    def extra(self) -> str:
        """One thing more: breast, tail, wing bars or beak."""
        kind = self._dice.choice(("breast", "tail", "tail", "beak"))
        if kind == "beak" and self._bird.wing_bars != "none":
            return f"{self.value('wing_bars')} wing bars"
        return self.beak() if kind == "beak" else self.a(kind)

    def setting(self) -> str:
        return self._dice.choice(_SETTINGS[self.value("setting")])


def _article(words: str) -> str:
    return f"{'an' if words[0] in 'aeiou' else 'a'} {words}"


def _listed(things: list[str]) -> str:
    return f"{', '.join(things[:-1])} and {things[-1]}"


def _with_two(s: _Speaker) -> str:
    return f"{_article(s.bird())} with {_listed([s.a(p) for p in s.parts(2)])}"


def _with_three(s: _Speaker) -> str:
    return f"{_article(s.bird())} with {_listed([s.a(p) for p in s.parts(3)])}"


def _this_has_two(s: _Speaker) -> str:
    return f"this bird has {_listed([s.a(p) for p in s.parts(2)])}."


def _this_has_three(s: _Speaker) -> str:
    return f"this {s.bird()} has {_listed([s.a(p) for p in s.parts(3)])}."


def _this_is(s: _Speaker) -> str:
    return f"this is {_article(s.bird())} with {_listed([s.a(p) for p in s.parts(2)] + [s.extra()])}."


def _has_and_extra(s: _Speaker) -> str:
    return f"the bird has {_listed([s.a(p) for p in s.parts(2)] + [s.extra()])}"


def _crown_and_belly(s: _Speaker) -> str:
    return f"a bird with {s.a('crown')} and {s.a('belly')}"


def _coloured(s: _Speaker) -> str:
    """ "A red bird" if breast and belly are red; else both are named."""
    if s.value("breast") == s.value("belly"):
        return f"{_article(s.value('breast') + ' bird')} with {_listed([s.a('crown'), s.a('wing')])}"
    return f"{_article(s.bird())} with {_listed([s.a('breast'), s.a('belly'), s.a('crown')])}"


def _in_its_place(s: _Speaker) -> str:
    return f"{_article(s.bird())} with {_listed([s.a(p) for p in s.parts(2)])} {s.setting()}"


def _are(s: _Speaker) -> str:
    first, second = s.parts(2)
    return f"{s.its(first, 'the')} and {s.its(second, 'the')} on this {s.bird()}"


def _its(s: _Speaker) -> str:
    first, second = s.parts(2)
    return f"this bird has {s.a(first)}, {s.its(second, 'its')}, and it has {s.beak()}"


def _that(s: _Speaker) -> str:
    first, second = s.parts(2)
    return f"this bird has {s.that(first)} and has {s.a(second)}."


_PATTERNS = (
    _with_two,
    _with_three,
    _this_has_two,
    _this_has_three,
    _this_is,
    _has_and_extra,
    _crown_and_belly,
    _coloured,
    _in_its_place,
    _are,
    _its,
    _that,
)
