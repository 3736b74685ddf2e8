"""Files that tell the captions of many pictures: CSV and its kin, JSON, JSON lines, Parquet.

What columns and keys are called in the data sets that circulate is in `NAMES`, `CAPTIONS`, `LABELS` and `SPLITS`.
"""

from __future__ import annotations

import ast
import contextlib
import csv
import dataclasses
import io
import json
import pathlib
import re
import typing
from collections.abc import Callable, Iterable, Iterator, Sequence

from ssagan_tf.data.reading import path_problem, read_bytes
from ssagan_tf.errors import UserError

MAX_BYTES = 2**30
NAMES = tuple(
    "file_name filename file_names file name image image_name image_file image_file_name image_filename image_path "
    "img_name img_path filepath file_path path img picture picture_name photo image_id key name".split()
)
CAPTIONS = ("text", "caption", "captions", "texts", "sentences", "sentence", "raw", "description", "descriptions") + (
    *(
        "comment",
        "comments",
        "prompt",
        "prompts",
        "title",
        "alt_text",
        "alt",
        "caption_text",
        "raw_caption",
        "image_caption",
    ),
)
LABELS = ("label", "class", "category", "class_name", "label_name")
SPLITS = ("split", "set", "subset", "partition")
_DELIMITERS = ("\t", "|", ";", ",")
_COUNTED = re.compile(r"^(.+)#\d+$")  # "1000268201.jpg#0": the first caption of that picture
OTHER_ANNOTATIONS = "its annotations are no captions"  # COCO's instances, which come with its captions
_NO_HEADER = "the first line must name the columns file_name and text"


@dataclasses.dataclass(frozen=True)
class Row:
    """What one line says of a picture: `name` as it is written, captions, label, split, and where it stands."""

    name: str
    captions: list[str]
    label: str | None
    split: str | None
    place: str


@dataclasses.dataclass
class Table:
    """What was read of a file.

    Attributes:
        rows: of pictures.
        names: of a list of file names without captions, which tells a split.
        problems: bad lines, each with its place.
        read: which columns were read and which not.
        reason: why it is no table of captions, or None.
    """

    rows: list[Row] = dataclasses.field(default_factory=list)
    names: list[str] = dataclasses.field(default_factory=list)
    problems: list[str] = dataclasses.field(default_factory=list)
    read: str = ""
    reason: str | None = None


class _BadRow(Exception):
    """What is wrong with one line."""


class _NoTable(Exception):
    """Why a file tells no captions."""


def read_table(path: pathlib.Path, is_name: Callable[[str], bool]) -> Table:
    """Reads a file of captions, whatever its format.

    Args:
        path: the file.
        is_name: whether a text names a picture: what tells a file without a header from other text.
    """
    table = Table()
    try:
        _fill(table, path, is_name)
    except (_NoTable, UserError) as error:
        table.reason = str(error).split(". Received:")[0]
    return table


