"""Counting ARM instructions: how counts get their kernels, what is copied, the comparison, and a real count where qemu
has been set up."""

import os
import shutil
import subprocess
from collections import Counter

import keras
import pytest

from ghostnet_tf import commands
from ghostnet_tf.tflite.schemes import convert

MAPS = """\
5500000000-5500010000 r--p 00000000 08:01 11 /x/ai_edge_litert/libone.so
5500010000-5500030000 r-xp 00010000 08:01 11 /x/ai_edge_litert/libone.so
5500040000-5500050000 r-xp 00000000 08:01 12 /root/lib/libc.so.6
"""


@pytest.fixture(scope="module")
def arm(script):
    return script("arm_instructions")


@pytest.fixture(scope="module")
def content() -> bytes:
    """A residual block with a concatenation."""
    keras.utils.set_random_seed(0)
    image = keras.Input((16, 16, 8))
    x = keras.layers.Conv2D(8, 1)(image)
    x = keras.layers.Concatenate()([x, keras.layers.DepthwiseConv2D(3, padding="same")(x)])
    x = keras.layers.Add()([keras.layers.Conv2D(8, 1)(x), image])
    return convert(keras.Model(image, x), "fp32", graph="plain")


def test_blocks_that_were_translated_twice_count_once_each(arm):
    assert arm.executed("10 4 3\n2c 1 7\n10 2 5\n") == Counter({0x10: 4 * 3 + 2 * 5, 0x2C: 7})


def test_counts_go_to_the_function_that_holds_the_block(arm, monkeypatch):
    (library,) = arm.libraries(MAPS)
    assert library == arm.Library("/x/ai_edge_litert/libone.so", 0x5500000000, 0x5500030000)
    monkeypatch.setattr(arm, "symbols", lambda path: ([0x10000, 0x10100], ["gemm", "dwconv"]))
    base = library.start
    counts = Counter({base + 0x10000: 5, base + 0x100FC: 7, base + 0x10100: 11, base + 0x4: 1, 0x5500040000: 13})
    assert arm.by_kernel(counts, [library]) == {"gemm": 12, "dwconv": 11, "libone.so, no symbol": 1, arm.OUTSIDE: 13}


def test_functions_of_a_library(arm, tmp_path):
    if shutil.which("nm") is None or shutil.which("gcc") is None:
        pytest.skip("nm or gcc is missing: apt install gcc")
    source, library = tmp_path / "two.c", tmp_path / "two.so"
    source.write_text("int first(void) { return 1; } int second(void) { return first(); }")
    subprocess.run(["gcc", "-shared", "-fPIC", "-o", library, source], check=True)
    starts, names = arm.symbols(str(library))
    assert {"first", "second"} <= set(names) and starts == sorted(starts)
    place = starts[names.index("second")]
    mapped = [arm.Library(str(library), 0x1000, 0x100000)]
    assert arm.by_kernel(Counter({0x1000 + place: 3}), mapped) == {"second": 3}


def test_bytes_that_copies_and_additions_move(arm, content):
    assert arm.moved_bytes(content) == {
        "copied_bytes": 4 * 16 * 16 * (8 + 8 + 16),
        "added_bytes": 4 * 16 * 16 * (8 + 8 + 8),
    }


def test_the_comparison_is_with_the_best_other_route(arm, content, tmp_path, capsys):
    from benchmarks import peers

    path = tmp_path / "a.tflite"
    path.write_bytes(content)
    found = [
        ("timm", "ghostnet", 200),
        ("kecam", "ghostnet", 100),
        ("ours", "ghostnet", 95),
        ("mobilenetv2", "mobilenetv2", 160),
        ("other", "other", 7),
    ]
    counted = []
    for name, network, instructions in found:
        counts = Counter({"gemm": instructions - 1, "rare": 1, arm.OUTSIDE: 50})
        one = peers.Contestant(name, network, "" if name == "other" else "fp32", path)
        counted.append((one, arm.rows_of(one, counts)))
    arm.add_ratios(counted)
    totals = [rows[0] for _, rows in counted]
    assert [row.get("ratio") for row in totals] == [2.0, 1.0, 0.95, 1.6, None]
    assert [row["instructions"] for row in totals] == [200, 100, 95, 160, 7]  # without what is outside LiteRT
    kernels = [row["kernel"] for row in counted[0][1]]
    assert kernels == ["all", "gemm", arm.OUTSIDE, "rare"]
    assert "| ghostnet fp32 | ours | 0.00 | 0.950 |" in arm.table(counted)
    assert "other: " not in arm.profile(counted[4][1], 3)


def test_without_debian_it_says_what_is_missing(arm, monkeypatch, tmp_path, capsys):
    (tmp_path / "cache").mkdir()
    for tool in ("gcc", "nm"):
        (tmp_path / tool).symlink_to("/bin/true")
    monkeypatch.syspath_prepend(arm.DEVICES)
    import debian

    monkeypatch.setattr(debian, "CACHE", tmp_path / "cache")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert arm.main([]) == commands.MISSING
    said = capsys.readouterr().err
    assert "apt-get is missing" in said and "no emulated ARM processor" in said
    monkeypatch.setenv("PATH", str(tmp_path / "cache"))
    assert arm.main([]) == commands.MISSING
    assert "gcc is missing: apt install gcc" in capsys.readouterr().err


def test_two_counts_on_the_emulated_processor_are_equal(arm, content, tmp_path):
    if not os.environ.get("FULL_SIZE"):
        pytest.skip("sets up and starts an emulated processor: set FULL_SIZE=1, as make test-arm does")
    try:
        words = arm.emulator(tmp_path)
    except commands.MissingResource as reason:
        pytest.skip(str(reason))
    path = tmp_path / "a.tflite"
    path.write_bytes(content)
    counts = arm.run_once(words, tmp_path, path)
    again = arm.run_once(words, tmp_path, path)
    del counts[arm.OUTSIDE], again[arm.OUTSIDE]
    assert counts == again
    # 256 pixels of 8 x 8 and 16 x 8 multiply-adds and of 9 x 8, at most 4 to an instruction and at least 1.
    macs = 256 * (64 + 128 + 72)
    assert macs / 4 < sum(counts.values()) < 4 * macs
    assert any("gemm" in name for name in counts) and any("dwconv" in name for name in counts)
