"""The first-time reader's path: what it types exists, and its rows name no folder of this machine."""

import importlib
import re
from pathlib import Path

import pytest

from ghostnet_tf import commands

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def walkthrough(script):
    return script("walkthrough")


def test_every_step_is_a_command_that_is_understood(walkthrough, tmp_path):
    targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    typed = dict(walkthrough.steps(tmp_path / "my photos", 64, 0.5, 3))
    assert typed.pop("install") == "make .venv/installed" and typed.pop("demo") == "make demo" and "demo" in targets
    assert typed.pop("labels for Android").startswith("unzip -p FILE")
    assert list(typed) == ["train", "evaluate", "explain", "convert", "report", "layers", "benchmark", "selftest"]
    for line in typed.values():
        python, file, *arguments = walkthrough.shlex.split(line)
        assert python == ".venv/bin/python"
        parsed = importlib.import_module(f"ghostnet_tf.{file.removesuffix('.py').replace('/', '.')}").parser()
        asked = vars(parsed.parse_args(arguments))
        assert asked.get("data") in (None, str(tmp_path / "my photos"))


def test_a_step_that_fails_ends_the_walk_with_its_last_words(walkthrough, tmp_path, monkeypatch):
    (tmp_path / "photos" / "cat").mkdir(parents=True)
    (tmp_path / "photos" / "cat" / "1.jpg").write_bytes(b"")
    monkeypatch.setattr(walkthrough, "ROOT", tmp_path / "no repository")
    (tmp_path / "no repository").mkdir()
    with pytest.raises(commands.CommandError, match=r"clone failed with exit code 128: .*fatal: "):
        walkthrough.walk(tmp_path / "clone", tmp_path / "photos", [])


def test_rows_are_without_paths_and_the_table_has_their_sum(walkthrough, tmp_path):
    photos, clone = tmp_path / "my photos", tmp_path / "clone"
    line = dict(walkthrough.steps(photos, 64, 0.5, 3))["train"]
    public = walkthrough.public(line, photos, clone)
    assert public.startswith("python training/train.py --data photos/ ") and str(tmp_path) not in public
    rows = [{"step": name, "typed": "x", "seconds": seconds} for name, seconds in (("a", 59.6), ("b", 61.0))]
    assert walkthrough.table(rows).endswith("| a | `x` | 60 s |\n| b | `x` | 61 s |\n| all | | 2 min 1 s |")


def test_mistakes_are_one_line(walkthrough, tmp_path, capsys):
    assert walkthrough.main(["--photos", str(tmp_path)]) == commands.BAD_INPUT
    assert "expected --photos as a folder with a folder of photos a class" in capsys.readouterr().err
    for name in ("cat", "dog"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "1.jpg").write_bytes(b"")
    assert walkthrough.main(["--photos", str(tmp_path), "--keep", str(tmp_path)]) == commands.BAD_INPUT
    assert "give a new folder with --keep" in capsys.readouterr().err
