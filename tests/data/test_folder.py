import json
import shutil

import pytest
from small_data import write_folder, write_picture

from ssagan_tf.data.folder import Folder
from ssagan_tf.errors import UserError


def everything(folder) -> dict:
    """All examples by key, of both splits."""
    source = Folder(folder)
    return {example.key: example for split in ("train", "test") for example in source.examples(split)}


def refused(folder) -> str:
    with pytest.raises(UserError) as error:
        Folder(folder).examples("train")
    message = str(error.value)
    assert "Received: " in message and "\n" not in message
    return message


def test_reads_jsonl_with_text_and_captions(tmp_path):
    write_folder(tmp_path, 2)
    with open(tmp_path / "metadata.jsonl", "a") as file:
        file.write('\n{"file_name": "./1.png", "text": "one more", "captions_of": 3}\r\n  \n')
    examples = everything(tmp_path)
    assert examples["0.png"].captions == ("picture 0", "noise of dots")
    assert examples["1.png"].captions == ("picture 1", "noise of dots", "one more")
    assert examples["1.png"].class_id == -1
    assert examples["1.png"].load().size == (40, 30)


def test_reads_csv_with_commas_line_ends_and_a_byte_order_mark(tmp_path):
    for number in range(2):
        write_picture(tmp_path / "pictures" / f"{number}.png", number)
    (tmp_path / "metadata.csv").write_bytes(
        b"\xef\xbb\xbffile_name,text,label\r\n"
        b'pictures/0.png,"red, and ""round""",berry\r\n'
        b"pictures/1.png,caf\xc3\xa9,\r\n"
        b"pictures/0.png,another,berry\r\n"
    )
    examples = everything(tmp_path)
    assert examples["pictures/0.png"].captions == ('red, and "round"', "another")
    assert examples["pictures/1.png"].captions == ("café",)
    assert [examples[f"pictures/{n}.png"].class_id for n in (0, 1)] == [0, -1]


def test_reads_text_files_beside_pictures(tmp_path):
    write_picture(tmp_path / "a.JPG", 0)
    write_picture(tmp_path / "deep" / "er" / "b.png", 1)
    write_picture(tmp_path / ".hidden" / "c.png", 2)
    (tmp_path / "a.txt").write_text("first\n\nsecond\n")
    (tmp_path / "deep" / "er" / "b.txt").write_text("third")
    (tmp_path / "LICENSE.txt").write_text("of no picture")
    examples = everything(tmp_path)
    assert {key: example.captions for key, example in examples.items()} == {
        "a.JPG": ("first", "second"),
        "deep/er/b.png": ("third",),
    }


def test_labels_count_in_alphabetical_order(tmp_path):
    write_folder(tmp_path, 3)
    rows = [{"file_name": f"{n}.png", "text": "a", "label": label} for n, label in enumerate(("owl", "crow", "owl"))]
    (tmp_path / "metadata.jsonl").write_text("\n".join(map(json.dumps, rows)))
    examples = everything(tmp_path)
    assert [examples[f"{n}.png"].class_id for n in range(3)] == [1, 0, 1]


def test_the_split_depends_on_the_names_alone_and_holds_out_a_tenth(tmp_path):
    rows = [{"file_name": f"{number}.png", "text": "a"} for number in range(2000)]
    (tmp_path / "metadata.jsonl").write_text("\n".join(map(json.dumps, rows)))
    test = {example.key for example in Folder(tmp_path, skip_broken=True).examples("test")}
    # Three standard deviations of a binomial around 200.
    assert 160 < len(test) < 240
    (tmp_path / "metadata.jsonl").write_text("\n".join(map(json.dumps, reversed(rows[:1000]))))
    half = Folder(tmp_path, skip_broken=True)
    assert {example.key for example in half.examples("test")} == {key for key in test if int(key[:-4]) < 1000}
    assert len(half.examples("train")) + len(half.examples("test")) == 1000


@pytest.mark.parametrize(("count", "train", "test"), [(1, 1, 0), (2, 1, 1), (3, 2, 1)])
def test_few_pictures_are_still_split(tmp_path, count, train, test):
    write_folder(tmp_path, count)
    source = Folder(tmp_path)
    assert (len(source.examples("train")), len(source.examples("test"))) == (train, test)


