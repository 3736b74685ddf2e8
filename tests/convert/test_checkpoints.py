"""Published checkpoints into model folders and back, as files."""

import json
import pickle

import in_process
import numpy as np
import pytest
import safetensors.numpy
from processes import ROOT
from small_data import write_folder

from ssagan_tf import SSAGAN
from ssagan_tf.convert import checkpoints
from ssagan_tf.convert import networks as convert
from ssagan_tf.damsm import load_damsm
from ssagan_tf.errors import UserError
from ssagan_tf.networks import Discriminator, Generator, ImageEncoder, TextEncoder
from ssagan_tf.training.pretraining.encoders import take_encoders

_FIXTURES = ROOT / "tests" / "fixtures"
_BACK = ("--to_published", "--model=model", "--out=back", "--format=safetensors")


def _captions_pickle(path, words):
    word_of = {0: "<end>", **{index: f"word{index}" for index in range(1, words)}}
    id_of = {word: index for index, word in word_of.items()}
    path.write_bytes(pickle.dumps([[[1, 2]], [[1]], word_of, id_of], protocol=2))
    return path


@pytest.fixture(scope="module")
def networks():
    return {
        "generator": Generator(2, 32, 5, 6, 3),
        "discriminator": Discriminator(2, 32, 6),
        "text_encoder": TextEncoder(9, 6, 0.5, 7),
    }


@pytest.fixture(scope="module")
def files(networks, randomize, tmp_path_factory):
    """A checkpoint of each part, as .safetensors, which any tool can write, with `module.` before the names."""
    folder, paths = tmp_path_factory.mktemp("checkpoints"), {}
    for name, network in networks.items():
        state = convert.to_published_state(randomize(network))
        state = {f"module.{key}": value for key, value in state.items()}
        paths[name] = folder / f"{name}.safetensors"
        paths[name].write_bytes(safetensors.numpy.save(state))
    return paths


@pytest.fixture
def captions(tmp_path):
    return _captions_pickle(tmp_path / "captions.pickle", 9)


def test_sizes_are_found_from_the_tensors_and_the_folder_holds_the_weights(files, captions, networks, tmp_path):
    rows = checkpoints.to_model_folder(tmp_path / "model", captions, files, "coco")
    assert [(row.part, row.difference) for row in rows] == [(part, 0.0) for part in files]
    assert rows[1].parameters == sum(int(np.prod(variable.shape)) for variable in networks["discriminator"].variables)
    model = SSAGAN.from_preset(tmp_path / "model")
    assert (model.generator.base_filters, model.generator.image_size, model.generator.noise_dim) == (2, 32, 5)
    assert (model.generator.mask_filters, model.generator.sentence_dim) == (3, 6)
    assert (model.text_encoder.vocabulary_size, model.text_encoder.embedding_dim) == (9, 7)
    assert model.vocabulary.words[8] == "word8"
    for name, network in networks.items():
        assert all(map(np.array_equal, getattr(model, name).get_weights(), network.get_weights())), name
    assert json.loads((tmp_path / "model" / "config.json").read_text())["data"]["dataset"] == "coco"


def test_generator_and_text_encoder_are_enough_to_draw(files, captions, tmp_path):
    given = {name: files[name] for name in ("generator", "text_encoder")}
    checkpoints.to_model_folder(tmp_path / "model", captions, given)
    model = SSAGAN.from_preset(tmp_path / "model")
    assert model.generate("word1 word2", seed=3).shape == (1, 32, 32, 3)


def test_there_and_back_gives_the_same_tensors(files, captions, tmp_path):
    checkpoints.to_model_folder(tmp_path / "model", captions, files)
    rows = checkpoints.to_published(tmp_path / "model", tmp_path / "back", "safetensors")
    assert [row.difference for row in rows] == [0.0] * len(files)
    names = {"generator": "netG", "discriminator": "netD", "text_encoder": "text_encoder"}
    for part, path in files.items():
        before = convert.without_prefix(safetensors.numpy.load_file(path))
        after = safetensors.numpy.load_file(tmp_path / "back" / f"{names[part]}.safetensors")
        assert before.keys() == after.keys()
        assert all(after[key].tobytes() == value.tobytes() for key, value in before.items())


