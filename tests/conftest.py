"""Settings of the whole suite, and shorter networks, for what does not depend on the number of blocks."""

import gc
import os
from pathlib import Path

import pytest

if "PYTEST_XDIST_WORKER" in os.environ:  # as many workers as cores: threads of their own would only wait for each other
    os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")
    os.environ.setdefault("TF_NUM_INTEROP_THREADS", "1")

ROWS = (0, 1, 3, 4, 5, 9, 11, 12)  # of GhostNet's table: with and without strides, squeezing and a projection

# By their time: those that take more than 20 seconds.
LONGEST = (
    "pages/test_shell_blocks.py",
    "tflite/test_families_convert.py",
    "training/test_strategy.py",
    "models/test_families.py",
    "analysis/test_zoo.py",
    "test_comparisons.py",
    "training/test_recipes.py",
    "training/test_options.py",
    "benchmarks/test_study.py",
    "tflite/test_convert_command.py",
    "training/test_train_command.py",
    "training/test_freezing.py",
    "tflite/test_schemes.py",
    "tflite/test_qat_twin.py",
    "benchmarks/test_building_time.py",
    "training/test_qat_command.py",
    "benchmarks/test_memory.py",
    "weights/test_golden.py",
    "test_every_network.py",
)


def pytest_configure(config: pytest.Config) -> None:
    """Has pytest-xdist's `--dist loadfile` take the files in our order; before 3.8 it knows its own only."""
    if hasattr(config.option, "loadscopereorder"):
        config.option.loadscopereorder = False


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Puts the longest files first, so that no worker is left with one at the end."""
    places = {Path(__file__).parent / name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(item.path, len(places)))


def pytest_collection_finish() -> None:
    """Spares the garbage collector what the imports left, a million objects that stay: networks build faster."""
    gc.freeze()


@pytest.fixture(scope="session")
def shorten():
    """`shorten(monkeypatch)` leaves every network at least one block of each kind, and all its resolutions."""

    def leave_kinds(patch: pytest.MonkeyPatch) -> None:
        from ghostnet_tf.models import g_ghost_regnet, ghost_resnet, ghostnet

        patch.setattr(ghostnet, "ROWS", tuple(ghostnet.ROWS[index] for index in ROWS))
        for name in ("RESNET56", "RESNET50"):
            rows = getattr(ghost_resnet, name)
            patch.setattr(ghost_resnet, name, tuple((channels, 2, strides) for channels, _, strides in rows))
        _, *others = g_ghost_regnet.VARIANTS["002"]
        patch.setitem(g_ghost_regnet.VARIANTS, "002", ((1, 1, 3, 3), *others))

    return leave_kinds
