import pickle
import shutil

import pytest
from PIL import Image
from small_data import write_cub, write_folder, write_picture, write_rows

from ssagan_tf.data import open_source
from ssagan_tf.data.check import check_prepared, check_source
from ssagan_tf.data.folder import Folder
from ssagan_tf.data.records import prepare
from ssagan_tf.errors import UserError


def examined(dataset: str, folder):
    report = check_source(open_source(dataset, str(folder), 16, skip_broken=True))
    assert all("\n" not in line for line in [*report.facts, *report.problems])
    return report


def test_a_sound_data_set_has_facts_and_no_problems(tmp_path):
    write_cub(tmp_path)
    report = examined("cub", tmp_path)
    assert report.problems == []
    assert "train: 6 pictures, 12 captions (2 to 2 a picture, 2.0 on average), 2 classes" in report.facts
    assert "test: 3 pictures, 6 captions (2 to 2 a picture, 2.0 on average), 1 classes" in report.facts
    assert "pictures: from 30 x 30 to 30 x 30 pixels by their short side" in report.facts
    # a, bird, number, 3 to 8, it, has, wings, 0 to 2; 3 to 8 once each; the test captions say 0 to 2 as well.
    words = "vocabulary: 15 words in training captions, 6 of them seen once; 0 words only in test captions"
    assert words in report.facts
    assert "No problems were found." in report.text()


def test_words_are_counted(tmp_path):
    for number in range(2):
        write_picture(tmp_path / f"{number}.png", number)
    rows = [
        {"file_name": "0.png", "captions": ["red red blue", " ".join(["red"] * 19)]},
        {"file_name": "1.png", "captions": ["Red", "green, blue"]},
    ]
    write_rows(tmp_path, rows)
    source = open_source("folder", str(tmp_path), 16)
    in_train = source.examples("train")[0].key
    report = examined("folder", tmp_path)
    expected = {
        "0.png": "2 words in training captions, 1 of them seen once; 1 words only in test captions",
        "1.png": "3 words in training captions, 3 of them seen once; 0 words only in test captions",
    }
    assert any(expected[in_train] in fact for fact in report.facts)
    # 3, 19, 1 and 2 words.
    assert any("6.2 words on average, the longest 19; 25.0 % longer than 18" in fact for fact in report.facts)


def test_missing_and_broken_pictures_are_found(tmp_path):
    keys = write_cub(tmp_path)
    images = tmp_path / "CUB_200_2011" / "images"
    (images / f"{keys[0]}.jpg").unlink()
    (images / f"{keys[5]}.jpg").write_bytes((images / f"{keys[5]}.jpg").read_bytes()[:200])
    (problem,) = examined("cub", tmp_path).problems
    assert "cannot be read (2)" in problem and keys[0] in problem and keys[5] in problem
    assert "--skip_broken" in problem


def test_too_few_and_empty_captions_are_found(tmp_path):
    keys = write_cub(tmp_path)
    (tmp_path / "text" / f"{keys[4]}.txt").write_text("only one\n!!!\n")
    wordless, fewer = examined("cub", tmp_path).problems
    assert "without a word (1)" in wordless and keys[4] in wordless
    assert "fewer than the usual 2 captions (1)" in fewer and f"{keys[4]}: 1" in fewer


def test_fewer_captions_are_no_fault_of_ones_own_data(tmp_path):
    write_folder(tmp_path, 3)
    with open(tmp_path / "metadata.jsonl", "a") as file:
        file.write('{"file_name": "3.png", "text": "alone"}\n')
    write_picture(tmp_path / "3.png", 3)
    report = examined("folder", tmp_path)
    assert report.problems == []
    assert any("fewer than 2 captions: 1 (3.png: 1)" in fact for fact in report.facts)


def test_leaks_between_splits_are_found(tmp_path):
    keys = write_cub(tmp_path)
    train = [*keys[3:], keys[0]]
    (tmp_path / "train" / "filenames.pickle").write_bytes(pickle.dumps(train))
    (tmp_path / "train" / "class_info.pickle").write_bytes(pickle.dumps([int(key[:3]) for key in train]))
    images = tmp_path / "CUB_200_2011" / "images"
    shutil.copy(images / f"{keys[1]}.jpg", images / f"{keys[8]}.jpg")
    problems = examined("cub", tmp_path).problems
    assert ["keys" in problems[0], "pictures" in problems[1], "classes" in problems[2]] == [True] * 3
    assert "too (1)" in problems[0] and keys[0] in problems[0]
    assert "too (2)" in problems[1]
    assert len(problems) == 3


