"""Settings of the whole suite, and shorter networks, for what does not depend on the number of blocks."""

import os

import pytest

if "PYTEST_XDIST_WORKER" in os.environ:  # as many workers as cores: threads of their own would only wait for each other
    os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")
    os.environ.setdefault("TF_NUM_INTEROP_THREADS", "1")

ROWS = (0, 1, 3, 4, 5, 9, 11, 12)  # of GhostNet's table: with and without strides, squeezing and a projection


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
