"""The race with other routes' files: who is in which contest, against whom, and what a missing folder says."""

import csv
from pathlib import Path

import keras
import numpy as np
import pytest

from ghostnet_tf import commands
from ghostnet_tf.tflite.schemes import convert


@pytest.fixture(scope="module")
def peers(script):
    return script("peers")


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> tuple[Path, Path]:
    """Of the others and of ours: two tiny networks under the names that the race looks for, the others' heavier."""
    theirs, ours = tmp_path_factory.mktemp("theirs"), tmp_path_factory.mktemp("ours")
    content = []
    for filters in (4, 64):
        keras.utils.set_random_seed(0)
        image = keras.Input((32, 32, 8))
        x = keras.layers.Conv2D(filters, 3, activation="relu")(image)
        content.append(convert(keras.Model(image, keras.layers.Conv2D(filters, 3)(x)), "fp32"))
    light, heavy = content
    for name in ("timm_ghostnet_100_litert-torch_fp32", "kimm_ghostnet_100_fp32", "kecam_ghostnet_100_int8"):
        (theirs / f"{name}.tflite").write_bytes(heavy)
    (theirs / "notes.txt").write_text("not a file of the race")
    (theirs / "timm_resnet_100_fp32.tflite").write_bytes(heavy)
    (theirs / "keras_mobilenetv3large_100_fp32.tflite").write_bytes(heavy)
    for network in ("ghostnet_100", "ghostnetv2_100", "mobilenetv2_100"):
        for scheme in ("fp32", "int8", "hybrid", "late/fp32", "late/hybrid", "integers/int8"):
            kind, _, name = scheme.rpartition("/")
            (ours / kind).mkdir(exist_ok=True)
            (ours / kind / f"{network}_224_untrained_{name}.tflite").write_bytes(light)
    return theirs, ours


def test_who_is_in_the_race(peers, folders):
    theirs, ours = folders
    found = [(one.name, one.network, one.scheme, one.is_peer) for one in peers.peers(theirs)]
    assert found == [
        ("kecam", "ghostnet", "int8", True),
        ("keras mobilenetv3large", "mobilenetv3large", "fp32", False),
        ("kimm", "ghostnet", "fp32", True),
        ("timm", "ghostnet", "fp32", True),
    ]
    names = [(one.name, one.network) for one in peers.ours(ours) if one.scheme == "int8"]
    each = ("ours", "ours again", "ours, int8 in and out")
    assert names == [*((name, network) for network in peers.NETWORKS for name in each), ("mobilenetv2", "mobilenetv2")]
    assert not any(one.is_peer for one in peers.ours(ours))
    beside = [one for one in peers.ours(ours) if one.network == "ghostnetv2" and one.scheme == "fp32"][2:]
    assert [(one.name, str(one.path.relative_to(ours))) for one in beside] == [
        ("ours, late", "late/ghostnetv2_100_224_untrained_fp32.tflite"),
        ("ours, hybrid", "ghostnetv2_100_224_untrained_hybrid.tflite"),
        ("ours, hybrid late", "late/ghostnetv2_100_224_untrained_hybrid.tflite"),
    ]


def test_the_race(peers, folders, tmp_path, capsys):
    theirs, ours = folders
    words = ["--peers", str(theirs), "--ours", str(ours), "--rounds", "5", "--num-threads", "1", "--clock", "cpu"]
    assert peers.main([*words, "--csv", str(tmp_path / "peers.csv")]) == commands.OK
    printed = capsys.readouterr()
    assert "cpu clock, threads: 1, 5 rounds" in printed.out
    assert "ghostnetv2 fp32 is left out" in printed.err
    with (tmp_path / "peers.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    contests = {}
    for row in rows:
        contests.setdefault(row["contest"], []).append(row)
    assert sorted(contests) == ["ghostnet fp32", "ghostnet int8"]
    names = [row["contestant"] for row in contests["ghostnet fp32"]]
    beside = ["ours, late", "ours, hybrid", "ours, hybrid late"]
    assert names == ["keras mobilenetv3large", "kimm", "timm", "ours", "ours again", *beside, "mobilenetv2"]
    fastest = min(contests["ghostnet fp32"][1:3], key=lambda row: float(row["median_ms"]))
    assert float(fastest["ratio"]) == 1 and fastest["contestant"] in fastest["reference"]
    for row in contests["ghostnet fp32"][3:]:
        # 16 times the multiply-adds and more; at most half of the time, on any machine.
        assert float(row["ratio"]) < 0.5
    assert np.isfinite([float(row["ratio_low"]) for row in rows]).all()


def test_without_the_folder(peers, tmp_path, capsys):
    assert peers.main(["--peers", str(tmp_path / "absent")]) == commands.MISSING
    assert "--peers" in capsys.readouterr().err