@pytest.mark.parametrize("zipped", [True, False])
def test_checkpoints_of_pytorch_come_back_to_pytorch_byte_by_byte(files, captions, tmp_path, zipped):
    torch = pytest.importorskip("torch")
    for name, path in files.items():
        state = {key: torch.from_numpy(value) for key, value in safetensors.numpy.load_file(path).items()}
        torch.save(state, tmp_path / f"{name}.pth", _use_new_zipfile_serialization=zipped)
    checkpoints.to_model_folder(tmp_path / "model", captions, {name: tmp_path / f"{name}.pth" for name in files})
    checkpoints.to_published(tmp_path / "model", tmp_path / "back")
    for name, path in {"generator": "netG", "discriminator": "netD", "text_encoder": "text_encoder"}.items():
        before = convert.without_prefix(torch.load(tmp_path / f"{name}.pth", weights_only=True))
        after = torch.load(tmp_path / "back" / f"{path}.pth", weights_only=True)
        assert set(after) == set(before)
        for key, value in before.items():
            assert (after[key].dtype, after[key].shape) == (value.dtype, value.shape), key
            assert after[key].numpy().tobytes() == value.numpy().tobytes(), key


@pytest.fixture(scope="module")
def image_encoder(randomize, tmp_path_factory):
    """(network, its checkpoint); there is no small one."""
    encoder = randomize(ImageEncoder(6))
    path = tmp_path_factory.mktemp("image_encoder") / "image_encoder.safetensors"
    path.write_bytes(safetensors.numpy.save(convert.to_published_state(encoder)))
    return encoder, path


@pytest.mark.slow
def test_both_encoders_alone_are_a_folder_of_damsm(files, captions, image_encoder, networks, tmp_path):
    encoder, path = image_encoder
    given = {"text_encoder": files["text_encoder"], "image_encoder": path}
    rows = checkpoints.to_damsm_folder(tmp_path / "damsm", captions, given)
    assert [(row.part, row.tensors, row.difference) for row in rows] == [
        ("text_encoder", 9, 0.0),
        ("image_encoder", 567, 0.0),
    ]
    damsm, vocabulary, config = load_damsm(tmp_path / "damsm")
    assert vocabulary.words[8] == "word8"
    assert damsm.image_encoder.count_padding
    training = SSAGAN.from_model_config(config.override(image_size=8, base_filters=1).model, vocabulary)
    take_encoders(training, tmp_path / "damsm")
    for model in (damsm, training):
        for network, expected in ((model.image_encoder, encoder), (model.text_encoder, networks["text_encoder"])):
            assert all(map(np.array_equal, network.get_weights(), expected.get_weights()))


@pytest.mark.slow
def test_the_image_encoder_comes_along_for_training(files, captions, image_encoder, tmp_path):
    encoder, path = image_encoder
    rows = checkpoints.to_model_folder(tmp_path / "model", captions, files | {"image_encoder": path})
    assert (rows[-1].part, rows[-1].tensors, rows[-1].difference) == ("image_encoder", 567, 0.0)
    model = SSAGAN.from_preset(tmp_path / "model")
    assert all(map(np.array_equal, model.image_encoder.get_weights(), encoder.get_weights()))
    assert model.image_encoder.count_padding


