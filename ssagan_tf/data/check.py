"""Checks a data set: reports its contents and its problems, each with a repair."""

from __future__ import annotations

import collections
import dataclasses
import hashlib
import os
from collections.abc import Iterable, Iterator, Sequence

from ssagan_tf.core.progress import Bar
from ssagan_tf.data import records
from ssagan_tf.data.decoding import decode_picture
from ssagan_tf.data.near_duplicates import Looks, alike, looks_of
from ssagan_tf.data.reading import lost_in
from ssagan_tf.data.source import SPLITS, Example, Source, some
from ssagan_tf.errors import UserError
from ssagan_tf.text.tokenizer import lost_characters, tokenize

ODD_ASPECT, SMALLEST, FEW = 3, 48, 2000
USUAL_BATCH = 24  # of the presets; the smallest takes 4
SMALL_SET = " Give a --batch_size that is not larger: else a batch has pictures twice, as negatives of themselves."
MOST_ALIKE, FEW_LOST = 0.9, 0.01  # shares of the pictures, of the captions
MAX_WORDS = 18  # what the published model reads of a caption


@dataclasses.dataclass
class Report:
    """What was found.

    Attributes:
        facts: one line each, in good and bad data sets alike.
        problems: one line each: what is wrong, what was found, what to do.
        advice: one line each: what trains, but could be better, and how.
    """

    facts: list[str] = dataclasses.field(default_factory=list)
    problems: list[str] = dataclasses.field(default_factory=list)
    advice: list[str] = dataclasses.field(default_factory=list)

    def text(self) -> str:
        """The report as it is printed."""
        found = [f"problem: {problem}" for problem in self.problems] or ["No problems were found."]
        return "\n".join([*self.facts, "", *found, *(f"advice: {advice}" for advice in self.advice)])


@dataclasses.dataclass(frozen=True)
class _Seen:
    """One example as the doctor sees it; of the picture either size and hash, or what is wrong with it."""

    split: str
    key: str
    captions: tuple[str, ...]
    class_id: int
    wordless: int
    size: tuple[int, int] = (0, 0)
    picture: str = ""
    looks: Looks | None = None
    broken: str = ""


def check_source(source: Source, progress: bool = False) -> Report:
    """Looks at every picture and caption of a source (open it with `skip_broken`, to be told of all that is missing).

    What is broken is reported, not raised.
    """
    report = Report()
    examples = {}
    for split in SPLITS:
        try:
            examples[split] = source.examples(split)
        except UserError as error:  # of the whole data set, if both splits say the same
            report.problems += [] if str(error) in report.problems else [str(error)]
    report.facts += source.findings.notes
    found = [*source.findings.problems, *source.findings.left_out]
    report.problems += [problem for problem in found if not any(problem in said for said in report.problems)]
    with Bar(sum(map(len, examples.values())), "pictures", progress) as bar:
        seen = list(_look(examples, bar))
    _check_splits({split: len(listed) for split, listed in examples.items()}, report)
    known = source.vocabulary() if examples else None
    _judge(source.name, known.tokenizer if known else source.tokenizer, seen, report)
    return report


def check_prepared(folder: str | os.PathLike, progress: bool = False) -> Report:
    """Looks at every record of a prepared folder, and at the shards' checksums.

    Raises:
        UserError: it is no prepared folder, or a shard is missing or cut.
    """
    prepared = records.open_prepared(folder)
    report = Report()
    damaged = records.verify(prepared)
    if damaged:
        report.problems.append(
            f"Shards are not as they were written ({len(damaged):,}). Found: {some(damaged)}. "
            "Delete them and run prepare_data.py as before: it writes only what is missing."
        )
    _check_splits({split: prepared.examples(split) for split in SPLITS}, report)
    with Bar(sum(map(prepared.examples, SPLITS)), "pictures", progress) as bar:
        seen = list(_look_at_records(prepared, set(damaged), bar))
    try:
        vocabulary = prepared.vocabulary()
        report.facts.append(f"{records.VOCABULARY}: {len(vocabulary):,} words with the padding")
        tokenizer = vocabulary.tokenizer
    except UserError as error:
        report.problems.append(f"{error} Or delete it and run prepare_data.py as before.")
        tokenizer = "unicode"
    _judge(prepared.name, tokenizer, seen, report)
    _check_sizes(prepared, seen, report)
    if left_out := prepared.left_out():
        report.facts.append(f"left out as broken when prepared: {len(left_out):,} ({some(left_out)})")
    return report


