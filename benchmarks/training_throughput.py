"""Races training steps of GhostNet: our layers, Keras's own in their place, and timm's PyTorch model.

Each contestant lives in a process of its own and rests while another runs. A round is a few steps of each, in a new
order each time; what counts are the ratios within rounds, since a busy machine slows all of them alike.
"""

import sys
from pathlib import Path

GHOSTNET_TF_COMMAND = True  # see ghostnet_tf/__init__.py: argument parsing does not wait for TensorFlow
sys.path[0] = str(Path(__file__).resolve().parents[1])

import argparse  # noqa: E402
import json  # noqa: E402
import subprocess  # noqa: E402
import time  # noqa: E402

from ghostnet_tf import commands, results  # noqa: E402

EXAMPLES = """\
  python benchmarks/training_throughput.py
  python benchmarks/training_throughput.py --size 32 --batch-size 128 --towers 2
  python benchmarks/training_throughput.py --timm-python torch-env/bin/python --csv results/training_throughput.csv

timm's model (channels_last) needs torch and timm, in this environment or in the one of --timm-python; without them it
is left out, and the table says so."""

CONTESTANTS = {
    "ours": "GhostNet of this package",
    "keras": "the same with keras.layers.BatchNormalization and keras.layers.Conv2D",
    "timm": "timm's ghostnet, channels_last",
}
COLUMNS = ("date", "contestant", "width", "size", "batch_size", "towers", "rounds", "steps", "images_per_second")
COLUMNS += ("speedup", "speedup_low", "speedup_high", "cpu", "versions", "command")


def parser() -> commands.ArgumentParser:
    """The command's arguments."""
    arguments = commands.ArgumentParser(description=__doc__.splitlines()[0], examples=EXAMPLES)
    arguments.add_argument("--width", type=commands.positive_float, default=1.0, help="of the network")
    arguments.add_argument("--size", type=commands.positive_int, default=224, help="pixels a side")
    arguments.add_argument("--batch-size", type=commands.positive_int, default=32, help="images a step")
    arguments.add_argument("--towers", type=commands.positive_int, default=1, help="of ours, as of training/train.py")
    arguments.add_argument("--rounds", type=commands.positive_int, default=15, help="rounds")
    arguments.add_argument("--steps", type=commands.positive_int, default=2, help="training steps of each a round")
    arguments.add_argument("--num-threads", type=commands.positive_int, default=2, help="threads of each")
    arguments.add_argument("--timm-python", default=sys.executable, metavar="PYTHON", help="that has torch and timm")
    arguments.add_argument("--csv", type=Path, help="append a row for each contestant to a table of results")
    arguments.add_argument("--worker", choices=CONTESTANTS, help=argparse.SUPPRESS)
    return arguments


def command(argv: list[str] | None = None) -> int:
    """Parses, races, prints the table."""
    arguments = parser().parse_args(argv)
    if arguments.worker:
        return work(arguments)
    if arguments.csv:
        results.check_results_file(arguments.csv, COLUMNS)
    from ghostnet_tf.models._build import SMALL_SIZE

    workers = {}
    try:
        for name in CONTESTANTS:
            if name == "timm" and arguments.size < SMALL_SIZE:
                commands.log(f"timm is left out: below {SMALL_SIZE} px its network halves images more often than ours")
                continue
            worker = Worker(name, arguments)
            if worker.versions is None:
                commands.log(f"{name} is left out: {worker.reason}")
            else:
                workers[name] = worker
        if "ours" not in workers:
            raise commands.CommandError("our own model did not start, see above")
        seconds = race(workers, arguments)
    finally:
        for worker in workers.values():
            worker.process.kill()
    rows = summary(seconds, workers, arguments)
    for row in rows:
        bounds = f" ({row['speedup_low']:.2f}-{row['speedup_high']:.2f})" if row["speedup_low"] else ""
        print(
            f"{row['contestant']:6} {row['images_per_second']:8.1f} images/s, ours is {row['speedup']:.2f}x as fast"
            f"{bounds}   {row['versions']}"
        )
    if arguments.csv:
        shared = {"date": results.now()}
        shared["command"] = results.command_line("benchmarks/training_throughput.py", argv)
        results.append_rows(arguments.csv, COLUMNS, [row | shared for row in rows])
    return commands.OK