@pytest.mark.slow
def test_train_py_goes_on_with_converted_weights_and_what_it_learns_goes_back(captions, randomize, tmp_path):
    """Whole: published checkpoints, a model folder, two steps of train.py on a bird data set, checkpoints again."""
    networks = {
        "generator": Generator(1, 16, 5, 6, 3),
        "discriminator": Discriminator(1, 16, 6),
        "text_encoder": TextEncoder(9, 6, 0.5, 7),
    }
    flags = [f"--captions_pickle={captions}"]
    for name, network in networks.items():
        state = convert.to_published_state(randomize(network))
        (tmp_path / f"{name}.safetensors").write_bytes(safetensors.numpy.save(state))
        flags.append(f"--{name}={name}.safetensors")
    done = in_process.run("convert_weights", *flags, "--out=model", "--dataset=folder", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    parameters = sum(int(np.prod(variable.shape)) for variable in networks["text_encoder"].weights)
    assert done.stdout.splitlines()[3].split() == ["text_encoder", "9", f"{parameters:,}", "0"]
    write_folder(tmp_path / "pictures", 4, (24, 24), lambda _: ["word1 word2"])
    flags = ["--dataset=folder", "--data_dir=pictures", "--out=model", "--resume", "--steps=2"]
    done = in_process.run("train", *flags, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    done = in_process.run(
        "convert_weights", "--to_published", "--model=model", "--out=back", "--format=safetensors", cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    before = safetensors.numpy.load_file(tmp_path / "generator.safetensors")
    after = safetensors.numpy.load_file(tmp_path / "back" / "netG.safetensors")
    # Two steps of the published Adam, of beta2 = 0.9: the first is one rate, the second sqrt(1.9) of it at most.
    moved = np.concatenate([np.abs(after[name] - before[name]).ravel() for name in before if name.endswith("weight")])
    assert 0.5e-4 < np.median(moved) <= np.max(moved) < (1 + np.sqrt(1.9)) * 1.01e-4
    counters = [name for name in before if name.endswith(convert.COUNTER)]
    assert {int(after[name] - before[name]) for name in counters} == {2}


# === What does not fit ===


def test_a_vocabulary_of_another_size_is_refused_with_both_sizes(files, tmp_path):
    captions = _captions_pickle(tmp_path / "captions.pickle", 12)
    with pytest.raises(UserError, match="an encoder of 9 words and .* with 12"):
        checkpoints.to_model_folder(tmp_path / "model", captions, files)
    assert not (tmp_path / "model").exists()


def test_files_that_were_swapped_are_told(files, captions, tmp_path):
    swapped = files | {"generator": files["discriminator"]}
    with pytest.raises(UserError, match="of no generator. Received: .*: a checkpoint of the discriminator"):
        checkpoints.to_model_folder(tmp_path / "model", captions, swapped)


def test_a_discriminator_of_another_width_is_refused(files, captions, tmp_path):
    other = tmp_path / "netD.safetensors"
    other.write_bytes(safetensors.numpy.save(convert.to_published_state(Discriminator(3, 32, 6))))
    with pytest.raises(UserError, match="do not fit the Discriminator"):
        checkpoints.to_model_folder(tmp_path / "model", captions, files | {"discriminator": other})
    assert not (tmp_path / "model").exists()


def test_an_image_encoder_alone_has_no_place(files, captions, tmp_path):
    given = {name: files[name] for name in ("generator", "text_encoder")} | {"image_encoder": tmp_path / "x.pth"}
    with pytest.raises(UserError, match="Give --discriminator too.* without --generator"):
        checkpoints.to_model_folder(tmp_path / "model", captions, given)


def test_a_text_encoder_without_words_is_refused(files, captions, tmp_path):
    state = safetensors.numpy.load_file(files["text_encoder"])
    del state["module.encoder.weight"]
    (tmp_path / "text.safetensors").write_bytes(safetensors.numpy.save(state))
    given = {"text_encoder": tmp_path / "text.safetensors", "image_encoder": tmp_path / "text.safetensors"}
    with pytest.raises(UserError, match="of no image_encoder"):
        checkpoints.to_damsm_folder(tmp_path / "damsm", captions, given)
    given = {"generator": files["generator"], "text_encoder": tmp_path / "text.safetensors"}
    with pytest.raises(UserError, match="sizes of the networks cannot be told"):
        checkpoints.to_model_folder(tmp_path / "model", captions, given)


def test_a_generator_without_what_tells_its_sizes_is_refused(files, captions, tmp_path):
    state = safetensors.numpy.load_file(files["generator"])
    del state["module.conv_mask.0.weight"]
    (tmp_path / "netG.safetensors").write_bytes(safetensors.numpy.save(state))
    with pytest.raises(UserError, match="sizes of the networks cannot be told"):
        checkpoints.to_model_folder(tmp_path / "model", captions, files | {"generator": tmp_path / "netG.safetensors"})


# === The script ===


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--generator=x.pth"], "Missing: --text_encoder and --captions_pickle."),
        (["--image_encoder=x.pth", "--text_encoder=y.pth"], "Missing: --captions_pickle."),
        (["--text_encoder=y.pth", "--captions_pickle=c"], "Missing: --generator."),
        (["--to_published"], "Missing: --model."),
        (["--to_published", "--model=m", "--generator=x.pth"], "--generator does not go with --to_published."),
        (
            ["--model=m", "--generator=g", "--text_encoder=t", "--captions_pickle=c"],
            "--model does not go without --to_published.",
        ),
    ],
)
def test_wrong_flags_are_status_2(arguments, words, tmp_path):
    done = in_process.run("convert_weights", *arguments, "--out=out", cwd=tmp_path)
    assert done.returncode == 2
    assert words in done.stderr and "Traceback" not in done.stderr


@pytest.mark.parametrize("name", ["malicious_zip", "malicious_legacy"])
def test_the_script_refuses_code_in_one_line_and_writes_nothing(name, files, tmp_path):
    _captions_pickle(tmp_path / "captions.pickle", 60)
    flags = [f"--generator={_FIXTURES}/{name}.pth", f"--text_encoder={files['text_encoder']}"]
    done = in_process.run("convert_weights", *flags, "--captions_pickle=captions.pickle", "--out=model", cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith("error: A checkpoint may hold") and done.stderr.count("\n") == 1
    assert {path.name for path in tmp_path.iterdir()} == {"captions.pickle"}
