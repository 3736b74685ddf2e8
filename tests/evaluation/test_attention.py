"""Where words look: which words name a part, and attention of known regions and words in closed form."""

import numpy as np
import pytest

from ssagan_tf import UserError, Vocabulary
from ssagan_tf.data.synthbirds import Bird, Caption, SynthBirds, part_masks
from ssagan_tf.evaluation.attention import attention_of, attention_sheet, part_attention, words_of_parts
from ssagan_tf.evaluation.held_out import held_out
from ssagan_tf.text.captions import CaptionEncoder

BIRD = Bird(crown="red", wing="blue", belly="red", breast="white", tail="blue")
SAID = {
    "a bird with a red crown and blue wings": {"crown": (4, 5), "wing": (7, 8)},
    "the belly is red and the wings are blue on this bird": {"belly": (3, 1), "wing": (8, 6)},
    "this bird has a red head, its tummy is red, and it has a long grey beak": {"crown": (4, 5), "belly": (9, 7)},
    "this bird has wings that are blue and has a white throat and breast.": {"wing": (6, 3), "breast": (10, 13)},
    "a red bird with a blue tail": {"tail": (5, 6)},  # the breast and belly of a red bird have no words of their own
}


@pytest.mark.parametrize("text, expected", SAID.items(), ids=SAID)
def test_the_words_of_a_part_are_its_noun_and_the_nearest_word_of_its_colour(text, expected):
    claims = {"crown": "red", "wing": "blue", "belly": "red", "breast": "white", "tail": "blue"}
    found = words_of_parts(Caption(text, claims), BIRD)
    assert {part: found[part] for part in expected} == expected


def test_what_a_caption_does_not_claim_has_no_words():
    assert words_of_parts(Caption("a bird with a red crown and blue wings", {"wing": "blue"}), BIRD) == {"wing": (7, 8)}


class Seeing:
    """In the place of a DAMSM: regions say how much of each part they show, words which part they mean, or none."""

    def __init__(self, birds, captions, vocabulary, loud: float):
        self._birds, self._loud = birds, loud
        self._meanings = []
        for bird, caption in zip(birds, captions, strict=True):
            meaning = np.zeros((18, 6), "float32")
            for index, part in enumerate(("crown", "wing", "belly", "breast", "tail")):
                colour, _ = words_of_parts(caption, bird).get(part, (None, None))
                if colour is not None:
                    meaning[colour, index] = loud
            self._meanings.append(meaning)

    def encode_pictures(self, pictures):
        names = ("crown", "wing", "belly", "breast", "tail", "background")
        shown = [np.stack([part_masks(bird, 64)[name] for name in names], -1) for bird in self._birds]
        regions = np.stack(shown).reshape(-1, 8, 8, 8, 8, 6).mean((2, 4))
        return regions.astype("float32"), None

    def encode_captions(self, ids):
        return np.stack(self._meanings), np.zeros((len(ids), 6), "float32")


@pytest.fixture(scope="module")
def held():
    return held_out(SynthBirds(64, count={"test": 40}), 64, half=1)


@pytest.fixture(scope="module")
def vocabulary(held):
    return Vocabulary.build(held.texts)


def seeing(held, vocabulary, loud: float):
    shown = [captions[index % len(captions)] for index, captions in enumerate(held.captions)]
    return Seeing(held.birds, shown, vocabulary, loud)


def test_words_that_know_nothing_give_a_part_its_share_of_the_area(held, vocabulary):
    found = part_attention(seeing(held, vocabulary, 0.0), CaptionEncoder(vocabulary), held)
    assert {"crown", "wing", "belly", "all"} <= set(found)
    for share in found.values():
        np.testing.assert_allclose((share.colours, share.nouns), (share.area, share.area), rtol=1e-5)


def test_colours_that_know_their_part_give_it_more_than_its_area(held, vocabulary):
    found = part_attention(seeing(held, vocabulary, 50.0), CaptionEncoder(vocabulary), held)
    for part in ("crown", "wing", "belly"):
        # All the attention that a softmax of 0 and 4 can give to a part, were regions wholly in or out.
        most = found[part].area * np.exp(4) / (1 + found[part].area * (np.exp(4) - 1))
        assert 2 * found[part].area < found[part].colours < 1.1 * most, part
        assert found[part].nouns < 1.1 * found[part].area, part


def test_attention_is_that_of_each_caption_and_its_own_picture(held, vocabulary):
    damsm = seeing(held, vocabulary, 9.0)
    ids = CaptionEncoder(vocabulary)(np.array([texts[0].text for texts in held.captions], object))[0].numpy()
    found = attention_of(damsm, ids, held.pictures)
    assert found.shape == (20, 18, 8, 8)
    np.testing.assert_allclose(found.sum((2, 3)), 1.0, rtol=1e-5)
    regions, words = damsm.encode_pictures(None)[0][3].reshape(64, 6), damsm.encode_captions(ids)[0][3]
    length = np.count_nonzero(ids[3])
    share = np.exp(regions @ words[:length].T)
    weight = np.exp(4.0 * share / share.sum(1, keepdims=True))
    np.testing.assert_allclose(found[3, :length].reshape(length, 64).T, weight / weight.sum(0), rtol=1e-4)


def test_a_sheet_has_a_row_for_each_picture(held, vocabulary):
    sheet = attention_sheet(seeing(held, vocabulary, 9.0), CaptionEncoder(vocabulary), vocabulary, held, rows=3)
    assert sheet.height > 3 * 128 and sheet.width > 6 * 128


def test_sentences_alone_look_nowhere(held, vocabulary):
    class Sentences(Seeing):
        def encode_captions(self, ids):
            return (np.zeros((len(ids), 6), "float32"),)

    damsm = Sentences([], [], vocabulary, 1.0)
    damsm._birds = held.birds
    with pytest.raises(UserError, match="no word features"):
        part_attention(damsm, CaptionEncoder(vocabulary), held)