class Worker:
    """A contestant's process: `run(steps)` gives the seconds its steps took; `versions` is `None` if it cannot run."""

    def __init__(self, name: str, arguments: argparse.Namespace):
        python = arguments.timm_python if name == "timm" else sys.executable
        options = ("width", "size", "batch_size", "num_threads", *(["towers"] if name == "ours" else []))
        flags = [word for key in options for word in (f"--{key.replace('_', '-')}", str(getattr(arguments, key)))]
        self.process = subprocess.Popen(
            [python, __file__, "--worker", name, *flags],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        first = self.process.stdout.readline()
        self.versions = json.loads(first) if first else None
        if not first:
            errors = self.process.stderr.read().strip().splitlines()
            self.reason = errors[-1] if errors else "it gave no reason"

    def run(self, steps: int) -> float:
        """Seconds that `steps` training steps took."""
        self.process.stdin.write(f"{steps}\n")
        self.process.stdin.flush()
        return float(self.process.stdout.readline())


def race(workers: dict[str, Worker], arguments: argparse.Namespace) -> dict[str, list[float]]:
    """Seconds by contestant and round, after one round to warm up."""
    from ghostnet_tf.tflite.timing import orders

    seconds = {name: [] for name in workers}
    rounds = arguments.rounds + 1
    for order in commands.progress(orders(len(workers), rounds, seed=0), "rounds", rounds):
        for name in (list(workers)[index] for index in order):
            seconds[name].append(workers[name].run(arguments.steps))
    return {name: times[1:] for name, times in seconds.items()}


def summary(seconds: dict[str, list[float]], workers: dict[str, Worker], arguments: argparse.Namespace) -> list[dict]:
    """A row a contestant: median images/s, and how many times as fast ours is, with a 95 % bootstrap interval."""
    import numpy as np

    from ghostnet_tf.tflite.summary import ratio
    from ghostnet_tf.training.metrics import processor

    ours = np.asarray(seconds["ours"])
    rows = []
    for name, times in seconds.items():
        speedup = ratio(np.asarray(times), ours)
        images = arguments.batch_size * arguments.steps
        rows.append(
            {
                "contestant": name,
                **{key: getattr(arguments, key) for key in ("width", "size", "batch_size", "rounds", "steps")},
                "towers": arguments.towers if name == "ours" else 1,
                "images_per_second": round(images / float(np.median(times)), 1),
                **{key.replace("ratio", "speedup"): value and round(value, 3) for key, value in speedup.items()},
                "cpu": processor(),
                "versions": " ".join(f"{package} {version}" for package, version in workers[name].versions.items()),
            }
        )
    return rows


def work(arguments: argparse.Namespace) -> int:
    """A contestant: says its versions, then for each number of steps it reads, how many seconds they took."""
    step, versions = (_timm if arguments.worker == "timm" else _keras)(arguments)
    print(json.dumps(versions), flush=True)
    for line in sys.stdin:
        started = time.perf_counter()
        for _ in range(int(line)):
            step()
        print(time.perf_counter() - started, flush=True)
    return commands.OK


def _keras(arguments: argparse.Namespace):
    import keras
    import numpy as np
    import tensorflow as tf

    import ghostnet_tf
    from ghostnet_tf.layers.batch_norm import BatchNormalization
    from ghostnet_tf.layers.pointwise import Conv2D
    from ghostnet_tf.quiet import share_threads
    from ghostnet_tf.training.towers import Towers

    if arguments.towers > 1:
        share_threads(arguments.towers, arguments.num_threads)
    else:  # as many operations at once as TensorFlow chooses
        tf.config.threading.set_intra_op_parallelism_threads(arguments.num_threads)
    if arguments.worker == "keras":
        BatchNormalization.call = keras.layers.BatchNormalization.call
        Conv2D.call = keras.layers.Conv2D.call
    shape = (arguments.size, arguments.size, 3)
    model = ghostnet_tf.GhostNet(arguments.width, input_shape=shape, classifier_activation=None)
    model = Towers(model.input, model.output, towers=arguments.towers, name=model.name)
    sgd = keras.optimizers.SGD(0.01, momentum=0.9, nesterov=True, weight_decay=5e-4)
    model.compile(sgd, keras.losses.CategoricalCrossentropy(from_logits=True))
    rng = np.random.default_rng(0)
    images = tf.constant(rng.uniform(0, 255, (arguments.batch_size, *shape)).astype("float32"))
    targets = tf.one_hot(rng.integers(0, 1000, arguments.batch_size), 1000)
    step = lambda: model.train_on_batch(images, targets)  # noqa: E731
    return step, {"keras": keras.__version__, "tensorflow": tf.__version__}


def _timm(arguments: argparse.Namespace):
    import timm
    import torch

    torch.set_num_threads(arguments.num_threads)
    torch.manual_seed(0)
    model = timm.create_model(f"ghostnet_{round(arguments.width * 100):03d}").to(memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(model.parameters(), 0.01, momentum=0.9, nesterov=True, weight_decay=5e-4)
    images = torch.rand(arguments.batch_size, 3, arguments.size, arguments.size)
    images = images.to(memory_format=torch.channels_last)
    targets = torch.randint(0, 1000, (arguments.batch_size,))

    def step():
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(model(images), targets)
        loss.backward()
        optimizer.step()
        return loss.item()

    return step, {"timm": timm.__version__, "torch": torch.__version__}


def main(argv: list[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    return commands.run(command, argv)


if __name__ == "__main__":
    raise SystemExit(main())
