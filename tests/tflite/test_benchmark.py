"""The benchmark command: order and statistics on numbers of our own, then real files."""

import csv
import json
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import keras
import numpy as np
import pytest

from ghostnet_tf import commands
from ghostnet_tf.tflite import benchmark, cold_start, summary, timing

ROOT = Path(benchmark.__file__).resolve().parents[1]
TIMING_LINE = re.compile(
    r"Inference timings in us: Init: \d+, First inference: \d+, "
    r"Warmup \(avg\): [\d.e+]+, Inference \(avg\): [\d.e+]+"
)


@pytest.fixture(scope="session")
def benchmark_files(tmp_path_factory) -> tuple[Path, Path]:
    """A small float network, and one with about 400 times its work and 8 MB of weights."""
    import tensorflow as tf

    keras.utils.set_random_seed(0)
    folder = tmp_path_factory.mktemp("benchmark")
    files = []
    for name, size, filters in (("small", 8, 4), ("large", 16, 64)):
        image = keras.Input((size, size, 3))
        x = keras.layers.Conv2D(filters, 3, padding="same", activation="relu")(image)
        x = keras.layers.Conv2D(filters, 3, padding="same", activation="relu")(x)
        x = keras.layers.Dense(2 * filters)(keras.layers.Flatten()(x))
        # A batch of fixed size: with an open one, XNNPACK leaves the computation of shapes outside.
        signature = [keras.InputSpec(shape=(1, size, size, 3), dtype="float32")]
        keras.Model(image, x).export(folder / name, verbose=False, input_signature=signature)
        content = tf.lite.TFLiteConverter.from_saved_model(str(folder / name)).convert()
        files.append(folder / f"{name}.tflite")
        files[-1].write_bytes(content)
    return tuple(files)


def test_summary_on_known_numbers():
    times = np.arange(1.0, 101.0)  # 1 to 100
    found = summary.summarize(times)
    assert found["median_ms"] == 50.5
    assert found["p5_ms"] == pytest.approx(5.95)  # linear between the ranks, NumPy's rule: 1 + 0.05 * 99
    assert found["p95_ms"] == pytest.approx(95.05)
    assert found["mean_ms"] == 50.5
    assert found["std_ms"] == pytest.approx(np.sqrt((100**2 - 1) / 12))
    assert (found["min_ms"], found["max_ms"]) == (1, 100)


def test_ratio_is_of_rounds_so_a_slow_spell_cancels():
    rng = np.random.default_rng(1)
    spell = np.where(np.arange(50) < 20, 5.0, 1.0)  # the machine is five times slower for 20 rounds
    reference = 10 * spell * rng.normal(1, 0.01, 50)
    found = summary.ratio(20 * spell * rng.normal(1, 0.01, 50), reference, seed=0)
    assert found["ratio"] == pytest.approx(2, abs=0.01)
    assert 1.98 < found["ratio_low"] < found["ratio"] < found["ratio_high"] < 2.02


def test_bootstrap_interval_covers_the_true_ratio_about_as_often_as_it_says():
    rng = np.random.default_rng(2)
    covered = 0
    for number in range(60):
        reference = rng.lognormal(0, 0.1, 30)
        times = 1.5 * reference * rng.lognormal(0, 0.1, 30)  # the true median ratio is 1.5
        found = summary.ratio(times, reference, seed=number)
        covered += found["ratio_low"] <= 1.5 <= found["ratio_high"]
    # 95 % of 60 is 57; below 51 would have a chance of 1 in 400 at 95 %, and always covering would mean too wide.
    assert 51 <= covered < 60


def test_ratio_is_seeded_and_a_single_round_has_no_interval():
    times, reference = np.array([2.0, 2.2, 1.9, 2.4]), np.array([1.0, 1.2, 0.9, 1.1])
    assert summary.ratio(times, reference, seed=3) == summary.ratio(times, reference, seed=3)
    assert summary.ratio(times[:1], reference[:1]) == {"ratio": 2.0, "ratio_low": None, "ratio_high": None}


def test_orders_shuffle_every_contestant_into_every_round():
    orders = list(timing.orders(3, 300, seed=0))
    assert all(sorted(order) == [0, 1, 2] for order in orders)
    assert orders == list(timing.orders(3, 300, seed=0))
    assert orders != list(timing.orders(3, 300, seed=1))
    firsts = Counter(order[0] for order in orders)
    # 100 each is fair; five standard deviations (8.2) of a fair draw either side.
    assert set(firsts) == {0, 1, 2} and all(59 <= count <= 141 for count in firsts.values())