def _look(examples: dict[str, Sequence[Example]], bar: records.Bar) -> Iterator[_Seen]:
    for split, listed in examples.items():
        for example in listed:
            seen = _Seen(split, example.key, example.captions, example.class_id, example.wordless)
            try:
                image = example.load()
                yield dataclasses.replace(seen, size=image.size, picture=_hash(image), looks=looks_of(image))
            except UserError as error:
                yield dataclasses.replace(seen, broken=str(error).split(". Received:")[0])
            bar.step()


def _look_at_records(prepared: records.Prepared, damaged: set[str], bar: records.Bar) -> Iterator[_Seen]:
    import tensorflow as tf

    for shard in prepared.shards:
        if shard.file in damaged:
            continue
        for record in tf.data.TFRecordDataset(str(prepared.folder / shard.file)).as_numpy_iterator():
            yield _read_record(record, shard)
            bar.step()


def _read_record(record: bytes, shard: records.Shard) -> _Seen:
    import tensorflow as tf

    values = tf.train.Example.FromString(record).features.feature
    key = values[records.KEY].bytes_list.value[0].decode()
    captions = tuple(text.decode() for text in values[records.CAPTIONS].bytes_list.value)
    image = decode_picture(values[records.IMAGE].bytes_list.value[0], key)
    label = values[records.LABEL].int64_list.value[0]
    return _Seen(shard.split, key, captions, label, 0, image.size, _hash(image), looks_of(image))


def _hash(image) -> str:
    return hashlib.sha256(repr(image.size).encode() + image.tobytes()).hexdigest()


def _judge(name: str, tokenizer: str, seen: list[_Seen], report: Report) -> None:
    for split in SPLITS:
        _describe_split(split, [one for one in seen if one.split == split], report)
    sizes = sorted((min(one.size), one.size) for one in seen if one.picture)
    if sizes:
        (_, (width, height)), (_, (wide, high)) = sizes[0], sizes[-1]
        report.facts.append(f"pictures: from {width} x {height} to {wide} x {high} pixels by their short side")
    _describe_words(tokenizer, seen, report)
    _check_pictures(seen, report)
    _check_captions(name, tokenizer, seen, report)
    _check_variety(tokenizer, seen, report)
    _check_characters(tokenizer, seen, report)
    _check_leaks(name, seen, report)
    _advise(tokenizer, seen, report)


def _describe_split(split: str, seen: list[_Seen], report: Report) -> None:
    counts = [len(one.captions) for one in seen]
    if not counts:
        report.facts.append(f"{split}: nothing")
        return
    classes = len({one.class_id for one in seen} - {-1})
    report.facts.append(
        f"{split}: {len(seen):,} pictures, {sum(counts):,} captions ({min(counts)} to {max(counts)} a picture, "
        f"{sum(counts) / len(counts):.1f} on average), {f'{classes:,}' if classes else 'no'} classes"
    )


def _check_splits(counts: dict[str, int], report: Report) -> None:
    """Nothing to train with, or nothing to test with, so that no score can be measured; of splits that are listed."""
    for split, use in (("train", "train"), ("test", "test and score")):
        if any(counts.values()) and counts.get(split) == 0:
            report.problems.append(
                f"There is nothing to {use} with. Found: {sum(counts.values()):,} pictures in all, none of them in "
                f"{split}. Add pictures; folders named test, val and the like are for testing alone."
            )


