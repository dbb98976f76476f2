"""Timing on an Android device, with a stand-in for adb that replays what benchmark_model printed on real ones.

The outputs are cut from public logs: a CPU in 2021, a GPU in the newer form with `INFO:` and percentiles, NNAPI that
refuses (as in TensorFlow's issue 56301), NNAPI that takes the graph. No device was at hand when this was written.
"""

import csv
import json
import os
import shlex
from pathlib import Path

import pytest

from ghostnet_tf import commands
from ghostnet_tf.tflite import benchmark, device

pytestmark = pytest.mark.skipif(os.name != "posix", reason="the stand-in for adb is a shell script")

CPU = """\
STARTING!
Log parameter values verbosely: [0]
Num threads: [1]
Graph: [/data/local/tmp/albert_base.tflite]
#threads used for CPU inference: [1]
Loaded model /data/local/tmp/albert_base.tflite
INFO: Initialized TensorFlow Lite runtime.
The input model file size (MB): 11.983
Initialized session in 20.283ms.
Running benchmark for at least 1 iterations and at least 0.5 seconds but terminate if exceeding 150 seconds.
count=2 first=339304 curr=266325 min=266325 max=339304 avg=302814 std=36489

Running benchmark for at least 50 iterations and at least 1 seconds but terminate if exceeding 150 seconds.
count=50 first=266601 curr=266931 min=265837 max=268116 avg=266473 std=419

Inference timings in us: Init: 20283, First inference: 339304, Warmup (avg): 302814, Inference (avg): 266473
Note: as the benchmark tool itself affects memory footprint, the following is only APPROXIMATE to the actual memory \
footprint of the model at runtime. Take the information at your discretion.
Memory footprint delta from the start of the tool (MB): init=6.70312 overall=63.4023
"""
GPU = """\
INFO: STARTING!
INFO: Use gpu: [1]
INFO: Loaded model /data/local/tmp/mask_estimator_phy.tflite
INFO: Created TensorFlow Lite delegate for GPU.
INFO: GPU delegate created.
VERBOSE: Replacing 49 out of 49 node(s) with delegate (TfLiteGpuDelegateV2) node, yielding 1 partitions for subgraph 0.
INFO: Initialized OpenCL-based API.
INFO: Created 1 GPU delegate kernels.
INFO: Explicitly applied GPU delegate, and the model graph will be completely executed by the delegate.
INFO: Initialized session in 5664.36ms.
INFO: Running benchmark for at least 1 iterations and at least 0.5 seconds but terminate if exceeding 150 seconds.
INFO: count=2 first=328140 curr=309932 min=309932 max=328140 avg=319036 std=9104 p5=309932 median=328140 p95=328140

INFO: Running benchmark for at least 50 iterations and at least 1 seconds but terminate if exceeding 150 seconds.
INFO: count=50 first=307215 curr=309783 min=305938 max=333030 avg=309350 std=4411 p5=306372 median=307968 p95=315711

INFO: Inference timings in us: Init: 5664363, First inference: 328140, Warmup (avg): 319036, Inference (avg): 309350
"""
NNAPI_REFUSED = """\
STARTING!
Use NNAPI: [1]
NNAPI accelerators available: [eden-drv,nnapi-reference]
INFO: Created TensorFlow Lite delegate for NNAPI.
NNAPI delegate created.
Though NNAPI delegate is explicitly applied, the model graph will not be executed by the delegate.
Initialized session in 34.939ms.
count=5 first=130492 curr=111222 min=111222 max=130492 avg=116523 std=7192
count=50 first=112256 curr=111087 min=110425 max=114213 avg=112533 std=778
Inference timings in us: Init: 34939, First inference: 130492, Warmup (avg): 116523, Inference (avg): 112533
"""
NNAPI_TAKEN = """\
INFO: NNAPI accelerators available: [google-edgetpu,nnapi-reference]
VERBOSE: Replacing 31 out of 31 node(s) with delegate (TfLiteNnapiDelegate) node, yielding 1 partitions for subgraph 0.
INFO: Explicitly applied NNAPI delegate, and the model graph will be partially executed by the delegate w/ 1 delegate \
kernels.
INFO: count=1 curr=637079

INFO: count=520 first=2531 curr=2793 min=1171 max=9925 avg=1885.74 std=870

INFO: Inference timings in us: Init: 66002, First inference: 637079, Warmup (avg): 637079, Inference (avg): 1885.74
"""
PROPERTIES = {
    "ro.product.manufacturer": "Google",
    "ro.product.model": "Pixel 8",
    "ro.soc.model": "Tensor G3",
    "ro.build.version.release": "15",
}


