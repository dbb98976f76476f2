"""Cross-layer equalization: channels of one activation brought to like ranges, since int8 gives them one scale.

A convolution whose output is only read linearly, channel by channel (by convolutions, and by padding, concatenation,
means and products on the way to them), may divide a channel of its output by any factor if all readers multiply their
weights by it: ReLU keeps positive factors. The network stays the same to float rounding. Sources: Nagel et al.,
"Data-Free Quantization Through Weight Equalization and Bias Correction", ICCV 2019; the factors, which weigh the
activation against the reader's weights, are those of Xiao et al., "SmoothQuant", ICML 2023, at alpha 1/2.
"""

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from ghostnet_tf.tflite.flatbuffer import WEIGHTED, op_name, pack, replace_constant, unpack, values
from ghostnet_tf.tflite.quantize import Calibration
from ghostnet_tf.tflite.stacked_halves import reads_stacked

GREATEST = 64.0  # factor between a channel and the geometric mean of all: beyond it, float rounding would show
LINEAR = (schema.ActivationFunctionType.NONE, schema.ActivationFunctionType.RELU)
Reader = tuple[schema.OperatorT, int]  # of channels that begin at a position of its input


def equalized(content: bytes, calibration: Calibration) -> bytes:
    """The float file with equalized channels.

    Args:
        content: A float file.
        calibration: Of that file.
    """
    model = unpack(content)
    for operator in model.subgraphs[0].operators:
        if op_name(model, operator) not in ("CONV_2D", "DEPTHWISE_CONV_2D") or len(operator.inputs) < 3:
            continue
        output = int(operator.outputs[0])
        readers = _readers(model, output)
        if operator.builtinOptions.fusedActivationFunction not in LINEAR or not readers:
            continue
        seen = calibration.activations[output]
        factors = _factors(model, np.maximum(-seen.lows, seen.highs), readers)
        axis = 3 if op_name(model, operator) == "DEPTHWISE_CONV_2D" else 0
        _scale(model, operator, 1, axis, 1 / factors)
        _scale(model, operator, 2, 0, 1 / factors)
        for reader, start in readers:
            _scale_inputs(model, reader, start, factors)
    return pack(model)


def _readers(model: schema.ModelT, index: int, start: int = 0) -> list[Reader] | None:
    """The weighted operations that read a tensor's channels, at the end of any way; `None` if another kind does."""
    graph = model.subgraphs[0]
    if index in graph.outputs:
        return None
    found = []
    for operator in graph.operators:
        if index not in operator.inputs:
            continue
        kind = op_name(model, operator)
        if kind in WEIGHTED:
            channels, taken = (graph.tensors[read].shape[-1] for read in operator.inputs[:2])
            if kind != "DEPTHWISE_CONV_2D" and taken != channels:
                return None  # groups, or a flattened map
            found.append((operator, start))
            continue
        offset = _offset(model, operator, kind, index)
        further = None if offset is None else _readers(model, int(operator.outputs[0]), start + offset)
        if further is None:
            return None
        found += further
    return found


def _offset(model: schema.ModelT, operator: schema.OperatorT, kind: str, index: int) -> int | None:
    """Where a tensor's channels begin in the output of an operation that keeps them apart; `None` for others."""
    tensors = model.subgraphs[0].tensors
    if list(operator.inputs).count(index) != 1:
        return None
    if kind == "PAD":
        return 0
    if kind == "MEAN":
        return None if {-1, 3} & set(values(model, tensors[operator.inputs[1]]).ravel().tolist()) else 0
    if kind == "MUL":
        same = list(tensors[index].shape) == list(tensors[operator.outputs[0]].shape)
        return 0 if same and operator.builtinOptions.fusedActivationFunction in LINEAR else None
    if kind == "CONCATENATION" and (operator.builtinOptions.axis in (-1, 3) or _is_stack(model, operator)):
        before = list(operator.inputs)[: list(operator.inputs).index(index)]
        return int(sum(tensors[other].shape[-1] for other in before))
    return None


def _is_stack(model: schema.ModelT, operator: schema.OperatorT) -> bool:
    """Whether a concatenation is for a convolution over stacked maps, whose channels then count as side by side."""
    return any(
        reads_stacked(model, other) for other in model.subgraphs[0].operators if operator.outputs[0] in other.inputs
    )


def _factors(model: schema.ModelT, ranges: np.ndarray, readers: list[Reader]) -> np.ndarray:
    """What each channel is divided by: all of its range, or the root of it over its share of the readers' weights."""
    shares = np.zeros(len(ranges))
    for reader, start in readers:
        if op_name(model, reader) == "DEPTHWISE_CONV_2D":
            continue  # its weights have a scale for each channel
        weights = np.abs(values(model, model.subgraphs[0].tensors[reader.inputs[1]]))
        weights = weights.reshape(len(weights), -1, _channels(model, reader)).max(axis=1)
        weights = weights / np.maximum(weights.max(axis=1, keepdims=True), np.finfo(np.float32).tiny)
        shares = np.maximum(shares, weights[:, start : start + len(ranges)].max(axis=0))
    used = (ranges > 0) & ((shares > 0) if shares.any() else True)
    if not used.any():
        return np.ones(len(ranges))
    wanted = np.sqrt(ranges[used] / shares[used]) if shares.any() else ranges[used]
    middle = np.exp(np.log(wanted).mean())
    factors = np.full(len(ranges), middle)
    factors[used] = np.clip(wanted, middle / GREATEST, middle * GREATEST)
    return factors


def _channels(model: schema.ModelT, reader: schema.OperatorT) -> int:
    """What counts as the channels that a weighted operation other than a depthwise convolution reads."""
    _, *window, channels = model.subgraphs[0].tensors[reader.inputs[1]].shape
    return int(np.prod(window) * channels if reads_stacked(model, reader) else channels)


def _scale_inputs(model: schema.ModelT, reader: schema.OperatorT, start: int, factors: np.ndarray) -> None:
    """Multiplies what `reader` does with its input channels from `start` on."""
    tensors = model.subgraphs[0].tensors
    weights = values(model, tensors[reader.inputs[1]])
    depthwise = op_name(model, reader) == "DEPTHWISE_CONV_2D"
    whole = np.ones(int(tensors[reader.inputs[0]].shape[-1]) if depthwise else _channels(model, reader))
    whole[start : start + len(factors)] = factors
    last = np.repeat(whole, weights.shape[-1] // len(whole)) if depthwise else whole
    replace_constant(model, reader, 1, (weights.reshape(-1, len(last)) * last).reshape(weights.shape))


def _scale(model: schema.ModelT, operator: schema.OperatorT, position: int, axis: int, factors: np.ndarray) -> None:
    """Multiplies a constant input of an operation along an axis."""
    data = values(model, model.subgraphs[0].tensors[operator.inputs[position]])
    sides = np.ones(data.ndim, int)
    sides[axis] = len(factors)
    replace_constant(model, operator, position, data * factors.reshape(sides))
