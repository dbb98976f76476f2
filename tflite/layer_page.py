"""The words and numbers of the page that `layers` writes."""

import dataclasses
import importlib.util
import json
import shlex
import statistics
from argparse import Namespace
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

import keras
from ai_edge_litert import schema_py_generated as schema

from ghostnet_tf import __version__, commands
from ghostnet_tf.analysis.complexity import Complexity, complexity
from ghostnet_tf.tflite import pipeline, sources
from ghostnet_tf.tflite.flatbuffer import paired, unpack
from ghostnet_tf.tflite.graph import structure
from ghostnet_tf.tflite.layer_costs import REST, Costs, LayerCost
from ghostnet_tf.tflite.layer_report import IMAGES, LayerError, layer_errors
from ghostnet_tf.tflite.schemes import GRAPHS, QAT, REWRITTEN, SCHEMES, form, rearranged
from ghostnet_tf.tflite.tensorflow_converter import converted
from ghostnet_tf.training.metrics import processor

MODEL_EXPLORER = "http://localhost:8080/"  # where its server is by default
# What TensorFlow's converter is asked for, and the schemes that what it gives is rearranged into. The graph of fp16 is
# the plain one; dynamic is rearranged where its weights stayed floats.
REARRANGED = {"fp32": ("fp32", "int8", QAT.name), "dynamic": ("dynamic",)}
UNLIKE = 3.0  # decibels of most layers' outputs below which two files are hardly of the same weights


@dataclass(frozen=True)
class FromModel:
    """What the Keras model adds.

    Attributes:
        headline: What it is.
        complexity: Of the form that runs.
        errors: Of the file's layers against it; `None` where the file has no int8 activations, or no images are there.
        images: What they were compared on, or why they were not.
    """

    headline: str
    complexity: Complexity
    errors: list[LayerError] | None
    images: str


def from_model(args: Namespace, file: schema.ModelT) -> FromModel:
    """Loads the model that the arguments mean, and compares the unpacked file with it.

    Raises:
        BadInput: If the file was not made from it, or there is no such model.
    """
    source = sources.find(args)
    commands.log(source.headline)
    model = pipeline.form_to_run(source.load())
    counted = complexity(model)
    expected = float_file(model, file, args.model)
    if not {"int8", "int16"} & set(structure(file)["dtypes"]):
        return FromModel(source.headline, counted, None, "the file computes in floats")
    asked = {"calibration": args.images, "calibration_images": 0, "verification_images": IMAGES}
    asked |= {"data_dir": args.data_dir, "seed": args.seed}
    try:
        images = pipeline.choose_images(Namespace(**asked), source, model.inputs[0].shape[1:], calibrated=False)
    except commands.CommandError as error:
        if args.images is not None:
            raise
        commands.log(f"warning: int8 is not compared with float: {error}")
        return FromModel(source.headline, counted, None, "the run's images could not be read; give some with --images")
    errors = layer_errors(expected, file, commands.progress(images.held_out, "comparing layers"))
    if statistics.median(error.sqnr_db for error in errors) < UNLIKE:
        commands.log(
            f"WARNING: most layers of the file differ from those of {args.model} by as much as they say: was it made "
            "from this model?"
        )
    return FromModel(source.headline, counted, errors, f"{len(images.held_out)} images: {images.name}")


def float_file(model: keras.Model, file: schema.ModelT, name: str) -> schema.ModelT:
    """The float file of `model`, unpacked, in the form of graph that `file` has.

    Raises:
        BadInput: If `file` was made from another network.
    """
    for scheme, files in REARRANGED.items():
        content = converted(model, SCHEMES[scheme])
        forms = [form(graph, each) for graph in GRAPHS for each in files if each in REWRITTEN.get(graph, files)]
        # Where layers stay in float, int8 files may keep their halves as they were.
        forms += [dataclasses.replace(each, interleaved_halves=False) for each in forms]
        for each in dict.fromkeys(forms):
            candidate = unpack(rearranged(content, each))
            if _alike(candidate, file):
                return candidate
    raise commands.BadInput(
        "expected the model that the file was made from, with the same operations on the same shapes. "
        f"Received: {name}; give another --model, or none"
    )


def _alike(model: schema.ModelT, found: schema.ModelT) -> bool:
    """Whether two files have the same operations with outputs of the same shapes, casts apart."""
    try:
        pairs = paired(model, found)
    except ValueError:
        return False
    graphs = (model.subgraphs[0], found.subgraphs[0])
    return all(
        len({tuple(graph.tensors[one.outputs[0]].shape) for graph, one in zip(graphs, pair, strict=True)}) == 1
        for pair in pairs
    )


