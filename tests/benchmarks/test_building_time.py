"""How long a network takes to build, by the command that measures it."""

import csv
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_ghostnet_builds_in_twice_the_time_of_mobilenetv3_large(tmp_path):
    script, table = ROOT / "benchmarks" / "building_time.py", tmp_path / "building.csv"
    command = [sys.executable, script, "ghostnet", "--rounds", "3", "--csv", table]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    reference, ghostnet = csv.DictReader(table.read_text().splitlines())
    assert (float(reference["ratio"]), ghostnet["network"]) == (1, "ghostnet")
    # The median of three neighbouring pairs: what slows the machine slows both.
    assert float(ghostnet["ratio"]) <= 2
    assert f"{float(ghostnet['ratio']):.2f} times the reference" in done.stdout
