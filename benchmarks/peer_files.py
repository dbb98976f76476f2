"""What is known of the other routes' files: `manifest.json` beside them, their rows of results, and whether each is
the network of its name."""

import json
import math
from pathlib import Path

from benchmarks import guard, peer_routes
from ghostnet_tf import commands, results, untrusted

ROOT = Path(__file__).resolve().parents[1]
NAME = "manifest.json"
COLUMNS = ("date", "route", "network", "scheme", "file", "bytes", "sha256", "operations", "ops", "multiply_adds")
COLUMNS += ("parameters", "partitions", "outside", "seconds", "packages", "python", "command")
ZOO = {
    "ghostnet": "GhostNet 1.0",
    "ghostnetv2": "GhostNetV2 1.0",
    "mobilenetv2": "MobileNetV2 1.0",
    "mobilenetv3large": "MobileNetV3 Large 1.0",
    "mobilenetv3small": "MobileNetV3 Small 1.0",
    "efficientnetb0": "EfficientNet B0",
}


def read(folder: Path) -> dict:
    """The manifest in `folder`, an empty one if there is none: `routes` and `files` by name.

    Raises:
        BadInput: If it is not one that `make_peers.py` wrote.
    """
    path = folder / NAME
    if not path.is_file():
        return {"weights": "random, of a fixed seed", "routes": {}, "files": {}}
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return found | {key: dict(found[key]) for key in ("routes", "files")}
    except (ValueError, KeyError, TypeError) as error:
        raise commands.BadInput(f"{path} is no manifest of make_peers: delete it, or give another --output") from error


def write(folder: Path, manifest: dict) -> None:
    """Writes the manifest, whole or not at all."""
    commands.write_json(folder / NAME, manifest)


def is_made(name: str, network: str, folder: Path, manifest: dict) -> bool:
    """Whether a route's files of a network are there, unchanged, and of today's recipe."""
    for file in peer_routes.files(name, network).values():
        known, path = manifest["files"].get(file), folder / file
        if known is None or known["recipe"] != peer_routes.recipe(name) or not path.is_file():
            return False
        if untrusted.sha256_of(path) != known["sha256"]:
            return False
    return True


def parameters(content: bytes) -> int:
    """Of a `.tflite` file's convolutions and matrix products: weights and biases."""
    from ghostnet_tf.tflite.flatbuffer import WEIGHTED, op_name, unpack

    model = unpack(content)
    graph = model.subgraphs[0]
    read = [
        int(index)
        for operator in graph.operators
        if op_name(model, operator) in WEIGHTED
        for index in operator.inputs[1:]
        if index >= 0
    ]
    return sum(math.prod(int(side) for side in graph.tensors[index].shape) for index in read)


def expected(network: str) -> dict[str, int]:
    """What a file of the network must have, from `results/zoo.csv`, which the tests compare with the code.

    In a file each batch normalization has become the bias of the convolution before it: of its two parameters a
    channel that train, one is left.
    """
    row = next(row for row in results.read_rows(ROOT / "results/zoo.csv") if row["model"] == ZOO[network])
    merged = (int(row["params"]) + int(row["params_without_bn"])) // 2
    return {"multiply_adds": int(row["macs"]), "parameters": merged}


def facts(path: Path, network: str) -> dict[str, object]:
    """Runs a file once, and says what is in it.

    Raises:
        CommandError: If there is none, it does not run, gives nothing finite, or is not the network.
    """
    import numpy as np

    from ghostnet_tf.runtime import open_model
    from ghostnet_tf.tflite import timing

    if not path.is_file():
        raise commands.CommandError(f"it made no {path.name}")
    try:
        model = open_model(path)
        timing.fill_inputs(model, seed=0)
        model.interpreter.invoke()
    except (commands.BadInput, RuntimeError) as error:
        raise commands.CommandError(f"{path.name} does not run in LiteRT: {untrusted.first_line(error)}") from error
    output = model.interpreter.get_tensor(model.output["index"])
    if not np.isfinite(output).all() or np.ptp(output) == 0:
        raise commands.CommandError(f"expected {path.name} to tell classes apart. Received: {output.ravel()[:3]}…")
    content = path.read_bytes()
    found = guard.counts(content) | {"parameters": parameters(content), "sha256": untrusted.sha256_of(path)}
    for name, number in expected(network).items():
        if found[name] != number:
            raise commands.CommandError(f"expected {path.name} to have {number:,} {name}. Received: {found[name]:,}")
    return found


def rows(names: list[str], manifest: dict) -> list[dict]:
    """A row of results for each file of the routes."""
    found = []
    for file, known in sorted(manifest["files"].items()):
        if known["route"] not in names:
            continue
        route = manifest["routes"][known["route"]]
        packages = {name: route["packages"].get(name) for name in peer_routes.ROUTES[known["route"]].packages}
        derived = {
            "file": file,
            "operations": sum(known["ops"].values()),
            "ops": _listed(known["ops"]),
            "partitions": len(known["partitions"]),
            "outside": _listed(known["outside"]),
            "packages": _listed(packages),
            "python": route["python"],
        }
        found.append(known | derived)
    return found


def _listed(values: dict) -> str:
    return " ".join(f"{name} {value}" for name, value in values.items())


def table(rows: list[dict]) -> str:
    """In Markdown, for a person and for docs/benchmarks.md."""
    lines = ["| route | network | scheme | MB | operations | partitions | outside XNNPACK |"]
    lines.append("| --- | --- | --- | ---: | ---: | ---: | --- |")
    lines += [
        f"| {row['route']} | {row['network']} | {row['scheme']} | {row['bytes'] / 1e6:.1f} | {row['operations']} "
        f"| {row['partitions']} | {row['outside']} |"
        for row in rows
    ]
    return "\n".join(lines)
