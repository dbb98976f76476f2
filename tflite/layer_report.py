"""Which layers int8 costs most: every activation of the float file against the int8 file's, on the same images."""

import csv
import dataclasses
import io
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from ghostnet_tf.commands import write_text, written_whole
from ghostnet_tf.quiet import quiet
from ghostnet_tf.runtime import TFLiteModel
from ghostnet_tf.tflite.flatbuffer import TYPE_NAMES, op_name, paired, short_name, with_outputs
from ghostnet_tf.tflite.normalization import with_borders

IMAGES = 32  # that are enough to compare on
SHOWN = 40  # bars in the picture


@dataclass(frozen=True)
class LayerError:
    """One operation's output.

    Attributes:
        layer: Of the Keras model.
        operation: In the file.
        shape: Of the output, without the batch.
        sqnr_db: Signal to quantization noise: energy of the float values over that of the difference, in decibels.
        added_db: How much worse that is than at the worst of its inputs: what this layer adds. Below 0, it mends.
        low, high: Values that int8 can hold here.
    """

    layer: str
    operation: str
    shape: str
    sqnr_db: float
    added_db: float
    low: float
    high: float


def layer_errors(before: schema.ModelT, after: schema.ModelT, images: Iterable[np.ndarray]) -> list[LayerError]:
    """Runs both files on `images`; the worst signal to noise ratio comes first.

    Args:
        before: The fp32 file, unpacked.
        after: The int8 file of the same network.
        images: `(height, width, channels)` in the values that the model takes.

    Raises:
        ValueError: If the files are not of the same network, or there are no images.
    """
    pairs = [
        both
        for both in paired(before, after)
        if TYPE_NAMES[after.subgraphs[0].tensors[both[1].outputs[0]].type] in ("int8", "int16")
    ]
    indices = [[int(operator.outputs[0]) for operator in operators] for operators in zip(*pairs, strict=True)]
    with quiet():
        runners = [TFLiteModel(with_outputs(*each)) for each in zip((before, after), indices, strict=True)]
    tensors = [after.subgraphs[0].tensors[index] for index in indices[1]]
    scales = [(float(tensor.quantization.scale[0]), int(tensor.quantization.zeroPoint[0])) for tensor in tensors]

    energies, errors = np.zeros(len(pairs)), np.zeros(len(pairs))
    shown = 0
    for image in images:
        shown += 1
        for runner in runners:
            runner.interpreter.set_tensor(runner.input["index"], runner.quantize(image[None]))
            runner.interpreter.invoke()
        for number, (index, other) in enumerate(zip(*indices, strict=True)):
            scale, zero_point = scales[number]
            expected = runners[0].interpreter.get_tensor(index)
            found = (runners[1].interpreter.get_tensor(other).astype(np.float32) - zero_point) * np.float32(scale)
            energies[number] += np.sum(np.square(expected), dtype=np.float64)
            errors[number] += np.sum(np.square(found - expected), dtype=np.float64)
    if not energies.any():
        raise ValueError("Expected at least one image on which some activation is not 0. Received: none")
    # The image is exact, but was rounded itself: else what reads it would seem to add nearly all of the noise.
    bordered = with_borders(before, int(before.subgraphs[0].inputs[0]))
    for number, index in enumerate(indices[0]):
        if index in bordered:
            rounded = shown * np.prod(before.subgraphs[0].tensors[index].shape) * scales[number][0] ** 2 / 12
            errors[number] = max(errors[number], rounded)
    ratios = 10 * np.log10(np.maximum(energies, 1e-30) / np.maximum(errors, 1e-30))

    by_tensor = dict(zip(indices[0], ratios, strict=True))
    rows = []
    for number, (operator, _) in enumerate(pairs):
        inputs = [by_tensor[int(index)] for index in operator.inputs if int(index) in by_tensor]
        limits = np.iinfo(TYPE_NAMES[tensors[number].type])
        scale, zero_point = scales[number]
        tensor = before.subgraphs[0].tensors[operator.outputs[0]]
        rows.append(
            LayerError(
                layer=layer_name(tensor.name.decode()),
                operation=op_name(before, operator),
                shape="x".join(str(int(side)) for side in tensor.shape[1:]),
                sqnr_db=round(float(ratios[number]), 2),
                added_db=round(float(min(inputs) - ratios[number]), 2) if inputs else 0.0,
                low=round((int(limits.min) - zero_point) * scale, 6),
                high=round((int(limits.max) - zero_point) * scale, 6),
            )
        )
    return sorted(rows, key=lambda row: row.sqnr_db)


def layer_name(tensor: str) -> str:
    """The Keras layer in a tensor's name: `stem` of `net_1/stem_1/act_1/Relu;net_1/stem_1/conv_1/…`."""
    return layer_path(tensor)[-1]


def layer_path(tensor: str) -> list[str]:
    """The Keras layers in a tensor's name, outermost first, without the network."""
    network, *path = short_name(tensor).split("/")
    # Layers have the number of the call behind their names; what has none is inside a layer.
    layers = [part.removesuffix("_1") for part in path[:-1] if part.endswith("_1")]
    return layers or path[:-1] or [network]


def write_report(path: Path, rows: list[LayerError], title: str, overwrite: bool = False) -> Path:
    """Writes the rows as CSV to `path` and a picture of the worst beside it, whose path it gives.

    Raises:
        BadInput: If one exists and `overwrite` is false.
    """
    text = io.StringIO(newline="")
    writer = csv.DictWriter(
        text, ["rank", *(field.name for field in dataclasses.fields(LayerError))], lineterminator="\n"
    )
    writer.writeheader()
    writer.writerows({"rank": rank, **dataclasses.asdict(row)} for rank, row in enumerate(rows, 1))
    picture = path.with_suffix(".png")
    with written_whole(picture, overwrite) as drawn:
        _draw(drawn, rows[:SHOWN], title)
        write_text(path, text.getvalue(), overwrite)
    return picture


def _draw(path: Path, rows: list[LayerError], title: str) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 1.2 + 0.2 * len(rows)), layout="constrained")
    axes = figure.add_subplot()
    bars = axes.barh([f"{row.layer} ({row.operation})" for row in rows], [row.sqnr_db for row in rows])
    axes.bar_label(bars, fmt="%.1f", padding=2, fontsize=7)
    axes.invert_yaxis()
    axes.tick_params(axis="y", labelsize=7)
    axes.set_xlabel("signal to quantization noise of the layer's output, dB")
    axes.set_title(title, fontsize=10)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, format="png", dpi=120)
