"""Memory of a process that converts over and over, by the script that measures it, in fewer rounds."""

import pytest

from ghostnet_tf import commands


@pytest.fixture(scope="module")
def memory(script):
    found = script("memory")
    if not found.STATM.is_file():
        pytest.skip("the memory of a process is read from Linux's /proc")
    return found


def test_conversions_do_not_grow(memory):
    """The second seven of 14 by less than a megabyte each: 7 MB come and go at once, a kept interpreter is more."""
    assert memory.growth(memory.watch("convert to int8", 14)) < 1e6


def test_what_comes_and_goes_is_no_growth(memory):
    """As measured: 786 MB in some rounds, 793 in the others."""
    assert memory.growth([0] * 7 + [786, 793, 793, 786, 793, 793, 793]) == 0


def test_what_is_kept_is_seen(memory, monkeypatch):
    """Beside what tests before left in this process, of which a dozen megabytes may go meanwhile."""
    kept = []
    monkeypatch.setitem(memory.JOBS, "leak", lambda: lambda: kept.append(b"x" * 20_000_000))
    assert memory.growth(memory.watch("leak", 20)) == pytest.approx(2e7, rel=0.2)


def test_a_line_wants_rounds(memory, capsys):
    assert memory.main(["--rounds", "5"]) == commands.BAD_INPUT
    assert "at least 20 --rounds" in capsys.readouterr().err