def test_equal_pictures_within_a_split_are_only_told(tmp_path):
    keys = write_cub(tmp_path)
    images = tmp_path / "CUB_200_2011" / "images"
    shutil.copy(images / f"{keys[7]}.jpg", images / f"{keys[8]}.jpg")
    report = examined("cub", tmp_path)
    assert report.problems == []
    assert any(f"{keys[7]} = {keys[8]}" in fact for fact in report.facts)


def test_a_data_set_that_cannot_be_listed_is_a_problem_not_an_end(tmp_path):
    write_cub(tmp_path)
    (tmp_path / "train" / "class_info.pickle").write_bytes(b"no pickle")
    report = examined("cub", tmp_path)
    assert len(report.problems) == 1 and "class_info.pickle" in report.problems[0]
    assert "train: nothing" in report.facts


def test_a_prepared_folder_says_the_same_as_its_source(tmp_path):
    write_cub(tmp_path / "birds")
    prepare(open_source("cub", str(tmp_path / "birds"), 16), tmp_path / "out", 16)
    raw, prepared = examined("cub", tmp_path / "birds"), check_prepared(tmp_path / "out")
    assert prepared.problems == []
    assert set(raw.facts) - set(prepared.facts) == {"pictures: from 30 x 30 to 30 x 30 pixels by their short side"}
    assert "pictures: from 19 x 19 to 19 x 19 pixels by their short side" in prepared.facts


def test_a_prepared_folder_tells_what_was_left_out(tmp_path):
    keys = write_cub(tmp_path / "birds")
    (tmp_path / "birds" / "CUB_200_2011" / "images" / f"{keys[4]}.jpg").write_bytes(b"")
    source = open_source("cub", str(tmp_path / "birds"), 16, skip_broken=True)
    prepare(source, tmp_path / "out", 16, skip_broken=True)
    report = check_prepared(tmp_path / "out")
    assert report.problems == []
    assert any("left out as broken when prepared: 1" in fact and keys[4] in fact for fact in report.facts)


def test_changed_shards_and_a_missing_vocabulary_are_found(tmp_path):
    write_folder(tmp_path / "mine")
    prepare(open_source("folder", str(tmp_path / "mine"), 16), tmp_path / "out", 16)
    shard = tmp_path / "out" / "train-00000-of-00001.tfrecord"
    content = bytearray(shard.read_bytes())
    content[100] ^= 255
    shard.write_bytes(content)
    (tmp_path / "out" / "vocabulary.txt").unlink()
    changed, vocabulary = check_prepared(tmp_path / "out").problems
    assert shard.name in changed and "Delete them and run prepare_data.py" in changed
    assert "vocabulary.txt" in vocabulary
    shard.write_bytes(content[:-1])
    with pytest.raises(UserError, match="damaged or missing"):
        check_prepared(tmp_path / "out")


def test_advice_is_told_with_its_repair_and_is_no_problem(tmp_path):
    for number in range(12):
        write_picture(tmp_path / f"{number}.png", number, (320, 60) if number == 3 else (60, 60))
    with Image.open(tmp_path / "5.png") as picture:
        picture.resize((70, 70)).save(tmp_path / "again.png")
    write_picture(tmp_path / "tiny.png", 20, (9, 9))
    names = [*(f"{number}.png" for number in range(12)), "again.png", "tiny.png"]
    write_rows(tmp_path, [{"file_name": name, "text": f"word{index}"} for index, name in enumerate(names)])
    report = check_source(Folder(tmp_path))
    assert not report.problems
    found = "\n".join(report.advice)
    assert "Pictures look alike (1" in found and "5.png ~ again.png" in found and "Keep one of each" in found
    assert "longer than wide" in found and "3.png: 320 x 60" in found and "Crop them" in found
    assert "less than 48 pixels (1). Found: tiny.png: 9 x 9" in found and "find larger ones" in found
    assert "few captions. Found: 1.0 for a picture. Write a second" in found
    train = len(Folder(tmp_path).examples("train"))
    assert f"few pictures. Found: {train} to train with. Go on from a trained model with --from" in found
    assert f"seen once ({train} of {train})" in found and "--word_vectors" in found
    assert report.text().count("\nadvice: ") == 6 and "No problems were found." in report.text()


def test_a_data_set_with_enough_of_all_gets_no_advice(tmp_path, monkeypatch):
    monkeypatch.setattr("ssagan_tf.data.check.FEW", 5)
    folder = write_folder(tmp_path, 12, (60, 60), lambda _: ["a red bird", "a bird of red"])
    assert check_source(Folder(folder)).advice == []