def captions_of(value: object) -> list[str]:
    """The captions of a JSON value: a text, a list of texts, or of objects with one. Raises _BadRow."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, dict):
        found = next((value[key] for key in value if _plain(str(key)) in CAPTIONS), None)
        return captions_of(found) if isinstance(found, str | list) else _bad("no text, caption or captions")
    if not isinstance(value, list) or not all(isinstance(each, str | dict) for each in value):
        _bad("text must be text, captions a list of texts")
    return [caption for each in value for caption in captions_of(each)]


def read_sidecar(path: pathlib.Path) -> list[str] | None:
    """The captions of a JSON file beside a picture, or None if it says none. Raises UserError if it cannot be read."""
    try:
        return captions_of(json.loads(read_bytes(path, MAX_BYTES)))
    except (ValueError, RecursionError, _BadRow):
        return None


def _bad(reason: str) -> typing.NoReturn:
    raise _BadRow(reason)


def _fill(table: Table, path: pathlib.Path, is_name: Callable[[str], bool]) -> None:
    ending = path.suffix.lower()
    if ending == ".parquet":
        return _add_objects(table, enumerate(_parquet(path), start=1), "row")
    text = _text(path)
    if ending in (".jsonl", ".ndjson"):
        return _add_objects(table, _json_lines(text), "line")
    if ending == ".json":
        return _read_json(table, text)
    return _read_delimited(table, text, is_name, ending)


def _text(path: pathlib.Path) -> str:
    data = read_bytes(path, MAX_BYTES)
    encoding = "utf-16" if data.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8-sig"
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise _NoTable(f"line {line} is not UTF-8; save the file as UTF-8") from error
    if "\0" in text:
        raise _NoTable("it has NULs, as UTF-16 without its mark has; save the file as UTF-8")
    if not text.strip():
        raise _NoTable("it is empty; write a line for each picture")
    return text


# === JSON ===


def _json_lines(text: str) -> Iterator[tuple[int, object]]:
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            try:
                yield number, json.loads(line)
            except (ValueError, RecursionError):
                yield number, _BadRow("no JSON")


def _read_json(table: Table, text: str) -> None:
    try:
        content = json.loads(text)
    except RecursionError as error:
        raise _NoTable("it is no JSON") from error
    except ValueError as error:
        if "\n" in text.strip():  # one object a line, in a file with the other ending
            rows = list(_json_lines(text))
            if not any(isinstance(row, _BadRow) for _, row in rows):
                return _add_objects(table, rows, "line")
        raise _NoTable(f"it is no JSON ({error})") from error
    _add_objects(table, enumerate(_objects(content), start=1), "entry")


def _objects(content: object) -> Sequence[object]:
    """The rows of a JSON file: a list, COCO's, a list within an object, or captions by file name."""
    if isinstance(content, list):
        return content
    if not isinstance(content, dict):
        raise _NoTable("it holds no list of objects with file_name and text")
    images, annotations = content.get("images"), content.get("annotations")
    if isinstance(images, list) and isinstance(annotations, list):
        return _coco(images, annotations)
    lists = [value for value in content.values() if isinstance(value, list) and value and isinstance(value[0], dict)]
    if len(lists) == 1:
        return lists[0]
    rows = [{"file_name": n, "captions": value} | (_other(value)) for n, value in content.items()]
    if not rows or not all(isinstance(row["captions"], str | list | dict) for row in rows):
        raise _NoTable("it holds no list of objects with file_name and text")
    return rows


def _other(value: object) -> dict:
    return {key: value[key] for key in (*LABELS, *SPLITS) if key in value} if isinstance(value, dict) else {}


def _coco(images: list, annotations: list) -> list[object]:
    try:
        texts: dict[object, list[str]] = {image["id"]: [] for image in images}
        for annotation in annotations:
            texts[annotation["image_id"]].append(annotation["caption"])
        return [
            {"file_name": image["file_name"], "captions": texts[image["id"]]} for image in images if texts[image["id"]]
        ]
    except (TypeError, KeyError) as error:
        if all(isinstance(each, dict) and "caption" not in each for each in annotations):
            raise _NoTable(OTHER_ANNOTATIONS) from error
        raise _NoTable(f"its images and annotations are not those of COCO captions ({error})") from error


def _parquet(path: pathlib.Path) -> list[object]:
    try:
        import pyarrow.parquet as parquet
    except ImportError as error:
        raise _NoTable(f"it needs pyarrow ({error}): do pip install -U pyarrow, or save it as CSV") from error
    try:
        rows = parquet.read_table(path).to_pylist()
    except Exception as error:  # What a damaged file raises is no closed list.
        raise _NoTable(f"it is no Parquet file ({' '.join(str(error).split())[:100]})") from error
    inside = [value for row in rows[:1] for value in row.values() if isinstance(value, bytes | dict)]
    if inside:
        raise _NoTable("it holds the pictures themselves; write them out as files")
    return rows


def _add_objects(table: Table, rows: Iterable[tuple[int, object]], unit: str) -> None:
    read, unread = dict[str, None](), dict[str, None]()
    for number, row in rows:
        place = f"{unit} {number}"
        try:
            if isinstance(row, _BadRow):
                raise row
            if not isinstance(row, dict):
                _bad("no object with file_name and text or captions")
            values, used = _fields(row)
            read |= dict.fromkeys(used)
            unread |= dict.fromkeys(str(key) for key in row if key not in used)
            if values[1] is None:
                _bad(f"text must be text, and there is none among its keys {', '.join(map(str, row))}"[:200])
            table.rows.append(_checked(*values, place))
        except _BadRow as bad:
            table.problems.append(f"{place}: {bad}")
    if not table.rows and not table.problems:
        raise _NoTable("it is empty; write a line for each picture")
    if not table.rows and not read:
        raise _NoTable(f"{table.problems[0]}; its keys must be file_name and text")
    table.read = _told(read, unread)


