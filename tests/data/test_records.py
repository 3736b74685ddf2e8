import dataclasses
import io
import json
import os

import numpy as np
import pytest
from PIL import Image
from small_data import write_cub, write_folder

from ssagan_tf.data import open_source
from ssagan_tf.data.check import check_prepared, records
from ssagan_tf.data.records import Prepared, is_prepared, open_prepared, prepare, verify
from ssagan_tf.data.source import Example, Findings
from ssagan_tf.errors import UserError
from ssagan_tf.text.vocabulary import Vocabulary


class Dots:
    """A source of single-coloured pictures; `stop_at` raises KeyboardInterrupt when that many were loaded."""

    name = "cub"
    tokenizer = "published"
    findings = Findings()

    def __init__(self, train: int = 11, test: int = 4, broken: tuple[str, ...] = (), stop_at: int | None = None):
        self.counts = {"train": train, "test": test}
        self.broken, self.stop_at = broken, stop_at
        self.loaded = 0

    def examples(self, split):
        return [self._example(split, index) for index in range(self.counts[split])]

    def vocabulary(self):
        return None

    def _example(self, split, index):
        key = f"{split}/{index}"

        def load():
            if self.loaded == self.stop_at:
                raise KeyboardInterrupt
            self.loaded += 1
            if key in self.broken:
                raise UserError(f"The picture is damaged. Received: {key}. Replace it.")
            return Image.new("RGB", (30 + index, 20), (index, 100, 200))

        return Example(key, (f"dot number {index}", "a dot é"), index % 3, load)


def contents(folder) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def read(prepared: Prepared, split: str) -> list[dict]:
    import tensorflow as tf

    parsed = (
        tf.io.parse_single_example(record, records.features())
        for file in prepared.files(split)
        for record in tf.data.TFRecordDataset(file)
    )
    return [{name: value.numpy() for name, value in one.items()} for one in parsed]


def refused(call, *arguments, **options) -> str:
    with pytest.raises(UserError) as error:
        call(*arguments, **options)
    message = str(error.value)
    assert "Received: " in message and "\n" not in message
    return message


@pytest.fixture
def out(tmp_path):
    return tmp_path / "out"


def test_records_hold_what_the_source_gave(out):
    prepared, written = prepare(Dots(), out, 16, examples_per_shard=4)
    assert written == [
        "train-00000-of-00003.tfrecord",
        "train-00001-of-00003.tfrecord",
        "train-00002-of-00003.tfrecord",
        "test-00000-of-00001.tfrecord",
    ]
    assert {path.name for path in out.iterdir()} == {*written, "dataset.json", "vocabulary.txt"}
    for split, count in (("train", 11), ("test", 4)):
        assert (prepared.examples(split), prepared.captions(split)) == (count, 2 * count)
        found = read(prepared, split)
        keys = [one["image/key"].decode() for one in found]
        assert sorted(keys) == sorted(f"{split}/{index}" for index in range(count))
        for key, one in zip(keys, found, strict=True):
            index = int(key.split("/")[1])
            texts = [text.decode() for text in one["caption/text"]]
            assert texts == [f"dot number {index}", "a dot é"]
            assert one["class/label"] == index % 3
            image = Image.open(io.BytesIO(one["image/encoded"]))
            # Short side int(16 * 76 / 64) = 19.
            assert (image.format, image.mode, image.size) == ("PNG", "RGB", (int(19 * (30 + index) / 20), 19))
            np.testing.assert_array_equal(np.unique(np.asarray(image).reshape(-1, 3), axis=0), [[index, 100, 200]])


def test_shards_are_mixed(out):
    prepared, _ = prepare(Dots(train=40), out, 8, examples_per_shard=20)
    order = [int(one["image/key"].split(b"/")[1]) for one in read(prepared, "train")]
    assert order != sorted(order)
    assert min(order[20:]) < 20 <= max(order[:20])


def test_the_vocabulary_counts_through_the_training_captions(out):
    prepared, _ = prepare(Dots(train=2), out, 8)
    words = ["<end>", "dot", "number", "0", "a", "1"]
    assert list(prepared.vocabulary().words) == words
    assert (out / "vocabulary.txt").read_text() == "\n".join(words) + "\n"


def test_the_vocabulary_that_came_with_the_data_is_kept(out):
    source = Dots()
    source.vocabulary = lambda: Vocabulary(["<end>", "zebra", "dot"])
    assert list(prepare(source, out, 8)[0].vocabulary().words) == ["<end>", "zebra", "dot"]


def test_what_is_written_can_be_opened_and_verified(out):
    prepared, _ = prepare(Dots(), out, 8, examples_per_shard=4)
    assert is_prepared(out)
    assert open_prepared(out) == prepared
    assert verify(prepared) == []
    described = json.loads((out / "dataset.json").read_text())
    assert described["splits"] == {"train": {"examples": 11, "captions": 22}, "test": {"examples": 4, "captions": 8}}


