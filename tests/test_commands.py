import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from ghostnet_tf import commands
from ghostnet_tf.commands import BAD_INPUT, FAILED, MISSING, OK, BadInput, CommandError, MissingResource

ROOT = Path(__file__).resolve().parents[1]


def failing(error):
    def command(argv):
        raise error

    return command


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (BadInput("expected a. Received: b"), BAD_INPUT, "error: expected a. Received: b\n"),
        (MissingResource("no network"), MISSING, "error: no network\n"),
        (CommandError("it failed"), FAILED, "error: it failed\n"),
        (
            OSError(errno.ENOSPC, "No space left on device", "model.keras"),
            FAILED,
            "error: cannot write model.keras: No",
        ),
        (KeyboardInterrupt(), 130, "interrupted\n"),
    ],
)
def test_errors_become_one_line_and_an_exit_code(error, code, message, capsys):
    assert commands.run(failing(error)) == code
    captured = capsys.readouterr()
    assert captured.err.startswith(message)
    assert captured.err.count("\n") == 1
    assert captured.out == ""


def test_mistakes_of_ours_keep_their_traceback():
    with pytest.raises(ZeroDivisionError):
        commands.run(failing(ZeroDivisionError()))
    with pytest.raises(OSError, match="broken"):
        commands.run(failing(OSError(errno.EIO, "broken")))


def test_a_file_appears_whole_or_not_at_all(tmp_path):
    path = tmp_path / "new" / "file.weights.h5"
    with commands.written_whole(path) as temporary:
        assert temporary.name.endswith(".weights.h5")
        temporary.write_text("one")
        assert not path.exists()
    assert path.read_text() == "one"
    with pytest.raises(RuntimeError), commands.written_whole(path) as temporary:
        temporary.write_text("tw")
        raise RuntimeError
    assert path.read_text() == "one"
    assert [file.name for file in path.parent.iterdir()] == [path.name]
    umask = os.umask(0)
    os.umask(umask)
    assert path.stat().st_mode & 0o777 == 0o666 & ~umask


def test_an_existing_file_is_kept_unless_told(tmp_path):
    path = tmp_path / "file.json"
    commands.write_json(path, [1])
    with pytest.raises(BadInput, match="--overwrite"):
        commands.write_json(path, [2], overwrite=False)
    assert path.read_text() == "[\n  1\n]\n"


def test_a_killed_writer_leaves_what_was_there(tmp_path):
    path = tmp_path / "file.txt"
    path.write_text("before")
    code = f"""
from ghostnet_tf.commands import written_whole
with written_whole({str(path)!r}) as temporary:
    temporary.write_text("half")
    print("writing", flush=True)
    input()
"""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", code], stdin=pipe, stdout=pipe, env=environment) as process:
        assert process.stdout.readline() == b"writing\n"
        process.send_signal(signal.SIGKILL)
    assert path.read_text() == "before"


def parser():
    arguments = commands.ArgumentParser(prog="test", description="Tests.", examples="  test --num-runs 3")
    arguments.add_argument("--num-runs", type=commands.positive_int, default=5, help="how often")
    arguments.add_argument("--scale", type=commands.positive_float)
    return arguments


def test_flags_take_dashes_and_underscores():
    assert parser().parse_args(["--num_runs=3"]).num_runs == 3
    assert parser().parse_args(["--num-runs", "4", "--scale", "0.5"]).scale == 0.5


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--num-run", "3"], "did you mean --num-runs?"),
        (["--num-runs", "0"], "expected a whole number of at least 1, received 0"),
        (["--num-runs", "x"], "invalid positive_int value"),
        (["--scale", "inf"], "expected a number above 0, received inf"),
    ],
)
def test_bad_flags_are_explained(words, message, capsys):
    with pytest.raises(SystemExit) as stop:
        parser().parse_args(words)
    assert stop.value.code == BAD_INPUT
    assert message in capsys.readouterr().err


def test_choices_have_a_nearest_match():
    assert commands.choose("scheme", "int8", ("fp32", "int8")) == "int8"
    with pytest.raises(BadInput, match=r"expected one of fp32, int8\. Received: 'itn8'\. Did you mean 'int8'\?"):
        commands.choose("scheme", "itn8", ("fp32", "int8"))


def test_the_console_script_lists_and_finds_commands(capsys):
    assert commands.main(["--help"]) == OK
    listing = capsys.readouterr().out
    assert all(name in listing for name in commands.COMMANDS)
    assert commands.main([]) == BAD_INPUT
    assert commands.main(["trian"]) == BAD_INPUT
    assert "did you mean train?" in capsys.readouterr().err
    with pytest.raises(SystemExit) as stop:
        commands.main(["benchmark", "--help"])
    assert stop.value.code == OK


@pytest.mark.parametrize("name", commands.COMMANDS)
def test_help_of_every_command_does_without_tensorflow(name):
    code = f"import sys; sys.argv = ['ghostnet-tf', {name!r}, '--help']\n"
    code += "from ghostnet_tf.commands import main\n"
    code += "try: main()\nexcept SystemExit: print('tensorflow' in sys.modules or 'keras' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert "examples:" in done.stdout
    assert done.stdout.splitlines()[-1] == "False"
