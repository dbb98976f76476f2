"""What rounding the weights of an int8 file adds to each channel's mean, taken off its bias.

The closed form of "empirical bias correction" (Nagel et al., "Data-Free Quantization Through Weight Equalization and
Bias Correction", ICCV 2019): a convolution is linear, so the mean change of its output is the change of its weights
applied to its mean input, which calibration knows. Later layers need no second look, as each corrects its own share.
"""

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from ghostnet_tf.tflite.flatbuffer import WEIGHTED, op_name, pack, paired, replace_constant, unpack, values
from ghostnet_tf.tflite.quantize import Calibration


def with_corrected_biases(content: bytes, float_content: bytes, calibration: Calibration) -> bytes:
    """The int8 file with corrected biases.

    Args:
        content: The int8 file.
        float_content: The float file that it was made of.
        calibration: Of the float file.
    """
    model, before = unpack(content), unpack(float_content)
    graph = model.subgraphs[0]
    for float_operator, operator in paired(before, model):
        kind = op_name(model, operator)
        if kind not in WEIGHTED or len(operator.inputs) < 3 or operator.inputs[2] < 0:
            continue
        seen = calibration.activations.get(int(float_operator.inputs[0]))
        weights = graph.tensors[operator.inputs[1]]
        if seen is None or weights.type != schema.TensorType.INT8:
            continue
        change = real_weights(model, weights) - values(before, before.subgraphs[0].tensors[float_operator.inputs[1]])
        output = graph.tensors[operator.outputs[0]].shape
        shift = _mean_change(kind, change, seen.mean, output, operator.builtinOptions)

        bias = graph.tensors[operator.inputs[2]]
        steps = np.round(shift / bias.quantization.scale)
        limits = np.iinfo(np.int32)
        replace_constant(model, operator, 2, np.clip(values(model, bias) - steps, limits.min, limits.max))
    return pack(model)


def _mean_change(kind: str, change: np.ndarray, mean: np.ndarray, output: np.ndarray, options) -> np.ndarray:
    """Mean over the output's pixels, by channel, of the operation with the weights `change` on the input `mean`."""
    if kind == "FULLY_CONNECTED":
        return change @ mean.reshape(-1, change.shape[1]).mean(axis=0)
    taps = _taps(mean, change.shape[1:3], output[1:3], options)
    if kind == "DEPTHWISE_CONV_2D":
        return np.einsum("ijo,ijo->o", change[0], np.repeat(taps, change.shape[3] // taps.shape[2], axis=2))
    groups = taps.shape[2] // change.shape[3]
    taps = taps.reshape(*taps.shape[:2], groups, change.shape[3])
    return np.einsum("goijc,ijgc->go", change.reshape(groups, -1, *change.shape[1:]), taps).ravel()


def _taps(mean: np.ndarray, window: tuple[int, int], output: np.ndarray, options) -> np.ndarray:
    """What each position of the window sees on average `(height, width, channels)`, zeros of the padding included."""
    rows = _positions(window[0], mean.shape[0], int(output[0]), options.strideH, options.dilationHFactor, options)
    columns = _positions(window[1], mean.shape[1], int(output[1]), options.strideW, options.dilationWFactor, options)
    weights = [
        np.stack([np.bincount(at[(at >= 0) & (at < side)], minlength=side) / len(at) for at in positions])
        for positions, side in ((rows, mean.shape[0]), (columns, mean.shape[1]))
    ]
    return np.einsum("ih,jw,hwc->ijc", *weights, mean, optimize=True)


def _positions(window: int, side: int, outputs: int, stride: int, dilation: int, options) -> np.ndarray:
    """Rows (or columns) of the input that each position of the window sees `(window, outputs)`; outside is padding."""
    before = 0
    if options.padding == schema.Padding.SAME:
        before = max((outputs - 1) * stride + (window - 1) * dilation + 1 - side, 0) // 2
    return np.arange(window)[:, None] * dilation + np.arange(outputs) * stride - before


def real_weights(model: schema.ModelT, tensor: schema.TensorT) -> np.ndarray:
    """What the stored values of int8 weights stand for; their zero point is 0."""
    scale = np.asarray(tensor.quantization.scale, np.float64)
    sides = np.ones(len(tensor.shape), int)
    sides[tensor.quantization.quantizedDimension] = len(scale)
    return values(model, tensor) * (scale if len(scale) == 1 else scale.reshape(sides))
