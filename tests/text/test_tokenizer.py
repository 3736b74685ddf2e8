"""The tokenizer: the published rule, and the same words from Python and from the graph for any text or bytes."""

import re
import sys
import unicodedata

import pytest
import tensorflow as tf
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ssagan_tf.text.tokenizer import lost_characters, tokenize, tokenize_in_graph

tokenize_many = tf.function(tokenize_in_graph, input_signature=[tf.TensorSpec([None], tf.string)])


def in_graph(texts: list[str | bytes]) -> list[list[str]]:
    rows = tokenize_many(tf.constant(texts, tf.string)).to_list()
    return [[word.decode() for word in row] for row in rows]


def published(text: str) -> list[str]:
    """`datasets.py` of the published code, step by step."""
    words = re.findall(r"\w+", text.replace("\ufffd\ufffd", " ").lower())
    words = [word.encode("ascii", "ignore").decode("ascii") for word in words]
    return [word for word in words if len(word) > 0]


EXAMPLES = {
    "This bird has a RED crown.": ["this", "bird", "has", "a", "red", "crown"],
    "café": ["caf"],
    "naïve é": ["nave"],
    "it's black-and-white": ["it", "s", "black", "and", "white"],
    "white\ufffd\ufffdbelly": ["white", "belly"],
    "white\ufffdbelly": ["white", "belly"],
    "a\ufffd\ufffd\ufffdb": ["a", "b"],
    "snake_case 3 wings 12.5cm": ["snake_case", "3", "wings", "12", "5cm"],
    "鸟 bird 🐦": ["bird"],
    "鸟bird鸟s": ["birds"],
    "\u212aelvin \u0130stanbul": ["kelvin", "i", "stanbul"],
    "Straße ΣΑΣ": ["strae"],
    "null\0in\tside\r\nlines\u2028more": ["null", "in", "side", "lines", "more"],
    "": [],
    " \n ": [],
    "...!?": [],
    "鸟": [],
}


@pytest.mark.parametrize("text, words", EXAMPLES.items())
def test_published_rule_by_example(text, words):
    assert tokenize(text) == words


UNICODE = {
    "Großer GRÜNER Vogel": ["großer", "grüner", "vogel"],
    "un œil élégant": ["un", "œil", "élégant"],
    "u\u0308ber Vie\u0323\u0302t": ["über", "việt"],
    "一只红鸟s bird鸟": ["一", "只", "红", "鸟", "s", "bird", "鸟"],
    "カワセミが飛ぶ": ["カ", "ワ", "セ", "ミ", "が", "飛", "ぶ"],
    "ฉันชอบ": ["ฉั", "น", "ช", "อ", "บ"],
    "हिन्दी क\u093c \u0958": ["हिन्दी", "क\u093c", "क\u093c"],
    "한국어 \u1112\u1161\u11ab": ["한국어", "한"],
    "ΟΔΟΣ \u212bngstrom": ["οδος", "ångstrom"],
    "❤\ufe0f red 🐦, snake_case!": ["red", "snake_case"],
    "\ufffd\ufffd": [],
    "": [],
}
unicode_many = tf.function(
    lambda texts: tokenize_in_graph(texts, "unicode"),
    input_signature=[tf.TensorSpec([None], tf.string)],
    autograph=False,  # as in an export
)


def unicode_in_graph(texts: list[str]) -> list[list[str]]:
    return [[word.decode() for word in row] for row in unicode_many(tf.constant(texts, tf.string)).to_list()]


@pytest.mark.parametrize("text, words", UNICODE.items())
def test_unicode_rule_by_example(text, words):
    assert tokenize(text, "unicode") == words


