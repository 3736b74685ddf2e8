"""Synthetic birds: always the same, true to their captions and masks, and split so that testing is honest."""

import collections
import dataclasses
import hashlib
import re

import numpy as np
import processes
import pytest

from ssagan_tf.data.source import Example
from ssagan_tf.data.synthbirds import (
    ATTRIBUTES,
    COLOURS,
    FIXED_CAPTIONS,
    PARTS,
    PLUMAGE,
    Bird,
    SynthBirds,
    captions,
    captions_with_attributes,
    draw,
    held_out,
    part_masks,
)
from ssagan_tf.data.synthbirds.attributes import BEAK_COLOURS, COMBINATIONS, Dice
from ssagan_tf.errors import UserError
from ssagan_tf.text.tokenizer import tokenize

SOURCE = SynthBirds(64)
KEYS = ("crown", "wing", "belly")
PLAIN = Bird("red", "blue", "yellow", "green", "white", wing_bars="white")


def birds(split: str, count: int) -> list[Bird]:
    return [SOURCE.bird(split, index) for index in range(count)]


def pixels(bird: Bird, size: int = 64) -> np.ndarray:
    return np.asarray(draw(bird, size)).astype(int)


# The same everywhere


def test_chance_is_the_mersenne_twister_that_numpy_has_too():
    dice = Dice(7, "test", 3)
    seed = int.from_bytes(hashlib.sha256(b"synthbirds/7/test/3").digest()[:8], "big")
    numpy_state = np.random.RandomState([seed & 0xFFFFFFFF, seed >> 32])
    assert [dice.number() for _ in range(50)] == numpy_state.random_sample(50).tolist()


def test_another_process_draws_and_says_the_same_and_needs_no_tensorflow():
    program = """
import hashlib, sys
from ssagan_tf.data.synthbirds import SynthBirds
example = SynthBirds(48, seed=5).examples("test")[17]
print(hashlib.sha256(example.load().tobytes() + "|".join(example.captions).encode()).hexdigest())
assert not {"tensorflow", "keras"} & set(sys.modules)
"""
    environment = processes.environment(PYTHONHASHSEED="12345")
    run = processes.python("-W", "error", "-c", program, env=environment, check=True)
    example = SynthBirds(48, seed=5).examples("test")[17]
    ours = hashlib.sha256(example.load().tobytes() + "|".join(example.captions).encode()).hexdigest()
    assert run.stdout.strip() == ours


def test_seed_split_and_index_each_make_another_bird():
    made = {SynthBirds(64, seed).bird(split, i) for seed in (0, 1) for split in ("train", "test") for i in range(50)}
    assert len(made) == 200


# The source


def test_examples_keep_the_contract():
    examples = SynthBirds(40, count={"train": 30}).examples("train")
    assert len(examples) == 30
    example = examples[7]
    assert isinstance(example, Example) and example.key == "train-000007"
    assert len(example.captions) == 10 and all(map(tokenize, example.captions))
    picture = example.load()
    assert picture.size == (40, 40) and picture.mode == "RGB"
    assert {e.class_id for e in SOURCE.examples("train")[:200]} == set(range(len(COLOURS)))


def test_examples_are_a_sequence():
    examples = SynthBirds(16, count={"test": 5}).examples("test")
    assert [e.key for e in examples] == [f"test-{i:06d}" for i in range(5)]
    assert examples[-1].key == examples[3:][1].key == "test-000004"
    with pytest.raises(IndexError):
        examples[5]


def test_defaults_are_as_promised():
    assert [len(SOURCE.examples(split)) for split in ("train", "test")] == [20_000, 2_000]
    assert SOURCE.name == "synthbirds" and SOURCE.vocabulary() is None


@pytest.mark.parametrize(
    "refused",
    [
        lambda: SOURCE.examples("dev"),
        lambda: SynthBirds(64, count={"validation": 3}),
        lambda: SynthBirds(64, count={"train": 0}),
        lambda: SynthBirds(0),
        lambda: dataclasses.replace(PLAIN, crown="mauve"),
        lambda: dataclasses.replace(PLAIN, setting="moon"),
        lambda: draw(PLAIN, 0),
        lambda: draw(PLAIN, 10**6),
    ],
)
def test_what_does_not_exist_is_refused_in_one_line(refused):
    with pytest.raises(UserError, match=r"^[^\n]+ Received: [^\n]+\.$"):
        refused()


# The split


def test_no_two_key_colours_of_a_test_bird_go_together_in_training():
    train, test = birds("train", 3000), birds("test", 300)
    for one, other in (("crown", "wing"), ("wing", "belly"), ("crown", "belly")):
        seen = {(getattr(b, one), getattr(b, other)) for b in train}
        tested = {(getattr(b, one), getattr(b, other)) for b in test}
        assert not seen & tested
        assert len(tested) >= 8 and len(seen) >= 48


