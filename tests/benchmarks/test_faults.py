"""Which faults `benchmarks/faults.py` still has to try; that nothing is harmed by them is what its run shows."""

import csv
from collections import Counter
from types import SimpleNamespace

import pytest


@pytest.fixture(scope="module")
def faults(script):
    return script("faults")


@pytest.fixture
def trials(faults):  # which makes the folder importable
    from benchmarks import fault_trials

    return fault_trials


def test_a_table_is_completed(faults, trials, tmp_path, monkeypatch):
    from benchmarks import fault_jobs

    def tried(arguments: list[str]) -> list[tuple]:
        root = tmp_path / str(len(list(tmp_path.iterdir())))
        root.mkdir()
        return [
            (row["fault"], row["job"], row["number"], row["point"])
            for row in faults.faults(faults.parser().parse_args(arguments), root)
        ]

    def row(fault):
        return lambda job, *details: {
            "fault": fault,
            "job": job.name,
            "number": next((one for one in details if isinstance(one, int)), None),
            "point": details[-1].random(),
        }

    monkeypatch.setattr(
        fault_jobs, "undisturbed", lambda folder, names: [(SimpleNamespace(name=name), None) for name in names]
    )
    monkeypatch.setattr(trials, "kill", row(trials.KILL))
    monkeypatch.setattr(trials, "full_disk", row(trials.FULL))
    words = ["--points", "9", "--full-disks", "2"]
    whole = tried(words)
    assert Counter((fault, job) for fault, job, *_ in whole) == {
        (trials.KILL, "train"): 5,
        (trials.KILL, "convert"): 4,
        (trials.FULL, "train"): 1,
        (trials.FULL, "convert"): 1,
    }
    table = tmp_path / "faults.csv"
    with table.open("w", newline="") as file:
        writer = csv.DictWriter(file, faults.COLUMNS)
        writer.writeheader()
        writer.writerows({"job": job, "fault": fault} for fault, job, *_ in whole[:6])
    # What is left is the rest of the same points, in the same order.
    assert tried([*words, "--csv", str(table)]) == whole[6:]
    assert len({point for *_, point in whole}) == len(whole)
    assert tried(["--points", "2", "--full-disks", "0", "--csv", str(table)]) == []


def test_what_counts_as_temporary(trials, tmp_path):
    for name in (".locks/a.lock", ".model.keras-abc", "blobs/0.incomplete", "blobs/0", "run/.epoch-1/x"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert trials.temporaries(tmp_path) == 3