@pytest.fixture
def phone(tmp_path, monkeypatch):
    """`phone(devices, outputs, has_tool)` puts a stand-in for adb first in PATH; gives the file of its calls."""

    def make(devices=("8A1\tdevice",), outputs=(CPU, CPU, GPU, NNAPI_REFUSED), has_tool=True) -> Path:
        folder, calls = tmp_path / "bin", tmp_path / "calls"
        folder.mkdir(exist_ok=True)
        cases = {"devices": "List of devices attached\n" + "\n".join(devices) + "\n\n"}
        cases |= {f"*'getprop {name} 2>&1'": f"{value}\n" for name, value in PROPERTIES.items()}
        cases["*'ls '*"] = f"{device.TOOL}\n" if has_tool else f"ls: {device.TOOL}: No such file or directory\n"
        flags = ("--num_threads=1 --use_xnnpack", "--num_threads=4 --use_xnnpack", "--use_gpu", "--use_nnapi")
        cases |= {f"*'{flag}=true'*": output for flag, output in zip(flags, outputs, strict=True)}
        lines = ["#!/bin/sh", f'echo "$*" >> {shlex.quote(str(calls))}', 'case "$*" in']
        for number, (pattern, text) in enumerate(cases.items()):
            (folder / f"{number}.txt").write_text(text)
            lines.append(f"{pattern}) cat {shlex.quote(str(folder / f'{number}.txt'))} ;;")
        (folder / "adb").write_text("\n".join([*lines, "esac", ""]))
        (folder / "adb").chmod(0o755)
        monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
        return calls

    return make


@pytest.fixture(scope="module")
def model_file(tmp_path_factory) -> Path:
    import keras

    from ghostnet_tf.tflite.schemes import convert

    image = keras.Input((4, 4, 1))
    model = keras.Model(image, keras.layers.Dense(2)(keras.layers.Flatten()(image)))
    path = tmp_path_factory.mktemp("device") / "my model.tflite"
    path.write_bytes(convert(model, "fp32"))
    return path


def test_the_older_form():
    found = device.parse(CPU)
    assert (found["init_ms"], found["first_ms"], found["warmup_ms"], found["mean_ms"]) == (
        20.283,
        339.304,
        302.814,
        266.473,
    )
    assert (found["min_ms"], found["max_ms"], found["std_ms"]) == (265.837, 268.116, 0.419), "of the timed runs"
    assert found["median_ms"] is found["p5_ms"] is found["partitions"] is None
    assert found["peak_memory_mb"] == pytest.approx(63.4023 * 1.048576)


def test_the_newer_form():
    found = device.parse(GPU)
    assert (found["median_ms"], found["p5_ms"], found["p95_ms"], found["mean_ms"]) == (
        307.968,
        306.372,
        315.711,
        309.35,
    )
    assert found["partitions"] == 1 and found["peak_memory_mb"] is None
    assert device.parse(NNAPI_TAKEN)["min_ms"] == 1.171
    with pytest.raises(commands.CommandError, match="not known"):
        device.parse("Inference timings in us: fast")


def test_what_the_cpu_ran_is_no_measurement_of_a_delegate():
    assert device.refusal(GPU, "GPU") is device.refusal(NNAPI_TAKEN, "NNAPI") is device.refusal(CPU, "CPU") is None
    assert "what ran is the CPU" in device.refusal(NNAPI_REFUSED, "NNAPI")
    # A benchmark_model that does not know the flag warns and goes on.
    unknown = "WARN: Unconsumed cmdline flags: --use_nnapi=true\n" + CPU
    assert "does not say" in device.refusal(unknown, "NNAPI")
    failed = "STARTING!\nINFO: Use gpu: [1]\nERROR: Failed to apply GPU delegate.\nERROR: Benchmarking failed.\n"
    assert "Failed to apply GPU delegate" in device.refusal(failed, "GPU")
    broken = "/system/bin/sh: /data/local/tmp/ghostnet-tf/benchmark_model: not executable: 64-bit ELF file\n"
    assert "not executable" in device.refusal(broken, "CPU")