def test_all_bad_lines_are_counted_and_the_first_ones_named(tmp_path):
    write_picture(tmp_path / "a.png", 0)
    rows = ['{"file_name": "a.png", "text": "good"}', "{", "[1]", "", '{"text": "a"}', '{"file_name": "a.png"}']
    (tmp_path / "metadata.jsonl").write_text("\n".join(rows))
    message = refused(tmp_path)
    assert "bad lines (4)" in message and "and 1 more" in message
    assert all(f"line {number}: " in message for number in (2, 3, 5))


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("{", "no JSON"),
        ("[" * 100_000, "no JSON"),
        ("17", "no object"),
        ('{"text": "a"}', "file_name is missing"),
        ('{"file_name": 1, "text": "a"}', "file_name is missing"),
        ('{"file_name": "a.png"}', "text must be text"),
        ('{"file_name": "a.png", "text": 17}', "text must be text"),
        ('{"file_name": "a.png", "captions": {"a": 1}}', "no text, caption or captions"),
        ('{"file_name": "a.png", "captions": [1]}', "captions a list"),
        ('{"file_name": "a.png", "captions": []}', "no caption with a word"),
        ('{"file_name": "a.png", "text": "..."}', "no caption with a word"),
        ('{"file_name": "a.png", "text": "a", "label": [1]}', "label must be"),
        ('{"file_name": "../../etc/hostname", "text": "a"}', "leads out of the folder"),
        ('{"file_name": "/etc/hostname", "text": "a"}', "leads out of the folder"),
        ('{"file_name": "b/../../a.png", "text": "a"}', "leads out of the folder"),
        ('{"file_name": "..\\\\a.png", "text": "a"}', "leads out"),
        ('{"file_name": "a.png\\u0000.jpg", "text": "a"}', "control characters"),
        ('{"file_name": "\\ud800.png", "text": "a"}', "not Unicode"),
        (f'{{"file_name": "{"a" * 300}.png", "text": "a"}}', "too long"),
    ],
)
def test_a_bad_line_is_named(tmp_path, row, reason):
    write_picture(tmp_path / "a.png", 0)
    (tmp_path / "metadata.jsonl").write_text(f'{{"file_name": "a.png", "text": "good"}}\n{row}\n')
    message = refused(tmp_path)
    assert f"line 2: {reason}" in message or ("line 2: " in message and reason in message)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("", "is empty"),
        ("b,a red bird\n", "must name the columns file_name and text, and it is 'b,a red bird'"),
        ("bild;beschreibung\na.png;b\n", "and it is 'bild;beschreibung'"),
        ("file_name,text\n", "is empty"),
        ("file_name,text\na.png\n", "line 2: 1 columns where there must be 2"),
        ("file_name,text\na.png,a bird, red\n", "line 2: 3 columns where there must be 2"),
        ("file_name;text\na.png;a bird; red\n", "line 2: 3 columns where there must be 2"),
        ('file_name,text\na.png,"open\n', "no CSV"),
        ("file_name,text\na.png," + "a" * 200_000, "no CSV"),
    ],
)
def test_broken_csv_is_refused(tmp_path, content, reason):
    write_picture(tmp_path / "a.png", 0)
    (tmp_path / "metadata.csv").write_text(content)
    assert reason in refused(tmp_path)


def test_metadata_that_is_not_utf8_names_its_line(tmp_path):
    (tmp_path / "metadata.jsonl").write_bytes(b'{"file_name": "a.png", "text": "a"}\n{"text": "caf\xe9"}\n')
    assert "line 2 is not UTF-8" in refused(tmp_path)


def test_a_caption_without_end_is_refused(tmp_path):
    write_folder(tmp_path, 1, text="", captions=lambda _: ["a " * 10_000])
    assert "too long" in refused(tmp_path)


def test_pictures_without_a_word_said_are_named(tmp_path):
    assert "There are no pictures" in refused(tmp_path)
    for name in ("IMG_0001", "2"):
        write_picture(tmp_path / f"{name}.png", 0)
    assert "Nothing tells the captions (2)" in refused(tmp_path)
    (tmp_path / "2.txt").write_text("a")
    assert "IMG_0001.png" in refused(tmp_path)


def test_where_nothing_tells_captions_names_of_files_do_and_it_is_said(tmp_path, caplog):
    for name in ("red-bird_01", "YellowWings", "IMG_a_heron (copy)"):
        write_picture(tmp_path / f"{name}.png", 0)
    source = Folder(tmp_path)
    with caplog.at_level("WARNING", logger="absl"):
        found = [*source.examples("train"), *source.examples("test")]
    captions = {example.key: example.captions for example in found}
    assert captions == {
        "red-bird_01.png": ("red bird",),
        "YellowWings.png": ("yellow wings",),
        "IMG_a_heron (copy).png": ("a heron",),
    }
    assert {example.class_id for example in found} == {-1}
    assert caplog.text.count("Nothing tells the captions of") == 1


def test_folders_named_by_classes_make_photos_of_them(tmp_path):
    for name in ("001.Black_footed_Albatross/Albatross_0046", "001.Black_footed_Albatross/asleep_2", "cat/IMG_3"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        write_picture(tmp_path / f"{name}.png", 0)
    source = Folder(tmp_path)
    found = {example.key: example for split in ("train", "test") for example in source.examples(split)}
    bird, asleep, cat = (found[name] for name in sorted(found))
    assert bird.captions == ("a photo of a black footed albatross",)
    assert asleep.captions == (bird.captions[0], f"{bird.captions[0]}, asleep")
    assert cat.captions == ("a photo of a cat",)
    assert bird.class_id == asleep.class_id != cat.class_id


def test_two_kinds_of_metadata_are_refused(tmp_path):
    write_folder(tmp_path, 1)
    (tmp_path / "metadata.csv").write_text("file_name,text\n0.png,a\n")
    assert "Keep one" in refused(tmp_path)


def test_missing_pictures_are_named_or_listed_on_demand(tmp_path):
    write_folder(tmp_path, 5)
    (tmp_path / "3.png").unlink()
    assert "3.png" in refused(tmp_path)
    source = Folder(tmp_path, skip_broken=True)
    assert sum(len(source.examples(split)) for split in ("train", "test")) == 5


def test_a_folder_that_is_not_there_is_refused(tmp_path):
    assert "no such folder" in refused(tmp_path / "none")


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("metadata_traversal", "bad lines (5)"),
        ("metadata_bad_line", "bad lines (7)"),
        ("metadata_missing_file", "images/there_is_none.png"),
        ("metadata_empty", "is empty"),
        ("metadata_not_utf8", "line 1 is not UTF-8"),
    ],
)
def test_the_shared_broken_metadata_is_refused(shared_data, name, reason):
    assert reason in refused(shared_data / "broken" / name)


def test_real_emoji(shared_data, tmp_path):
    examples = everything(shared_data / "emoji_mini")
    assert len(examples) == 900
    assert sum(len(example.captions) for example in examples.values()) == 2693
    shutil.copy(shared_data / "emoji_mini" / "metadata_text.jsonl", tmp_path / "metadata.jsonl")
    (tmp_path / "images").symlink_to(shared_data / "emoji_mini" / "images")
    assert everything(tmp_path).keys() == examples.keys()
