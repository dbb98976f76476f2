"""One process of fuzzing, for `fuzz.py`: `worker.py TARGET FINDINGS SCRATCH`, then libFuzzer's arguments.

Errors of the target are kept in FINDINGS, one input each; time and memory out of bounds end the process.
"""

import sys
from pathlib import Path

GHOSTNET_TF_COMMAND = True  # see ghostnet_tf/__init__.py: nothing is imported before it can be watched
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import hashlib  # noqa: E402
import traceback  # noqa: E402

import atheris  # noqa: E402
import targets  # noqa: E402

# Watched for new paths: our modules, and the parsers in Python under them, so that mutation learns their formats.
WATCHED = ["ghostnet_tf", "tomllib", "flatbuffers"]


class Kept:
    """A block whose error is no end: the input is kept, unless the same line failed in the same way before."""

    def __init__(self, folder: Path):
        self.folder, self.seen, self.data = folder, set(), b""

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind, error, trace) -> bool:
        if kind is None or not issubclass(kind, Exception):
            return False
        first = error
        while first.__context__ is not None:  # what a promise was broken about
            first = first.__context__
        last = traceback.extract_tb(first.__traceback__)[-1]
        if (place := (kind, type(first), last.filename, last.lineno)) not in self.seen:
            self.seen.add(place)
            name = f"{kind.__name__}-{hashlib.sha256(self.data).hexdigest()[:8]}"
            (self.folder / name).write_bytes(self.data)
            traceback.print_exception(error)
        return True


def main() -> None:
    """Never returns: libFuzzer ends the process."""
    name, findings, scratch, *arguments = sys.argv[1:]
    keeping = Kept(Path(findings))
    with atheris.instrument_imports(include=WATCHED):
        target = targets.TARGETS[name](Path(scratch))

    def one(data: bytes) -> None:
        keeping.data = data
        with keeping:
            target(data)

    atheris.Setup([sys.argv[0], *arguments], one)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