def test_a_finished_folder_is_left_alone(out):
    prepared, _ = prepare(Dots(), out, 8)
    times = {path.name: path.stat().st_mtime_ns for path in out.iterdir()}
    source = Dots()
    assert prepare(source, out, 8) == (prepared, [])
    assert source.loaded == 0
    assert {path.name: path.stat().st_mtime_ns for path in out.iterdir()} == times


@pytest.mark.parametrize("stop_at", [0, 3, 5, 9, 14])
def test_an_interrupted_run_goes_on_and_ends_with_the_same_bytes(tmp_path, out, stop_at):
    prepare(Dots(), tmp_path / "whole", 8, examples_per_shard=4)
    with pytest.raises(KeyboardInterrupt):
        prepare(Dots(stop_at=stop_at), out, 8, examples_per_shard=4)
    assert "begun but not finished" in refused(open_prepared, out)
    assert not [path.name for path in out.iterdir() if "partial" in path.name]
    source = Dots()
    _, written = prepare(source, out, 8, examples_per_shard=4)
    # Shards of 4, 4, 3 and 4 examples: only those that were not complete are made again.
    complete = sum(stop_at >= end for end in (4, 8, 11, 15))
    assert len(written) == 4 - complete
    assert source.loaded == 15 - (0, 4, 8, 11, 15)[complete]
    assert contents(out) == contents(tmp_path / "whole")


def test_what_a_killed_run_left_aside_does_not_stay(tmp_path, out):
    prepare(Dots(), tmp_path / "whole", 8)
    with pytest.raises(KeyboardInterrupt):
        prepare(Dots(stop_at=5), out, 8)
    (out / ".train-00000-of-00001.tfrecord.partial").write_bytes(b"half")
    prepare(Dots(), out, 8)
    assert contents(out) == contents(tmp_path / "whole")


@pytest.mark.parametrize("harm", ["cut", "removed"])
def test_a_harmed_shard_is_named_and_written_again(out, harm):
    prepare(Dots(), out, 8, examples_per_shard=4)
    before = contents(out)
    shard = out / "train-00001-of-00003.tfrecord"
    if harm == "cut":
        os.truncate(shard, 100)
    else:
        shard.unlink()
    message = refused(open_prepared, out)
    assert shard.name in message and "Run prepare_data.py again" in message
    assert prepare(Dots(), out, 8, examples_per_shard=4)[1] == [shard.name]
    assert contents(out) == before


def test_changed_bytes_are_found_by_their_checksum(out):
    prepared, _ = prepare(Dots(), out, 8, examples_per_shard=4)
    shard = out / "test-00000-of-00001.tfrecord"
    content = bytearray(shard.read_bytes())
    content[50] ^= 1
    shard.write_bytes(content)
    assert verify(open_prepared(out)) == [shard.name]


@pytest.mark.parametrize(
    ("source", "size", "reason"),
    [
        (Dots(), 16, "image_size is 8 there, 16 here"),
        (Dots(train=12), 8, "other pictures or captions"),
    ],
)
def test_a_folder_of_something_else_is_refused_and_untouched(out, source, size, reason):
    prepare(Dots(), out, 8)
    before = contents(out)
    assert reason in refused(prepare, source, out, size)
    assert contents(out) == before


def test_pictures_that_are_cut_tightly_get_little_room_for_crops(out):
    prepared, _ = prepare(Dots(), out, 16, short_side=17)
    images = [Image.open(io.BytesIO(one["image/encoded"])) for one in read(open_prepared(out), "train")]
    assert {min(image.size) for image in images} == {17} == {open_prepared(out).short_side}
    assert not any("wrong size" in problem for problem in check_prepared(out).problems)
    assert "short_side is 17 there, 19 here" in refused(prepare, Dots(), out, 16)
    assert "smaller than those to be trained on" in refused(prepare, Dots(), out, 16, short_side=15)


def test_a_folder_of_before_the_short_side_could_be_chosen_has_the_usual_one(out):
    prepare(Dots(), out, 16)
    state = json.loads((out / "dataset.json").read_text())
    del state["short_side"]
    (out / "dataset.json").write_text(json.dumps(state))
    assert open_prepared(out).short_side == 19


def test_a_folder_of_another_data_set_is_refused(tmp_path, out):
    prepare(Dots(), out, 8)
    write_folder(tmp_path / "mine")
    message = refused(prepare, open_source("folder", str(tmp_path / "mine"), 8), out, 8)
    assert "name is cub there, folder here" in message
    assert "not empty" in refused(prepare, Dots(), tmp_path / "mine", 8)


def test_broken_pictures_are_all_named_and_the_rest_is_kept(out):
    broken = ("train/1", "train/7", "test/2")
    message = refused(prepare, Dots(broken=broken), out, 8, examples_per_shard=4)
    assert "(3)" in message and all(f"{key}: The picture is damaged" in message for key in broken)
    assert not (out / "dataset.json").exists()
    kept = len(list(out.glob("*.tfrecord")))
    prepared, written = prepare(Dots(), out, 8, examples_per_shard=4)
    assert len(written) == 4 - kept
    assert prepared.left_out() == []


