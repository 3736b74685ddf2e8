"""The SavedModel: the same pictures as Keras, each by itself, and nothing that a request says can break it."""

import io
import json

import numpy as np
import processes
import pytest
import tensorflow as tf
from PIL import Image

from ssagan_tf import noise, sampling
from ssagan_tf.errors import UserError
from ssagan_tf.export import MOST_PICTURES, export
from ssagan_tf.pictures import to_uint8

CAPTIONS = ["a red bird", "yellow wings", "bird with red wings"]
SEEDS = [4, -1, 2**63 - 1]


@pytest.fixture(scope="module")
def call(exported):
    """`call(signature, **inputs)` -> outputs as arrays."""
    loaded = tf.saved_model.load(str(exported))
    types = {"seed": tf.int64, "to_seed": tf.int64, "truncation": tf.float32, "along": tf.float32}

    def run(signature, **inputs):
        tensors = {
            name: tf.constant(value, types.get(name, tf.string if "captions" in name else tf.float32))
            for name, value in inputs.items()
        }
        return {name: value.numpy() for name, value in loaded.signatures[signature](**tensors).items()}

    run.loaded = loaded
    return run


def decoded(png):
    return np.asarray(Image.open(io.BytesIO(png)))


def test_the_signatures_are_there(call):
    assert sorted(call.loaded.signatures) == [
        "encode_text",
        "generate",
        "generate_from_embedding",
        "generate_png",
        "generate_truncated",
        "generate_with_masks",
        "generate_with_overrides",
        "interpolate",
        "serving_default",
    ]


def test_pictures_and_masks_are_those_of_keras(random_model, call):
    drawn = call("generate_with_masks", captions=CAPTIONS, seed=SEEDS)
    wanted, masks = random_model.generator(noise.normals(SEEDS, 5), random_model.encode(CAPTIONS))
    assert np.std(wanted) > 0.1
    np.testing.assert_allclose(drawn["images"], wanted, atol=1e-4)
    for mask in masks:
        np.testing.assert_allclose(drawn[f"mask_{mask.shape[1]}"], mask, atol=1e-4)
    plain = call("generate", captions=CAPTIONS, seed=SEEDS)
    np.testing.assert_array_equal(plain["images"], drawn["images"])
    np.testing.assert_array_equal(plain["masks"], drawn["mask_64"])


def test_masks_are_held_as_by_keras(random_model, call):
    overrides = np.random.default_rng(0).uniform(-1, 1, (3, 64, 64)).round()
    drawn = call("generate_with_overrides", captions=CAPTIONS, seed=SEEDS, mask_overrides=overrides)
    for index, (caption, seed) in enumerate(zip(CAPTIONS, SEEDS, strict=True)):
        wanted, masks = random_model.generate_with_masks(caption, seed, mask_overrides=overrides[index])
        assert np.abs(to_uint8(drawn["images"][index]).astype(int) - wanted[0]).max() <= 1
        for mask in masks:
            np.testing.assert_allclose(drawn[f"mask_{mask.shape[1]}"][index], mask[0], atol=1e-4)
    odd = call("generate_with_overrides", captions=CAPTIONS, seed=SEEDS, mask_overrides=np.full((3, 64, 64), np.nan))
    plain = call("generate_with_masks", captions=CAPTIONS, seed=SEEDS)
    np.testing.assert_array_equal(odd["images"], plain["images"])


def test_png_files_hold_the_pictures_that_sampling_gives(random_model, call):
    drawn = call("generate_png", captions=CAPTIONS, seed=SEEDS, truncation=[1.0, 0.5, 0.0])
    for caption, seed, factor, png in zip(CAPTIONS, SEEDS, [1.0, 0.5, 0.0], drawn["png_bytes"], strict=True):
        wanted = random_model.generate(caption, seed, truncation=factor)[0].astype(int)
        assert np.abs(decoded(png) - wanted).max() <= 2
    floats = call("generate_truncated", captions=CAPTIONS, seed=SEEDS, truncation=[1.0, 0.5, 0.0])["images"]
    np.testing.assert_array_equal(np.stack([decoded(png) for png in drawn["png_bytes"]]), to_uint8(floats))


