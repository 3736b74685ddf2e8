"""The vocabulary: ids as published, a file that comes back the same or is refused in one line."""

import pytest

from ssagan_tf.errors import UserError
from ssagan_tf.text import vocabulary as module
from ssagan_tf.text.vocabulary import Vocabulary

BIRDS = Vocabulary(["<end>", "a", "red", "bird", "with", "yellow", "wings"])


def test_words_count_from_1_in_order_of_first_appearance():
    built = Vocabulary.build(["A red bird.", "a BLUE bird, café", "blue"])
    assert built.words == ("<end>", "a", "red", "bird", "blue", "caf")
    assert len(built) == 6
    assert built.encode("Blue, red: a bird!") == [4, 2, 1, 3]


def test_captions_without_any_word_build_no_vocabulary():
    for captions in ([], ["", "...", "鸟"]):
        with pytest.raises(UserError, match="no words.*Received.*Check"):
            Vocabulary.build(captions)


def test_unknown_words_are_left_out_and_named_once_in_order():
    assert BIRDS.encode("a purple bird with purple crown") == [1, 3, 4]
    assert BIRDS.unknown("a purple bird with purple crown") == ["purple", "crown"]
    assert BIRDS.encode("") == BIRDS.unknown("") == []


def test_padding_cannot_be_written_in_a_caption():
    assert BIRDS.encode("<end>") == []
    assert BIRDS.unknown("<end>") == ["end"]


def test_nearest_known_words_come_first():
    assert BIRDS.suggest("yelow") == ["yellow"]
    assert BIRDS.suggest("wing")[0] == "wings"
    assert BIRDS.suggest("BIRDS")[0] == "bird"
    assert BIRDS.suggest("xyzzy") == []
    assert len(Vocabulary(["<end>", "cat", "cart", "card", "care"]).suggest("car", 2)) == 2


def test_saved_is_loaded_as_it_was(tmp_path):
    BIRDS.save(tmp_path / "vocabulary.txt")
    assert (tmp_path / "vocabulary.txt").read_bytes() == b"<end>\na\nred\nbird\nwith\nyellow\nwings\n"
    assert Vocabulary.load(tmp_path / "vocabulary.txt") == BIRDS
    assert hash(Vocabulary.load(tmp_path / "vocabulary.txt")) == hash(BIRDS)


@pytest.mark.parametrize("ending", ["\r\n", "\n"])
def test_windows_lines_and_a_missing_last_end_are_read(tmp_path, ending):
    (tmp_path / "v.txt").write_bytes(ending.join(BIRDS.words).encode())
    assert Vocabulary.load(tmp_path / "v.txt") == BIRDS


@pytest.mark.parametrize(
    "content, problem",
    [
        (b"", "padding"),
        (b"a\nred\n", "padding"),
        (b"<end>\nred\na\nred\n", "'red' twice"),
        (b"<end>\nred\n\n\nblue\n", "twice"),
        (b"<end>\nr\xe9d\n", "not UTF-8"),
        (b"<end>\nr\0d\n", "no word"),
        (b"<end>\nred bird\n", "no word"),
        (b"<end>\n\nred\n", "no word"),
    ],
)
def test_a_damaged_file_is_refused_in_one_line(tmp_path, content, problem):
    path = tmp_path / "vocabulary.txt"
    path.write_bytes(content)
    with pytest.raises(UserError, match=f"{problem}.*Received: ") as refused:
        Vocabulary.load(path)
    assert "\n" not in str(refused.value)


def test_a_missing_file_and_a_folder_are_refused(tmp_path):
    for path in (tmp_path / "none.txt", tmp_path):
        with pytest.raises(UserError, match="No vocabulary.*Received"):
            Vocabulary.load(path)


def test_a_file_too_large_is_refused_before_it_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "MAX_BYTES", 10)
    (tmp_path / "v.txt").write_text("<end>\nlonger\n")
    with pytest.raises(UserError, match="Received.*too large, at most 10"):
        Vocabulary.load(tmp_path / "v.txt")
