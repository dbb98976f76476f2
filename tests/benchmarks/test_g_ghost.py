"""The race of G-GhostNet: which networks, both routes at each batch size, ratios to the first network."""

import csv

import keras
import pytest
import tensorflow as tf

from ghostnet_tf import commands


@pytest.fixture(scope="module")
def g_ghost(script):
    return script("g_ghost")


@pytest.fixture(autouse=True)
def same_environment(monkeypatch):
    """What the command sets goes away again."""
    for name in ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"):
        monkeypatch.setenv(name, "1")


def tiny(filters: int) -> keras.Model:
    keras.utils.set_random_seed(0)
    image = keras.Input((48, 48, 8))
    x = keras.layers.Conv2D(filters, 3, activation="relu")(image)
    return keras.Model(image, keras.layers.GlobalAveragePooling2D()(keras.layers.Conv2D(filters, 3)(x)))


def test_the_race(g_ghost, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(g_ghost, "networks", lambda variant, size: {"heavy": tiny(64), "light": tiny(4)})
    path = tmp_path / "g_ghost.csv"
    assert g_ghost.main(["--batches", "1", "3", "--rounds", "5", "--csv", str(path)]) == commands.OK
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["route"], row["batch"], row["network"]) for row in rows] == [
        (route, batch, network) for route in ("keras", "litert") for batch in "13" for network in ("heavy", "light")
    ]
    for heavy, light in zip(rows[::2], rows[1::2], strict=True):
        assert float(heavy["ratio"]) == 1 and light["reference"] == "heavy"
        assert int(light["multiply_adds"]) == 46 * 46 * 4 * 9 * 8 + 44 * 44 * 4 * 9 * 4
        if light["route"] == "litert":
            # A hundredth of the multiply-adds: at most half of the time, on any machine. Keras has costs of its own.
            assert float(light["ratio"]) < 0.5
            assert int(light["partitions"]) == 1
    assert "| litert, 3 | light |" in capsys.readouterr().out


def test_the_networks(g_ghost):
    """Of the least variant, quick to build."""
    found = g_ghost.networks("002", 32)
    assert list(found) == ["RegNetX-002", "G-Ghost-RegNetX-002", "C-GhostNet 1.0"]
    assert found["G-Ghost-RegNetX-002"].count_params() < found["RegNetX-002"].count_params()


def test_what_cannot_be_run(g_ghost, capsys):
    assert g_ghost.main(["--device", "gpu", "--clock", "cpu"]) == commands.BAD_INPUT
    assert "--clock wall" in capsys.readouterr().err
    assert g_ghost.main(["--variant", "041"]) == commands.BAD_INPUT
    assert "Did you mean" in capsys.readouterr().err
    if not tf.config.list_physical_devices("GPU"):
        assert g_ghost.main(["--device", "gpu"]) == commands.MISSING
        assert "TensorFlow finds no GPU" in capsys.readouterr().err