def test_the_default_signature_draws_with_seed_0(call):
    default = call("serving_default", captions=CAPTIONS)["png_bytes"]
    wanted = call("generate_png", captions=CAPTIONS, seed=[0] * 3, truncation=[1.0] * 3)["png_bytes"]
    assert list(default) == list(wanted)


def test_text_is_encoded_as_by_keras_and_its_embedding_draws_the_same(random_model, call):
    encoded = call("encode_text", captions=CAPTIONS)
    words, sentence = random_model.text_encoder(encoded["ids"])
    np.testing.assert_array_equal(encoded["ids"], random_model.caption_encoder(tf.constant(CAPTIONS))[0])
    np.testing.assert_allclose(encoded["words"], words, atol=1e-6)
    np.testing.assert_allclose(encoded["sentence"], sentence, atol=1e-6)
    drawn = call("generate_from_embedding", sentence=encoded["sentence"], seed=SEEDS)
    np.testing.assert_array_equal(drawn["images"], call("generate", captions=CAPTIONS, seed=SEEDS)["images"])


def test_interpolation_goes_the_way_that_sampling_goes(random_model, call):
    count = 5
    along = np.linspace(0, 1, count)
    ends = {"captions": ["a red bird"] * count, "to_captions": ["yellow wings"] * count}
    drawn = call("interpolate", **ends, seed=[1] * count, to_seed=[2] * count, along=along)["images"]
    wanted = sampling.interpolate(random_model, ["a red bird", "yellow wings"], (1, 2), count)
    assert np.abs(to_uint8(drawn).astype(int) - wanted).max() <= 2
    still = call("interpolate", **ends, seed=[1] * count, to_seed=[1] * count, along=along)["images"]
    assert np.isfinite(still).all()
    np.testing.assert_allclose(still[0], drawn[0], atol=1e-5)


def test_a_picture_has_the_same_bits_whatever_its_neighbours_and_their_number(call):
    pool = [(caption, seed) for caption in [*CAPTIONS, "", "wings " * 30] for seed in (1, 2)]
    alone = [call("generate", captions=[caption], seed=[seed])["images"][0] for caption, seed in pool]
    random = np.random.default_rng(0)
    for count in (2, 3, 8, 17, MOST_PICTURES):
        chosen = random.integers(0, len(pool), count)
        captions, seeds = zip(*(pool[index] for index in chosen), strict=True)
        together = call("generate", captions=captions, seed=seeds)["images"]
        for index, picture in zip(chosen, together, strict=True):
            np.testing.assert_array_equal(picture, alone[index])


# === Requests that mean harm ===


def test_no_captions_give_no_pictures(call):
    assert call("generate", captions=[], seed=[])["images"].shape == (0, 64, 64, 3)
    assert call("serving_default", captions=[])["png_bytes"].shape == (0,)
    assert call("encode_text", captions=[])["words"].shape == (0, 18, 16)


@pytest.mark.parametrize("count", [MOST_PICTURES + 1, 10_000])
def test_more_pictures_than_a_request_may_ask_for_are_refused(call, count):
    with pytest.raises(tf.errors.InvalidArgumentError, match=rf"too many pictures. Received:\] \[{count}\] \[Send at"):
        call("generate", captions=["a red bird"] * count, seed=[0] * count)


def test_inputs_of_different_lengths_are_refused(call):
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"lengths:\] \[3\] \[1\]"):
        call("generate", captions=CAPTIONS, seed=[1])


def test_odd_captions_are_drawn_and_their_words_counted(call):
    odd = [
        "a redd bird",
        b"a \xff\xfered\xff bird",
        "A RED \0 bird \ud83d".encode(errors="surrogatepass"),
        "",
        "xyzzy",
        "red " * 30,
        b"\xc3" * 1000,
    ]
    counted = call("encode_text", captions=odd)
    assert counted["known_words"].tolist() == [2, 3, 3, 0, 0, 18, 0]
    assert counted["unknown_words"].tolist() == [1, 0, 0, 0, 1, 0, 0]
    images = call("generate", captions=odd, seed=[7] * len(odd))["images"]
    plain = call("generate", captions=["a bird", "a red bird", ""], seed=[7] * 3)["images"]
    np.testing.assert_array_equal(images[[0, 1, 2, 3, 4, 6]], plain[[0, 1, 1, 2, 2, 2]])