def test_broken_pictures_are_left_out_and_counted_on_demand(out):
    prepared, _ = prepare(Dots(broken=("train/1", "test/2")), out, 8, skip_broken=True)
    assert (prepared.examples("train"), prepared.captions("train"), prepared.examples("test")) == (10, 20, 3)
    assert prepared.left_out() == ["train/1", "test/2"]
    assert open_prepared(out) == prepared
    assert {one["image/key"] for one in read(prepared, "test")} == {b"test/0", b"test/1", b"test/3"}
    assert "0" in prepared.vocabulary() and "1" not in prepared.vocabulary()


def test_pictures_replaced_after_they_were_left_out_are_taken_in(tmp_path, out):
    prepare(Dots(), tmp_path / "whole", 8, examples_per_shard=4)
    prepare(Dots(broken=("train/1",)), out, 8, skip_broken=True, examples_per_shard=4)
    _, written = prepare(Dots(), out, 8, examples_per_shard=4)
    assert len(written) == 1
    assert contents(out) == contents(tmp_path / "whole")


def test_a_full_disk_leaves_no_half_shard(out):
    with pytest.raises(KeyboardInterrupt):
        prepare(Dots(stop_at=0), out, 8)
    (out / ".train-00000-of-00001.tfrecord.partial").symlink_to("/dev/full")
    message = refused(prepare, Dots(), out, 8)
    assert "could not be written" in message and "No space left" in message
    assert {path.name for path in out.iterdir()} == {"unfinished.json"}
    assert len(prepare(Dots(), out, 8)[1]) == 2


def test_a_place_that_cannot_be_written_to_is_refused(tmp_path):
    (tmp_path / "file").write_text("a")
    assert "Could not write" in refused(prepare, Dots(), tmp_path / "file" / "out", 8)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda state: "no JSON", "does not describe"),
        (lambda state: [], "does not describe"),
        (lambda state: state | {"format": 99}, "another version"),
        (lambda state: {"format": 1}, "does not describe"),
        (lambda state: state | {"shards": [{}]}, "does not describe"),
        (lambda state: state | {"shards": [state["shards"][0] | {"file": "../../etc/passwd"}]}, "outside the folder"),
        (lambda state: state | {"shards": [state["shards"][0] | {"file": "/etc/passwd"}]}, "outside the folder"),
        (lambda state: state | {"shards": [state["shards"][0] | {"more": 1}]}, "does not describe"),
        (lambda state: state | {"shards": [state["shards"][0] | {"examples": "2"}]}, "does not describe"),
        (lambda state: state | {"shards": [state["shards"][0] | {"captions": -1}]}, "does not describe"),
        (lambda state: state | {"shards": [state["shards"][0] | {"left_out": [3]}]}, "does not describe"),
        (lambda state: state | {"image_size": float("inf")}, "does not describe"),
        (lambda state: state | {"name": ["cub"]}, "does not describe"),
        (lambda state: state | {"short_side": "19"}, "does not describe"),
    ],
)
def test_a_description_that_is_none_is_refused(out, change, reason):
    prepare(Dots(), out, 8)
    path = out / "dataset.json"
    changed = change(json.loads(path.read_text()))
    path.write_text(changed if isinstance(changed, str) else json.dumps(changed))
    assert reason in refused(open_prepared, out)


def test_a_folder_that_was_never_prepared_is_refused(tmp_path):
    assert "not prepared" in refused(open_prepared, tmp_path)
    assert not is_prepared(tmp_path)


def test_drawn_pictures_are_stored_as_they_were_drawn(out):
    source = open_source("synthbirds", None, 32, count={"train": 3, "test": 1})
    prepared, _ = prepare(source, out, 32)
    drawn = {example.key: np.asarray(example.load()) for example in source.examples("train")}
    for one in read(prepared, "train"):
        image = np.asarray(Image.open(io.BytesIO(one["image/encoded"])))
        np.testing.assert_array_equal(image, drawn[one["image/key"].decode()])


def test_a_split_may_be_empty(tmp_path, out):
    write_folder(tmp_path / "mine", 1)
    prepared, _ = prepare(open_source("folder", str(tmp_path / "mine"), 8), out, 8)
    assert (prepared.examples("train"), prepared.examples("test"), prepared.files("test")) == (1, 0, [])


def test_a_real_cub_folder_is_prepared_cropped(tmp_path, out):
    write_cub(tmp_path / "birds")
    prepared, _ = prepare(open_source("cub", str(tmp_path / "birds"), 64), out, 64)
    # Every crop is 30 x 30 (see the tests of the source).
    sizes = {Image.open(io.BytesIO(one["image/encoded"])).size for one in read(prepared, "train")}
    assert sizes == {(76, 76)}


def test_unknown_data_sets_and_missing_folders_are_refused():
    assert "no such data set" in refused(open_source, "cats", None, 64)
    assert "--data_dir" in refused(open_source, "cub", None, 64)


def test_what_is_prepared_cannot_be_changed_by_accident(out):
    prepared, _ = prepare(Dots(), out, 8)
    with pytest.raises(dataclasses.FrozenInstanceError):
        prepared.image_size = 9
