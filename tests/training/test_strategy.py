"""More than one device: the same training in several processes, on several devices, and alone.

What is compared has batch normalization synchronized: then a batch means the same to one replica and to two. Without,
the statistics of a replica are those of its own part of the batch, and equal results are not to be had.
"""

import importlib.util
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import keras
import numpy as np
import pytest

from ghostnet_tf.commands import FAILED, OK, BadInput, MissingResource
from ghostnet_tf.training import fit, flags, history, strategy, workers
from ghostnet_tf.training.config import RunConfig

WORKER = Path(__file__).with_name("worker.py")
# 11 steps an epoch, 22 in all, and small ones: at 0.1, what rounding changes has grown to 2e-2 after 33.
SETTINGS = ["--data", "digits", "--batch-size", "128", "--epochs", "2", "--learning-rate", "0.01"]
SECONDS = 300  # after which what still runs is stopped and shown


class Processes:
    """Commands that run side by side, each with an environment of its own; stopped when they take too long."""

    def __init__(self, command: list[str], environments: list[dict[str, str]]):
        words = [sys.executable, str(WORKER), *command]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        self.running = [subprocess.Popen(words, env={**os.environ, **added}, **pipes) for added in environments]
        self.said = ["" for _ in environments]
        self.limit = threading.Timer(SECONDS, self.stop)
        self.limit.start()

    def stop(self):
        for process in self.running:
            process.kill()

    def first_says(self, beginning: str) -> None:
        """Waits for a line of the first."""
        for line in self.running[0].stdout:
            self.said[0] += line
            if line.startswith(beginning):
                return

    def codes(self) -> list[int]:
        """Exit codes once all have ended."""
        for number, process in enumerate(self.running):
            self.said[number] += process.communicate()[0]
        self.limit.cancel()
        return [process.returncode for process in self.running]

    def __str__(self) -> str:
        return "\n".join(f"--- process {number}\n{text}" for number, text in enumerate(self.said))