def _describe_words(tokenizer: str, seen: list[_Seen], report: Report) -> None:
    words = {split: collections.Counter[str]() for split in SPLITS}
    lengths = []
    for one in seen:
        for caption in one.captions:
            tokens = tokenize(caption, tokenizer)
            words[one.split].update(tokens)
            lengths.append(len(tokens))
    if not lengths:
        return
    once = sum(count == 1 for count in words["train"].values())
    unknown = len(words["test"].keys() - words["train"].keys())
    report.facts += [
        f"vocabulary: {len(words['train']):,} words in training captions, {once:,} of them seen once; "
        f"{unknown:,} words only in test captions",
        f"captions: {sum(lengths) / len(lengths):.1f} words on average, the longest {max(lengths):,}; "
        f"{100 * sum(length > MAX_WORDS for length in lengths) / len(lengths):.1f} % longer than {MAX_WORDS} words, "
        f"of which a training step sees {MAX_WORDS} at random",
    ]


def _check_pictures(seen: list[_Seen], report: Report) -> None:
    broken = [f"{one.key}: {one.broken}" for one in seen if one.broken]
    if broken:
        report.problems.append(
            f"Pictures cannot be read ({len(broken):,}). Found: {some(broken)}. "
            "Replace them, or leave them out with `prepare_data.py --skip_broken`."
        )
    twice = _several(((one.split, one.picture), one) for one in seen if one.picture)
    if twice:
        report.facts.append(f"pictures that occur more than once within a split: {len(twice):,} ({some(twice)})")


def _check_captions(name: str, tokenizer: str, seen: list[_Seen], report: Report) -> None:
    wordless = [one.key for one in seen if one.wordless or not all(tokenize(text, tokenizer) for text in one.captions)]
    if wordless:
        report.problems.append(
            f"Pictures have captions without a word ({len(wordless):,}). Found: {some(wordless)}. "
            "They are left out; write something there, or remove the lines."
        )
    usual = collections.Counter(len(one.captions) for one in seen).most_common(1)[0][0] if seen else 0
    fewer = [f"{one.key}: {len(one.captions)}" for one in seen if len(one.captions) < usual]
    if fewer and name == "cub":
        report.problems.append(
            f"Pictures have fewer than the usual {usual} captions ({len(fewer):,}). Found: {some(fewer)}. "
            "Get their text files anew."
        )
    elif fewer:
        report.facts.append(f"pictures with fewer than {usual} captions: {len(fewer):,} ({some(fewer)})")


def _check_variety(tokenizer: str, seen: list[_Seen], report: Report) -> None:
    """One caption, or one class, for nearly all pictures: there is nothing to tell them apart by."""
    train = [one for one in seen if one.split == "train"]
    texts = collections.Counter(frozenset(" ".join(tokenize(t, tokenizer)) for t in one.captions) for one in train)
    told = collections.Counter({"; ".join(sorted(each)): count for each, count in texts.items()})
    classes = collections.Counter(str(one.class_id) for one in train if one.class_id >= 0)
    for what, counts, repair in (
        ("caption", told, "A model learns nothing from it; write what tells the pictures apart."),
        ("label", classes, "Pictures of one label are no negatives of each other; label them finer, or leave it out."),
    ):
        value, count = counts.most_common(1)[0] if counts else ("", 0)
        if len(train) > 1 and count > MOST_ALIKE * len(train):
            every = "All pictures" if count == len(train) else f"{count:,} of {len(train):,} pictures to train with"
            report.problems.append(f"{every} have the same {what}. Found: {value[:80]!r}. {repair}")


def _check_characters(tokenizer: str, seen: list[_Seen], report: Report) -> None:
    captions = [text for one in seen for text in one.captions]
    lost = [text for text in captions if lost_characters(text, tokenizer)]
    if told := lost_in(lost, tokenizer):
        what = f"Captions have characters that the {tokenizer} tokenizer drops {told}."
        letters = any(lost_characters(text, tokenizer) != lost_characters(text, "unicode") for text in lost)
        repair = "Prepare with --tokenizer=unicode." if letters else "Say the same in words."
        found = report.problems if letters and len(lost) > FEW_LOST * len(captions) else report.advice
        found.append(f"{what.replace('Received', 'Found')} {repair}")


