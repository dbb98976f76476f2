"""What every command shares: exit codes, one-line errors, arguments, progress, files written whole or not at all."""

import argparse
import contextlib
import difflib
import errno
import importlib
import json
import os
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

OK, FAILED, BAD_INPUT, MISSING = 0, 1, 2, 3

COMMANDS = {
    "train": ("training.train", "train a model on a data set or a folder of photos"),
    "evaluate": ("training.evaluate", "measure accuracy of a run, a .keras or a .tflite file"),
    "convert": ("tflite.convert", "convert to fp32, fp16, hybrid, dynamic and int8 .tflite files, verified"),
    "benchmark": ("tflite.benchmark", "time .tflite files against each other"),
    "choose": ("tflite.choose", "propose width and image size for a time limit, measured on this machine"),
    "list": ("analysis.listing", "the networks, their options, published weights; --table: what each costs"),
    "serve": ("tflite.serve", "a local page: drop a photo, see what .tflite files answer"),
    "report": ("tflite.report", "one page about a run: curves, files, accuracy, latency, predictions"),
    "explain": ("tflite.explain", "one page about a photo inside a network: similar feature maps, ghosts"),
    "layers": ("tflite.layers", "one page about a .tflite file: what each layer costs in time, bytes and noise"),
}


class CommandError(Exception):
    """Something that went wrong and that one line explains: expected, received, the way out."""

    code = FAILED


class BadInput(CommandError):
    """The user's input cannot be used."""

    code = BAD_INPUT


class MissingResource(CommandError):
    """Something outside is missing: network, an optional package, a device."""

    code = MISSING


def log(*words: object) -> None:
    """Prints to stderr, at once; results go to stdout."""
    print(*words, file=sys.stderr, flush=True)


def run(command: Callable[[list[str] | None], int], argv: list[str] | None = None) -> int:
    """Runs a command's body; a `CommandError` becomes one line on stderr and its exit code."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    try:
        return command(argv)
    except CommandError as error:
        log(f"error: {error}")
        return error.code
    except KeyboardInterrupt:
        log("interrupted")
        return 130
    except BrokenPipeError:
        # The reader of stdout has gone (`| head`): nothing is left to tell it, not even on interpreter exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except OSError as error:
        if error.errno in (errno.ENAMETOOLONG, errno.ELOOP):
            log(f"error: expected a path that can exist ({error.strerror}). Received: {str(error.filename)[:100]!r}")
            return BAD_INPUT
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS, errno.EPERM):
            raise
        log(f"error: cannot write {error.filename or 'a file'}: {error.strerror}. Nothing half-written was left.")
        return FAILED


class ArgumentParser(argparse.ArgumentParser):
    """Long flags in dashes or underscores, defaults in `--help`, the nearest flag for a misspelt one."""

    def __init__(self, *, description: str, examples: str, **kwargs):
        super().__init__(
            description=description,
            epilog=f"examples:\n{examples.rstrip()}",
            formatter_class=_HelpFormatter,
            allow_abbrev=False,
            **kwargs,
        )

    def parse_args(self, args=None, namespace=None):
        words = sys.argv[1:] if args is None else list(args)
        known, unknown = self.parse_known_args([_dashed(word) for word in words], namespace)
        if unknown:
            near = difflib.get_close_matches(unknown[0].split("=")[0], self._option_string_actions, n=1)
            self.error(f"unknown argument {unknown[0]!r}" + (f"; did you mean {near[0]}?" if near else ""))
        return known


class _HelpFormatter(argparse.RawDescriptionHelpFormatter, argparse.ArgumentDefaultsHelpFormatter):
    def _get_help_string(self, action):
        silent = action.default in (None, False, argparse.SUPPRESS) or action.default == []
        return action.help if silent else super()._get_help_string(action)


def _dashed(word: str) -> str:
    flag, equals, value = word.partition("=")
    return (flag.replace("_", "-") if flag.startswith("--") else flag) + equals + value


def flag(setting: str) -> str:
    """The flag of a setting: `--batch-size` for `batch_size`."""
    return f"--{setting.replace('_', '-')}"


def positive_int(text: str) -> int:
    """Argument type: a whole number of at least 1."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number of at least 1, received {text}")
    return value


def positive_float(text: str) -> float:
    """Argument type: a number above 0."""
    value = float(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"expected a number above 0, received {text}")
    return value


def choose(kind: str, received: str, allowed: Iterable[str]) -> str:
    """`received` if it is allowed, else `BadInput` with the nearest match and the list."""
    allowed = list(allowed)
    if received in allowed:
        return received
    near = difflib.get_close_matches(received, allowed, n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    raise BadInput(f"unknown {kind}: expected one of {', '.join(allowed)}. Received: {received!r}.{hint}")


def progress(items: Iterable, description: str, total: int | None = None) -> Iterable:
    """`items` behind a progress bar on stderr, shown when a person is watching and it lasts over 2 seconds."""
    from tqdm import tqdm

    return tqdm(items, desc=description, total=total, delay=2, disable=not sys.stderr.isatty(), leave=False)


@contextlib.contextmanager
def written_whole(path: Path | str, overwrite: bool = True) -> Iterator[Path]:
    """A temporary path beside `path` that takes its place when the block ends well, and is removed when it does not.

    Raises:
        BadInput: If `path` exists and `overwrite` is false.
    """
    path = Path(path)
    if path.exists() and not overwrite:
        raise BadInput(f"{path} exists; give another --output, or --overwrite to replace it")
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}-", suffix="".join(path.suffixes), dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        temporary.chmod(0o666 & ~_umask())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def write_text(path: Path | str, text: str, overwrite: bool = True) -> None:
    """Writes a text file whole or not at all."""
    with written_whole(path, overwrite) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path | str, value: object, overwrite: bool = True) -> None:
    """Writes `value` as indented JSON, whole or not at all."""
    write_text(path, json.dumps(value, indent=2) + "\n", overwrite)


def main(argv: list[str] | None = None) -> int:
    """The console script: `ghostnet-tf COMMAND …`."""
    words = sys.argv[1:] if argv is None else argv
    listing = "\n".join(f"  {name:<10} {what}" for name, (_, what) in COMMANDS.items())
    usage = f"usage: ghostnet-tf COMMAND [--help] …\n\ncommands:\n{listing}"
    if not words or words[0] in ("-h", "--help"):
        print(usage)
        return OK if words else BAD_INPUT
    if words[0] == "--version":
        from ghostnet_tf import __version__

        print(__version__)
        return OK
    if words[0] not in COMMANDS:
        near = difflib.get_close_matches(words[0], COMMANDS, n=1)
        log(f"error: unknown command {words[0]!r}" + (f"; did you mean {near[0]}?" if near else "") + f"\n\n{usage}")
        return BAD_INPUT
    module = importlib.import_module(f"ghostnet_tf.{COMMANDS[words[0]][0]}")
    return module.main(words[1:])