def test_a_family_shares_three_colours_and_nothing_else():
    source, alone = SynthBirds(64, family=4), SynthBirds(64)
    families = [[source.bird("train", first + i) for i in range(4)] for first in range(0, 400, 4)]
    for number, family in enumerate(families):
        assert len({(b.crown, b.wing, b.belly) for b in family}) == 1 and len(set(family)) == 4
        assert family[0] == alone.bird("train", 4 * number)
    assert all(not any(held_out(b.crown, b.wing, b.belly)) for family in families for b in family)
    # As among birds that have nothing to do with each other, half of the breasts are as the belly.
    assert 0.45 < np.mean([b.breast == b.belly for family in families for b in family[1:]]) < 0.68


def test_every_colour_of_every_part_occurs_about_equally_often_in_training():
    train = birds("train", 2000)
    for part in PLUMAGE:
        counts = collections.Counter(getattr(b, part) for b in train)
        assert set(counts) == set(COLOURS)
        assert min(counts.values()) > 2000 / len(COLOURS) / 1.5


def test_every_value_of_every_attribute_occurs_in_both_splits():
    for split in ("train", "test"):
        some = birds(split, 600)
        for name, values in ATTRIBUTES.items():
            assert {getattr(b, name) for b in some} == set(values), (split, name)


def test_each_combination_is_of_one_split_or_of_none():
    assert all(not any(held_out(*key)) for key in COMBINATIONS["train"])
    assert all(all(held_out(*key)) for key in COMBINATIONS["test"])
    # For each of 8 crowns: 2 wings kept for testing, then 1 belly for each wing.
    assert len(COMBINATIONS["test"]) == 8 * 2 * 1


def test_no_training_bird_fits_a_test_caption():
    for bird in birds("test", 60):
        for caption in captions_with_attributes(bird):
            named = {key: value for key, value in caption.attributes.items() if key in KEYS}
            fits = [c for c in COMBINATIONS["train"] if named.items() <= dict(zip(KEYS, c, strict=True)).items()]
            assert len(named) >= 2 and not fits


# The captions


def test_ten_different_captions_in_many_manners():
    frames = set()
    for bird in birds("train", 100):
        texts = captions(bird)
        assert len(set(texts)) == 10
        frames |= {re.sub("|".join([*COLOURS, *BEAK_COLOURS]), "#", text) for text in texts}
    assert len(frames) > 200


@pytest.mark.parametrize("name", ["crown", "wing", "tail", "beak", "size", "body"])
def test_a_caption_changes_with_an_attribute_if_and_only_if_it_names_it(name):
    for bird in birds("train", 80):
        values = ATTRIBUTES[name]
        other = values[(values.index(getattr(bird, name)) + 1) % len(values)]
        changed = captions(dataclasses.replace(bird, **{name: other}))
        for caption, text in zip(captions_with_attributes(bird), changed, strict=True):
            assert (caption.text != text) == (name in caption.attributes)


def test_colours_in_a_caption_are_those_of_the_parts_it_names():
    colour_words = set(COLOURS) | set(BEAK_COLOURS)
    for bird in birds("test", 100):
        for text, named in captions_with_attributes(bird):
            assert all(getattr(bird, name) == value for name, value in named.items())
            colours = {value for name, value in named.items() if name in (*PLUMAGE, "beak", "wing_bars")}
            assert set(tokenize(text)) & colour_words == colours


def test_a_coloured_noun_says_the_truth():
    nouns = {
        "crown": "crown|head|cap",
        "wing": "wings|back and wings",
        "belly": "belly|tummy|underside",
        "breast": "breast|chest|throat and breast",
        "tail": "tail",
        "beak": "beak|bill",
        "wing_bars": "wing bars",
    }
    colours = "|".join([*COLOURS, "grey"])
    found = collections.Counter()
    for bird in birds("train", 150):
        for text in captions(bird):
            for part, words in nouns.items():
                said = re.search(rf"\b({colours}) (?:{words})\b", text) or re.search(
                    rf"\b(?:{words}) (?:that )?(?:is|are) ({colours})\b", text
                )
                if said:
                    assert said[1] == getattr(bird, part), text
                    found[part] += 1
    assert min(found[part] for part in KEYS) > 750 and set(found) == set(nouns)


def test_articles_agree():
    texts = [text for bird in birds("train", 200) for text in captions(bird)]
    assert not [t for t in texts if re.search(r"\ba [aeiou]|\ban [^aeiou]|\ba (\w+ )?(wings|tail feathers)\b", t)]


