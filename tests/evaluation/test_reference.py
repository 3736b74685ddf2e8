"""Real pictures to measure against: what a model would see, and never enlarged."""

import types

import numpy as np
import pytest

from ssagan_tf.data.records import prepare
from ssagan_tf.data.synthbirds import SynthBirds
from ssagan_tf.errors import UserError
from ssagan_tf.evaluation.extractors import open_extractor
from ssagan_tf.evaluation.feature_cache import embedded
from ssagan_tf.evaluation.metrics import Asked
from ssagan_tf.evaluation.reference import crop_rule, described, real_pictures

_OTHER = np.zeros([3, 16, 16, 3], np.uint8)
BIRDS = SynthBirds(16, count={"train": 2, "test": 3})


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    return prepare(BIRDS, tmp_path_factory.mktemp("data") / "birds", 16)[0]


def test_prepared_pictures_and_drawn_ones_are_the_same(prepared):
    drawn, read = (np.concatenate(list(real_pictures(data, "test", 16))) for data in (BIRDS, prepared))
    assert drawn.shape == read.shape == (3, 16, 16, 3)
    # Preparing mixes their order.
    assert {picture.tobytes() for picture in drawn} == {picture.tobytes() for picture in read}


def test_raw_and_prepared_data_ask_for_the_same_captions_and_have_one_hash(prepared, tmp_path):
    known = [described(data, "test") for data in (BIRDS, prepared)]
    asked = [[caption.text for caption in Asked.of(each, 7).captions] for each in known]
    assert asked[0] == asked[1]
    hashes = [
        embedded(tmp_path, {"n": n}, open_extractor("synthbirds"), "pillow_bilinear", pictures, 3, "p").pictures_sha256
        for n, pictures in enumerate([*(real_pictures(data, "test", 16) for data in (BIRDS, prepared)), [_OTHER]])
    ]
    assert hashes[0] == hashes[1] != hashes[2]


def test_the_crop_of_birds_names_their_bounding_box():
    assert crop_rule(types.SimpleNamespace(name="cub")).startswith("bounding box")
    assert crop_rule(types.SimpleNamespace(name="coco")) == "short side to size * 76 / 64, central square"


def test_pictures_smaller_than_the_models_are_refused(prepared):
    with pytest.raises(UserError, match="smaller than the model's. Received: synthbirds prepared at 16 pixels, not 32"):
        next(real_pictures(prepared, "test", 32))


def test_the_class_of_a_drawn_bird_is_what_is_held_out_and_that_of_a_record_its_label(prepared):
    bird = BIRDS.bird("test", 0)
    assert described(BIRDS, "test")[0].kind == (bird.crown, bird.wing, bird.belly)
    labels = sorted(example.class_id for example in BIRDS.examples("test"))
    assert sorted(known.kind for known in described(prepared, "test")) == labels
