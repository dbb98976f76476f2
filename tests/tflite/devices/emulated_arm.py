"""Sets up an emulated ARM processor with Python and LiteRT's wheel for it in .cache/arm: `make test-arm`.

`--command` prints, a word a line, what to put before a Python script to run it there.

Needs neither root nor an installed emulator: Debian's packages are unpacked, not installed.
"""

import importlib.metadata
import sys
from pathlib import Path

import debian

# What LiteRT's wheel loads; python3.11 is Debian bookworm's.
PYTHON = "3.11"
PACKAGES = ["python3-minimal", f"libpython{PYTHON}-stdlib", "libstdc++6", "zlib1g"]
PLATFORMS = ("manylinux_2_28_aarch64", "manylinux_2_27_aarch64", "manylinux2014_aarch64")

# The library that chooses XNNPACK's kernels reads this file, and would find this machine's. It must agree with
# qemu's `-cpu`: kernels with instructions that the processor lacks end the program.
CORTEX_A76 = """\
processor\t: 0
BogoMIPS\t: 50.00
Features\t: fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm lrcpc dcpop asimddp
CPU implementer\t: 0x41
CPU architecture: 8
CPU variant\t: 0x4
CPU part\t: 0xd0b
CPU revision\t: 1
"""


def make(folder: Path) -> None:
    """`folder/root` with Python for ARM, `folder/packages` with LiteRT, and the emulator."""
    root = folder / "root"
    debian.unpack(PACKAGES, root, "arm64", dependencies=True)
    debian.unpack(["qemu-user-static"], folder / "emulator", debian.here())
    (root / "proc").mkdir(exist_ok=True)
    (root / "proc" / "cpuinfo").write_text(CORTEX_A76)
    platforms = [word for name in PLATFORMS for word in ("--platform", name)]
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--target", str(folder / "packages")]
    wheel = f"ai-edge-litert=={importlib.metadata.version('ai-edge-litert')}"
    for_arm = ["--only-binary=:all:", "--python-version", PYTHON, "--implementation", "cp", *platforms]
    debian.run([*pip, *for_arm, wheel], folder)


def command(folder: Path) -> list[str]:
    """The words before a Python script and its arguments, to run it on the emulated Cortex-A76.

    qemu's `-cpu max` computes XNNPACK's int8 kernels wrongly (by up to 173 of 255 steps, qemu 7.2).
    """
    root = folder / "root"
    qemu = folder / "emulator" / "usr" / "bin" / "qemu-aarch64-static"
    environment = ["-E", f"PYTHONPATH={folder / 'packages'}"]
    python = root / "usr" / "bin" / f"python{PYTHON}"
    return [str(qemu), "-cpu", "cortex-a76", *environment, "-L", str(root), str(python)]


if __name__ == "__main__":
    where = debian.CACHE / "arm"
    if sys.argv[1:] == ["--command"]:
        print("\n".join(command(where)))
        raise SystemExit(0)
    raise SystemExit(debian.set_up(where, make))