def _fields(row: dict) -> tuple[tuple[object, object, object, object], list[str]]:
    """Name, captions, label and split of an object, and the keys that they have there."""
    plain = {_plain(str(key)): key for key in reversed(row)}
    name, label, split = (next((plain[k] for k in keys if k in plain), None) for keys in (NAMES, LABELS, SPLITS))
    texts = [key for p, key in reversed(plain.items()) if _is_caption(p) and row[key] is not None]
    values = [row[key] for key in texts]
    captions = values[0] if len(values) == 1 else [each for value in values for each in captions_of(value)] or None
    used = [key for key in (name, *texts, label, split) if key is not None]
    called = row.get(name)
    if type(called) is int and _plain(str(name)) == "image_id":
        called = str(called)
    return (called, captions, row.get(label), row.get(split)), used


def _checked(name: object, captions: object, label: object, split: object, place: str) -> Row:
    """A row whose values are what they must be. Raises _BadRow."""
    if not isinstance(name, str):
        _bad("file_name is missing or no text")
    name = name.replace("\\", "/")  # as Windows writes paths
    if problem := path_problem(name.lstrip("/") or name):
        _bad(problem)
    if label is not None and not isinstance(label, str | int):
        _bad("label must be text or a whole number")
    texts = captions_of(captions)
    return Row(
        name, texts, None if label in (None, "") else str(label), split if isinstance(split, str) else None, place
    )


# === Delimited ===


def _read_delimited(table: Table, text: str, is_name: Callable[[str], bool], ending: str) -> None:
    lines = re.split(r"\r\n|\r|\n", text)
    start = 0
    delimiters: tuple[str, ...] = _DELIMITERS
    if lines[0].lower().startswith("sep=") and lines[0][4:].strip('"') in _DELIMITERS:  # Excel's
        start, delimiters = 1, (lines[0][4:].strip('"'),)
    first = next((number for number in range(start, len(lines)) if lines[number].strip()), None)
    if first is None:
        raise _NoTable("it is empty; write a line for each picture")
    for delimiter in delimiters:
        header = _cells(lines[first], delimiter)
        columns = _columns(header)
        if columns:
            return _add_rows(table, text, first + 1, delimiter, header, columns)
    for delimiter in delimiters:
        cells = _cells(lines[first], delimiter)
        if 2 <= len(cells) <= 3 and is_name(_uncounted(cells[0])) and not (len(cells) == 3 and not cells[1].isdigit()):
            columns = {"name": [0], "captions": [len(cells) - 1], "label": [], "split": []}
            return _add_rows(table, text, first, delimiter, [""] * len(cells), columns)
    listed = [line.strip() for line in lines if line.strip()]
    if ending == ".txt" and all(map(is_name, listed)):
        table.names = listed
        return
    raise _NoTable(f"{_NO_HEADER}, and it is {lines[first].strip()[:80]!r}")


def _columns(header: list[str]) -> dict[str, list[int]] | None:
    """Where a header has names, captions, labels and splits; None: it has no names or no captions."""
    plain = [_plain(cell) for cell in header]
    name = next((plain.index(each) for each in NAMES if each in plain), None)
    captions = [index for index, each in enumerate(plain) if _is_caption(each)]
    if name is None or not captions:
        return None
    label, split = ([plain.index(each) for each in keys if each in plain][:1] for keys in (LABELS, SPLITS))
    return {"name": [name], "captions": captions, "label": label, "split": split}


