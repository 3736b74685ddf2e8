import json

import pytest
from small_data import write_picture

from ssagan_tf.data.coco import Coco
from ssagan_tf.errors import UserError


def write_coco(root, split: str, images, annotations, where: str = "annotations") -> None:
    for number, image in enumerate(images):
        write_picture(root / split / image["file_name"], number)
    (root / where).mkdir(parents=True, exist_ok=True)
    content = {"images": images, "annotations": annotations}
    (root / where / f"captions_{split}.json").write_text(json.dumps(content))


IMAGES = [{"id": 7, "file_name": "b.jpg"}, {"id": 3, "file_name": "a.jpg"}, {"id": 5, "file_name": "silent.jpg"}]
ANNOTATIONS = [
    {"image_id": 3, "caption": "a cat"},
    {"image_id": 7, "caption": "a dog"},
    {"image_id": 3, "caption": "..."},
    {"image_id": 3, "caption": "two cats"},
]


def refused(folder, split: str = "train") -> str:
    with pytest.raises(UserError) as error:
        Coco(folder).examples(split)
    message = str(error.value)
    assert "Received: " in message and "\n" not in message
    return message


def test_reads_any_split_that_has_its_pictures(tmp_path):
    write_coco(tmp_path, "train2017", IMAGES, ANNOTATIONS)
    write_coco(tmp_path, "validation", IMAGES[:1], ANNOTATIONS[1:2], where=".")
    source = Coco(tmp_path)
    train = source.examples("train")
    assert [(example.key, example.captions, example.wordless) for example in train] == [
        ("train2017/b", ("a dog",), 0),
        ("train2017/a", ("a cat", "two cats"), 1),
    ]
    assert [example.key for example in source.examples("test")] == ["validation/b"]
    assert {example.class_id for example in train} == {-1}
    assert train[0].load().size == (40, 30)
    assert source.vocabulary() is None


def test_pictures_may_lie_in_a_folder_images_and_lists_without_pictures_do_not_matter(tmp_path):
    write_coco(tmp_path, "train2014", IMAGES, ANNOTATIONS)
    write_coco(tmp_path, "train2017", IMAGES, ANNOTATIONS)
    (tmp_path / "images").mkdir()
    (tmp_path / "train2014").rename(tmp_path / "images" / "train2014")
    (tmp_path / "train2017").rename(tmp_path / "elsewhere")
    assert [example.key for example in Coco(tmp_path).examples("train")] == ["train2014/b", "train2014/a"]
    assert "no test pictures" in refused(tmp_path, "test")


def test_missing_pictures_are_named_or_listed_on_demand(tmp_path):
    write_coco(tmp_path, "train2014", IMAGES, ANNOTATIONS)
    (tmp_path / "train2014" / "a.jpg").unlink()
    assert "a.jpg" in refused(tmp_path)
    assert len(Coco(tmp_path, skip_broken=True).examples("train")) == 2


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("", "no JSON"),
        ("[" * 100_000, "no JSON"),
        ("[]", "must have images"),
        ("{}", "must have images"),
        ('{"images": [{}], "annotations": []}', "must have images"),
        ('{"images": [[1]], "annotations": []}', "must have images"),
        ('{"images": [{"id": [], "file_name": "a"}], "annotations": []}', "must have images"),
        ('{"images": [{"id": 1, "file_name": 2}], "annotations": []}', "file_name 2"),
        ('{"images": [{"id": 1, "file_name": "../a.jpg"}], "annotations": []}', "leads out of the folder"),
        ('{"images": [], "annotations": [{"image_id": 1, "caption": "a"}]}', "unknown picture 1"),
        (
            '{"images": [{"id": 1, "file_name": "a.jpg"}], "annotations": [{"image_id": 1, "caption": 5}]}',
            "caption 5",
        ),
        (
            '{"images": [{"id": 1, "file_name": "a.jpg"}, {"id": 1, "file_name": "b.jpg"}], "annotations": []}',
            "twice",
        ),
        (
            '{"images": [{"id": 1, "file_name": "a.jpg"}, {"id": 2, "file_name": "a.jpg"}], "annotations": []}',
            "twice",
        ),
    ],
)
def test_broken_annotations_are_refused(tmp_path, content, reason):
    write_picture(tmp_path / "train2014" / "a.jpg", 0)
    (tmp_path / "captions_train2014.json").write_text(content)
    assert reason in refused(tmp_path)


def test_another_folder_is_refused(tmp_path):
    assert "does not look like COCO" in refused(tmp_path)


def test_real_pictures(shared_data):
    source = Coco(shared_data / "coco_mini")
    for split, count in (("train", 50), ("test", 51)):
        examples = source.examples(split)
        assert len(examples) == count and all(len(example.captions) == 5 for example in examples)
    assert source.examples("train")[0].load().mode == "RGB"