def test_measure_interleaves_and_attributes_times():
    now, calls = [0], []

    def fake(index):
        def invoke():
            calls.append(index)
            now[0] += (index + 1) * 1_000_000  # nanoseconds

        return SimpleNamespace(interpreter=SimpleNamespace(invoke=invoke))

    times = timing.measure([fake(i) for i in range(3)], num_runs=4, warmup_runs=2, read_clock=lambda: now[0], seed=5)
    np.testing.assert_array_equal(times, [[1] * 4, [2] * 4, [3] * 4])
    assert calls[:6] == [0, 0, 1, 1, 2, 2]
    assert calls[6:] == [index for order in timing.orders(3, 4, seed=5) for index in order]


def test_clocks():
    burnt, slept = timing.clock("cpu", 1), timing.clock("wall", 1)
    assert timing.clock("cpu", 2) is not burnt, "with more threads, the time of all of them"
    start = burnt(), slept()
    np.linalg.svd(np.ones((60, 60)))
    assert burnt() > start[0] and slept() > start[1]
    with pytest.raises(commands.BadInput, match="wall, cpu"):
        timing.clock("sun", 1)


def test_inputs_fill_the_range_of_their_type():
    filled = {}
    details = [
        {"index": i, "name": str(i), "shape": (1, 40, 40, 3), "shape_signature": np.array([-1, 40, 40, 3]), "dtype": t}
        for i, t in enumerate((np.uint8, np.int8, np.int16, np.float32))
    ]
    model = SimpleNamespace(
        interpreter=SimpleNamespace(get_input_details=lambda: details, set_tensor=filled.__setitem__)
    )
    timing.fill_inputs(model, seed=0)
    assert [values.dtype for values in filled.values()] == [np.uint8, np.int8, np.int16, np.float32]
    assert (filled[0].min(), filled[0].max()) == (0, 255)
    assert (filled[1].min(), filled[1].max()) == (-128, 127)
    assert filled[2].min() < -30000 and filled[2].max() > 30000
    assert 0 <= filled[3].min() < 1 and 254 < filled[3].max() <= 255

    details[0]["dtype"] = np.int32
    with pytest.raises(commands.BadInput, match="int32"):
        timing.fill_inputs(model, seed=0)
    details[0]["shape_signature"] = np.array([1, -1, -1, 3])
    with pytest.raises(commands.BadInput, match="fixed size"):
        timing.fill_inputs(model, seed=0)


def test_memory_is_of_the_file_and_not_of_this_process(benchmark_files):
    if cold_start.peak_memory() is None:
        pytest.skip("peak memory is read from /proc, which this system has not")
    ballast = np.ones(30_000_000)  # 240 MB, which `getrusage` in a child would count
    small, large = (cold_start.cold_start(path, warmup_runs=2) for path in benchmark_files)
    assert cold_start.peak_memory() > ballast.nbytes
    # A small network needs the runtime's own pages; the large one 8 MB of weights on top, which XNNPACK packs anew.
    assert 0 < small["peak_memory_mb"] < 30
    assert small["peak_memory_mb"] + 8 < large["peak_memory_mb"] < small["peak_memory_mb"] + 40
    assert all(value > 0 for value in large.values())


