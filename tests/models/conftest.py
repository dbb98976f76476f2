"""Counts: without values, since a network's numbers need its shapes only, and those of the committed table."""

import csv
import functools
from pathlib import Path

import keras
import pytest

from ghostnet_tf.analysis import Complexity, complexity

ROOT = Path(__file__).resolve().parents[2]


@functools.cache
def _counted(builder, *args, **kwargs) -> Complexity:
    return complexity(builder(*args, **kwargs))


@pytest.fixture
def count():
    """`count(builder, …)` builds a network without initializing it, a few times faster, and counts it; each once."""
    with keras.StatelessScope(initialize_variables=False):
        yield _counted
    keras.utils.clear_session()  # or the next scope would initialize what was built here


@pytest.fixture(scope="session")
def zoo():
    """Rows of `results/zoo.csv` by model; `tests/analysis/test_zoo.py` compares it with what the code counts."""
    text = (ROOT / "results" / "zoo.csv").read_text(encoding="utf-8")
    return {row["model"]: row for row in csv.DictReader(text.splitlines())}
