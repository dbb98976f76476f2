"""Full-integer quantization: ranges of the activations from images, then TensorFlow's quantizer."""

import os
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from ghostnet_tf.quiet import quiet
from ghostnet_tf.runtime import TFLiteModel
from ghostnet_tf.tflite.flatbuffer import WEIGHTED, op_name, pack, short_name, unpack, with_outputs
from ghostnet_tf.tflite.mixed import nodes_of
from ghostnet_tf.tflite.normalization import with_borders
from ghostnet_tf.tflite.ranges import METHODS, Activation


@dataclass(frozen=True)
class Calibration:
    """What calibration images show of a float file.

    Attributes:
        activations: Of the input and of every operation's output, by the tensor's index.
        source: Index of the input.
        takes_bytes: Whether the images were uint8.
    """

    activations: dict[int, Activation]
    source: int
    takes_bytes: bool


def calibrated(content: bytes, images: Iterable[np.ndarray], count: bool = True) -> Calibration:
    """Runs a float file on `images`, with every activation an output of the graph, by XNNPACK.

    TensorFlow's own calibrator reads an operation's inputs after it ran, when an operation in place has overwritten
    them: its ranges come out too wide (the product in the normalization: -2.1 to 4.5 instead of 0 to 4.5), and it
    takes six times as long.

    Args:
        content: A float32 `.tflite` file with one input.
        images: Inputs `(height, width, channels)` in the values that the model takes.
        count: Whether to count values, which all methods but minmax need and which takes longer.

    Raises:
        ValueError: If there are no images, one has another shape, or an activation is not finite.
    """
    model = unpack(content)
    graph = model.subgraphs[0]
    (source,) = graph.inputs
    made = {int(output) for operator in graph.operators for output in operator.outputs}
    indices = sorted(index for index in made if graph.tensors[index].type == schema.TensorType.FLOAT32)
    with quiet():
        runner = TFLiteModel(with_outputs(model, indices), num_threads=os.cpu_count() or 1)
    shape = tuple(int(side) for side in runner.input["shape"][1:])

    activations = {int(index): Activation() for index in (source, *indices)}
    takes_bytes = False
    for image in images:
        image = np.asarray(image)
        if image.shape != shape:
            raise ValueError(f"Expected calibration images of shape {shape}. Received: shape={image.shape}")
        takes_bytes |= image.dtype == np.uint8
        runner.interpreter.set_tensor(source, image[None].astype(np.float32))
        runner.interpreter.invoke()
        for index, activation in activations.items():
            # A view of the interpreter's memory, which it does not reallocate while one exists.
            activation.add(runner.interpreter.tensor(index)(), count)
    for index, activation in activations.items():
        if not activation.images:
            raise ValueError("Expected at least one calibration image. Received: none")
        if not np.isfinite([activation.low, activation.high]).all():
            name = graph.tensors[index].name.decode()
            raise ValueError(f"Expected finite activations. Received: {activation.low} to {activation.high} in {name}")
    return Calibration(activations, int(source), takes_bytes)


def with_ranges(content: bytes, images: Iterable[np.ndarray] | Calibration, method: str = "minmax") -> bytes:
    """A float file that carries the range of each activation.

    Args:
        content: A float32 `.tflite` file with one input.
        images: See `calibrated`, or what it gave for `content`. Where they are uint8, the input gets the whole range 0
            to 255: scale 1, so that bytes go in as they are.
        method: A key of `ranges.METHODS`.
    """
    calibration = images if isinstance(images, Calibration) else calibrated(content, images, method != "minmax")
    model = unpack(content)
    images = with_borders(model, calibration.source)
    for index, activation in calibration.activations.items():
        low, high = METHODS[method](calibration.activations[images[-1]] if index in images else activation)
        if index in images and calibration.takes_bytes:
            low, high = 0, 255
        elif low == high == 0:
            high = 1  # never active: any scale serves, but none (0) is refused by XNNPACK
        set_range(model.subgraphs[0].tensors[index], low, high)
    return pack(model)


def set_range(tensor: schema.TensorT, low: float, high: float) -> None:
    """The range that `quantized` gives a float tensor."""
    tensor.quantization = schema.QuantizationParametersT()
    tensor.quantization.min, tensor.quantization.max = np.array([low], np.float32), np.array([high], np.float32)


def quantized(content: bytes, input_type: str, output_type: str, float_layers: Iterable[str] = ()) -> bytes:
    """The int8 file of a float file with ranges: weights by channel, activations by tensor.

    Args:
        content: What `with_ranges` gives.
        input_type, output_type: `"uint8"`, `"int8"` or `"float32"`.
        float_layers: Layers that stay in float, between casts.

    Raises:
        ValueError: If there is no such layer.
    """
    import tensorflow as tf
    from tensorflow.lite.python.convert import mlir_quantize

    model = unpack(content)
    for tensor in model.subgraphs[0].tensors:
        tensor.name = short_name(tensor.name.decode()).encode()  # long ones are 2 % of an int8 GhostNet
    with quiet():
        result = mlir_quantize(
            pack(model),
            input_data_type=tf.dtypes.as_dtype(input_type),
            output_data_type=tf.dtypes.as_dtype(output_type),
            denylisted_nodes=nodes_of(model, float_layers),
        )
    return compact(result)


def compact(content: bytes) -> bytes:
    """The same file with fewer bytes beside its constants, which are 5 % of an int8 Ghost-ResNet-56.

    An operation's constants have the name of what they are to it, since its output has the layer's; activations share
    the empty buffer, which has number 0 in every file.
    """
    model = unpack(content)
    graph = model.subgraphs[0]
    constants = [tensor for tensor in graph.tensors if model.buffers[tensor.buffer].data is not None]
    for tensor in constants:
        tensor.name = b"constant"
    for operator in graph.operators:
        if op_name(model, operator) in WEIGHTED:
            for index, name in zip(operator.inputs[1:3], (b"weights", b"bias"), strict=False):
                if index >= 0 and graph.tensors[index].name == b"constant":  # neither left out nor computed
                    graph.tensors[index].name = name
    used = {0, *(tensor.buffer for tensor in constants), *(entry.buffer for entry in model.metadata or [])}
    numbers = {old: new for new, old in enumerate(sorted(used))}
    for tensor in graph.tensors:
        tensor.buffer = numbers.get(tensor.buffer, 0)
    for entry in model.metadata or []:
        entry.buffer = numbers[entry.buffer]
    model.buffers = [model.buffers[old] for old in numbers]
    return pack(model)
