"""The layouts in which people have captioned pictures: read as they are meant, or refused in one line that says what to
do."""

import json
import os
import unicodedata

import pytest
from PIL import Image
from small_data import write_picture

from ssagan_tf.data.check import check_source
from ssagan_tf.data.folder import Folder
from ssagan_tf.errors import UserError

BIRDS = ("a red bird", "a blue bird")


def write(root, files: dict) -> None:
    """Pictures where the content is a number, texts otherwise (bytes as they are, other values as JSON)."""
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, int):
            write_picture(path, content)
        elif isinstance(content, bytes):
            path.write_bytes(content)
        else:
            path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")


def captions(root, **options) -> dict[str, tuple[str, ...]]:
    source = Folder(root, **options)
    return {each.key: each.captions for split in ("train", "test") for each in source.examples(split)}


def refused(root) -> str:
    with pytest.raises(UserError) as error:
        Folder(root).examples("train")
    assert "Received: " in str(error.value) and "\n" not in str(error.value)
    return str(error.value)


ROWS = [{"file_name": "1.png", "text": BIRDS[0]}, {"file_name": "2.png", "text": BIRDS[1]}]
TABLES = {
    "metadata.csv": "file_name,text\n1.png,a red bird\n2.png,a blue bird\n",
    "a.csv": 'sep=;\r\nImage Name;Caption\r\n1.png;"a red bird"\r\n2.png;a blue bird\r\n',
    "captions.tsv": "filename\tdescription\n1.png\ta red bird\n2.png\ta blue bird\n",
    "results.csv": "image_name| comment_number| comment\n1.png| 0| a red bird\n2.png| 0| a blue bird\n",
    "utf16.tsv": "file_name\ttext\r\n1.png\ta red bird\r\n2.png\ta blue bird\r\n".encode("utf-16"),
    "bom.csv": "\ufeffimage,caption\n1.png,a red bird\n2.png,a blue bird\n",
    "bare.csv": "1.png,a red bird\n2.png,a blue bird\n",
    "Flickr8k.token.txt": "1.png#0\ta red bird\n2.png#0\ta blue bird\n",
    "captions.txt": "image,caption\n1.png,a red bird\n2.png,a blue bird\n",
    "stems.csv": "image_id,caption\n1,a red bird\n2,a blue bird\n",
    "quoted.tsv": 'image\tcaption\n"1.png"\t"a red bird"\n2.png\t"a blue bird"\n',
    "lists.csv": 'raw,filename\n"[""a red bird""]",1.png\n"[\'a blue bird\']",2.png\n',
    "windows.csv": "image,caption\n.\\1.png,a red bird\n.\\2.png,a blue bird\n",
    "single_quotes.csv": "'image','caption'\n'1.png','a red bird'\n'2.png','a blue bird'\n",
    "1.csv": "image,caption\n1.png,a red bird\n2.png,a blue bird\n",  # named as a picture is
    "utf16_be.csv": b"\xfe\xff" + "image\tcaption\r\n1.png\ta red bird\r\n2.png\ta blue bird\r\n".encode("utf-16-be"),
    "ids.json": [{"image_id": n, "caption": text} for n, text in enumerate(BIRDS, 1)],
    "metadata.jsonl": "".join(json.dumps(row) + "\n" for row in ROWS),
    "metadata.json": ROWS,
    "lines.json": "".join(json.dumps(row) + "\n" for row in ROWS),
    "by_name.json": {"1.png": BIRDS[0], "2.png": {"caption": BIRDS[1], "tags": "x"}},
    "inside.json": {"version": 1, "data": ROWS},
    "coco.json": {
        "images": [{"id": 4, "file_name": "1.png"}, {"id": 5, "file_name": "2.png"}],
        "annotations": [{"image_id": 4, "caption": BIRDS[0]}, {"image_id": 5, "caption": BIRDS[1]}],
    },
    "dataset.json": {
        "images": [
            {"filename": f"{n}.png", "sentences": [{"raw": text}], "split": "restval"}
            for n, text in enumerate(BIRDS, 1)
        ]
    },
}