def _check_leaks(name: str, seen: list[_Seen], report: Report) -> None:
    leaks = {
        "keys": _in_both((one.key, one) for one in seen),
        "pictures": _in_both((one.picture, one) for one in seen if one.picture),
    }
    if name == "cub":
        leaks["classes"] = _in_both((one.class_id, one) for one in seen)
    for what, keys in leaks.items():
        if keys:
            report.problems.append(
                f"Test {what} occur in training too ({len(keys):,}). Found: {some(keys)}. "
                "Remove them from one of the two, or scores on the test split will be too good."
            )


def _groups(pairs: Iterable[tuple[object, _Seen]]) -> list[list[_Seen]]:
    groups = collections.defaultdict(list)
    for value, one in pairs:
        groups[value].append(one)
    return list(groups.values())


def _in_both(pairs: Iterable[tuple[object, _Seen]]) -> list[str]:
    """A key for each value that occurs in both splits."""
    return [group[0].key for group in _groups(pairs) if len({one.split for one in group}) > 1]


def _several(pairs: Iterable[tuple[object, _Seen]]) -> list[str]:
    """Keys of what occurs more than once."""
    return [" = ".join(one.key for one in group[:3]) for group in _groups(pairs) if len(group) > 1]


def _advise(tokenizer: str, seen: list[_Seen], report: Report) -> None:
    whole = [one for one in seen if one.looks is not None]
    pairs = [(whole[i], whole[j]) for i, j in alike([one.looks for one in whole if one.looks is not None])]
    near = [(one, other) for one, other in pairs if one.picture != other.picture]
    if near:
        across = sum(one.split != other.split for one, other in near)
        report.advice.append(
            f"Pictures look alike ({len(near):,}, {across:,} of them in training and testing). Found: "
            f"{some([f'{one.key} ~ {other.key}' for one, other in near])}. Keep one of each, or give all of a kind to "
            "one split: the discriminator overfits repeated pictures, and test pictures leak into training."
        )
    odd = [f"{one.key}: {one.size[0]} x {one.size[1]}" for one in whole if max(one.size) > ODD_ASPECT * min(one.size)]
    if odd:
        report.advice.append(
            f"Pictures are much longer than wide, or wider than long ({len(odd):,}). Found: {some(odd)}. Crop them to "
            "what their captions speak of: training cuts squares out of them."
        )
    small = [f"{one.key}: {one.size[0]} x {one.size[1]}" for one in whole if min(one.size) < SMALLEST]
    if small:
        report.advice.append(
            f"Pictures have less than {SMALLEST} pixels ({len(small):,}). Found: {some(small)}. They are blown up; "
            "find larger ones, or leave them out."
        )
    train = [one for one in seen if one.split == "train"]
    captions = [caption for one in train for caption in one.captions]
    if train and len(captions) < 2 * len(train):
        report.advice.append(
            f"There are few captions. Found: {len(captions) / len(train):.1f} for a picture. Write a second and a "
            "third in other words: a picture is then more than one sentence to the text encoder."
        )
    if 0 < len(train) < FEW:
        report.advice.append(
            f"There are few pictures. Found: {len(train):,} to train with. Go on from a trained model with --from, and "
            "use --augment=adaptive." + SMALL_SET * (len(train) < USUAL_BATCH)
        )
    words = collections.Counter(word for caption in captions for word in tokenize(caption, tokenizer))
    once = [word for word, count in words.items() if count == 1]
    if len(once) > len(words) / 4:
        report.advice.append(
            f"Many words are seen once ({len(once):,} of {len(words):,}). Found: {some(once)}. Nothing is learnt of "
            "them; use usual words for them, or start from --word_vectors or --text_encoder=hub:FOLDER."
        )


def _check_sizes(prepared: records.Prepared, seen: list[_Seen], report: Report) -> None:
    wrong = [f"{one.key}: {one.size[0]} x {one.size[1]}" for one in seen if min(one.size) != prepared.short_side]
    if wrong:
        report.problems.append(
            f"Pictures have the wrong size ({len(wrong):,}). Found: {some(wrong)}. Prepare the data set anew."
        )
