"""Reports side by side: what may be compared, and how far apart two scores are."""

from __future__ import annotations

import json
import os
import pathlib
from collections.abc import Sequence

from ssagan_tf.errors import UserError
from ssagan_tf.evaluation.intervals import Interval, difference_interval, mean_interval, paired_interval

REPORT = "report.json"
_LARGEST = 2**24  # bytes of a report
_FRACTIONS = ("recognised", "precision", "recall", "coverage", "copies", "r_precision", "semantics")
_SAID = ("protocol", "extractor", "resize", "splits", "clip")  # below the table
_NAMES = ("extractor", "clip")  # of networks that are compared by their hashes: here in a folder, there fetched
# Scores whose expectation moves with the number of pictures: more of them lower fid and raise recall, for one model.
COUNT_DEPENDENT = ("fid", "is", "precision", "recall", "density", "coverage")
_OF_SEEDS, _OF_COUNTS = ("seed", "draws"), ("count", "captions_per_picture", "captions_sha256")


def read_report(path: str | os.PathLike) -> dict:
    """A report of `evaluate`. Raises UserError if the file is none."""
    path = pathlib.Path(path)
    try:
        if path.stat().st_size > _LARGEST:
            raise UserError(
                f"The report is too large. Received: {path}. Give one of evaluate.py, of at most {_LARGEST:,} bytes."
            )
        report = json.loads(path.read_text(encoding="utf-8"))
        for score in report["scores"].values():
            float(score["value"]), dict(score["card"]["model"]), _interval(score)
            card = dict(score["card"]["protocol"])
            card["split"], card["dataset"], card["seed"], int(card["count"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        reason = " ".join(str(error).split())
        raise UserError(f"This is no report. Received: {path}: {reason}. Give a {REPORT} of evaluate.py.") from error
    return report


def compare(paths: Sequence[str | os.PathLike], unpaired: bool = False) -> str:
    """A table of several reports, side by side, with the differences from the first and their 95 % intervals.

    Intervals are those of pairs where both reports have several draws by the same seeds. Otherwise both are taken as
    independent, which makes them a little too wide where pictures share captions and seeds. A score without an interval
    has a difference without one.

    Args:
        paths: of the reports.
        unpaired: compare reports of other seeds, too, and of other counts where a score does not depend on them.

    Raises:
        UserError: no score in common, or one was made otherwise here than there: names the fields that differ.
    """
    reports = {str(path): read_report(path) for path in paths}
    shared = set.intersection(*(set(report["scores"]) for report in reports.values()))
    if not shared:
        raise UserError(f"The reports have no score in common. Received: {', '.join(reports)}. Run the same --metrics.")
    (first, reference), *others = reports.items()
    for path, report in others:
        different = _differences(reference, report, shared, unpaired)
        if different:
            raise UserError(
                f"The reports follow different protocols. Received: {first} and {path}: {'; '.join(different)}. "
                f"Evaluate both in the same way{'' if unpaired else ', or compare other seeds with --unpaired'}."
            )
    return table({path: {"scores": _only(report["scores"], shared)} for path, report in reports.items()}, unpaired)


def _only(scores: dict, names: set[str]) -> dict:
    return {name: score for name, score in scores.items() if name in names}


def _differences(first: dict, second: dict, names: set[str], unpaired: bool) -> list[str]:
    found = {}
    for name in sorted(names):
        cards = [report["scores"][name]["card"]["protocol"] for report in (first, second)]
        free = (*_NAMES, *(_OF_SEEDS if unpaired else ()))
        free += _OF_COUNTS if unpaired and name not in COUNT_DEPENDENT else ()
        for field in dict.fromkeys([*cards[0], *cards[1]]):
            values = [card.get(field) for card in cards]
            if values[0] != values[1] and field not in free:
                found[field] = f"{field} is {values[0]} there, {values[1]} here"
    if "count" in found and (moved := [name for name in COUNT_DEPENDENT if name in names]):
        found["count"] += f", and {', '.join(moved)} of one model change with it"
    return list(found.values())


def table(reports: dict[str, dict], unpaired: bool | None = None) -> str:
    """Scores as text, a column for each report; and, unless `unpaired` is None, one for each difference."""
    names = list(dict.fromkeys(name for report in reports.values() for name in report["scores"]))
    compared = [] if unpaired is None else [f"{path} minus first" for path in list(reports)[1:]]
    rows = [["", *reports, *compared]]
    for name in names:
        scores = [report["scores"].get(name) for report in reports.values()]
        apart = [_apart(name, score, scores[0], bool(unpaired)) for score in scores[1:]] if compared else []
        rows.append([name, *(_words(name, score) for score in scores), *apart])
        known = [score for score in scores if score]
        for attribute in known[0].get("attributes", {}) if known else ():
            shares = [score and score["attributes"].get(attribute) for score in scores]
            rows.append([f"  {attribute}", *(f"{share[0]:.1%} of {share[1]:,}" if share else "" for share in shares)])
            rows[-1] += [""] * len(compared)
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join([*lines, "", *_footnotes(reports)])


def difference(score: dict, reference: dict, unpaired: bool = False) -> tuple[float, Interval | None]:
    """How much higher a score is than another of the same name, and the 95 % interval, or None if there is none."""
    value = score["value"] - reference["value"]
    draws = [each.get("draws", []) for each in (score, reference)]
    if not unpaired and len(draws[0]) == len(draws[1]) >= 2:
        return value, paired_interval(*draws)
    known = [_interval(each) for each in (score, reference)]
    if known[0] is None or known[1] is None:
        return value, None
    return value, difference_interval(score["value"], known[0], reference["value"], known[1])


def _interval(score: dict) -> Interval | None:
    if "draws" in score:
        return mean_interval(score["draws"])
    return Interval(*score["interval"]) if "interval" in score else None


def _apart(name: str, score: dict, reference: dict, unpaired: bool) -> str:
    value, interval = difference(score, reference, unpaired)
    form = "{:+.1%}" if name in _FRACTIONS else "{:+.4g}"
    return form.format(value) + (f" [{', '.join(map(form.format, interval))}]" if interval else "")


def _words(name: str, score: dict | None) -> str:
    if score is None:
        return ""
    form = "{:.1%}" if name in _FRACTIONS else "{:.4g}"
    words = form.format(score["value"])
    if "interval" in score:
        return f"{words} [{', '.join(map(form.format, score['interval']))}]"
    return f"{words} ± {form.format(score['deviation'])}" if "deviation" in score else words


def _footnotes(reports: dict[str, dict]) -> list[str]:
    """What the first report's scores depend on, in short; the cards have all."""
    names: dict[str, list[str]] = {}
    for name, score in next(iter(reports.values()))["scores"].items():
        card = score["card"]["protocol"]
        parts = [f"{field} {card[field]}" for field in _SAID if field in card]
        parts.append(f"{card['count']:,} pictures of {card['split']} captions of {card['dataset']}")
        if "reference_count" in card:
            parts.append(f"against {card['reference_count']:,} real ones")
        names.setdefault(f"{', '.join(parts)}, seed {card['seed']}", []).append(name)
    return [f"{', '.join(scores)}: {text}" for text, scores in names.items()]
