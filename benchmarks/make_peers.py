"""Makes the other routes' files for the race of `peers.py`: GhostNet 1.0 and V2 at 224 pixels, and their rivals.

Each route is a script in `benchmarks/routes` and runs in an environment of its own, with the versions of its `.txt`
there (found with Python 3.11 on Linux). Weights are random, of a fixed seed, and so are the few images that int8 is
calibrated with: neither changes the time, and nothing is fetched from a hub. Each file must run in LiteRT, and have
the multiply-adds and parameters of the network of its name, before it is moved into place. `manifest.json` beside the
files has checksums, operations and the versions of all packages.

What is made already is skipped. A route that fails is named at the end with the last line that it said, and the others
go on; the same command then makes what is missing.
"""

import sys
from pathlib import Path

GHOSTNET_TF_COMMAND = True  # see ghostnet_tf/__init__.py: argument parsing does not wait for TensorFlow
ROOT = Path(__file__).resolve().parents[1]
sys.path[0] = str(ROOT)

import json  # noqa: E402
import os  # noqa: E402
import re  # noqa: E402
import shutil  # noqa: E402
import subprocess  # noqa: E402
import tempfile  # noqa: E402
import time  # noqa: E402

from benchmarks import peer_files, peer_routes  # noqa: E402
from ghostnet_tf import commands, results, untrusted  # noqa: E402

EXAMPLES = """\
  python benchmarks/make_peers.py --list
  python benchmarks/make_peers.py                # all of them: hours on a slow line, and 10 GB in .cache/routes
  python benchmarks/make_peers.py timm kecam --csv results/routes.csv
  python benchmarks/peers.py --peers exports/routes --csv results/peers.csv
Where pip would bring torch for GPUs, PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu gives that for CPUs."""

VERSIONS = """\
import importlib.metadata, json, platform
packages = {found.name.lower().replace("_", "-"): found.version for found in importlib.metadata.distributions()}
print(json.dumps({"python": platform.python_version(), "packages": packages}, sort_keys=True))
"""


def parser() -> commands.ArgumentParser:
    """The command's arguments."""
    arguments = commands.ArgumentParser(prog="make_peers", description=__doc__, examples=EXAMPLES)
    arguments.add_argument(
        "routes", nargs="*", metavar="ROUTE", help=f"of {', '.join(peer_routes.ROUTES)}; all if none is given"
    )
    arguments.add_argument("--list", action="store_true", help="print the routes and what is made of each, make none")
    arguments.add_argument(
        "--output", type=Path, default=Path("exports/routes"), metavar="DIR", help="for the files and manifest.json"
    )
    arguments.add_argument(
        "--environments", type=Path, default=ROOT / ".cache/routes", metavar="DIR", help="for environments and logs"
    )
    arguments.add_argument("--python", default=sys.executable, metavar="PROGRAM", help="what environments are made of")
    arguments.add_argument("--overwrite", action="store_true", help="make files anew that are there")
    arguments.add_argument("--csv", type=Path, metavar="FILE", help="append a row for each file of the routes to FILE")
    return arguments


def last_line(text: str) -> str:
    """What a program said last, without colours."""
    lines = [line for line in re.sub(r"\x1b\[[0-9;]*m", "", text).splitlines() if line.strip()]
    return untrusted.printable(lines[-1].strip()[:300]) if lines else "nothing"


def run(words: list[str], log: Path, **options) -> str | None:
    """Runs a program, which says all to the end of `log`; its last line if it fails."""
    with log.open("a+b") as file:
        start = file.seek(0, os.SEEK_END)
        done = subprocess.run(words, stdout=file, stderr=subprocess.STDOUT, check=False, **options)
        file.seek(start)
        return last_line(file.read().decode(errors="replace")) if done.returncode else None


def environment(name: str, folder: Path, program: str) -> Path:
    """The Python of a route's environment, which is made if need be, whole or not at all.

    Raises:
        MissingResource: If its packages cannot be installed.
    """
    where, pins = folder / name, peer_routes.pins(name)
    marker, python, log = where / "installed.txt", where / "bin/python", folder / f"{name}.log"
    if marker.is_file() and marker.read_bytes() == pins.read_bytes():
        return python
    commands.log(f"{name}: installing what {pins.name} lists")
    shutil.rmtree(where, ignore_errors=True)
    folder.mkdir(parents=True, exist_ok=True)
    install = [str(python), "-m", "pip", "install", "--no-input", "--disable-pip-version-check", "--progress-bar=off"]
    for words in ([program, "-m", "venv", str(where)], [*install, "--requirement", str(pins)]):
        said = run(words, log)
        if said is not None:
            raise commands.MissingResource(f"its environment cannot be made: {said} (all of it: {log})")
    shutil.copyfile(pins, marker)
    return python


