"""Trains networks to be compared with each other, and draws and says what came of it.

A study is a TOML file in benchmarks/studies/: what its runs have in common, and what each has of its own. Every run is
one of training/train.py. What is finished is not run again and what was interrupted is continued, so that the same
command goes on after any end. The page is made of the tables alone: curves, counts, accuracy, and a sentence whether
the expected order shows.
"""

import sys
from pathlib import Path

GHOSTNET_TF_COMMAND = True  # see ghostnet_tf/__init__.py: argument parsing does not wait for TensorFlow
ROOT = Path(__file__).resolve().parents[1]
sys.path[0] = str(ROOT)

import itertools  # noqa: E402
import json  # noqa: E402
import shlex  # noqa: E402
import subprocess  # noqa: E402
import tomllib  # noqa: E402
from collections.abc import Sequence  # noqa: E402
from dataclasses import dataclass  # noqa: E402

from ghostnet_tf import commands, results  # noqa: E402
from ghostnet_tf.commands import BadInput, flag, log  # noqa: E402
from ghostnet_tf.training import train  # noqa: E402
from ghostnet_tf.training.config import RunConfig  # noqa: E402
from ghostnet_tf.training.flags import FLAGS, check  # noqa: E402
from ghostnet_tf.training.history import read_metrics  # noqa: E402

EXAMPLES = """\
  python benchmarks/study.py --only fashion
  python benchmarks/study.py --only ratio dw_size --data-dir data/
  python benchmarks/study.py --page-only"""

SCRIPT = "training/train.py"
KEYS = ("title", "about", "order", "paper", "hours", "settings", "members")  # of a study's file
PLACES = ("--data-dir", "--csv", "--overwrite")  # flags that say where something lies, not what is trained
# Of a row of --csv: `curve` is the accuracy on the held-out images after each epoch.
COLUMNS = ("date", "data", "network", "parameters", "multiply_adds", "epochs", "minutes", "top1", "images", "curve")
COLUMNS += ("command",)


@dataclass(frozen=True)
class Member:
    """One run of a study.

    Attributes:
        config: Its settings.
        folder: Its run folder.
        command: What trains it, in words.
    """

    config: RunConfig
    folder: Path
    command: Sequence[str]


@dataclass(frozen=True)
class Study:
    """Runs to be compared.

    Attributes:
        name: Of its file.
        title, about: For the page; `about` is Markdown.
        order: Members from the most accurate on, as expected of them; empty where nothing is.
        paper: Top-1 accuracy in percent that the paper prints, by member.
        hours: What all take on two cores, about; `None` if not known.
        members: By name.
    """

    name: str
    title: str
    about: str
    order: Sequence[str]
    paper: dict[str, float]
    hours: float | None
    members: dict[str, Member]


def parser() -> commands.ArgumentParser:
    """The command's arguments."""
    arguments = commands.ArgumentParser(prog="study", description=__doc__, examples=EXAMPLES)
    arguments.add_argument("--only", nargs="+", default=[], metavar="NAME", help="studies to run, in this order")
    arguments.add_argument("--page-only", action="store_true", help="run none, write the page")
    arguments.add_argument("--data-dir", help="where TensorFlow Datasets keeps CIFAR-10")
    for name, default, meaning in (
        ("--studies", "benchmarks/studies", "folder of the studies"),
        ("--runs", "runs/studies", "folder of the run folders"),
        ("--training-csv", "results/training.csv", "table that training appends a row of each run to"),
        ("--csv", "results/studies.csv", "table with counts and curve of each run"),
        ("--page", "docs/training.md", "page to write, its pictures beside it"),
    ):
        arguments.add_argument(name, type=Path, default=Path(default), metavar="PATH", help=meaning)
    return arguments


def read_study(path: Path, args) -> Study:
    """The study in a TOML file.

    Args:
        path: Of the file.
        args: The command's arguments, for where things lie.

    Raises:
        BadInput: If the file is no TOML, has unknown keys or lacks some, or settings that do not go together.
    """
    try:
        found = tomllib.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise BadInput(f"{path} is not readable as TOML: {error}") from error
    for key in found:
        commands.choose(f"key in {path}", key, KEYS)
    if missing := [key for key in ("title", "settings", "members") if not found.get(key)]:
        raise BadInput(f"expected {path} to have {', '.join(missing)}. Received: {', '.join(found) or 'nothing'}")
    tables = {"settings": found["settings"], "members": found["members"]}
    for name, value in {**tables, **(found["members"] if isinstance(found["members"], dict) else {})}.items():
        if not isinstance(value, dict):
            raise BadInput(f"expected {name!r} in {path} as a table. Received: {value!r}")
    members = {}
    for name, own in found["members"].items():
        settings = found["settings"] | own
        if args.data_dir is not None:
            settings.setdefault("data_dir", args.data_dir)
        members[name] = _member(settings, args)
    for name in (*found.get("order", []), *found.get("paper", {})):
        commands.choose(f"member in {path}", name, members)
    return Study(
        name=path.stem,
        title=found["title"],
        about=found.get("about", "").strip(),
        order=tuple(found.get("order", [])),
        paper=found.get("paper", {}),
        hours=found.get("hours"),
        members=members,
    )


