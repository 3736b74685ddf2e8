import gzip
import json
import pickle
import shutil

import numpy as np
import pytest
from PIL import Image
from small_data import write_cub

from ssagan_tf.data.cub import TEST_CLASSES, Cub, crop_box
from ssagan_tf.errors import UserError


def keys(source: Cub, split: str) -> list[str]:
    return [example.key for example in source.examples(split)]


def refused(folder, split: str = "train") -> str:
    with pytest.raises(UserError) as error:
        Cub(folder).examples(split)
    message = str(error.value)
    assert "Received: " in message and "\n" not in message
    return message


@pytest.mark.parametrize("lists", [True, False])
def test_reads_attngans_layout_and_the_plain_one(tmp_path, lists):
    all_keys = write_cub(tmp_path, lists=lists)
    source = Cub(tmp_path)
    assert keys(source, "test") == all_keys[:3]
    assert keys(source, "train") == all_keys[3:]
    example = source.examples("train")[0]
    assert example.captions == ("A bird number 3.", "it has 0 wings")
    assert example.class_id == 2
    assert source.vocabulary() is None
    # half = 15, centre (16, 15): left of 1 to right of 31, all of the height of 30.
    assert example.load().size == (30, 30)


def test_the_plain_folder_may_be_given_itself_with_the_text_in_it(tmp_path):
    all_keys = write_cub(tmp_path, lists=False)
    shutil.move(tmp_path / "text", tmp_path / "CUB_200_2011" / "text_c10")
    assert keys(Cub(tmp_path / "CUB_200_2011"), "test") == all_keys[:3]


@pytest.mark.parametrize(
    ("box", "size", "expected"),
    [
        # By hand: half = int(0.75 * 325) = 243, centre (222, 179).
        ((60, 27, 325, 304), (500, 335), (0, 0, 465, 335)),
        # half = int(7.5) = 7, centre (int(104.5), int(55.5)).
        ((100, 50, 9, 10), (500, 500), (97, 48, 111, 62)),
        ((100, 50, 9, 11), (500, 500), (96, 47, 112, 63)),
        ((0.6, 0.6, 1, 1.4), (10, 10), (0, 0, 2, 2)),
    ],
)
def test_the_crop_is_the_published_square_clipped_to_the_picture(box, size, expected):
    assert crop_box(box, size) == expected


def test_the_crop_shows_what_is_in_the_box(tmp_path):
    write_cub(tmp_path)
    path = tmp_path / "CUB_200_2011" / "images" / "002.Class" / "Bird_2_0.jpg"
    picture = np.zeros((200, 300, 3), np.uint8)
    picture[60:100, 150:190] = 255
    Image.fromarray(picture).save(path, "PNG")
    boxes = (tmp_path / "CUB_200_2011" / "bounding_boxes.txt").read_text()
    boxes = boxes.replace("4 10.0 5.0 12.0 20.0", "4 150.0 60.0 40.0 40.0")
    (tmp_path / "CUB_200_2011" / "bounding_boxes.txt").write_text(boxes)
    crop = np.asarray(Cub(tmp_path).examples("train")[0].load())
    expected = np.zeros((60, 60, 3), np.uint8)
    expected[10:50, 10:50] = 255
    np.testing.assert_array_equal(crop, expected)


def test_a_captions_pickle_gives_captions_and_ids(tmp_path):
    write_cub(tmp_path, classes=(1, 2), each=2)
    words = ["<end>", "a", "red", "bird", "blue"]
    captions = [[[1, 2, 3], [3], [1, 4, 3], [4]], [[2], [4], [1], [3]]]
    content = [*captions, dict(enumerate(words)), {word: index for index, word in enumerate(words)}]
    (tmp_path / "captions.pickle").write_bytes(pickle.dumps(content, 2))
    source = Cub(tmp_path)
    assert [example.captions for example in source.examples("train")] == [
        ("a red bird", "bird"),
        ("a blue bird", "blue"),
    ]
    assert [example.captions for example in source.examples("test")] == [("red", "blue"), ("a", "bird")]
    assert list(source.vocabulary().words) == words


