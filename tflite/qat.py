"""int8 files of quantization-aware training: the ranges come from the run, not from calibration."""

import json
import re
from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ghostnet_tf.commands import BadInput, flag
from ghostnet_tf.tflite import schemes, tensorflow_converter
from ghostnet_tf.tflite.schemes import GRAPH, QAT, SCHEMES
from ghostnet_tf.tflite.tensorflow_converter import ConversionError
from ghostnet_tf.training.qat_settings import FILE

if TYPE_CHECKING:
    import keras

BYTES = (0.0, 255.0)  # of the input: scale 1, so that bytes go in as they are
PROBABILITIES = (0.0, 255 / 256)  # of SOFTMAX and LOGISTIC: scale 1/256 by definition
SAME_RANGE = ("CONCATENATION", "MAX_POOL_2D", "PAD", "RESHAPE", "SLICE", "SQUEEZE", "STRIDED_SLICE")


def learned_ranges(run: Path | None) -> dict[str, list[float]] | None:
    """The ranges of a run with quantization-aware training, `None` for any other run.

    Raises:
        BadInput: If the run did not finish, or its record is damaged.
    """
    if run is None or not (run / FILE).is_file():
        return None
    try:
        return json.loads((run / FILE).read_text(encoding="utf-8"))["ranges"]
    except (json.JSONDecodeError, KeyError) as error:
        raise BadInput(f"{run / FILE} has no ranges: train again with --qat --overwrite ({error!r})") from error


def schemes_of(run: Path | None, schemes: list[str], args: Namespace) -> list[str]:
    """The schemes asked of a source, where int8 of a run with quantization-aware training is `int8_qat`.

    Raises:
        BadInput: If flags of calibration are given to such a run, or it did not finish.
    """
    if "int8" not in schemes or learned_ranges(run) is None:
        return schemes
    of_calibration = ("calibration_method", "per_layer_report", "keep_float", "auto_mixed")
    if given := [flag(name) for name in of_calibration if getattr(args, name) is not None]:
        raise BadInput(
            f"{run} learned its int8 ranges with --qat: {' and '.join(given)} does not apply; give it to the run that "
            "it started from"
        )
    return [QAT.name if scheme == "int8" else scheme for scheme in schemes]


def converted(
    model: "keras.Model",
    ranges: dict[str, list[float]],
    input_type: str,
    output_type: str,
    graph: str = GRAPH,
) -> bytes:
    """The int8 file of a model that takes RGB 0-255, with the ranges that its training learned.

    Args:
        model: The float model that training left.
        ranges: Least and greatest value by layer, see `training.qat_twin.Twin`.
        input_type, output_type: `"uint8"`, `"int8"` or `"float32"`.
        graph: A key of `schemes.GRAPHS` that does not split sums, so not `"optimized"`.

    Raises:
        ConversionError: If a tensor of the file has no range.
    """
    from ghostnet_tf.tflite.quantize import quantized

    # Ranges first: they are of the layers' outputs, and what is rearranged keeps those of the halves, by their tensors.
    ranged = with_learned_ranges(tensorflow_converter.converted(model, SCHEMES["fp32"]), ranges)
    form = schemes.form(graph, QAT.name)
    content = quantized(schemes.rearranged_to_quantize(ranged, form), input_type, output_type)
    return schemes.rearranged_at_last(content, form)


def with_learned_ranges(content: bytes, ranges: dict[str, list[float]]) -> bytes:
    """A float file that carries the learned range of each activation, found by the name of the layer that ends it.

    What only moves values (padding, concatenation, …) has one range on both of its sides.

    Raises:
        ConversionError: If a tensor has none; names it.
    """
    from ai_edge_litert import schema_py_generated as schema

    from ghostnet_tf.tflite.flatbuffer import op_name, pack, unpack
    from ghostnet_tf.tflite.quantize import set_range

    model = unpack(content)
    graph = model.subgraphs[0]
    operators = [(op_name(model, operator), operator) for operator in graph.operators]
    made = {int(output): name for name, operator in operators for output in operator.outputs}
    floats = {index for index in made if graph.tensors[index].type == schema.TensorType.FLOAT32}
    found: dict[int, tuple[float, float]] = {int(index): BYTES for index in graph.inputs}
    for index in floats:
        limits = PROBABILITIES if made[index] in ("SOFTMAX", "LOGISTIC") else _range_of(graph.tensors[index], ranges)
        if limits is not None:
            found[index] = limits
    _spread(operators, floats, found)
    if missing := sorted(floats - found.keys()):
        names = ", ".join(graph.tensors[index].name.decode().split(";")[0] for index in missing[:5])
        raise ConversionError(
            f"{len(missing)} tensors have no range from quantization-aware training, such as {names}: "
            "train again with --qat"
        )
    for index, (low, high) in found.items():
        set_range(graph.tensors[index], low, high if low < high else low + 1)  # XNNPACK refuses a scale of 0
    return pack(model)


def _range_of(tensor, ranges: dict[str, list[float]]) -> tuple[float, float] | None:
    """The range of the layer that ends an operation, or of its part.

    A tensor's name has those of all that was fused, such as `model_1/act_1/Relu;model_1/conv_1/BiasAdd`; only the last
    of these layers has a range. The converter numbers what is called again.
    """
    for name in tensor.name.decode().split(";"):
        *scopes, operation = name.split("/")
        operation = re.sub(r"(_\d+)?$", "", operation).lower()
        for scope in reversed(scopes):
            for layer in (scope, re.sub(r"_\d+$", "", scope)):
                for key in (f"{layer}/{operation}", layer):
                    if key in ranges:
                        return tuple(ranges[key])
    return None


def _spread(operators: list, floats: set[int], found: dict[int, tuple[float, float]]) -> None:
    """Gives tensors without a range that of the other side of an operation that moves values."""
    before = -1
    while before < len(found):
        before = len(found)
        for name, operator in operators:
            if name not in SAME_RANGE:
                continue
            (output,) = map(int, operator.outputs)
            inputs = [index for index in map(int, operator.inputs) if index in floats or index in found]
            if output in found:
                for index in inputs:
                    found.setdefault(index, found[output])
            elif known := [found[index] for index in inputs if index in found]:
                found[output] = known[0]


def snr_to_training(content: bytes, model: "keras.Model", run: Path, images: np.ndarray) -> float:
    """Signal to noise ratio, in decibels, of a file's logits to those of the fake-quantized model that was trained.

    Args:
        content: The file.
        model: The float model, ending in a softmax.
        run: The folder of its training.
        images: uint8 `(n, height, width, channels)`.
    """
    import keras

    from ghostnet_tf.quiet import quiet
    from ghostnet_tf.runtime import TFLiteModel
    from ghostnet_tf.tflite.flatbuffer import with_logits
    from ghostnet_tf.tflite.verify import BATCH, before_softmax, closeness
    from ghostnet_tf.training.qat_twin import loaded

    twin = loaded(keras.Model(model.inputs, before_softmax(model)), learned_ranges(run)).model
    starts = range(0, len(images), BATCH)
    expected = np.concatenate([twin(images[start : start + BATCH].astype(np.float32)).numpy() for start in starts])
    with quiet():
        file = TFLiteModel(with_logits(content))
    return closeness(expected, file.predict(images))[1]
