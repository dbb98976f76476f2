"""Where the time of a `.tflite` file goes: each operation of XNNPACK, by kind and by layer of the Keras model."""

import re
from collections.abc import Iterable
from itertools import takewhile
from pathlib import Path

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from ghostnet_tf import child
from ghostnet_tf.quiet import quiet
from ghostnet_tf.runtime import TFLiteModel
from ghostnet_tf.tflite import litert_profiler
from ghostnet_tf.tflite.flatbuffer import op_name, shared_beginning, unpack
from ghostnet_tf.tflite.graph import delegated_pieces

# Beginnings of XNNPACK's names, and the file's operations that they may come from. First match counts.
KINDS = {
    r"Convolution .*DWConv": ("DEPTHWISE_CONV_2D",),
    r"Convolution|Fully Connected|Deconvolution": ("CONV_2D", "FULLY_CONNECTED", "TRANSPOSE_CONV"),
    r"Copy": ("CONCATENATION",),
    r"Static Reshape": ("RESHAPE",),
    r"Multiply": ("MUL",),
    r"Add": ("ADD",),
    r"Subtract": ("SUB",),
    r"Mean|Global Average": ("MEAN",),
    r"Average Pooling": ("AVERAGE_POOL_2D",),
    r"Max Pooling": ("MAX_POOL_2D",),
    r"Resize Bilinear": ("RESIZE_BILINEAR",),
    r"Constant Pad": ("PAD",),
    r"Sigmoid": ("LOGISTIC",),
    r"Hardswish|HardSwish": ("HARD_SWISH",),
    r"Softmax": ("SOFTMAX",),
    r"Transpose": ("TRANSPOSE",),
    r"Convert": ("QUANTIZE", "DEQUANTIZE"),
}
QUANTILE = 0.25  # of the runs: on a busy machine, other programs interrupt the same operation in more than half of them
SLOWEST = 10  # operations in the table
UNTOLD = "(not told by the file)"


def profile(
    path: Path,
    *,
    num_threads: int = 1,
    num_runs: int = 50,
    warmup_runs: int = 5,
    seed: int = 0,
    model: schema.ModelT | None = None,
) -> dict[str, object]:
    """Times every operation of the file at `path`, in a process of its own.

    Args:
        path: Of the file.
        num_threads: Of XNNPACK.
        num_runs, warmup_runs: Inferences that are timed, and before them.
        seed: Of the random values in the inputs.
        model: The file, where it is unpacked already.

    Returns:
        `invoke_ms`: a whole inference with the profiler on. `operators`: in the order in which they run, each with
        `operator` (XNNPACK's name, or LiteRT's for what XNNPACK leaves out), `delegated`, `layer` (path in the Keras
        model, `None` where the file does not tell), `ms` and `share` (of the sum of all). `by_operator` and
        `by_layer` (the first part of the path): `count`, `ms` and `share`; the first by time, the other in order.
        Times are lower quartiles over the runs.

    Raises:
        MissingResource: If ai-edge-litert comes without its C API.
        CommandError: If the profiler's process fails or crashes.
    """
    litert_profiler.library()
    words = [path, num_threads, num_runs, warmup_runs, seed]
    found = child.in_own_process("tflite.litert_profiler", words, f"profiling {path}")
    times = np.quantile(found["us"], QUANTILE, axis=0) / 1000
    shares = times / times.sum()
    content = path.read_bytes()
    names = layers(content, model or unpack(content), found["operators"])
    operators = [
        {
            "operator": name,
            "delegated": delegated,
            "layer": layer,
            "ms": round(float(ms), 4),
            "share": round(float(share), 4),
        }
        for (name, _, delegated), layer, ms, share in zip(found["operators"], names, times, shares, strict=True)
    ]
    by_operator = _sums(operators, (row["operator"] for row in operators))
    by_layer = _sums(operators, (row["layer"] and row["layer"].split("/")[0] for row in operators))
    return {
        "file": path.name,
        "num_threads": num_threads,
        "num_runs": num_runs,
        "invoke_ms": round(float(np.quantile(found["invoke_us"], QUANTILE)) / 1000, 4),
        "by_operator": sorted(by_operator, key=lambda row: -row["ms"]),
        "by_layer": sorted(by_layer, key=lambda row: row["name"] is None),
        "operators": operators,
    }


def _sums(rows: list[dict], keys: Iterable[str | None]) -> list[dict]:
    """`ms`, `share` and number of the rows of each key, in the order in which the keys appear."""
    sums = {}
    for row, key in zip(rows, keys, strict=True):
        total = sums.setdefault(key, {"name": key, "count": 0, "ms": 0, "share": 0})
        total["count"] += 1
        for column in ("ms", "share"):
            total[column] = round(total[column] + row[column], 4)
    return list(sums.values())


