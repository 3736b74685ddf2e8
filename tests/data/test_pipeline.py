"""Batches: the same under a seed, from wherever a run goes on, each example once a pass."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from ssagan_tf.config import Config
from ssagan_tf.data.pipeline import first_captions, training_batches, vocabulary_of
from ssagan_tf.data.records import prepare
from ssagan_tf.data.source import Example, Findings
from ssagan_tf.text.captions import CaptionEncoder

COUNT, SIZE = 11, 16
CONFIG = Config().override(image_size=SIZE, batch_size=4, seed=3, dataset="fake")
PLAIN = CONFIG.override(random_crop=False, random_flip=False)


class Numbered:
    """Pictures and captions that say which example they are of: blue 10 * index, "bird{index}".

    Red grows to the right and green downwards, so that crops and mirrored pictures are told apart.
    """

    name = "fake"
    tokenizer = "published"
    findings = Findings()

    def examples(self, split):
        return [self._example(split, index) for index in range({"train": COUNT, "test": 3}[split])]

    def vocabulary(self):
        return None

    def _example(self, split, index):
        def load():
            rows, columns = np.mgrid[:30, :25]
            pixels = np.stack([columns * 10, rows * 8, np.full_like(rows, 10 * index)], -1)
            return Image.fromarray(pixels.astype(np.uint8))

        captions = (f"bird{index}", f"bird{index} " + "long " * index, f"bird{index} wings")
        return Example(f"{split}/{index}", captions, index, load)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    # Four shards, so that reading several at a time is a part of what is tested.
    return prepare(Numbered(), tmp_path_factory.mktemp("prepared") / "data", SIZE, examples_per_shard=3)[0]


@pytest.fixture(scope="module", params=["source", "prepared"])
def data(request):
    return Numbered() if request.param == "source" else request.getfixturevalue("prepared")


@pytest.fixture(scope="module")
def encoder(prepared):
    return CaptionEncoder(prepared.vocabulary(), 18)


def take(data, encoder, config, count, first_step=0, split="train"):
    return list(training_batches(data, encoder, config, first_step, split).take(count).as_numpy_iterator())


@pytest.fixture(scope="module")
def batches(data, encoder):
    """The first 60 batches of either kind of data."""
    return take(data, encoder, CONFIG, 60)


def same(one, other):
    return all(np.array_equal(a[name], b[name]) for a, b in zip(one, other, strict=True) for name in a)


def test_batches_are_what_the_step_takes(batches):
    for batch in batches:
        assert {name: (value.shape, value.dtype.name) for name, value in batch.items()} == {
            "image": ((4, SIZE, SIZE, 3), "float32"),
            "caption": ((4, 18), "int64"),
            "class_id": ((4,), "int64"),
        }
        assert -1 <= batch["image"].min() and batch["image"].max() <= 1


def test_shapes_are_known_before_the_graph_is_built(data, encoder):
    spec = training_batches(data, encoder, CONFIG).element_spec
    assert spec["image"].shape[1:] == (SIZE, SIZE, 3) and spec["caption"].shape[1:] == (18,)


def test_black_is_minus_1_and_white_is_1(encoder):
    class TwoColours(Numbered):
        def _example(self, split, index):
            picture = Image.new("RGB", (25, 25), (0, 255, 128))
            return dataclasses.replace(super()._example(split, index), load=lambda: picture)

    image = take(TwoColours(), encoder, CONFIG, 1)[0]["image"]
    assert image[..., 0].min() == image[..., 0].max() == -1
    assert image[..., 1].min() == image[..., 1].max() == 1
    np.testing.assert_allclose(image[..., 2], 128 / 127.5 - 1, atol=1e-6)


def test_the_same_seed_gives_the_same_batches_and_another_one_others(data, encoder, batches):
    # A seed that was set elsewhere does not matter.
    tf.random.set_seed(0)
    assert same(take(data, encoder, CONFIG, 6), batches[:6])
    assert not same(take(data, encoder, CONFIG.override(seed=4), 6), batches[:6])


@pytest.mark.parametrize("first_step", [1, 7])
def test_a_run_that_goes_on_sees_what_one_without_a_break_sees(data, encoder, batches, first_step):
    # 11 examples in batches of 4: passes end within batches.
    assert same(take(data, encoder, CONFIG, 8, first_step), batches[first_step : first_step + 8])


def test_every_example_comes_once_a_pass_each_pass_in_another_order(data, encoder):
    batches = take(data, encoder, CONFIG.override(batch_size=1), 4 * COUNT)
    passes = np.concatenate([batch["class_id"] for batch in batches]).reshape(4, COUNT)
    np.testing.assert_array_equal(np.sort(passes, 1), [np.arange(COUNT)] * 4)
    assert len({tuple(each) for each in passes}) == 4


def test_neighbours_stay_together_where_that_is_asked_for(encoder):
    twelve = Numbered()
    twelve.examples = lambda split: [twelve._example(split, index) for index in range(12)]
    stream = training_batches(twelve, encoder, CONFIG.override(batch_size=3), together=3).take(8)
    groups = [np.sort(batch["class_id"].numpy()) for batch in stream]
    assert all(group[0] % 3 == 0 and (np.diff(group) == 1).all() for group in groups)
    first = [group[0] for group in groups]
    assert sorted(first[:4]) == sorted(first[4:]) == [0, 3, 6, 9] and first[:4] != first[4:]


def test_batches_may_be_larger_than_the_data(data, encoder):
    (batch,) = take(data, encoder, CONFIG.override(batch_size=2 * COUNT), 1)
    np.testing.assert_array_equal(np.sort(batch["class_id"]), np.repeat(np.arange(COUNT), 2))


def test_picture_caption_and_class_belong_together(batches, prepared):
    words = prepared.vocabulary().words
    for batch in batches:
        for image, caption, class_id in zip(batch["image"], batch["caption"], batch["class_id"], strict=True):
            assert words[caption[0]] == f"bird{class_id}"
            np.testing.assert_allclose((image[..., 2] + 1) * 127.5, 10 * class_id, atol=1e-3)


def test_batches_are_sorted_by_falling_length_of_captions(batches):
    lengths = [np.count_nonzero(batch["caption"], -1) for batch in batches]
    assert all((np.diff(each) <= 0).all() for each in lengths)
    assert len(np.unique(lengths)) > 3


def test_every_caption_of_an_example_is_drawn(batches):
    drawn = {tuple(row) for batch in batches for row in batch["caption"]}
    assert len(drawn) > 0.8 * 3 * COUNT


def columns_of(image):
    """The red ramp of a picture, which tells where it was cut and whether it is mirrored."""
    return image[0, :, 0]


def test_pictures_are_cut_anywhere_and_half_of_them_mirrored(batches):
    images = np.concatenate([batch["image"] for batch in batches])
    rising = np.array([columns_of(image)[-1] > columns_of(image)[0] for image in images])
    # 240 of even chance: standard deviation 7.7.
    assert abs(rising.sum() - 120) < 5 * 7.7
    # The short side of 19 leaves four places for 16 columns.
    assert len({columns_of(image)[0].round(3) for image in images[rising]}) == 4


def test_without_variation_a_picture_is_its_centre(data, encoder):
    cut = {}
    for batch in take(data, encoder, PLAIN, 12):
        for image, class_id in zip(batch["image"], batch["class_id"], strict=True):
            np.testing.assert_array_equal(cut.setdefault(class_id, image), image)
    resized = Numbered().examples("train")[5].load().resize((19, 22), Image.Resampling.BILINEAR)
    expected = np.asarray(resized)[3 : 3 + SIZE, 1 : 1 + SIZE] / 127.5 - 1
    np.testing.assert_allclose(cut[5], expected, atol=1e-6)


def test_prepared_data_is_read_without_python(prepared, encoder):
    def graph(data):
        batches = training_batches(data, encoder, CONFIG)
        return tf.raw_ops.DatasetToGraphV2(input_dataset=batches._variant_tensor).numpy()

    assert b"PyFunc" in graph(Numbered())
    assert b"PyFunc" not in graph(prepared)


def test_the_other_split_is_read_on_request(data, encoder):
    seen = np.concatenate([batch["class_id"] for batch in take(data, encoder, CONFIG, 3, split="test")])
    assert set(seen) == {0, 1, 2}


def test_sheets_are_of_captions_to_test_with(data):
    found = first_captions(data, 8)
    assert sorted(found) == ["bird0", "bird1", "bird2"]
    assert len(first_captions(data, 2)) == 2


def test_the_vocabulary_is_that_of_the_training_captions(data):
    assert set(vocabulary_of(data).words) == {"<end>", "long", "wings", *(f"bird{index}" for index in range(COUNT))}