def test_a_caption_of_100_000_characters_is_read_whole_and_a_longer_one_in_part(call):
    filler = "ä" * 99_991
    counted = call("encode_text", captions=[filler + " red bird", "x " * 1_000_000 + "red"])
    assert counted["known_words"].tolist() == [2, 0]
    assert counted["unknown_words"].tolist() == [0, 200_000]


# === What is in the files ===


def test_the_vocabulary_is_an_asset_that_a_person_can_read(random_model, exported):
    lines = (exported / "assets" / "vocabulary.txt").read_text().splitlines()
    assert tuple(lines) == random_model.vocabulary.words


def test_nothing_of_training_of_keras_or_of_this_package_is_in_the_graph(call, exported):
    graph = (exported / "saved_model.pb").read_bytes()
    assert b"keras" not in graph.lower() and b"ssagan" not in graph
    assert not call.loaded.signatures["generate"].trainable_variables
    for operation in (b"FusedBatchNorm", b"Dropout", b"PyFunc", b"Gradient"):
        assert operation not in graph


RUN = """
import importlib.abc, importlib.machinery, json, sys

class Missing(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("keras", "tf_keras", "ssagan_tf"):
            return importlib.machinery.ModuleSpec(name, self)
    def create_module(self, spec):
        raise ModuleNotFoundError(f"{spec.name} is not here")
    def exec_module(self, module):
        pass

sys.meta_path.insert(0, Missing())
from tensorflow.python.tools import saved_model_cli
from absl import flags
for signature, inputs in json.loads(sys.argv[2]).items():
    flags.FLAGS.unparse_flags()
    flags.FLAGS(["saved_model_cli", f"--dir={sys.argv[1]}", "--tag_set=serve", f"--signature_def={signature}",
        f"--input_exprs={inputs}", f"--outdir={sys.argv[3]}/{signature}"])
    saved_model_cli.run()
assert not {"keras", "tf_keras", "ssagan_tf"} & set(sys.modules)
"""


@pytest.mark.slow
def test_saved_model_cli_runs_every_signature_where_there_is_no_keras_and_no_ssagan_tf(call, exported, tmp_path):
    text, seed, number = 'captions=["a red bird"]', "seed=[7]", "truncation=[1.0]"
    runs = {
        "serving_default": text,
        "generate": f"{text};{seed}",
        "generate_truncated": f"{text};{seed};{number}",
        "generate_with_masks": f"{text};{seed}",
        "generate_with_overrides": f"{text};{seed};mask_overrides={[[[0.5] * 64] * 64]}",
        "generate_png": f"{text};{seed};{number}",
        "encode_text": text,
        "generate_from_embedding": f"sentence=[{[0.5] * 16}];{seed}",
        "interpolate": f'{text};to_captions=["wings"];{seed};to_seed=[8];along=[0.0]',
    }
    assert set(runs) == set(call.loaded.signatures)
    processes.python("-c", RUN, exported, json.dumps(runs), tmp_path, cwd=tmp_path, check=True)
    wanted = call("generate", captions=["a red bird"], seed=[7])["images"]
    for signature in ("generate", "generate_truncated", "generate_with_masks", "interpolate"):
        np.testing.assert_allclose(np.load(tmp_path / signature / "images.npy"), wanted, atol=1e-6)
    assert (tmp_path / "generate_png" / "png_bytes.npy").exists()


def test_a_name_that_no_server_takes_is_refused(random_model, tmp_path):
    with pytest.raises(UserError, match="a server cannot take it. Received: 'my birds'"):
        export(random_model, tmp_path / "my birds")
    assert not any(tmp_path.iterdir())


@pytest.mark.slow
def test_tensorflow_hub_loads_it(call, exported):
    hub = pytest.importorskip("tensorflow_hub", reason="tensorflow-hub is not installed")
    loaded = hub.load(str(exported))
    drawn = loaded.signatures["generate"](captions=tf.constant(CAPTIONS), seed=tf.constant(SEEDS))["images"]
    np.testing.assert_array_equal(drawn, call("generate", captions=CAPTIONS, seed=SEEDS)["images"])
