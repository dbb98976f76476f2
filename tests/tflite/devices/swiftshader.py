"""Fetches SwiftShader, a Vulkan driver that computes on the CPU, into .cache/swiftshader: `make test-gpu`.

Debian's Chromium carries it, with a Vulkan loader; nothing else of the package is kept.
"""

import shutil
from pathlib import Path

import debian

FILES = ("vk_swiftshader_icd.json", "libvk_swiftshader.so", "libvulkan.so.1")


def make(folder: Path) -> None:
    """The driver, its description and the loader in `folder`."""
    package = folder / "package"
    debian.unpack(["chromium-common"], package, debian.here())
    for name in FILES:
        shutil.copy(package / "usr" / "lib" / "chromium" / name, folder / name)
    shutil.rmtree(package)


if __name__ == "__main__":
    raise SystemExit(debian.set_up(debian.CACHE / "swiftshader", make))
