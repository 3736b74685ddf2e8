"""Inputs that are nearly good: seeds with a few bytes changed, and pieces that have broken parsers before."""

import random
from collections.abc import Sequence


def mutated(seeds: Sequence[bytes], dice: random.Random, begin: bytes | None = None) -> bytes:
    """`begin`, or one of the seeds, with a few bytes changed, cut out, doubled, or taken from a seed."""
    data = bytearray(dice.choice(seeds) if begin is None else begin)
    for _ in range(dice.choice((1, 1, 2, 3, 8))):
        at, length = dice.randrange(len(data) + 1), dice.choice((1, 1, 2, 4, 9, 40))
        kind = dice.randrange(7)
        if kind == 0 and data:
            data[at % len(data)] ^= 1 << dice.randrange(8)
        elif kind == 1 and data:
            data[at % len(data)] = dice.choice((0, 1, 9, 10, 34, 46, 47, 92, 127, 128, 255))
        elif kind == 2:
            del data[at : at + length]
        elif kind == 3:
            data[at:at] = dice.randbytes(length)
        elif kind == 4:
            data[at:at] = data[at : at + length] * dice.choice((1, 2, 100))
        elif kind == 5:
            other = dice.choice(seeds)
            start = dice.randrange(len(other) + 1)
            data[at : at + length] = other[start : start + length]
        else:
            data[at:at] = dice.choice(_TOKENS)
    return bytes(data)


_TOKENS = [
    *rb"../ ..\ /etc/passwd null [] {} 1e999 NaN -1 true 0 2 R ( t d s u \ud800 \u0000".split(),
    *(b"9" * 20, b"9" * 400, b"9" * 5000, b"[" * 2000, b"a" * 300),
    *(b"\0", b"\n", b"\r", b"\xed\xa0\x80", b"\xff\xfe", b"\xe2\x84\xaa", b"\xff" * 4, b"\x7f" * 8),
    *(b"\x85", b"\x86", b"h\0", b"q\0", b"\x94"),  # tuples and memory of pickles
]
