"""Holds the converter to results/guard.json: operations, multiply-adds, partitions and bytes of a few small files.

These do not depend on the machine (bytes are counted without the names of tensors), and any difference fails. With
--arm, so does a difference of 2 % in instructions on an ARM processor, which is emulated. Time depends on the machine:
of int8 in units of fp32 it only warns.
"""

import sys
from pathlib import Path

GHOSTNET_TF_COMMAND = True  # see ghostnet_tf/__init__.py: argument parsing does not wait for TensorFlow
ROOT = Path(__file__).resolve().parents[1]
sys.path[0] = str(ROOT)

import json  # noqa: E402
import math  # noqa: E402
import tempfile  # noqa: E402

from ghostnet_tf import commands  # noqa: E402

EXAMPLES = """\
  python benchmarks/guard.py               # in CI: exit code 1 if a count differs
  python benchmarks/guard.py --arm         # with ARM's instructions; sets the emulation up in .cache, on Debian
  python benchmarks/guard.py --record --arm      # after a change that is meant: commit results/guard.json with it"""

SIZE = 160  # the least for which the largest maps are computed in halves, see tflite/interleaved_halves.py
FILES = {
    "ghostnet_025_fp32": ("GhostNet", "fp32"),
    "ghostnet_025_int8": ("GhostNet", "int8"),
    "ghostnetv2_025_fp32": ("GhostNetV2", "fp32"),
    "ghostnetv2_025_int8": ("GhostNetV2", "int8"),
}
ARM = "arm_instructions"
COUNTS = ("ops", "multiply_adds", "partitions", "outside", "bytes")
INSTRUCTIONS = 0.02  # of the recorded number: as far as those on ARM may be off
SLOWER = 1.25  # of the recorded ratio of times: above it, a warning
ROUNDS = 200


def parser() -> commands.ArgumentParser:
    """The command's arguments."""
    arguments = commands.ArgumentParser(prog="guard", description=__doc__, examples=EXAMPLES)
    arguments.add_argument("--expected", type=Path, default=ROOT / "results/guard.json", metavar="FILE", help="numbers")
    arguments.add_argument("--arm", action="store_true", help="count instructions on an emulated ARM processor too")
    arguments.add_argument("--record", action="store_true", help="write today's numbers there")
    return arguments


def multiply_adds(content: bytes) -> int:
    """Of a `.tflite` file's convolutions and matrix products."""
    from ghostnet_tf.tflite.flatbuffer import WEIGHTED, op_name, unpack

    model = unpack(content)
    graph = model.subgraphs[0]
    total = 0
    for operator in graph.operators:
        name = op_name(model, operator)
        if name not in WEIGHTED:
            continue
        weights = graph.tensors[operator.inputs[1]].shape
        outputs = math.prod(int(side) for side in graph.tensors[operator.outputs[0]].shape)
        # (1, height, width, channels) of a depthwise convolution, else (outputs, …, inputs).
        each = weights[1:3] if name == "DEPTHWISE_CONV_2D" else weights[1:]
        total += outputs * math.prod(int(side) for side in each)
    return total


def counts(content: bytes) -> dict[str, object]:
    """What is compared exactly, of a file."""
    from ghostnet_tf.tflite.graph import read_graph

    graph = read_graph(content)
    return {
        "ops": dict(sorted(graph.ops.items())),
        "multiply_adds": multiply_adds(content),
        "partitions": list(graph.partitions),
        "outside": dict(sorted(graph.outside.items())),
        "bytes": len(content),
    }


def without_names(content: bytes) -> bytes:
    """The file without its tensors' names, which are scopes of Keras and TensorFlow and differ by installation."""
    from ghostnet_tf.tflite.flatbuffer import pack, unpack

    model = unpack(content)
    for tensor in model.subgraphs[0].tensors:
        tensor.name = b""
    return pack(model)


def converted() -> dict[str, bytes]:
    """The files of `FILES`, of networks with seeded weights."""
    from ghostnet_tf.quiet import start_tensorflow

    start_tensorflow()
    import keras

    import ghostnet_tf
    from ghostnet_tf.tflite import calibrate
    from ghostnet_tf.tflite.schemes import convert

    images = calibrate.synthetic((SIZE, SIZE, 3), 8, 1).calibration
    made = {}
    for name, (builder, scheme) in commands.progress(FILES.items(), "converting", len(FILES)):
        keras.utils.set_random_seed(0)
        model = getattr(ghostnet_tf, builder)(0.25, input_shape=(SIZE, SIZE, 3), classes=10, weights=None)
        made[name] = convert(model, scheme, representative_dataset=images if scheme == "int8" else None)
    return made