def content(path: Path, file: schema.ModelT, profile: dict, costs: Costs, model: FromModel | None) -> dict[str, object]:
    """What `layers.html` needs.

    Args:
        path: Of the file.
        file: The same, unpacked.
        profile: Of `op_profile.profile`.
        costs: Of its layers.
        model: What the Keras model adds, where it is known.
    """
    total = costs.total
    columns = [name for name in COLUMNS if getattr(total, name) is not None]
    return {
        "title": path.name,
        "findings": findings(costs),
        "facts": _facts(file, profile, total, model),
        "columns": [(name, *COLUMNS[name]) for name in columns],
        "tables": [("By block", costs.blocks), ("By layer", costs.layers)],
        "most_of": [_most(rows, columns) for rows in (costs.blocks, costs.layers)],
        "total": total,
        "rest": REST,
        "rest_notes": _rest_notes(costs),
        "left_out": left_out(model),
        "explorer": explorer(path),
        "rendering": "auto",
        "version": __version__,
        "date": datetime.now(UTC).isoformat(" ", "minutes"),
        "shown": shown,
    }


# Of a row: heading, what it is divided by, digits.
COLUMNS = {
    "ms": ("ms", 1, 3),
    "share": ("time, %", 0.01, 1),
    "sqnr_db": ("SNR, dB", 1, 1),
    "added_db": ("noise added, dB", 1, 1),
    "bytes": ("bytes, k", 1e3, 1),
    "macs": ("multiply-adds, M", 1e6, 2),
    "params": ("parameters, k", 1e3, 1),
}


def shown(name: str, value: float | None) -> str:
    """A cell for people."""
    _, unit, digits = COLUMNS[name]
    return "" if value is None else f"{value / unit:,.{digits}f}".replace("-", "−")


def _most(rows: list[LayerCost], columns: list[str]) -> dict[str, float]:
    """The greatest of each column, which has the longest bar."""
    return {name: max((getattr(row, name) or 0 for row in rows), default=0) for name in columns}


def findings(costs: Costs) -> list[str]:
    """Sentences that name where most goes, one a measure."""
    blocks, layers = costs.blocks, [row for row in costs.layers if row.path != REST]
    total = costs.total
    found = []
    for name, what in (("ms", "time"), ("bytes", "bytes"), ("macs", "multiply-adds")):
        if getattr(total, name):
            ranked = sorted(blocks, key=lambda row: -getattr(row, name))[:3]
            parts = (f"{row.path} {100 * getattr(row, name) / getattr(total, name):.0f} %" for row in ranked)
            found.append(f"Most {what}: {', '.join(parts)}.")
    noisy = [row for row in layers if row.added_db is not None]
    if noisy:
        worst = sorted(noisy, key=lambda row: -row.added_db)[:3]
        parts = (f"{row.name} {row.added_db:.1f} dB (SNR {row.sqnr_db:.1f} dB)" for row in worst)
        found.append(f"Most noise added by int8: {', '.join(parts)}.")
    return found


def _facts(file: schema.ModelT, profile: dict, total: LayerCost, model: FromModel | None) -> list[tuple[str, str]]:
    facts = [("File", f"{total.bytes:,} bytes, {len(file.subgraphs[0].operators)} operations")]
    if model:
        facts.append(("Model", model.headline))
        facts.append(("Counts", f"{total.macs:,} multiply-adds, {total.params:,} parameters that train"))
    facts.append(
        (
            "Time",
            f"{total.ms:.3f} ms in {len(profile['operators'])} operations of XNNPACK and the interpreter, "
            f"lower quartiles of {profile['num_runs']} runs, threads: {profile['num_threads']}, {processor()}",
        )
    )
    if model and model.errors is not None:
        facts.append(("Noise", f"int8 against float on {model.images}"))
    return facts


def left_out(model: FromModel | None) -> str | None:
    """Which columns are missing, and why."""
    if model is None:
        return (
            "Left out: multiply-adds, parameters, and what int8 does. They need the Keras model that the file was made "
            "from: give it with --model."
        )
    return None if model.errors is not None else f"Left out: what int8 does; {model.images}."


def _rest_notes(costs: Costs) -> list[str]:
    rest = costs.layers[-1]
    notes = [f"{rest.bytes:,} bytes of the file's own: names, shapes, scales, metadata"]
    if costs.untold:
        operations = ", ".join(f"{count} {name}" for name, count in costs.untold.items())
        notes.append(f"operations whose layer the file does not tell: {operations}")
    if costs.unnamed:
        notes.append(f"layers that no operation is named after: {', '.join(costs.unnamed)}")
    return notes


def explorer(path: Path) -> dict[str, object]:
    """How to open the file in Model Explorer: whether it is installed, its command, and the link once it runs."""
    data = json.dumps({"models": [{"url": str(path.resolve())}]})
    return {
        "installed": importlib.util.find_spec("model_explorer") is not None,
        "install": "pip install ai-edge-model-explorer",
        "command": f"model-explorer {shlex.quote(str(path.resolve()))}",
        "link": f"{MODEL_EXPLORER}?data={quote(data)}",
    }