def _member(settings: dict, args) -> Member:
    words = [word for name, value in settings.items() for word in _words(name, value)]
    given = vars(train.parser().parse_args(words))
    config = RunConfig(**{name: given[name] for name in FLAGS if given[name] is not None})
    check(config)
    # Named by what it is, so that studies can share it.
    folder = args.runs / f"{train.default_name(config)}_{config.epochs}"
    places = ["--output", str(folder), "--overwrite", "--csv", str(args.training_csv)]
    return Member(config, folder, ("python", SCRIPT, *words, *places))


def _words(setting: str, value: object) -> list[str]:
    """A setting as a command line has it."""
    if isinstance(value, bool):
        return [flag(setting) if value else flag(f"no_{setting}")]
    return [flag(setting), ",".join(map(str, value)) if isinstance(value, list) else str(value)]


def essence(command: Sequence[str]) -> list[tuple[str, ...]]:
    """What a command trains: its flags, each with its values, in an order of their own."""
    words = list(command)
    starts = [place for place, word in enumerate(words) if word.startswith("--")]
    flags = (tuple(words[start:end]) for start, end in itertools.pairwise([*starts, len(words)]))
    return sorted(each for each in flags if each[0] not in PLACES)


def row_of(table: Path, member: Member) -> dict[str, str] | None:
    """The last row of a member in a table of results, or `None`."""
    if not table.is_file():
        return None
    rows = [row for row in results.read_rows(table) if essence(shlex.split(row["command"])) == essence(member.command)]
    return rows[-1] if rows else None


def run(study: Study, args) -> None:
    """Trains what is not finished of a study, one member after the other, and adds a row for each to the table."""
    for number, (name, member) in enumerate(study.members.items(), 1):
        where = f"{study.name} {number}/{len(study.members)}, {name}"
        if row_of(args.csv, member):
            log(f"{where}: finished before")
            continue
        if not (begun(member) and row_of(args.training_csv, member)):
            words = next_command(member, args)
            log(f"{where}: {shlex.join(['python', *words])}")
            done = subprocess.run([sys.executable, *words], stdout=sys.stderr, check=False)
            if done.returncode:
                raise commands.CommandError(
                    f"the training of {name} in the study {study.name} ended with exit code {done.returncode}; "
                    "the same command continues it"
                )
        results.append_rows(args.csv, COLUMNS, [measured(member)])


def next_command(member: Member, args) -> list[str]:
    """What trains a member from where it is, in words without the interpreter.

    Raises:
        BadInput: If its folder holds another run, which would be lost.
    """
    if begun(member) and any((member.folder / "checkpoints").glob("epoch_*")):
        return [SCRIPT, "--resume", str(member.folder), "--csv", str(args.training_csv)]
    return list(member.command[1:])


def begun(member: Member) -> bool:
    """Whether a member's run began.

    Raises:
        BadInput: If its folder holds a run with other settings.
    """
    file = member.folder / "environment.json"
    if not file.is_file():
        return False
    then = json.loads(file.read_text(encoding="utf-8"))["command"]
    if essence(shlex.split(then)) != essence(member.command):
        raise BadInput(
            f"expected {member.folder} to be free, or to hold this run. Received: one with other settings, {then}; "
            "move it, remove it, or train for another number of epochs"
        )
    return True


def measured(member: Member) -> dict:
    """The row of a finished run: what its network costs, and what it reached."""
    from ghostnet_tf.quiet import start_tensorflow

    start_tensorflow()
    from ghostnet_tf.analysis import complexity
    from ghostnet_tf.weights.keras_file import load_keras

    counted = complexity(load_keras(member.folder / "model.keras"))
    epochs = read_metrics(member.folder)
    environment, evaluation = (
        json.loads((member.folder / name).read_text(encoding="utf-8"))
        for name in ("environment.json", "evaluation.json")
    )
    (result,) = (entry for entry in evaluation if entry["model"] == "model.keras")
    return {
        "date": environment["started"],
        "data": member.config.data,
        "network": member.config.network,
        "parameters": counted.params,
        "multiply_adds": counted.macs,
        "epochs": len(epochs),
        "minutes": round(sum(float(row["seconds"]) for row in epochs) / 60, 1),
        "top1": round(result["top1"], 5),
        "images": result["images"],
        "curve": " ".join(row["val_accuracy"] or "nan" for row in epochs),
        "command": environment["command"],
    }


def command(argv: list[str] | None = None) -> int:
    """Parses, trains what is not finished, writes the page."""
    from benchmarks.study_page import Result, write_page

    args = parser().parse_args(argv)
    if Path.cwd() != ROOT:
        raise BadInput(f"expected to be started at the top of the checkout, {ROOT}. Received: {Path.cwd()}")
    studies = {path.stem: read_study(path, args) for path in sorted(args.studies.glob("*.toml"))}
    if not studies:
        raise BadInput(f"expected --studies as a folder of TOML files. Received: {args.studies}, without any")
    chosen = [studies[commands.choose("study", name, studies)] for name in args.only] or list(studies.values())
    results.check_results_file(args.training_csv, train.COLUMNS)
    results.check_results_file(args.csv, COLUMNS)
    for study in [] if args.page_only else chosen:
        run(study, args)
    found = {}
    for name, study in studies.items():
        rows = {member: row_of(args.csv, each) for member, each in study.members.items()}
        found[name] = {member: Result.of(row) for member, row in rows.items() if row}
    write_page(args.page, studies.values(), found)
    print(f"saved as {args.page}")
    return commands.OK


def main(argv: list[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    return commands.run(command, argv)


if __name__ == "__main__":
    raise SystemExit(main())