def instructions(files: dict[str, bytes]) -> dict[str, int]:
    """Of one inference of each file, inside LiteRT on an emulated ARM processor.

    Raises:
        MissingResource: If the emulation cannot be set up here.
    """
    from benchmarks import arm_instructions

    found = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        words = arm_instructions.emulator(folder)
        for file, content in commands.progress(files.items(), "counting instructions", len(files)):
            path = folder / f"{file}.tflite"
            path.write_bytes(content)
            found[file] = arm_instructions.inside(arm_instructions.run_once(words, folder, path))
    return found


def relative_times(files: dict[str, bytes]) -> dict[str, float]:
    """Median ratio of each int8 file's processor time to that of the same network's fp32, interleaved."""
    from ghostnet_tf.runtime import open_model
    from ghostnet_tf.tflite import summary, timing

    with tempfile.TemporaryDirectory() as folder:
        models = []
        for name, content in files.items():
            path = Path(folder) / f"{name}.tflite"
            path.write_bytes(content)
            models.append(open_model(path))
            timing.fill_inputs(models[-1], seed=0)
        times = timing.measure(models, num_runs=ROUNDS, read_clock=timing.clock("cpu", 1))
    rows = dict(zip(files, times, strict=True))
    return {
        name: round(summary.ratio(rows[name], rows[name.replace("int8", "fp32")])["ratio"], 3)
        for name in rows
        if name.endswith("int8")
    }


def differences(found: dict, expected: dict) -> list[str]:
    """A line for each count that is not what was recorded."""
    lines = [f"{name}: recorded, but not made any more" for name in expected["files"] if name not in found["files"]]
    for name, row in found["files"].items():
        recorded = expected["files"].get(name)
        if recorded is None:
            lines.append(f"{name}: not recorded")
            continue
        for count in COUNTS:
            if row[count] != recorded[count]:
                lines.append(f"{name}, {count}: expected {recorded[count]}. Received: {row[count]}")
    for name, counted in found.get(ARM, {}).items():
        recorded = expected[ARM].get(name)
        if recorded is None or abs(counted / recorded - 1) > INSTRUCTIONS:
            expectation = "some" if recorded is None else f"{recorded:,} within {INSTRUCTIONS:.0%}"
            lines.append(f"{name}, {ARM}: expected {expectation}. Received: {counted:,}")
    return lines


def warnings(found: dict, expected: dict) -> list[str]:
    """A line for each ratio of times that is clearly above the recorded one, on the same processor."""
    if found["cpu"] != expected["cpu"]:
        return [f"times are not compared: recorded on {expected['cpu']}, this is {found['cpu']}"]
    recorded = expected["time_to_fp32"]
    return [
        f"{name} took {ratio} of fp32's time, recorded {recorded[name]}; a busy machine, or slower?"
        for name, ratio in found["time_to_fp32"].items()
        if name in recorded and ratio > SLOWER * recorded[name]
    ]


def command(argv: list[str] | None = None) -> int:
    """Parses, converts, compares or records."""
    args = parser().parse_args(argv)
    if not args.record and not args.expected.is_file():
        raise commands.BadInput(f"no file {args.expected}: make it with --record")
    expected = None if args.record else json.loads(args.expected.read_text(encoding="utf-8"))
    if args.arm and expected is not None and ARM not in expected:
        raise commands.BadInput(f"{args.expected} has no instructions: record them with --record --arm")
    files = converted()
    import tensorflow as tf

    from ghostnet_tf.training.metrics import processor

    found = {
        "tensorflow": tf.__version__,
        "cpu": processor(),
        "files": {name: counts(without_names(content)) for name, content in files.items()},
        "time_to_fp32": relative_times(files),
    }
    if args.arm:
        found[ARM] = instructions(files)
    if args.record:
        if not args.arm:
            commands.log("warning: without --arm, no instructions are recorded")
        commands.write_json(args.expected, found)
        print(f"recorded {len(files)} files in {args.expected.name}")
        return commands.OK
    for line in warnings(found, expected):
        print(f"warning: {line}")
    changed = differences(found, expected)
    for line in changed:
        print(line)
    if changed:
        versions = f"TensorFlow {found['tensorflow']}, recorded with {expected['tensorflow']}"
        raise commands.CommandError(
            f"{len(changed)} counts are not the recorded ones ({versions}); if that is meant, run with --record and "
            "commit the numbers"
        )
    also = ", instructions on ARM" * args.arm
    print(f"{len(files)} files are as recorded: operations, multiply-adds, partitions and bytes{also}")
    return commands.OK


def main(argv: list[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    return commands.run(command, argv)


if __name__ == "__main__":
    raise SystemExit(main())