def versions(python: Path) -> dict:
    """`python` and, by name, `packages` of an environment."""
    done = subprocess.run([str(python), "-c", VERSIONS], capture_output=True, text=True, check=False)
    if done.returncode:
        raise commands.CommandError(f"its environment does not run: {last_line(done.stderr)}")
    return json.loads(done.stdout)


def make(name: str, network: str, python: Path, log: Path, output: Path) -> dict[str, dict]:
    """Runs a route's script for a network, checks its files, moves them into place.

    Returns:
        What the manifest says of each file.

    Raises:
        CommandError: If it fails, leaves a file out, or makes one of another network.
    """
    output.mkdir(parents=True, exist_ok=True)
    commands.log(f"{name}: making the files of {network}")
    shared = {"route": name, "network": network, "recipe": peer_routes.recipe(name)}
    start = time.monotonic()
    variables = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "PYTHONHOME")}
    # onnx2tf starts a program of its environment by name.
    variables |= {"PATH": f"{python.parent}{os.pathsep}{variables.get('PATH', '')}", "PYTHONUNBUFFERED": "1"}
    variables |= {"KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "2", "PYTHONNOUSERSITE": "1"}
    with tempfile.TemporaryDirectory(prefix=".making-", dir=output) as staged:
        words = [str(python), str(peer_routes.script(name)), network, staged]
        said = run(words, log, env=variables, cwd=staged)
        if said is not None:
            raise commands.CommandError(f"{said} (all of it: {log})")
        shared["seconds"] = round(time.monotonic() - start, 1)
        made = {
            file: shared | {"scheme": scheme} | peer_files.facts(Path(staged) / file, network)
            for scheme, file in peer_routes.files(name, network).items()
        }
        for file in made:
            (Path(staged) / file).replace(output / file)
    return made


def make_route(name: str, args, manifest: dict) -> dict[str, commands.CommandError]:
    """Makes what is missing of a route's files, and writes the manifest after each network.

    Returns:
        What failed, by what was tried.
    """
    output, environments = args.output.resolve(), args.environments.resolve()
    networks = peer_routes.ROUTES[name].networks
    if not args.overwrite:
        networks = [network for network in networks if not peer_files.is_made(name, network, output, manifest)]
    if not networks:
        commands.log(f"{name}: its files are in {args.output}; --overwrite makes them anew")
        return {}
    try:
        python = environment(name, environments, args.python)
        manifest["routes"][name] = versions(python)
    except commands.CommandError as error:
        return {name: error}
    failures = {}
    for network in networks:
        try:
            manifest["files"] |= make(name, network, python, environments / f"{name}.log", output)
        except commands.CommandError as error:
            failures[f"{name} {network}"] = error
            commands.log(f"{name}: {network} failed: {error}")
        else:
            peer_files.write(output, manifest)
    return failures


def listing(output: Path, manifest: dict) -> str:
    """The routes, and what is made of each."""
    lines = []
    for name, route in peer_routes.ROUTES.items():
        lines.append(f"{name}: {route.summary}")
        for network in route.networks:
            state = "made" if peer_files.is_made(name, network, output, manifest) else "not made"
            lines.append(f"  {state:<8}  {', '.join(peer_routes.files(name, network).values())}")
    return "\n".join(lines)


def command(argv: list[str] | None = None) -> int:
    """Parses, installs, makes what is missing, tells what failed."""
    args = parser().parse_args(argv)
    names = list(dict.fromkeys(args.routes)) or list(peer_routes.ROUTES)
    for name in names:
        commands.choose("route", name, peer_routes.ROUTES)
    if shutil.which(args.python) is None:
        raise commands.BadInput(f"expected --python as a program. Received: {args.python!r}, which is none")
    if args.csv:
        results.check_results_file(args.csv, peer_files.COLUMNS)
    manifest = peer_files.read(args.output)
    if args.list:
        print(listing(args.output, manifest))
        return commands.OK
    failures = {}
    for name in names:
        failures |= make_route(name, args, manifest)
    found = peer_files.rows(names, manifest)
    if args.csv and found:
        shared = {"date": results.now(), "command": results.command_line("benchmarks/make_peers.py", argv)}
        results.append_rows(args.csv, peer_files.COLUMNS, [row | shared for row in found])
    if found:
        print(peer_files.table(found))
    for tried, error in failures.items():
        commands.log(f"failed: {tried}: {error}")
    missing = all(error.code == commands.MISSING for error in failures.values())
    return commands.OK if not failures else commands.MISSING if missing else commands.FAILED


def main(argv: list[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    return commands.run(command, argv)


if __name__ == "__main__":
    raise SystemExit(main())
