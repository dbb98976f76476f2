"""The race of training steps: its ratios, and who is left out."""

import argparse
from types import SimpleNamespace

import pytest


@pytest.fixture(scope="module")
def race(script):
    return script("training_throughput")


def settings(**changed) -> argparse.Namespace:
    common = {"width": 0.1, "size": 32, "batch_size": 4, "towers": 2, "rounds": 3, "steps": 2, "num_threads": 2}
    return argparse.Namespace(**common | changed)


def test_a_ratio_is_of_the_times_within_rounds(race):
    """Round 2 was slow for both; images/s are those of the median round, 4 images in 2 steps."""
    seconds = {"ours": [1.0, 4.0, 1.0], "keras": [2.0, 8.0, 2.0]}
    workers = {name: SimpleNamespace(versions={"keras": "3"}) for name in seconds}
    ours, keras = race.summary(seconds, workers, settings())
    assert (ours["images_per_second"], ours["speedup"], ours["towers"]) == (8.0, 1.0, 2)
    assert (keras["images_per_second"], keras["speedup"], keras["towers"]) == (4.0, 2.0, 1)
    assert keras["speedup_low"] == keras["speedup_high"] == 2.0


def test_a_contestant_that_does_not_start_says_why(race):
    worker = race.Worker("timm", settings(timm_python="/bin/false"))
    worker.process.wait()
    for stream in (worker.process.stdin, worker.process.stdout, worker.process.stderr):
        stream.close()
    assert worker.versions is None
    assert worker.reason == "it gave no reason"