@pytest.mark.parametrize(
    "content",
    [
        ["a"],
        {"a": 1},
        [[], [], {}, {}],
        [[[1]], [[1]], {0: "<end>"}, {}],
        [[[-1]], [[0]], {0: "<end>", 1: "a"}, {}],
        [[["a"]], [[0]], {0: "<end>", 1: "a"}, {}],
        [[[1]], [[1]], {0: "<end>", 2: "a"}, {}],
        [[[1]], [[1]], {0: "a", 1: "b"}, {}],
        [[1], [1], {0: "<end>", 1: "a"}, {}],
        [[[1]] * 7, [[1]] * 3, {0: "<end>", 1: "a"}, {}],
        [[[1]], [[()]], {0: "<end>", 1: "a"}, {}],
        [[[1]], [[1]], {0: "<end>", 1: ()}, {}],
    ],
)
def test_a_captions_pickle_of_another_shape_is_refused(tmp_path, content):
    write_cub(tmp_path, classes=(1, 2), each=2)
    (tmp_path / "captions.pickle").write_bytes(pickle.dumps(content))
    refused(tmp_path)


def test_a_captions_pickle_without_the_order_of_pictures_is_refused(tmp_path):
    write_cub(tmp_path, lists=False)
    (tmp_path / "captions.pickle").write_bytes(pickle.dumps([]))
    assert "order of pictures" in refused(tmp_path)


def test_missing_pictures_are_named_or_listed_on_demand(tmp_path):
    all_keys = write_cub(tmp_path)
    (tmp_path / "CUB_200_2011" / "images" / f"{all_keys[4]}.jpg").unlink()
    message = refused(tmp_path)
    assert all_keys[4] in message and "--skip_broken" in message
    examples = Cub(tmp_path, skip_broken=True).examples("train")
    assert len(examples) == 6
    with pytest.raises(UserError, match="could not be read"):
        examples[1].load()


def test_a_missing_or_empty_text_file_is_named(tmp_path):
    all_keys = write_cub(tmp_path)
    path = tmp_path / "text" / f"{all_keys[4]}.txt"
    path.write_text("...\n")
    assert all_keys[4] in refused(tmp_path)
    path.unlink()
    assert all_keys[4] in refused(tmp_path)
    shutil.rmtree(tmp_path / "text")
    assert "no captions" in refused(tmp_path)


def test_captions_without_a_word_are_left_out_and_counted(tmp_path):
    all_keys = write_cub(tmp_path)
    (tmp_path / "text" / f"{all_keys[4]}.txt").write_text("a bird\n\n?!\n鳥\nanother\n")
    example = Cub(tmp_path).examples("train")[1]
    assert example.captions == ("a bird", "another")
    assert example.wordless == 2


def test_classes_must_be_told_somehow(tmp_path):
    write_cub(tmp_path, lists=False)
    table = tmp_path / "CUB_200_2011" / "images.txt"
    table.write_text(table.read_text().replace("002.", "Albatross."))
    assert "class numbers" in refused(tmp_path)


@pytest.mark.parametrize(
    ("name", "old", "new", "reason"),
    [
        ("bounding_boxes.txt", "1 10.0 5.0 12.0 20.0\n", "", "lacks a picture"),
        ("bounding_boxes.txt", "2 10.0 5.0 12.0 20.0", "2 10.0 5.0 wide 20.0", "in pixels"),
        ("bounding_boxes.txt", "2 10.0 5.0 12.0 20.0", "2 10.0 5.0 nan 20.0", "in pixels"),
        ("bounding_boxes.txt", "2 10.0 5.0 12.0 20.0", "2 10.0 5.0 0.0 20.0", "in pixels"),
        ("bounding_boxes.txt", "2 10.0 5.0 12.0 20.0", "2 10.0", "line 2"),
        ("images.txt", "5 002", "5 ../../002", "leads out of the folder"),
        ("images.txt", "5 002", "5002", "line 5"),
    ],
)
def test_broken_tables_are_refused_with_the_place(tmp_path, name, old, new, reason):
    write_cub(tmp_path)
    path = tmp_path / "CUB_200_2011" / name
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))
    assert reason in refused(tmp_path)


def test_a_box_outside_the_picture_is_refused(tmp_path):
    write_cub(tmp_path)
    path = tmp_path / "CUB_200_2011" / "bounding_boxes.txt"
    path.write_text(path.read_text().replace("10.0 5.0", "1000.0 5.0"))
    with pytest.raises(UserError, match="outside its picture"):
        Cub(tmp_path).examples("train")[0].load()


