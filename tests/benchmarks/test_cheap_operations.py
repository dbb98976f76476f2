"""Ghost modules against their convolutions: the formula, the counts, what is measured, and the picture."""

import csv

import pytest

from ghostnet_tf import commands


@pytest.fixture(scope="module")
def cheap(script):
    return script("cheap_operations")


def test_the_command_counts_what_the_formula_says_and_measures(cheap, tmp_path, capsys):
    words = ["--channels", "12", "--size", "10", "--kernel-sizes", "3", "--ratios", "2", "3", "--windows", "5"]
    words += ["--rounds", "3", "--csv", str(tmp_path / "rows.csv"), "--picture", str(tmp_path / "all.svg")]
    assert cheap.main(words) == commands.OK
    rows = list(csv.DictReader((tmp_path / "rows.csv").read_text().splitlines()))
    assert [(row["s"], row["d"]) for row in rows] == [("2", "5"), ("3", "5")]
    for row in rows:
        s = int(row["s"])
        plain = 12 * 12 * 3 * 3
        ghost = 12 * (12 // s) * 3 * 3 + (12 - 12 // s) * 5 * 5
        assert (int(row["weights"]), int(row["macs"])) == (ghost, 10 * 10 * ghost)
        for column in ("formula", "macs_ratio", "weights_ratio"):
            assert float(row[column]) == pytest.approx(plain / ghost, abs=1e-4)  # four digits are written
        assert float(row["speedup_low"]) <= float(row["speedup"]) <= float(row["speedup_high"])
        assert float(row["median_ms"]) > 0
        assert row["partitions"] == "1" and row["command"].endswith("all.svg")
    printed = capsys.readouterr().out
    assert printed.count("\n| 3 | ") == 2
    picture = (tmp_path / "all.svg").read_text()
    assert picture.count(">k = 3, s = ") == 2 and ">time, measured<" in picture


def test_a_profile_in_parts(cheap):
    names = ["Convolution (NHWC, F32) IGEMM", "Convolution (NHWC, F32) DWConv", "Copy (NC, X32)", "Copy (NC, X32)"]
    rows = [{"operator": name, "ms": ms} for name, ms in zip(names, (0.5, 0.25, 0.1, 0.05), strict=True)]
    assert cheap.parts(rows) == {"primary_ms": 0.5, "cheap_ms": 0.25, "rest_ms": 0.15, "cheap_operator": names[1]}
    with pytest.raises(commands.CommandError, match="expected two convolutions"):
        cheap.parts(rows[1:])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--ratios", "7"], "that divide --channels 60, as the formula takes them. Received: 7"),
        (["--ratios", "1"], "expected --ratios from 2"),
        (["--windows", "3", "4"], "expected odd sizes for --windows. Received: 4"),
        (["--picture", "x.pdf"], "expected a file ending in .svg or .png"),
    ],
)
def test_mistakes_are_one_line(cheap, capsys, words, message):
    assert cheap.main(words) == commands.BAD_INPUT
    assert message in capsys.readouterr().err