def test_unicode_rule_by_example_in_the_graph():
    assert unicode_in_graph(list(UNICODE)) == list(UNICODE.values())


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_letters_of_all_scripts_give_the_same_unicode_words_in_python_and_in_the_graph(form):
    points = [*range(0x3400), *range(0xA000, 0xABFF), *range(0xAC00, 0xD7A4, 29), *range(0xF900, 0x11FFF, 3)]
    texts = [unicodedata.normalize(form, f"A{chr(point)}b {chr(point)} |") for point in points]
    wrong = [
        hex(point)
        for point, text, found in zip(points, texts, unicode_in_graph(texts), strict=True)
        if found != tokenize(text, "unicode")
    ]
    # Letters that are newer than TensorFlow's tables of upper and lower case.
    assert len(wrong) < 100 and not [point for point in wrong if int(point, 16) < 0x1C00]


@given(st.text(st.characters(codec="ascii"), max_size=40))
def test_of_ascii_both_rules_make_the_same_words(text):
    assert tokenize(text, "unicode") == tokenize(text)


@pytest.mark.parametrize(
    "text, rule, lost",
    [
        ("café au lait", "published", ["é"]),
        ("café au lait", "unicode", []),
        ("鸟 🐦", "published", ["鸟", "🐦"]),
        ("鸟 🐦 — “ok”…", "unicode", ["🐦"]),
        ("white\ufffd\ufffdbelly", "published", []),
    ],
)
def test_characters_that_a_rule_drops_are_named(text, rule, lost):
    assert lost_characters(text, rule) == lost


def test_graph_follows_the_examples():
    assert in_graph(list(EXAMPLES)) == list(EXAMPLES.values())


def test_every_code_point_gives_the_same_words_in_python_and_in_the_graph():
    # Between letters, and alone: it may be dropped, end a word, be lowered or be a word.
    points = [point for point in range(sys.maxunicode + 1) if not 0xD800 <= point < 0xE000]
    blocks = [points[start : start + 64] for start in range(0, len(points), 64)]
    texts = ["".join(f"A{chr(point)}b {chr(point)} | " for point in block) for block in blocks]
    expected = [published(text) for text in texts]
    for found in ([tokenize(text) for text in texts], in_graph(texts)):
        wrong = [hex(block[0]) for block, one, other in zip(blocks, found, expected, strict=True) if one != other]
        assert not wrong


@given(st.lists(st.text(max_size=40), min_size=1, max_size=10))
@example(["\ufffd\ufffd\ufffd", "ΑΣ ΣΑ", "\u0345\u0301", "ﬁne"])
@settings(max_examples=300, deadline=None)
def test_any_text_gives_the_published_words_in_python_and_in_the_graph(texts):
    expected = [published(text) for text in texts]
    assert [tokenize(text) for text in texts] == expected
    assert in_graph(texts) == expected


@given(st.lists(st.text(st.characters(codec="ascii"), max_size=40), min_size=1, max_size=10))
@example(["".join(map(chr, range(128)))])
@settings(max_examples=300, deadline=None)
def test_any_ascii_text_gives_the_published_words_in_the_graph(texts):
    # ASCII alone takes a shorter way through the graph.
    assert in_graph(texts) == [published(text) for text in texts]


@given(st.lists(st.binary(max_size=30), min_size=1, max_size=10))
@example([b"\xff\xfebird", b"a\xc3", b"\xe2\x82b", b"\xed\xa0\x80x", b"\xf4\x90\x80\x80y", b"\xc0\xafz", b"\x80\x80w"])
@settings(max_examples=300, deadline=None)
def test_bytes_that_are_not_utf8_count_as_replacement_characters(texts):
    assert in_graph(texts) == [tokenize(text.decode("utf-8", errors="replace")) for text in texts]


def test_every_pair_of_bytes_that_is_not_utf8_gives_the_same_words():
    texts = [b"a" + bytes([first, second]) + b"b" for first in range(0x80, 0x100) for second in range(0x100)]
    assert in_graph(texts) == [tokenize(text.decode("utf-8", errors="replace")) for text in texts]


def test_ten_thousand_words_are_read_whole():
    text = " ".join(f"Word{number}" for number in range(10_000))
    assert tokenize(text) == [f"word{number}" for number in range(10_000)]
    assert in_graph([text]) == [tokenize(text)]


def test_an_empty_batch_gives_no_rows():
    assert in_graph([]) == []
