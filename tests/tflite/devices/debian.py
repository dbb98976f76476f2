"""Unpacks Debian packages into a folder, without installing them and without being root."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

RELEASE = "bookworm"
MIRROR = os.environ.get("DEBIAN_MIRROR", "http://deb.debian.org")
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
CACHE = Path(__file__).resolve().parents[3] / ".cache"
MISSING = 3


class Unavailable(Exception):
    """Something that the set-up needs is not on this machine or cannot be fetched."""


def unpack(packages: list[str], folder: Path, architecture: str, dependencies: bool = False) -> None:
    """Fetches packages of Debian's `RELEASE` with apt's checks of signatures and unpacks them.

    Args:
        packages: Names.
        folder: Gets the files, as in a root directory.
        architecture: As Debian names it, such as `arm64`; need not be this machine's.
        dependencies: Whether what they depend on comes along.

    Raises:
        Unavailable: Without apt, Debian's keys or a network.
    """
    for tool in ("apt-get", "dpkg-deb"):
        if shutil.which(tool) is None:
            raise Unavailable(f"{tool} is missing: this set-up needs Debian or a system made from it")
    if not KEYRING.is_file():
        raise Unavailable(f"{KEYRING} is missing: apt install debian-archive-keyring")
    apt = CACHE / f"apt-{architecture}"
    for part in ("state/lists/partial", "cache/archives/partial"):
        (apt / part).mkdir(parents=True, exist_ok=True)
    (apt / "status").touch()
    signed = f"deb [signed-by={KEYRING}] {MIRROR}"
    sources = apt / "sources.list"
    sources.write_text(f"{signed}/debian {RELEASE} main\n{signed}/debian-security {RELEASE}-security main\n")
    settings = {
        "APT::Architecture": architecture,
        "APT::Architectures": architecture,
        "APT::Install-Recommends": "false",
        "APT::Sandbox::User": "",
        "Acquire::Languages": "none",
        "Dir::State": apt / "state",
        "Dir::State::status": apt / "status",
        "Dir::Cache": apt / "cache",
        "Dir::Etc::sourcelist": sources,
        "Dir::Etc::sourceparts": "-",
        "Dir::Etc::preferences": "-",
        "Dir::Etc::preferencesparts": "-",
    }
    options = [word for name, value in settings.items() for word in ("-o", f"{name}={value}")]
    fetched = apt / "fetched"
    fetched.mkdir(exist_ok=True)
    run(["apt-get", *options, "--quiet", "update"], fetched)
    if dependencies:
        run(["apt-get", *options, "--quiet", "--yes", "--download-only", "install", *packages], fetched)
        found = apt / "cache" / "archives"
    else:
        run(["apt-get", *options, "--quiet", "download", *packages], fetched)
        found = fetched
    folder.mkdir(parents=True, exist_ok=True)
    for package in sorted(found.glob("*.deb")):
        run(["dpkg-deb", "--extract", str(package), str(folder)], fetched)
    shutil.rmtree(apt)


def run(words: list[str], folder: Path) -> None:
    """A program in `folder`, its words shown if it fails.

    Raises:
        Unavailable: If it fails.
    """
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Unavailable(f"{words[0]} ended with code {done.returncode}:\n{(done.stderr or done.stdout).strip()}")


def here() -> str:
    """This machine's architecture as Debian names it."""
    names = {"x86_64": "amd64", "aarch64": "arm64"}
    machine = os.uname().machine
    if machine not in names:
        raise Unavailable(f"Expected a machine of {' or '.join(names)}. Received: {machine}")
    return names[machine]


def set_up(folder: Path, make: Callable[[Path], None]) -> int:
    """Makes `folder` once, whole or not at all; for the end of a script."""
    if folder.is_dir():
        return 0
    partial = folder.with_name(f"{folder.name}-partial")
    shutil.rmtree(partial, ignore_errors=True)
    print(f"setting up {folder}", file=sys.stderr, flush=True)
    try:
        make(partial)
    except Unavailable as reason:
        print(f"cannot set up {folder}: {reason}", file=sys.stderr)
        return MISSING
    partial.rename(folder)
    return 0
