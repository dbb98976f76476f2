"""Feeds a reader of other people's files what coverage-guided mutation makes of its seeds, and keeps what it breaks on.

Seeds lie in seeds/TARGET beside this file, inputs that end in anything but the promised errors go to findings/TARGET.
The suite runs the target on all of them again. What mutation found worth keeping stays in .cache/fuzz/TARGET and is
where the next run goes on.
"""

import sys
from pathlib import Path

GHOSTNET_TF_COMMAND = True  # see ghostnet_tf/__init__.py: argument parsing does not wait for TensorFlow
HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path[0] = str(ROOT)

import importlib.metadata  # noqa: E402
import importlib.util  # noqa: E402
import re  # noqa: E402
import subprocess  # noqa: E402
import tempfile  # noqa: E402
import time  # noqa: E402

from ghostnet_tf import commands, results  # noqa: E402

EXAMPLES = """\
  pip install --editable '.[fuzz]'
  python tests/fuzz/fuzz.py config --seconds 60
  python tests/fuzz/fuzz.py names --csv results/fuzz.csv"""

TARGETS = ("names", "metadata", "config")
COLUMNS = ("date", "target", "seconds", "executions", "coverage", "corpus", "findings", "versions", "command")
INPUT_SECONDS = 20  # of one input, on a machine that may be busy; longer is a finding
MEMORY_MB = 3000  # of the process, of which TensorFlow is some 600
LONGEST = 8192  # bytes of an input
FOUND = (77, 70, 71)  # libFuzzer's exit codes for an error, a time-out, too much memory


def parser() -> commands.ArgumentParser:
    """The command's arguments."""
    arguments = commands.ArgumentParser(prog="fuzz", description=__doc__, examples=EXAMPLES)
    arguments.add_argument("target", help=", ".join(TARGETS))
    arguments.add_argument("--seconds", type=commands.positive_int, default=600, help="how long")
    arguments.add_argument("--csv", type=Path, metavar="FILE", help="append a row to a table of results")
    return arguments


def command(argv: list[str] | None = None) -> int:
    """Parses, fuzzes, prints what came of it; findings are a failure."""
    args = parser().parse_args(argv)
    commands.choose("target", args.target, TARGETS)
    if args.csv:
        results.check_results_file(args.csv, COLUMNS)
    if importlib.util.find_spec("atheris") is None:
        raise commands.MissingResource(
            "fuzzing takes atheris, for Linux and Python to 3.13: pip install --editable '.[fuzz]'"
        )
    findings = HERE / "findings" / args.target
    row, found = fuzz(args.target, args.seconds, findings)
    print(f"{args.target}: {row['executions']:,} inputs in {row['seconds']} s, {row['coverage']} branches covered")
    for path in found:
        print(f"finding: {path.relative_to(ROOT)}")
    if args.csv:
        row |= {"date": results.now(), "target": args.target}
        row["versions"] = " ".join(f"{name} {importlib.metadata.version(name)}" for name in ("ghostnet-tf", "atheris"))
        row["command"] = results.command_line("tests/fuzz/fuzz.py", argv)
        results.append_rows(args.csv, COLUMNS, [row])
    return commands.FAILED if found else commands.OK


def fuzz(target: str, seconds: int, findings: Path) -> tuple[dict, list[Path]]:
    """Numbers for the table, and new findings. Begins again after an input that took too long or too much memory."""
    corpus = ROOT / ".cache" / "fuzz" / target
    corpus.mkdir(parents=True, exist_ok=True)
    findings.mkdir(parents=True, exist_ok=True)
    before = set(findings.iterdir())
    row = {"seconds": 0, "executions": 0, "coverage": 0}
    start = time.monotonic()
    while (left := round(start + seconds - time.monotonic())) > 0:
        limits = f"-max_total_time={left}", f"-timeout={INPUT_SECONDS}", f"-rss_limit_mb={MEMORY_MB}"
        kept = f"-max_len={LONGEST}", f"-artifact_prefix={findings}/", "-print_final_stats=1"
        with tempfile.TemporaryDirectory(prefix="ghostnet-tf-") as scratch:
            words = [sys.executable, HERE / "worker.py", target, findings, scratch, *limits, *kept]
            done = subprocess.run(
                [*words, corpus, HERE / "seeds" / target], cwd=ROOT, capture_output=True, text=True, errors="replace"
            )
        corpus.with_suffix(".log").write_text(done.stderr, encoding="utf-8")
        executions = re.search(r"stat::number_of_executed_units:\s+(\d+)", done.stderr)
        if executions is None or (done.returncode and done.returncode not in FOUND):
            raise commands.CommandError(f"the fuzzer ended with {done.returncode}; see {corpus.with_suffix('.log')}")
        row["executions"] += int(executions[1])
        row["coverage"] = max([row["coverage"], *map(int, re.findall(r"\bcov: (\d+)", done.stderr))])
    row["seconds"] = round(time.monotonic() - start)
    found = sorted(set(findings.iterdir()) - before)
    return row | {"corpus": len(list(corpus.iterdir())), "findings": len(found)}, found


def main(argv: list[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    return commands.run(command, argv)


if __name__ == "__main__":
    raise SystemExit(main())
