"""The rules in JavaScript are Python's: words of a thousand captions, noise of a thousand seeds, pixels."""

import json
import shutil

import numpy as np
import processes
import pytest

from ssagan_tf.export import assets
from ssagan_tf.on_device import normals, philox_words, tokenize
from ssagan_tf.pictures import to_uint8
from ssagan_tf.text.vocabulary import Vocabulary

COUNT = 1000
NODE = shutil.which("node") or shutil.which("nodejs")
VOCABULARY = Vocabulary.build(
    ["a small red orange yellow green blue bird with short wings on a branch, perched, its crown and belly grey gray"]
)

SCRIPT = """
import { readFileSync } from "node:fs";
import * as rules from "./rules.js";
import { Vocabulary } from "./vocabulary.js";
import { asSeed, fromHash, seedAfter, toHash } from "./state.js";

const given = JSON.parse(readFileSync(0, "utf8"));
const vocabulary = new Vocabulary(given.vocabulary);
console.log(JSON.stringify({
  words: given.captions.map((caption) => rules.tokenize(caption)),
  unicode: given.captions.map((caption) => rules.tokenize(caption, "unicode")),
  ids: given.captions.map((caption) => vocabulary.encode(caption)),
  stream: given.seeds.map((seed) => [...rules.philoxWords(BigInt(seed), 9)]),
  noise: given.seeds.map((seed) => [...rules.normals(BigInt(seed), 101)]),
  suggestions: given.misspelled.map((word) => vocabulary.suggest(word)),
  bytes: given.values.map(rules.toByte),
  along: given.along.map((along) => [...rules.alongSphere(given.start, given.end, along)]),
  seeds: given.asked.map(asSeed),
  after: given.seeds.map((seed) => seedAfter(seed, 3)),
  links: given.links.map((link) => toHash(fromHash(link))),
}));
"""


def odd_captions() -> list[str]:
    """Captions of all that is hard about text: case, scripts, marks, digits, halves of pairs, U+FFFD."""
    dice = np.random.default_rng(0)
    alphabet = list("aB red wings_09  .,!-'\"\t\n\r\x00\x7f\ufffd\ufffd")
    alphabet += list("éÄßİıſKÅΣςΠжЖאبति한中々〇ｆ０²½Ⅷ①ªº٠߀\u0301\u200b\u200d\u00a0\u2028\u3000\ufeff😀👩𝐀𝟘𐐀ǅﬁŉ")
    made = ["".join(dice.choice(alphabet, dice.integers(0, 40))) for _ in range(COUNT - 5)]
    return [*made, "", "A Red bird.", "ΑΣ ΑΣΑ", "\ufffd\ufffd\ufffda", "K" * 1000]


def odd_seeds() -> list[int]:
    dice = np.random.default_rng(1)
    made = dice.integers(-(2**63), 2**63 - 1, COUNT - 8, np.int64).tolist()
    return [*made, 0, 1, -1, 2**31, 2**32, 2**53 + 1, 2**63 - 1, -(2**63)]


GIVEN = {
    "vocabulary": "\n".join(VOCABULARY.words) + "\n",
    "captions": odd_captions(),
    "seeds": [str(seed) for seed in odd_seeds()],
    "misspelled": ["brid", "wing", "grene", "greys", "re", "colour", "perch", "zzz", "", "x" * 39, "yelow", "bluue"],
    "values": np.float32(np.linspace(-1.2, 1.2, 5000)).astype(float).tolist(),
    "along": [0.0, 0.25, 0.5, 1.0],
    "start": [3.0, 0.0, 0.0, 1.0],
    "end": [0.0, 2.0, 0.0, -1.0],
    "asked": ["7", " -3 ", "+5", "9223372036854775807", "9223372036854775808", "1e3", "", "0x10", "1.0", "--1"],
    "links": [
        "",
        "#caption=a+red+bird&seed=7",
        "#seed=x&count=1000&view=odd&along=101&mask=-1&evil=1",
        "#%E0%A4%A",
        "#view=swap&word=2&swap=red",
    ],
}


@pytest.fixture(scope="module")
def answers(tmp_path_factory):
    """What the page's modules make of `GIVEN`."""
    if NODE is None:
        pytest.skip("Node.js is not installed.")
    folder = tmp_path_factory.mktemp("page")
    for name, content in assets.page_files().items():
        (folder / name).write_bytes(content)
    (folder / "package.json").write_text('{"type": "module"}')
    (folder / "script.js").write_text(SCRIPT)
    (folder / "given.json").write_text(json.dumps(GIVEN))
    with open(folder / "given.json") as given:
        done = processes.run(NODE, "script.js", cwd=folder, stdin=given, check=True)
    return json.loads(done.stdout)


def test_captions_become_the_same_words(answers):
    assert answers["words"] == [tokenize(caption) for caption in GIVEN["captions"]]
    assert answers["unicode"] == [tokenize(caption, "unicode") for caption in GIVEN["captions"]]
    assert answers["ids"] == [VOCABULARY.encode(caption) for caption in GIVEN["captions"]]
    assert len(set(map(tuple, answers["words"]))) > COUNT // 2


def test_seeds_become_the_same_words_of_the_stream(answers):
    np.testing.assert_array_equal(answers["stream"], philox_words(odd_seeds(), 9))


def test_seeds_become_the_same_noise(answers):
    noise = np.float32(answers["noise"])
    expected = normals(odd_seeds(), 101)
    # Two mathematics libraries may round a float64 differently, and so, very rarely, the float32 made of it.
    np.testing.assert_array_max_ulp(noise, expected, 1)
    assert np.mean(noise == expected) > 0.9999


def test_suggestions_are_the_same(answers):
    assert answers["suggestions"] == [VOCABULARY.suggest(word) for word in GIVEN["misspelled"]]
    assert answers["suggestions"][0] == ["bird"]


def test_numbers_become_the_same_pixels(answers):
    np.testing.assert_array_equal(answers["bytes"], to_uint8(np.float32(GIVEN["values"])))


def test_between_two_noises_the_way_is_an_arc(answers):
    start, end = np.array(GIVEN["start"]), np.array(GIVEN["end"])
    angle = np.arccos(start @ end / np.linalg.norm(start) / np.linalg.norm(end))
    for along, found in zip(GIVEN["along"], answers["along"], strict=True):
        expected = (np.sin((1 - along) * angle) * start + np.sin(along * angle) * end) / np.sin(angle)
        np.testing.assert_allclose(found, expected, atol=1e-6)


def test_seeds_are_whole_numbers_of_64_bits(answers):
    assert answers["seeds"] == ["7", "-3", "5", "9223372036854775807", None, None, None, None, None, None]
    wrapped = [(seed + 3 + 2**63) % 2**64 - 2**63 for seed in odd_seeds()]
    assert answers["after"] == [str(seed) for seed in wrapped]


def test_links_keep_what_is_right_and_nothing_else(answers):
    assert answers["links"] == ["#", "#caption=a+red+bird&seed=7", "#", "#", "#view=swap&word=2&swap=red"]