def test_the_command_adds_the_device(phone, model_file, tmp_path, capsys):
    tool = tmp_path / "android_aarch64_benchmark_model"
    tool.write_bytes(b"\x7fELF")
    calls = phone()
    words = [str(model_file), "--num-runs=2", "--warmup-runs=1", "--adb", "--benchmark-model", str(tool)]
    words += ["--csv", str(tmp_path / "rows.csv"), "--json", str(tmp_path / "all.json")]
    assert benchmark.main(words) == commands.OK
    printed = capsys.readouterr().out
    assert "my model.tflite on Google Pixel 8, Tensor G3, Android 15: GPU, threads: 1: 309.350 ms" in printed
    assert "NNAPI: it took no part of the graph" in printed

    report = json.loads((tmp_path / "all.json").read_text())
    assert report["device"] == "Google Pixel 8, Tensor G3, Android 15"
    assert [row["cpu"].rpartition(": ")[2] for row in report["device_results"]] == ["CPU", "CPU", "GPU"]
    with (tmp_path / "rows.csv").open(newline="") as file:
        here, *rows = csv.DictReader(file)
    assert here["ai_edge_litert"] and not rows[0]["ai_edge_litert"]
    assert [(row["num_threads"], row["mean_ms"]) for row in rows] == [
        ("1", "266.473"),
        ("4", "266.473"),
        ("1", "309.35"),
    ]
    assert len({row["sha256"] for row in [here, *rows]}) == 1

    said = calls.read_text().splitlines()
    assert f"-s 8A1 push {tool} {device.TOOL}" in said
    assert f"-s 8A1 push {model_file} {device.FOLDER}/model.tflite" in said
    assert any("--num_runs=2 --warmup_runs=1 --num_threads=4" in line for line in said)
    assert said[-1] == f"-s 8A1 shell rm -f {device.FOLDER}/model.tflite 2>&1", "nothing of the user's stays there"


def test_one_of_several_devices(phone):
    calls = phone(devices=("8A1\tdevice", "emulator-5554\toffline", "10.0.0.2:5555\tdevice"))
    with pytest.raises(commands.BadInput, match="--device"):
        device.find()
    _, found = device.find("10.0.0.2:5555")
    assert found.serial == "10.0.0.2:5555"
    assert "-s 10.0.0.2:5555 shell" in calls.read_text()
    with pytest.raises(commands.MissingResource, match=r"emulator-5554 \(offline\)"):
        device.find("emulator-5554")


def test_what_is_missing_is_told_before_anything_is_measured(phone, model_file, capsys, tmp_path, monkeypatch):
    def ends(code, message, *words):
        assert benchmark.main([str(model_file), *words]) == code
        printed = capsys.readouterr()
        assert message in printed.err and printed.err.count("\n") == 1 and not printed.out

    phone(devices=("8A1\tunauthorized",))
    ends(commands.MISSING, "8A1 (unauthorized)", "--adb")
    phone(has_tool=False)
    ends(commands.MISSING, "android_aarch64_benchmark_model", "--adb")
    ends(commands.BAD_INPUT, "--benchmark-model", "--adb", "--benchmark-model", str(tmp_path / "none"))
    ends(commands.BAD_INPUT, "expected --adb", "--device", "8A1")
    monkeypatch.setenv("PATH", str(tmp_path))
    ends(commands.MISSING, "platform-tools", "--adb")


def test_an_adb_that_fails(phone, tmp_path):
    phone()
    (tmp_path / "bin" / "adb").write_text("#!/bin/sh\necho 'adb: no permissions' >&2\nexit 1\n")
    with pytest.raises(commands.CommandError, match="adb devices ended with code 1 and said: adb: no permissions"):
        device.find()