def test_fixed_captions_use_trained_words_and_pairs_of_colours():
    words = {word for bird in birds("train", 200) for text in captions(bird) for word in tokenize(text)}
    colours = "|".join(COLOURS)
    for text in FIXED_CAPTIONS:
        assert set(tokenize(text)) <= words
        said = {
            part: match[1]
            for part, noun in (("crown", "crown"), ("wing", "wings"), ("belly", "belly"))
            if (match := re.search(rf"({colours}) {noun}", text))
        }
        assert len(said) >= 2
        assert any(said.items() <= dict(zip(KEYS, c, strict=True)).items() for c in COMBINATIONS["train"])
    assert len(set(FIXED_CAPTIONS)) == 8


# The pictures and their masks


def test_masks_are_shares_that_add_up_to_one():
    for bird in birds("train", 15):
        masks = part_masks(bird, 64)
        assert set(masks) == {*PARTS, "bird", "background"}
        for mask in masks.values():
            assert mask.shape == (64, 64) and mask.dtype == np.float32
            assert mask.min() >= 0 and mask.max() <= 1
        assert np.allclose(sum(masks[part] for part in PARTS) + masks["background"], 1, atol=1e-6)
        assert np.allclose(masks["bird"] + masks["background"], 1, atol=1e-6)
        assert ((masks["bird"] > 0.02) & (masks["bird"] < 0.98)).any(), "no antialiased edge"


@pytest.mark.parametrize("part", [*PLUMAGE, "beak", "wing_bars"])
def test_another_colour_of_a_part_changes_the_picture_exactly_where_its_mask_is(part):
    for bird in birds("train", 20):
        if part == "wing_bars" and bird.wing_bars == "none":
            continue
        values = [value for value in ATTRIBUTES[part] if value != "none"]
        other = values[(values.index(getattr(bird, part)) + 1) % len(values)]
        mask = part_masks(bird, 64)[part]
        changed = (pixels(bird) != pixels(dataclasses.replace(bird, **{part: other}))).any(-1)
        assert not changed[mask == 0].any()
        assert changed[mask > 0.5].all()


@pytest.mark.parametrize("size", [64, 128])
def test_each_part_shows_the_colour_it_is_said_to_have(size):
    palette = np.array(list(COLOURS.values()))
    for bird in birds("train", 20):
        picture, masks = pixels(bird, size), part_masks(bird, size)
        for part in PLUMAGE:
            mean = (picture * masks[part][..., None]).sum((0, 1)) / masks[part].sum()
            nearest = list(COLOURS)[np.square(palette - mean).sum(1).argmin()]
            assert nearest == getattr(bird, part), (bird, part, mean)


def test_the_parts_that_captions_name_most_are_large_and_the_bird_fills_the_picture():
    for bird in birds("train", 60):
        masks = part_masks(bird, 64)
        assert min(masks[part].mean() for part in KEYS) > 0.045
        rows, columns = np.nonzero(masks["bird"] > 0.5)
        assert 0.6 < np.ptp(columns) / 64 < 1 and np.ptp(rows) / 64 > 0.55


def test_no_bird_is_cut_off_by_the_edge():
    for bird in birds("train", 120):
        mask = part_masks(bird, 64)["bird"]
        assert max(mask[0].max(), mask[-1].max(), mask[:, 0].max(), mask[:, -1].max()) == 0, bird


def test_a_bird_that_faces_left_is_the_mirror_image_of_one_that_faces_right():
    for setting in ATTRIBUTES["setting"]:
        right = dataclasses.replace(PLAIN, setting=setting)
        left = dataclasses.replace(right, facing="left")
        for part in ("crown", "belly", "wing", "tail", "beak"):
            difference = part_masks(right, 128)[part] - part_masks(left, 128)[part][:, ::-1]
            assert np.abs(difference).mean() < 0.01 * part_masks(right, 128)[part].mean() + 1e-3


def test_the_same_bird_at_another_size_is_the_same_picture():
    for bird in birds("test", 10):
        small = pixels(bird, 64)
        large = pixels(bird, 256).reshape(64, 4, 64, 4, 3).mean((1, 3))
        assert np.abs(small - large).mean() < 3


@pytest.mark.parametrize("size", [1, 2, 7, 33, 100])
def test_any_size_can_be_drawn(size):
    assert draw(PLAIN, size).size == (size, size)
    assert part_masks(PLAIN, size)["crown"].shape == (size, size)


def test_water_hides_what_is_below_it():
    afloat, perched = (part_masks(dataclasses.replace(PLAIN, setting=s), 64) for s in ("water", "branch"))
    assert afloat["legs"].max() == 0 < perched["legs"].max()
    assert 0.5 * perched["belly"].sum() < afloat["belly"].sum() < perched["belly"].sum()
