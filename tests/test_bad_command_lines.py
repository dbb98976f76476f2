"""300 generated command lines with one mistake each: a line that says so, exit code 2 or 3, never a traceback."""

import argparse
import contextlib
import importlib
import io
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ghostnet_tf import commands
from ghostnet_tf.training import train

# What each command takes without a mistake, so that the one mistake is what it meets; files named here do not exist.
SOUND = {
    "train": ["--data", "digits"],
    "evaluate": ["--model", "absent.keras", "--data", "digits"],
    "convert": ["--int8", "--model", "absent.keras"],
    "benchmark": ["absent.tflite"],
    "choose": ["--max-ms", "5"],
    "serve": ["absent.tflite"],
    "layers": ["absent.tflite"],
    "list": [],
    "report": ["--run", "absent"],
}
PATHS = {
    "train": ["--resume", "--config"],
    "evaluate": ["--model"],
    "convert": ["--model", "--weights"],
    "benchmark": ["--graph"],
    "report": ["--run"],
}
# What a shell can pass: no NUL, bytes that are no UTF-8 come as lone surrogates.
WORDS = st.text(st.characters(exclude_characters="\0"), min_size=1, max_size=20)
NO_NUMBERS = st.sampled_from(["x", "", " ", "1..2", "1,5", "one", "0x10", "½", "1 2", "--", "-"])


def numeric_flags(command: str) -> list[str]:
    module = importlib.import_module(f"ghostnet_tf.{commands.COMMANDS[command][0]}")
    numbers = (int, float, commands.positive_int, commands.positive_float)
    return [
        action.option_strings[0]
        for action in module.parser()._actions
        if action.option_strings and action.type in numbers and not isinstance(action, argparse._HelpAction)
    ]


@st.composite
def mistakes(draw, command: str) -> list[str]:
    """A command line with one mistake."""
    words, numbers = list(SOUND[command]), numeric_flags(command)
    kinds = ["unknown flag", *(["no number", "no value"] if numbers else []), *(["path"] if command in PATHS else [])]
    kind = draw(st.sampled_from(kinds))
    if kind == "unknown flag":
        flag = f"--{draw(WORDS)}-zz"
        words.insert(draw(st.sampled_from([0, len(words)])), flag)
    elif kind == "no number":
        words += [draw(st.sampled_from(numbers)), draw(NO_NUMBERS)]
    elif kind == "no value":
        words.append(draw(st.sampled_from(numbers)))
    else:
        name = draw(
            st.one_of(WORDS, st.sampled_from(["a" * 300, "b/" * 3000, "no such file", "photo ü 写真", "\udcff"]))
        )
        words += [draw(st.sampled_from(PATHS[command])), f"absent/{name}"]
    return [command, *words]


def ending(words: list[str]) -> tuple[int, str]:
    """Exit code and stderr of a command line, in this process."""
    said = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", errors="backslashreplace")  # as Python's own stderr
    with contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.StringIO()):
        try:
            code = commands.main(words)
        except SystemExit as exit_:
            code = exit_.code
    said.flush()
    return code, said.buffer.getvalue().decode()


@pytest.mark.parametrize("command", SOUND)
def test_one_mistake(command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    @settings(max_examples=50, deadline=None, derandomize=True, database=None)
    @given(mistakes(command))
    def check(words):
        code, said = ending(words)
        assert code in (commands.BAD_INPUT, commands.MISSING), (words, said)
        assert "error: " in said and "Traceback" not in said, (words, said)

    check()
    assert not list(tmp_path.iterdir()), "nothing was begun"


def test_as_processes(tmp_path):
    root = Path(train.__file__).parent
    for script, words in (("train.py", ["--resume", b"\xff\xfe"]), ("evaluate.py", ["--model", "a" * 5000])):
        done = subprocess.run([sys.executable, root / script, *words], capture_output=True, cwd=tmp_path, check=False)
        assert done.returncode == commands.BAD_INPUT, done.stderr
        assert done.stderr.startswith(b"error: ") and b"Traceback" not in done.stderr