@pytest.mark.parametrize("place", ["", "images/", "a/b/"])
@pytest.mark.parametrize("name", TABLES)
def test_a_table_is_read_beside_or_above_its_pictures(tmp_path, name, place):
    write(tmp_path, {f"{place}1.png": 1, f"{place}2.png": 2, name: TABLES[name]})
    assert captions(tmp_path) == {f"{place}1.png": (BIRDS[0],), f"{place}2.png": (BIRDS[1],)}
    assert not check_source(Folder(tmp_path, skip_broken=True)).problems


@pytest.mark.parametrize(
    "table, found",
    [
        ('image\tcaption\n1.png\t"a ""red""\nbird"\n2.png\tb\n', {"1.png": ('a "red"\nbird',), "2.png": ("b",)}),
        ('image\tcaption\n1.png\t"a red\n2.png\tbird"\n', {"1.png": ('"a red',), "2.png": ('bird"',)}),
        ('image\tcaption\n1.png\t"a" red\n2.png\tb\n', {"1.png": ('"a" red',), "2.png": ("b",)}),
        ('image,caption\n1.png,"[\'a, b\', ""it\'s""]"\n2.png,[red] b [1]\n', {"1.png": ("a, b", "it's")}),
    ],
)
def test_quotes_and_lists_in_cells_are_read_where_they_are_those_of_a_program(tmp_path, table, found):
    write(tmp_path, {"1.png": 1, "2.png": 2, "a.tsv": table})
    assert captions(tmp_path) == {"2.png": ("[red] b [1]",)} | found


@pytest.mark.parametrize("name", ["/home/me/images/{}.png", "C:\\me\\images\\{}.png", "https://a.org/images/{}.png"])
def test_paths_of_other_machines_mean_the_pictures_that_they_end_in(tmp_path, name):
    lines = ["image,caption", *(f"{name.format(n)},{text}" for n, text in enumerate(BIRDS, 1))]
    write(tmp_path, {"images/1.png": 1, "images/2.png": 2, "a.csv": "\n".join(lines)})
    assert captions(tmp_path) == {"images/1.png": (BIRDS[0],), "images/2.png": (BIRDS[1],)}


def test_names_may_have_spaces_percent_signs_and_pictographs_or_be_written_as_in_a_url(tmp_path):
    names = {"a b.png": "a b.png", "50%.png": "50%.png", "\N{OWL}.png": "\N{OWL}.png", "c%20d.png": "c%20d.png"}
    names |= {"e f.png": "e%20f.png", "#ü.png": "%23%C3%BC.png"}
    write(tmp_path, {name: n for n, name in enumerate(names)})
    write(tmp_path, {"a.csv": "\n".join(["image,caption", *(f"{name},owl {name}" for name in names.values())])})
    assert captions(tmp_path) == {key: (f"owl {name}",) for key, name in names.items()}


def test_coco_is_read_with_the_annotations_that_it_comes_with_and_its_splits_are_kept_apart(tmp_path):
    for split in ("train2017", "val2017"):
        images = [{"id": 7, "file_name": "1.jpg"}]
        telling = {"images": images, "annotations": [{"image_id": 7, "caption": f"owl of {split}"}]}
        boxes = {"images": images, "annotations": [{"image_id": 7, "bbox": [0, 0, 1, 1]}]}
        write(tmp_path, {f"{split}/1.jpg": len(split), f"annotations/captions_{split}.json": telling})
        write(tmp_path, {f"annotations/instances_{split}.json": boxes})
    assert captions(tmp_path) == {f"{split}/1.jpg": (f"owl of {split}",) for split in ("train2017", "val2017")}
    assert [each.key for each in Folder(tmp_path).examples("test")] == ["val2017/1.jpg"]
    assert not check_source(Folder(tmp_path, skip_broken=True)).problems


