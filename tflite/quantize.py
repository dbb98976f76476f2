"""Full-integer quantization: ranges of the activations from images, then TensorFlow's quantizer."""

import os
from collections.abc import Iterable

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from ghostnet_tf.quiet import quiet
from ghostnet_tf.runtime import TFLiteModel
from ghostnet_tf.tflite.flatbuffer import pack, unpack, with_outputs


def with_ranges(content: bytes, images: Iterable[np.ndarray]) -> bytes:
    """A float file that carries the least and greatest value of each activation over `images`.

    The ranges are read with every activation an output of the graph, run by XNNPACK. TensorFlow's own calibrator
    reads an operation's inputs after it ran, when an operation in place has overwritten them: its ranges come out
    too wide (the product in the normalization: -2.1 to 4.5 instead of 0 to 4.5), and it takes six times as long.

    Args:
        content: A float32 `.tflite` file with one input.
        images: Inputs `(height, width, channels)` in the values that the model takes. Where they are uint8, the input
            gets the whole range 0 to 255: scale 1, so that bytes go in as they are.

    Raises:
        ValueError: If there are no images, one has another shape, or an activation is not finite.
    """
    model = unpack(content)
    graph = model.subgraphs[0]
    (source,) = graph.inputs
    made = {int(output) for operator in graph.operators for output in operator.outputs}
    activations = sorted(index for index in made if graph.tensors[index].type == schema.TensorType.FLOAT32)
    with quiet():
        runner = TFLiteModel(with_outputs(model, activations), num_threads=os.cpu_count() or 1)
    shape = tuple(int(side) for side in runner.input["shape"][1:])

    lows, highs = {}, {}
    whole_bytes = False
    for image in images:
        image = np.asarray(image)
        if image.shape != shape:
            raise ValueError(f"Expected calibration images of shape {shape}. Received: shape={image.shape}")
        whole_bytes |= image.dtype == np.uint8
        runner.interpreter.set_tensor(source, image[None].astype(np.float32))
        runner.interpreter.invoke()
        for index in (source, *activations):
            values = runner.interpreter.tensor(index)()
            lows[index] = np.minimum(lows.get(index, np.inf), values.min())
            highs[index] = np.maximum(highs.get(index, -np.inf), values.max())
            del values  # a view of the interpreter's memory, which it does not reallocate while one exists
    if not lows:
        raise ValueError("Expected at least one calibration image. Received: none")
    if whole_bytes:
        lows[source], highs[source] = np.float32(0), np.float32(255)
    for index, low in lows.items():
        tensor = graph.tensors[index]
        if not np.isfinite([low, highs[index]]).all():
            name = tensor.name.decode()
            raise ValueError(f"Expected finite activations. Received: {low} to {highs[index]} in {name}")
        if low == highs[index] == 0:
            highs[index] = np.float32(1)  # never active: any scale serves, but none (0) is refused by XNNPACK
        tensor.quantization = schema.QuantizationParametersT()
        tensor.quantization.min = np.array([low], np.float32)
        tensor.quantization.max = np.array([highs[index]], np.float32)
    return pack(model)


def quantized(content: bytes, input_type: str, output_type: str) -> bytes:
    """The int8 file of a float file with ranges: weights by channel, activations by tensor.

    Args:
        content: What `with_ranges` gives.
        input_type, output_type: `"uint8"`, `"int8"` or `"float32"`.
    """
    import tensorflow as tf
    from tensorflow.lite.python.convert import mlir_quantize

    with quiet():
        return mlir_quantize(
            content, input_data_type=tf.dtypes.as_dtype(input_type), output_data_type=tf.dtypes.as_dtype(output_type)
        )