def _add_rows(
    table: Table, text: str, skipped: int, delimiter: str, header: list[str], columns: dict[str, list[int]]
) -> None:
    """Rows below `skipped` lines; one with more or fewer cells than the header is a problem."""
    needed = 1 + max(columns["name"] + columns["captions"])
    for number, cells in _rows(text, delimiter):
        if isinstance(cells, str):
            table.problems.append(f"line {number}: {cells}")
        elif number > skipped and any(cell.strip() for cell in cells):
            try:
                table.rows.append(_row(cells, header, columns, needed, delimiter, f"line {number}"))
            except _BadRow as bad:
                table.problems.append(f"line {number}: {bad}")
    if not table.rows and not table.problems:
        raise _NoTable("it is empty; write a line for each picture")
    used = sorted(index for places in columns.values() for index in places)
    if any(header):
        table.read = _told([header[i] for i in used], [cell for i, cell in enumerate(header) if i not in used])


def _row(cells: list[str], header: list[str], columns: dict, needed: int, delimiter: str, place: str) -> Row:
    if len(cells) > len(header) and any(cell.strip() for cell in cells[len(header) :]):
        _bad(
            f"{len(cells)} columns where there must be {len(header)}: put double quotes around captions with "
            f"{delimiter!r} in them"
        )
    if len(cells) < needed:
        _bad(f"{len(cells)} columns where there must be {len(header)}: text must be text")
    cells = cells + [""] * (len(header) - len(cells))  # a label or split at the end may be left out
    name, label, split = (cells[columns[each][0]] if columns[each] else None for each in ("name", "label", "split"))
    captions = [text for index in columns["captions"] if (cell := cells[index]).strip() for text in _listed(cell)]
    return _checked(_uncounted(str(name).strip()), captions, label, split, place)


def _rows(text: str, delimiter: str) -> Iterator[tuple[int, list[str] | str]]:
    """Line number and cells of each row; or, in the end, what is wrong."""
    if delimiter in "\t|" and not _is_quoted(text, delimiter):
        for number, line in enumerate(re.split(r"\r\n|\r|\n", text), start=1):
            yield number, _cells(line, delimiter)
        return
    quote = "'" if _single_quoted(text, delimiter) else '"'
    file = io.StringIO(text, newline="")
    reader = csv.reader(file, delimiter=delimiter, quotechar=quote, strict=True, skipinitialspace=True)
    try:
        for cells in reader:
            yield reader.line_num, cells
    except csv.Error as error:
        yield reader.line_num, f"no CSV ({error})"


def _is_quoted(text: str, delimiter: str) -> bool:
    """Whether quotes are those of CSV; in most files with other delimiters they are marks of the text."""
    if '"' not in text:
        return False
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True, skipinitialspace=True)
    try:
        return not any(delimiter in cell and re.search(r"[\r\n]", cell) for cells in rows for cell in cells)
    except csv.Error:
        return False


def _single_quoted(text: str, delimiter: str) -> bool:
    """Whether the cells below the header stand in single quotes, as some databases write them."""
    lines = [line for line in re.split(r"[\r\n]+", text) if line.strip()][1:]
    return bool(lines) and all(re.fullmatch(rf"\s*'.*'\s*{re.escape(delimiter)}.*'\s*", line) for line in lines)


def _listed(cell: str) -> list[str]:
    """The texts of a cell: more than one where it is a list as JSON or Python write it."""
    if cell.startswith("[") and cell.endswith("]"):
        for read in (json.loads, ast.literal_eval):
            with contextlib.suppress(ValueError, SyntaxError, RecursionError, MemoryError):
                found = read(cell)
                if found and isinstance(found, list) and all(isinstance(each, str) for each in found):
                    return found
    return [cell]


def _cells(line: str, delimiter: str) -> list[str]:
    cells = [cell.strip() for cell in line.split(delimiter)]
    quoted = re.compile(r'"(.*)"')
    return [match[1].replace('""', '"') if (match := quoted.fullmatch(cell)) else cell for cell in cells]


def _uncounted(name: str) -> str:
    match = _COUNTED.match(name)
    return match[1] if match else name


def _plain(name: str) -> str:
    return re.sub(r"[\s\-.]+", "_", name.strip().strip("\ufeff\"'").casefold())


def _is_caption(name: str) -> bool:
    """A caption's column: its name, or one of several with numbers, such as caption_1."""
    return name in CAPTIONS or re.sub(r"_?\d+$", "", name) in CAPTIONS


def _told(read: Iterable[str], unread: Iterable[str]) -> str:
    rest = ", ".join(unread)
    return f"read {', '.join(read)}" + (f"; not read: {rest}" if rest else "")
