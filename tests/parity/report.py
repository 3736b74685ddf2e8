"""Writes the table of docs/parity.md: every case computed and compared, in minutes.

python tests/parity/report.py
"""

import pathlib

import harness

DOC = pathlib.Path(__file__).parents[2] / "docs" / "parity.md"
BEGIN, END = "<!-- table: python tests/parity/report.py -->\n", "<!-- end of table -->\n"
_HEADING = """| case | arrays of | how many | float64, relative | float32, of its tolerance |
| --- | --- | --- | --- | --- |
"""
_SMALL = 1e-3  # below this magnitude a difference is not told relative to the array, which may be zero


def main() -> None:
    lines = []
    for name in harness.CASES:
        lines += _lines(name, harness.compare(name))
        print(name, flush=True)
    text = DOC.read_text()
    before, rest = text.split(BEGIN)
    _, after = rest.split(END)
    DOC.write_text(before + BEGIN + _HEADING + "".join(lines) + END + after)


def _lines(name: str, by_dtype: dict[str, list[harness.Comparison]]) -> list[str]:
    groups = {}
    for dtype, rows in by_dtype.items():
        for row in rows:
            groups.setdefault(_group(row.key), {}).setdefault(dtype, []).append(row)
    return [
        f"| `{name}` | {group} | {len(rows['float64'])} | {_relative(rows['float64'])} "
        f"| {_share(rows.get('float32'))} |\n"
        for group, rows in groups.items()
    ]


def _group(key: str) -> str:
    return f"`{key.rsplit('/', 1)[0]}`" if "/" in key else "outputs"


def _relative(rows: list[harness.Comparison]) -> str:
    return f"{max(row.difference / max(row.largest, _SMALL) for row in rows):.0e}"


def _share(rows: list[harness.Comparison] | None) -> str:
    return f"{max(row.difference / row.tolerance for row in rows):.2f}" if rows else "-"


if __name__ == "__main__":
    main()