def layers(content: bytes, model: schema.ModelT, operators: list[list]) -> list[str | None]:
    """The layer of each profiled operation `[name, index, delegated]`, `None` where it cannot be told.

    `model` is `content` unpacked.

    XNNPACK runs a piece of the graph in the file's order, but merges operations (a pad into its convolution) and
    splits others. So of each kind, the operations of a piece are matched one to one if there are as many on both
    sides; what remains is in the layers that the matched ones before and after it share.
    """
    graph = model.subgraphs[0]
    kinds = [_written_as(model, operator) for operator in graph.operators]
    paths = operation_layers(model)
    with quiet():
        details = TFLiteModel(content).interpreter._get_ops_details()
    pieces = [piece for piece in delegated_pieces(details) if piece]  # empty: nothing reads what it makes

    found, ran = [None] * len(operators), []
    for position, (_, index, delegated) in enumerate(operators):
        if not delegated:
            found[position] = paths[index]
        elif index == 0 or not ran:  # each piece counts its operations anew
            ran.append([position])
        else:
            ran[-1].append(position)
    if len(ran) != len(pieces):
        return found
    for piece, positions in zip(pieces, ran, strict=True):
        for pattern, names in KINDS.items():
            timed = [position for position in positions if _kind(operators[position][0]) == pattern]
            written = [index for index in piece if kinds[index] & set(names)]
            if len(timed) == len(written):
                for position, index in zip(timed, written, strict=True):
                    found[position] = paths[index]
    return _between(found)


def _written_as(model: schema.ModelT, operator: schema.OperatorT) -> set[str]:
    """The operation, and a reshape where XNNPACK puts one before it: a fully connected layer of a map."""
    name = op_name(model, operator)
    flattens = name == "FULLY_CONNECTED" and len(model.subgraphs[0].tensors[operator.inputs[0]].shape) > 2
    return {name, "RESHAPE"} if flattens else {name}


def operation_layers(model: schema.ModelT) -> list[str | None]:
    """The layer of each of a file's operations, as its path in the Keras model; `None` where its name does not tell."""
    graph = model.subgraphs[0]
    return _paths([graph.tensors[operator.outputs[0]].name.decode() for operator in graph.operators])


def _kind(operator: str) -> str | None:
    return next((pattern for pattern in KINDS if re.match(pattern, operator)), None)


def _paths(names: list[str]) -> list[str | None]:
    """The layer that each tensor belongs to, without the model's name and the numbers of the converter's calls.

    A name is that of the operation, below its layers: `model_1/stem_1/stem_bn_1/add`. Several merged operations have
    the names of all, `model_1/stem_1/act_1/Relu;model_1/stem_1/conv_1/convolution`: what their layers share, else the
    last, which is the first to run.
    """
    found = []
    for name in names:
        merged = [part.split("/")[:-1] for part in name.split(";") if "/" in part]
        shared = shared_beginning(merged)
        if len(shared) == 1:  # the model's own name
            shared = merged[-1]
        found.append("/".join(_without_calls(shared)) or None)
    return found


def _without_calls(path: list[str]) -> list[str]:
    """The layers below the model without the number of the call that all have; what has none is inside a layer."""
    model, *layers = path or [""]
    call = re.search(r"(_\d+)?$", model)[0]
    if not layers or not layers[0].endswith(call):
        return layers
    return [layer.removesuffix(call) for layer in takewhile(lambda layer: layer.endswith(call), layers)]


def _between(found: list[str | None]) -> list[str | None]:
    """Gaps filled with what their neighbours share."""
    filled = list(found)
    for position, layer in enumerate(found):
        if layer is None:
            before = next((row for row in reversed(found[:position]) if row), None)
            after = next((row for row in found[position:] if row), None)
            if before and after:
                filled[position] = "/".join(shared_beginning([before.split("/"), after.split("/")])) or None
    return filled


def table(profile: dict) -> str:
    """The profile for a person."""
    slowest = sorted(profile["operators"], key=lambda row: -row["ms"])[:SLOWEST]
    total = sum(row["ms"] for row in profile["operators"])
    lines = [
        f"{profile['file']}: {len(profile['operators'])} operations, {total:.3f} ms in all; a whole inference with "
        f"the profiler on {profile['invoke_ms']:.3f} ms; lower quartiles of {profile['num_runs']} runs, "
        f"threads: {profile['num_threads']}"
    ]
    for heading, rows in (("operation", profile["by_operator"]), ("layer", profile["by_layer"])):
        cells = [(row["name"] or UNTOLD, str(row["count"]), row) for row in rows]
        lines += ["", *_aligned(heading, "count", cells)]
    cells = [(row["operator"], (row["layer"] or UNTOLD).split("/")[-1], row) for row in slowest]
    return "\n".join([*lines, "", *_aligned("slowest operation", "layer", cells)])


def _aligned(heading: str, second: str, cells: list[tuple[str, str, dict]]) -> list[str]:
    """Lines of two columns of text, time, share and a bar of the share."""
    left = max(len(heading), *(len(cell[0]) for cell in cells))
    middle = max(len(second), *(len(cell[1]) for cell in cells))
    lines = [f"{heading:<{left}}  {second:>{middle}}       ms   share"]
    for name, value, row in cells:
        bar = "#" * round(50 * row["share"])
        lines.append(f"{name:<{left}}  {value:>{middle}}  {row['ms']:7.3f}  {row['share']:6.1%}  {bar}".rstrip())
    return lines