def two_workers(command: list[str]) -> Processes:
    """Two workers on free ports of this machine."""
    sockets = [socket.socket() for _ in range(2)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    addresses = [f"127.0.0.1:{one.getsockname()[1]}" for one in sockets]
    for one in sockets:
        one.close()
    places = [
        {"TF_CONFIG": json.dumps({"cluster": {"worker": addresses}, "task": {"type": "worker", "index": index}})}
        for index in range(2)
    ]
    return Processes(command, places)


def weights_of(run: Path) -> list[np.ndarray]:
    return keras.models.load_model(run / "model.keras").get_weights()


def assert_same_run(one: Path, other: Path, atol: float):
    for a, b in zip(weights_of(one), weights_of(other), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=atol)
    for row, again in zip(history.read_metrics(one), history.read_metrics(other), strict=True):
        for name in ("loss", "accuracy", "val_loss", "val_accuracy"):
            assert float(row[name]) == pytest.approx(float(again[name]), abs=2 * atol + 1e-5)  # of 5 digits


@pytest.fixture(scope="module")
def build():
    """The network of `worker.py`."""
    specification = importlib.util.spec_from_file_location("worker", WORKER)
    module = importlib.util.module_from_spec(specification)
    path = list(sys.path)
    specification.loader.exec_module(module)
    sys.path[:] = path
    return module.build


@pytest.fixture(scope="module")
def alone(build, tmp_path_factory) -> Path:
    """A run on one device."""
    folder = tmp_path_factory.mktemp("alone") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(fit.BUILDERS, "ghostnet", build)
        fit.train(RunConfig(data="digits", batch_size=128, epochs=2, learning_rate=0.01), folder)
    return folder


@pytest.fixture(scope="module")
def together(tmp_path_factory) -> Path:
    """The same run in two processes."""
    folder = tmp_path_factory.mktemp("together")
    command = [*SETTINGS, "--strategy", "multiworker", "--synchronized-batch-norm", "--output", str(folder / "run")]
    processes = two_workers(command)
    assert processes.codes() == [OK, OK], str(processes)
    assert "test top-1" in processes.said[0]
    assert "test top-1" not in processes.said[1]
    return folder / "run"


def test_two_workers_train_what_one_does(alone, together):
    """Sums of floats come in another order; 1e-4 after 22 steps is what that may make of it."""
    assert_same_run(alone, together, atol=1e-4)


def test_only_one_worker_writes_the_run_folder(alone, together):
    assert sorted(path.name for path in together.iterdir()) == sorted(path.name for path in alone.iterdir())
    assert len(history.read_metrics(together)) == 2
    assert len(list((together / "checkpoints").iterdir())) <= 2
    assert json.loads((together / "environment.json").read_text())["command"].endswith(str(together))


def test_a_killed_worker_stops_the_other_and_both_resume(together, tmp_path):
    run = tmp_path / "run"
    command = [*SETTINGS, "--strategy", "multiworker", "--synchronized-batch-norm", "--output", str(run)]
    processes = two_workers(command)
    processes.first_says("epoch 1/2")
    processes.running[1].send_signal(signal.SIGKILL)
    assert processes.codes() == [FAILED, -signal.SIGKILL], str(processes)
    error = processes.said[0].strip().splitlines()[-1]
    assert error.startswith("error: worker 0 has lost the others")
    assert error.endswith(f"training/train.py --resume {run}")
    assert not (run / "model.keras").exists()
    again = two_workers(["--resume", str(run)])
    assert again.codes() == [OK, OK], str(again)
    assert all("continuing after epoch" in said for said in again.said)
    assert_same_run(together, run, atol=1e-6)  # threads add in any order


def test_two_devices_of_one_machine_train_what_one_does(alone, tmp_path):
    run = tmp_path / "run"
    command = ["--devices", "2", *SETTINGS, "--strategy", "mirrored", "--synchronized-batch-norm", "--output", str(run)]
    processes = Processes(command, [{}])
    assert processes.codes() == [OK], str(processes)
    assert "2 replicas, 64 images of a batch each" in processes.said[0]
    assert_same_run(alone, run, atol=1e-4)


@pytest.mark.usefixtures("tiny_network")
def test_the_loop_does_what_fit_does(tmp_path):
    """With one replica, all that surrounds the steps: dropout, averages, mixing, weights of classes, patience."""
    import tensorflow as tf

    config = RunConfig(
        batch_size=256, epochs=3, ema=0.9, mixup=0.2, cutmix=1.0, class_weights="balanced", early_stopping=2, seed=3
    )
    fit.train(config, tmp_path / "fit")
    config.strategy = "mirrored"
    fit.train(config, tmp_path / "loop", strategy=tf.distribute.MirroredStrategy(["CPU:0"]))
    assert_same_run(tmp_path / "fit", tmp_path / "loop", atol=1e-6)


def test_a_batch_is_shared_out_evenly():
    strategy.check_batch(6, 2)
    with pytest.raises(BadInput, match=r"multiple of the 2 replicas\. Received: 3"):
        strategy.check_batch(3, 2)


@pytest.mark.parametrize(
    ("text", "received"),
    [
        (None, "none"),
        ("{", "{"),
        ('{"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": 1}}', "index"),
        ('{"cluster": {"worker": ["a:1"], "ps": ["b:1"]}, "task": {"type": "ps", "index": 0}}', "ps"),
    ],
)
def test_what_is_no_cluster_is_refused(monkeypatch, text, received):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    if text:
        monkeypatch.setenv("TF_CONFIG", text)
    with pytest.raises(BadInput, match=r"TF_CONFIG as in \{.*Received: .*" + received):
        workers.this_worker(RunConfig(strategy="multiworker"))
    assert workers.this_worker(RunConfig()).chief


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"clipnorm": 1.0}, "--clipnorm does not go with --strategy: Keras clips each replica's gradients"),
        ({"steps_per_execution": 5}, "--steps-per-execution does not go with --strategy"),
        ({"mixed_precision": "float16"}, "--mixed-precision float16 does not go with --strategy"),
        ({"strategy": "parallel"}, "expected one of mirrored, multiworker, tpu"),
        ({"strategy": None, "synchronized_batch_norm": True}, "--synchronized-batch-norm with --strategy"),
    ],
)
def test_what_replicas_would_do_otherwise_is_refused(settings, message):
    with pytest.raises(BadInput, match=message):
        flags.check(RunConfig(**{"strategy": "mirrored", **settings}))


def test_a_worker_resumes_from_a_copy(tmp_path):
    run = tmp_path / "run"
    (run / "checkpoints").mkdir(parents=True)
    (run / "exports").mkdir()
    (run / "metrics.csv").write_text("epoch\n1\n")
    with workers.own_folder(run, workers.Worker(0), True) as own:
        assert own == run
    with workers.own_folder(run, workers.Worker(1), True) as own:
        assert sorted(path.name for path in own.iterdir()) == ["checkpoints", "metrics.csv"]
        (own / "metrics.csv").write_text("other")
    assert not own.exists()
    assert (run / "metrics.csv").read_text() == "epoch\n1\n"
    with workers.own_folder(run, workers.Worker(1), False) as own:
        assert not own.exists()


def test_a_machine_without_a_tpu_says_so():
    with pytest.raises(MissingResource, match="found no TPU"):
        strategy.start(RunConfig(strategy="tpu"), workers.Worker())