def test_class_numbers_must_fit_the_pictures(tmp_path):
    write_cub(tmp_path)
    path = tmp_path / "train" / "class_info.pickle"
    for content in ([2] * 5, ["2"] * 6, 2):
        path.write_bytes(pickle.dumps(content))
        assert "class" in refused(tmp_path)
    path.write_bytes(pickle.dumps(np.arange(6).tolist()))
    assert [example.class_id for example in Cub(tmp_path).examples("train")] == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ({"a": 1}, "list of file names"),
        ([], "list of file names"),
        ([1], "list of file names"),
        (["../../../../etc/hostname", "001.A/../../b"], "leads out of the folder"),
        (["002.Class/There_Is_No_Such_Bird_0000"], "images.txt does not"),
        (["002.Class/Bird_2_0"] * 2, "twice"),
    ],
)
def test_lists_of_file_names_are_checked(tmp_path, content, reason):
    write_cub(tmp_path)
    (tmp_path / "train" / "filenames.pickle").write_bytes(pickle.dumps(content, 2))
    assert reason in refused(tmp_path)


def test_every_shared_broken_list_is_refused_and_runs_nothing(tmp_path, shared_data, monkeypatch):
    write_cub(tmp_path / "birds")
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    for folder in (shared_data / "broken" / "pickles").iterdir():
        shutil.copyfile(folder / "filenames.pickle", tmp_path / "birds" / "train" / "filenames.pickle")
        assert "filenames.pickle" in refused(tmp_path / "birds"), folder
    assert not list((tmp_path / "empty").iterdir())


def test_another_folder_and_another_split_are_refused(tmp_path):
    assert "does not look like CUB" in refused(tmp_path)
    assert "does not look like CUB" in refused(tmp_path / "none")
    write_cub(tmp_path)
    assert "no such split" in refused(tmp_path, "valid")


def test_the_split_by_classes_is_the_published_one(shared_data):
    lists = json.loads((shared_data / "cub_full_split.json").read_text())
    assert set(lists["test"]["class_info"]) == TEST_CLASSES
    assert not set(lists["train"]["class_info"]) & TEST_CLASSES
    assert len(set(lists["train"]["class_info"])) == 150


def test_real_birds_with_and_without_lists(tmp_path, shared_data):
    birds = shared_data / "birds_mini"
    for name in ("CUB_200_2011", "text"):
        (tmp_path / name).symlink_to(birds / name)
    for split, count, classes in (("train", 950, 80), ("test", 457, 26)):
        listed, plain = Cub(birds).examples(split), Cub(tmp_path).examples(split)
        assert len(listed) == count and len({example.class_id for example in listed}) == classes
        assert all(len(example.captions) == 10 for example in listed)
        said = {example.key: (example.captions, example.class_id) for example in listed}
        assert said == {example.key: (example.captions, example.class_id) for example in plain}


def test_real_captions_as_ids_are_read_with_the_same_ids(tmp_path, shared_data):
    birds = shared_data / "birds_mini"
    words = json.loads((shared_data / "birds_vocabulary.json").read_text())
    full = json.loads((shared_data / "cub_full_split.json").read_text())
    with gzip.open(shared_data / "cub_full_captions.json.gz") as file:
        all_ids = json.load(file)
    for name in ("CUB_200_2011", "train", "test"):
        (tmp_path / name).symlink_to(birds / name)
    ids = {}
    for split in ("train", "test"):
        place = {key: index for index, key in enumerate(full[split]["filenames"])}
        starts = [10 * place[key] for key in keys(Cub(birds), split)]
        ids[split] = [caption for start in starts for caption in all_ids[split][start : start + 10]]
    content = [ids["train"], ids["test"], dict(enumerate(words)), {word: i for i, word in enumerate(words)}]
    (tmp_path / "captions.pickle").write_bytes(pickle.dumps(content, 2))

    source = Cub(tmp_path)
    vocabulary = source.vocabulary()
    for split in ("train", "test"):
        from_pickle = [caption for example in source.examples(split) for caption in example.captions]
        from_text = [caption for example in Cub(birds).examples(split) for caption in example.captions]
        assert [vocabulary.encode(caption) for caption in from_pickle] == ids[split]
        assert [vocabulary.encode(caption) for caption in from_text] == ids[split]