def test_command_writes_table_json_and_csv(benchmark_files, tmp_path, capsys):
    small, large = map(str, benchmark_files)
    results = tmp_path / "results.csv"
    words = [small, f"--graph={large}", "--num_runs=20", "--warmup_runs", "2", "--clock", "cpu"]
    words += ["--json", str(tmp_path / "out.json"), "--csv", str(results)]
    assert benchmark.main(words) == commands.OK
    printed = capsys.readouterr().out
    assert "ratio [95 %]" in printed and "processor time of the thread" in printed and "Python" in printed

    report = json.loads((tmp_path / "out.json").read_text())
    assert {key: report[key] for key in ("clock", "num_threads", "num_runs", "warmup_runs", "seed")} == {
        "clock": "cpu",
        "num_threads": 1,
        "num_runs": 20,
        "warmup_runs": 2,
        "seed": 0,
    }
    assert report["machine"]["cpu"] and report["machine"]["versions"]["ai-edge-litert"]
    assert report["command"].startswith("python tflite/benchmark.py ")
    first, second = report["results"]
    assert [first["file"], second["file"]] == ["small.tflite", "large.tflite"]
    assert first["ratio"] == 1 and second["ratio_low"] > 5, "400 times the work takes longer"
    assert first["partitions"] == second["partitions"] == 1
    for row, path in zip(report["results"], benchmark_files, strict=True):
        assert row["bytes"] == path.stat().st_size
        assert 0 < row["min_ms"] <= row["p5_ms"] <= row["median_ms"] <= row["p95_ms"] <= row["max_ms"]

    assert benchmark.main([*words, "--num-runs=2"]) == commands.OK
    with results.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["file"] for row in rows] == ["small.tflite", "large.tflite"] * 2
    assert [row["num_runs"] for row in rows] == ["20", "20", "2", "2"]
    assert list(rows[0]) == list(benchmark.COLUMNS)
    assert all(value not in (None, "") for row in rows for value in row.values())
    assert float(rows[1]["median_ms"]) == second["median_ms"]


def test_command_as_a_script_ends_with_the_line_of_benchmark_model(benchmark_files):
    done = subprocess.run(
        [sys.executable, str(ROOT / "tflite/benchmark.py"), str(benchmark_files[0]), "--num_runs=3"],
        capture_output=True,
        text=True,
        check=True,
    )
    *_, name, line = done.stdout.splitlines()
    assert name == "small.tflite"
    assert TIMING_LINE.fullmatch(line)
    assert "error" not in done.stderr.lower()


def _bad_files(folder: Path) -> dict[Path, str]:
    contents = {
        "empty.tflite": (b"", "is empty"),
        "notes.tflite": (b"just some words", "TFL3"),
        "model.keras": (b"PK\x03\x04" + bytes(60), r"convert.py --model .*model\.keras"),
        "broken.tflite": (b"\x1c\0\0\0TFL3" + bytes(range(60)), "is no sound .tflite file"),
    }
    for name, (content, _) in contents.items():
        (folder / name).write_bytes(content)
    return {folder: "a folder", folder / "absent.tflite": "no such file"} | {
        folder / name: message for name, (_, message) in contents.items()
    }


def test_bad_input_is_one_line_and_exit_2(benchmark_files, tmp_path, capsys):
    small = str(benchmark_files[0])
    for path, message in _bad_files(tmp_path).items():
        assert benchmark.main([small, str(path), "--num-runs=1"]) == commands.BAD_INPUT
        printed = capsys.readouterr()
        assert re.search(message, printed.err) and str(path) in printed.err
        assert printed.err.count("\n") == 1 and not printed.out

    other = tmp_path / "other.csv"
    other.write_text("name,score\nx,1\n")
    for words in (["--csv", str(other)], ["--csv", str(tmp_path)], ["--json", str(tmp_path)], ["--clock", "sun"]):
        assert benchmark.main([small, *words]) == commands.BAD_INPUT
        assert capsys.readouterr().err.startswith(("error: expected", "error: unknown", f"error: {other}"))
    assert other.read_text() == "name,score\nx,1\n"

    for words in ([], [small, "--num-runs=0"], [small, "--num-run=5"]):
        with pytest.raises(SystemExit) as exit_:
            benchmark.main(words)
        assert exit_.value.code == commands.BAD_INPUT
        capsys.readouterr()


def test_a_process_that_fails_is_reported(tmp_path):
    with pytest.raises(commands.CommandError, match=r"absent\.tflite ended with code 1"):
        cold_start.cold_start(tmp_path / "absent.tflite")


def test_footer_warns_of_x86_only_there():
    report = {
        "machine": {
            "cpu": "Cortex-A78",
            "cores": 8,
            "architecture": "aarch64",
            "load": 0,
            "system": "Linux",
            "python": "3.11",
            "versions": {},
        },
        "num_threads": 2,
        "clock": "cpu",
        "num_runs": 1,
        "seed": 0,
        "date": "today",
        "results": [{"file": "a.tflite"}],
    }
    assert "int8 on x86" not in benchmark.footer(report)
    assert "not latency" in benchmark.footer(report)
    report["machine"]["architecture"] = "x86_64"
    assert "int8 on x86 is not int8 on a phone" in benchmark.footer(report)