def test_laions_pairs_are_read(tmp_path):
    write(tmp_path, {f"00000/{n}.jpg": n for n in range(3)} | {"00000_stats.json": {"count": 3}})
    write(tmp_path, {f"00000/{n}.txt": f"owl {n}" for n in range(3)})
    write(tmp_path, {f"00000/{n}.json": {"caption": f"owl {n}", "url": "x", "status": "success"} for n in range(3)})
    assert captions(tmp_path) == {f"00000/{n}.jpg": (f"owl {n}",) for n in range(3)}
    assert not check_source(Folder(tmp_path, skip_broken=True)).problems


def test_parquet_is_read(tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet", reason="pyarrow is not installed")
    import pyarrow

    write(tmp_path, {"1.png": 1, "2.png": 2})
    parquet.write_table(pyarrow.Table.from_pylist(ROWS), tmp_path / "metadata.parquet")
    assert captions(tmp_path) == {"1.png": (BIRDS[0],), "2.png": (BIRDS[1],)}


@pytest.mark.parametrize(
    "name",
    ["1.txt", "1.TXT", "1.caption", "1.png.txt", "1.json", "captions/1.txt", "text/1.txt"],
)
@pytest.mark.parametrize("folder", ["", "train images/"])
def test_a_caption_file_is_read_beside_its_picture_or_in_a_folder_of_captions(tmp_path, name, folder):
    content = {"caption": BIRDS[0], "width": 40} if name.endswith("json") else BIRDS[0]
    write(tmp_path, {f"{folder}1.png": 1, f"{folder}{name}": content})
    assert captions(tmp_path) == {f"{folder}1.png": (BIRDS[0],)}


def test_folders_of_pictures_and_of_captions_may_lie_beside_each_other(tmp_path):
    files = {f"images/owl/{n}.jpg": n for n in range(2)} | {f"captions/owl/{n}.txt": f"owl {n}" for n in range(2)}
    write(tmp_path, files)
    assert captions(tmp_path) == {f"images/owl/{n}.jpg": (f"owl {n}",) for n in range(2)}


@pytest.mark.parametrize("place", ["text_c10/class_00001", "celeba-caption/x", "a/prompts/b"])
def test_captions_may_lie_in_other_folders_than_the_pictures(tmp_path, place):
    texts = {f"{place}/image_{n}.txt": f"owl {n}" for n in range(2)} | {"captions/other/image_1.txt": "which?"}
    write(tmp_path, {f"jpg/image_{n}.jpg": n for n in range(2)} | texts)
    assert captions(tmp_path, skip_broken=True) == {"jpg/image_0.jpg": ("owl 0",)}
    assert "jpg/image_1.jpg" in refused(tmp_path)


def test_flickr8k_is_read_as_it_is_distributed(tmp_path):
    texts = {f"text/Flickr8k{part}.token.txt": f"1.png#0\ta{part}\n2.png#0\tb\n" for part in ("", ".lemma")}
    write(tmp_path, {"images/1.png": 1, "images/2.png": 2} | texts)
    assert captions(tmp_path) == {"images/1.png": ("a",), "images/2.png": ("b",)}


@pytest.mark.parametrize("train", ["train", "Training", "data/train2014", "images_train"])
@pytest.mark.parametrize("test", ["test", "val", "valid", "validation", "data/val2014", "Test Set"])
def test_folders_named_after_splits_are_kept_apart(tmp_path, train, test):
    pictures = {f"{folder}/owl/{n}.png": n for folder in (train, test) for n in range(3)}
    texts = {f"{folder}/owl/{n}.txt": f"owl {n}" for folder in (train, test) for n in range(3)}
    write(tmp_path, pictures | texts)
    source = Folder(tmp_path)
    assert {each.key for each in source.examples("train")} == {f"{train}/owl/{n}.png" for n in range(3)}
    assert {each.key for each in source.examples("test")} == {f"{test}/owl/{n}.png" for n in range(3)}


ROWS_OF_FOUR = [f"{n}.png,owl {n}" for n in range(4)]
SPLIT = {
    "column": {"a.csv": "image,caption,split\n0.png,a,train\n1.png,b,train\n2.png,c,val\n3.png,d,test\n"},
    "one folder": {"test/2.png": 2, "test/3.png": 3, "a.csv": "\n".join(["image,caption", *ROWS_OF_FOUR])},
    "tables": {
        "captions_train.csv": "\n".join(["image,caption", *ROWS_OF_FOUR[:2]]),
        "captions_val.csv": "\n".join(["image,caption", *ROWS_OF_FOUR[2:]]),
    },
    "lists": {
        "captions.txt": "\n".join(["image,caption", *ROWS_OF_FOUR]),
        "Flickr_8k.trainImages.txt": "0.png\n1.png\n",
        "Flickr_8k.testImages.txt": "2.png\n3.png\n",
    },
}


@pytest.mark.parametrize("kind", SPLIT)
def test_splits_are_told_by_columns_tables_and_lists_too(tmp_path, kind):
    folder = "test/" * (kind == "one folder")
    write(tmp_path, {"0.png": 0, "1.png": 1, f"{folder}2.png": 2, f"{folder}3.png": 3} | SPLIT[kind])
    assert [each.key for each in Folder(tmp_path).examples("train")] == ["0.png", "1.png"]
    assert [each.key for each in Folder(tmp_path).examples("test")] == [f"{folder}2.png", f"{folder}3.png"]


def test_links_are_followed_loops_end_and_what_two_links_lead_to_is_read_once(tmp_path):
    write(tmp_path, {f"store/heron/{n}.png": n for n in range(3)} | {"mine/owl/9.png": 9})
    (tmp_path / "mine" / "heron").symlink_to(tmp_path / "store" / "heron")
    (tmp_path / "mine" / "again").symlink_to(tmp_path / "store" / "heron")
    (tmp_path / "mine" / "owl" / "loop").symlink_to(tmp_path / "mine")
    (tmp_path / "mine" / "gone.png").symlink_to(tmp_path / "nothing.png")
    (tmp_path / "mine" / "itself.png").symlink_to("itself.png")
    (tmp_path / "mine" / "zeros.png").symlink_to("/dev/zero")
    os.mkfifo(tmp_path / "mine" / "metadata.jsonl")
    source = Folder(tmp_path / "mine")
    assert sum(len(source.examples(split)) for split in ("train", "test")) == 4
    assert "links in a loop: 1" in "\n".join(source.findings.notes)
    assert "no file: 2 (metadata.jsonl; zeros.png)" in "\n".join(source.findings.notes)
    assert "links to nothing (2). Received: gone.png; itself.png" in source.findings.left_out[0]


def test_links_from_splits_into_a_store_keep_the_splits(tmp_path):
    write(tmp_path, {f"all/{n}.png": n for n in range(4)} | {f"all/{n}.txt": f"owl {n}" for n in range(4)})
    for split, numbers in (("train", "01"), ("test", "23")):
        (tmp_path / split).mkdir()
        for number in numbers:
            for ending in ("png", "txt"):
                (tmp_path / split / f"{number}.{ending}").symlink_to(tmp_path / "all" / f"{number}.{ending}")
    source = Folder(tmp_path)
    assert [each.key for each in source.examples("train")] == ["train/0.png", "train/1.png"]
    assert [each.key for each in source.examples("test")] == ["test/2.png", "test/3.png"]


@pytest.mark.parametrize("written, on_disk", [("NFC", "NFD"), ("NFD", "NFC")])
def test_names_are_found_in_either_form_of_unicode_and_case(tmp_path, written, on_disk):
    write(tmp_path, {unicodedata.normalize(on_disk, "Übung.JPG"): 0, "B.PNG": 1})
    name = unicodedata.normalize(written, "Übung.jpg")
    write(tmp_path, {"metadata.csv": f"file_name,text\n{name},a red bird\nb.png,a blue bird\n"})
    assert captions(tmp_path) == {"Übung.JPG": (BIRDS[0],), "B.PNG": (BIRDS[1],)}


@pytest.mark.parametrize(
    "ending", "jpg JPEG jpe jfif png apng webp gif bmp dib tif tiff jp2 ico ppm pcx sgi tga avif".split()
)
def test_pictures_of_every_kind_that_pillow_decodes_are_taken(tmp_path, ending):
    kind = Image.registered_extensions().get(f".{ending.lower()}") or "JPEG"
    if kind not in Image.SAVE:
        pytest.skip(f"this Pillow does not write {kind}")
    for number, (color, text) in enumerate(zip(("red", "blue"), BIRDS, strict=True)):
        Image.new("RGB", (32, 32), color).save(tmp_path / f"{number}.{ending}", kind)
        (tmp_path / f"{number}.txt").write_text(text)
    assert captions(tmp_path) == {f"{number}.{ending}": (text,) for number, text in enumerate(BIRDS)}
    assert not check_source(Folder(tmp_path, skip_broken=True)).problems


def test_what_is_left_out_is_counted_and_named_by_kind(tmp_path):
    write(tmp_path, {"1.png": 1, "1.txt": BIRDS[0], "2.heic": b"x", "3.HEIC": b"x", "a.zip": b"x", "b.npz": b"x"})
    write(tmp_path, {".kept/2.png": 2, "._1.png": b"x", "__MACOSX/1.png": 1, "Thumbs.db": b"x"})
    source = Folder(tmp_path)
    source.examples("train")
    told = "\n".join([*source.findings.left_out, *source.findings.notes])
    assert "left out: 2 .heic (2). Received: 2.heic; 3.HEIC. Convert them to JPEG or PNG." in told
    assert "Archives are not unpacked (1). Received: a.zip" in told and "1 .npz" in told
    assert "hidden files and folders: 2 (._1.png; .kept)" in told


@pytest.mark.parametrize(
    "files, reason",
    [
        ({"693b08cb0e.png": 1}, "names say nothing"),
        ({"n02119789/n02119789_12.png": 1}, "names say nothing"),
        ({"a/0f3b2a1c-12ab-4cde-8f00-0123456789ab.png": 1}, "names say nothing"),
        ({"1.tar": b"x"}, "Unpack them. Put"),
        ({"owl/1.png": 1, "notes.txt": "of something else"}, "notes.txt"),
        ({"owl/1.png": 1, "labels.json": {"a": 1}}, "labels.json"),
        ({"owl/1.png": 1, "book.xlsx": b"x"}, "book.xlsx"),
        ({"owl/1.png": 1, "captions.md": "1.png | red"}, "captions.md"),
        ({"owl/1.png": 1, "captions.csv.gz": b"x"}, "captions.csv.gz"),
        ({"owl/1.png": 1, "a.csv": "image,caption\nowl/1.png,red\n".encode("utf-16-le")}, "save the file as UTF-8"),
        ({"1.png": 1, "a.csv": "image,caption\n/etc/hostname,red\n"}, "leads out of the folder"),
        ({"1.png": 1, "metadata.jsonl": '{"file_name": "1.png", "tags": "red"}'}, "among its keys file_name, tags"),
        ({"1.png": 1, "t.csv": "bild,was\n1.png,rot\n"}, "it is 'bild,was'"),
        ({"a/1.png": 1, "b/1.png": 2, "t.csv": "image,caption\n1.png,red\n"}, "may be a/1.png or b/1.png"),
        ({"1.png": 1, "t.csv": "image,caption\n1.jpg,red\n"}, "1.jpg (there is 1.png)"),
        ({"1.png": 1, "metadata.csv": "file_name,text\n1.png,a red, bird\n"}, "line 2: 3 columns"),
        ({"1.png": 1, "a.csv": "image,caption\n1.png,red\n", "b.csv": "image,caption\n1.png,blue\n"}, "Keep one"),
        ({"1.png": 1, "1.txt": "", "2.png": 2, "2.txt": "a", "3.png": 3, "3.txt": " \n"}, "1.txt; 3.txt"),
        ({"1.png": 1, "1.txt": "a", "2.png": 2}, "--skip_broken"),
        ({"a/1.png": 1, "b/1.png": 2, "captions/1.txt": "a"}, "several folders"),
    ],
)
def test_what_cannot_be_meant_is_refused_and_named(tmp_path, files, reason):
    write(tmp_path, files)
    assert reason in refused(tmp_path)


def test_pictures_without_captions_are_left_out_on_demand_and_the_check_goes_on(tmp_path):
    write(tmp_path, {f"{n}.png": n for n in range(5)} | {f"{n}.txt": f"owl {n}" if n % 2 else "" for n in range(4)})
    assert captions(tmp_path, skip_broken=True) == {"1.png": ("owl 1",), "3.png": ("owl 3",)}
    problems = check_source(Folder(tmp_path, skip_broken=True)).problems
    assert ["empty (2)" in problems[0], "no text file" in problems[1]] == [True, True] and len(problems) == 2


@pytest.mark.parametrize(
    "row, problem", [("{n}.png,a bird,{n}", "the same caption"), ("{n}.png,bird {n},owl", "one label")]
)
def test_one_caption_or_one_label_for_all_is_a_problem(tmp_path, row, problem):
    write(tmp_path, {f"{n}.png": n for n in range(4)})
    write(tmp_path, {"a.csv": "\n".join(["image,caption,label", *(row.format(n=n) for n in range(4))])})
    assert sum(problem in line for line in check_source(Folder(tmp_path, skip_broken=True)).problems) == 1
    assert {example.class_id for example in Folder(tmp_path).examples("train")} <= (
        {-1} if problem == "one label" else {0, 1, 2, 3}
    )


@pytest.mark.parametrize("folder, use", [("", "test and score"), ("train/", "test and score"), ("test/", "train")])
def test_nothing_to_train_or_to_test_with_is_a_problem(tmp_path, folder, use):
    write(tmp_path, {f"{folder}1.png": 1, f"{folder}1.txt": BIRDS[0]})
    (problem,) = check_source(Folder(tmp_path, skip_broken=True)).problems
    assert f"There is nothing to {use} with. Found: 1 pictures in all" in problem


def test_a_set_smaller_than_a_batch_is_told_with_what_to_do(tmp_path):
    write(tmp_path, {f"{n}.png": n for n in range(4)} | {f"{n}.txt": f"owl {n}" for n in range(4)})
    assert any("--batch_size" in advice for advice in check_source(Folder(tmp_path, skip_broken=True)).advice)


def test_letters_of_all_scripts_are_words_of_a_folder(tmp_path):
    write(tmp_path, {"1.png": 1, "1.txt": "ein großer grüner Vogel", "2.png": 2, "2.txt": "一只红色的鸟"})
    report = check_source(Folder(tmp_path, skip_broken=True))
    assert not report.problems
    wordless, _, lost = check_source(Folder(tmp_path, skip_broken=True, tokenizer="published")).problems
    assert "2.png: There is no caption with a word" in wordless
    assert "the published tokenizer drops (1)" in lost and "--tokenizer=unicode" in lost


HARD = {
    "hf_splits": (6, 2),
    "flickr8k": (5, 1),
    "kohya": (4, 1),
    "links_half": (7, 1),
    "endings": (6, 1),
    "png_text": (4, 1),
    "nfd": (2, 1),
    "other_case": (1, 1),
    "one_label": (36, 4),
    "csv_commas": "line 2",
    "empty_txt3": "1.txt; 3.txt; 5.txt",
}


@pytest.mark.parametrize("name", HARD)
def test_the_shared_hard_inputs(shared_data, name):
    folder = shared_data / "hard_inputs" / name
    if isinstance(HARD[name], str):
        assert HARD[name] in refused(folder)
    else:
        assert tuple(len(Folder(folder).examples(split)) for split in ("train", "test")) == HARD[name]
