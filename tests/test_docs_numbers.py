"""The numbers in the pages' tables are those in `results/`.

A comment before a table names the files that it is made from: `<!-- results/accuracy.csv results/latency.csv -->`.
"""

import csv
import itertools
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
TABLE = re.compile(r"^<!-- ((?:results/\w+\.csv ?)+)-->\n\n((?:\|.*\n)+)", re.MULTILINE)
# A number on its own, with its unit: neither the 32 of `fp32` nor what stands in code.
NUMBER = re.compile(r"(?<![\w.])(-?\d+(?:,\d{3})*(?:\.\d+)?)(?![\w.]*\w)(?: (%|min\b))?")
UNITS = {"%": 100, "min": 1 / 60, "MB": 1e-6}  # what a file's number is multiplied with
MARKED = [
    (page, *match.groups())
    for page in [ROOT / "README.md", *sorted(ROOT.glob("docs/*.md"))]
    for match in TABLE.finditer(page.read_text(encoding="utf-8"))
]


def numbers(row: dict[str, str]) -> list[float]:
    """All numbers of a row of a file, and the shares that pages make of two."""
    found = [float(text) for text in row.values() if re.fullmatch(r"-?\d+(\.\d+)?(e-?\d+)?", text or "")]
    if "energy" in row:
        found.append(float(row["solved"]) / float(row["energy"]))
    return found


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in re.sub(r"`[^`]*`", "", line).strip().strip("|").split("|")]


def shown(line: str, heads: list[str]) -> list[tuple[str, float]]:
    """The numbers in a table's row, all but its label, and what each is a multiple of."""
    found = []
    for head, cell in zip(heads[1:], cells(line)[1:], strict=True):
        for text, unit in NUMBER.findall(cell):
            found.append((text.replace(",", ""), UNITS.get(unit or head, 1)))
    return found


def tells(values: list[float], text: str, scale: float) -> bool:
    """Whether one of the values is this number, rounded as it is; a tie may have been rounded either way."""
    half = 0.5 * 10 ** -len(text.partition(".")[2])
    return any(abs(value * scale - float(text)) < half * 1.0001 for value in values)


@pytest.mark.parametrize(
    ("page", "files", "table"), MARKED, ids=[f"{page.stem}-{number}" for number, (page, *_) in enumerate(MARKED)]
)
def test_each_row_is_one_of_the_results(page, files, table):
    sources = []
    for file in files.split():
        with (ROOT / file).open(newline="", encoding="utf-8") as opened:
            sources.append([numbers(row) for row in csv.DictReader(opened)])
    head, _, *body = table.splitlines()
    assert body
    for line in body:
        asked = shown(line, cells(head))
        assert asked, line
        rows = ([value for row in rows for value in row] for rows in itertools.product(*sources))
        assert any(all(tells(values, *number) for number in asked) for values in rows), line


def test_a_number_that_is_nowhere_is_noticed():
    heads = ["scheme", "MB", "top-1", "time [95 %]"]
    asked = shown("| fp32 `-n 3` | 15.69 | 85.6 % | 0.60 [0.59, 1,234] |", heads)
    assert asked == [("15.69", 1e-6), ("85.6", 100), ("0.60", 1), ("0.59", 1), ("1234", 1)]
    values = numbers({"bytes": "15685270", "top1": "0.8561", "ratio": "0.5962", "clock": "cpu", "sha256": "12ab"})
    assert [tells(values, *number) for number in asked] == [True, True, True, False, False]


def test_the_tables_of_results_are_marked():
    assert {"README", "cheap_operations", "explain", "quantization", "quickstart"} <= {page.stem for page, *_ in MARKED}
