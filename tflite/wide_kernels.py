"""An exact rewrite of fp32 files: pointwise convolutions that XNNPACK would give a kernel of two channels on ARM.

XNNPACK makes of a 1x1 convolution a fully connected operator, and for output channels that do not fill its kernel of
eight takes one of two instead, which needs about twice the instructions. What stays a convolution keeps the kernel of
eight. A stride down a map of one row leaves nothing out but keeps it one: so the map becomes one row, and rows again
behind it. Measured for ai-edge-litert 2.3, see docs/benchmarks.md.
"""

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from ghostnet_tf.tflite.flatbuffer import add_like, op_name, pack, unpack
from ghostnet_tf.tflite.operations import reshape

KERNEL, NARROW = 8, 2  # output channels of XNNPACK's two kernels of fp32 matrix products on ARM
WASTED = 0.01  # share of the channels that may be computed for nothing before it takes the narrow one


def with_wide_kernels(content: bytes) -> bytes:
    """The fp32 file with such convolutions as convolutions of one row with a stride of 2 down."""
    model = unpack(content)
    graph = model.subgraphs[0]
    written = []
    for operator in graph.operators:
        if not _is_narrow(model, operator):
            written.append(operator)
            continue
        image, output = int(operator.inputs[0]), int(operator.outputs[0])
        shapes = [tuple(map(int, graph.tensors[index].shape)) for index in (image, output)]
        rows = [(1, 1, height * width, channels) for _, height, width, channels in shapes]
        row, result = (add_like(model, index, shape, "row") for index, shape in zip((image, output), rows, strict=True))
        operator.inputs = np.array([row, *operator.inputs[1:]], np.int32)
        operator.outputs = np.array([result], np.int32)
        operator.builtinOptions.strideH, operator.builtinOptions.padding = 2, schema.Padding.VALID
        written += [reshape(model, image, row), operator, reshape(model, result, output)]
    graph.operators = written
    return pack(model)


def takes_narrow_kernel(channels: int) -> bool:
    """Whether XNNPACK takes the narrow kernel for so many output channels, as its `xnn_use_nr2` has it."""
    idle = -channels % KERNEL
    return channels < KERNEL or (-channels % NARROW < idle and idle > WASTED * channels)


def _is_narrow(model: schema.ModelT, operator: schema.OperatorT) -> bool:
    """Whether it is a 1x1 convolution of a float map that gets the narrow kernel, and only because it is 1x1."""
    if op_name(model, operator) != "CONV_2D":
        return False
    tensors, options = model.subgraphs[0].tensors, operator.builtinOptions
    outputs, *window, inputs = tensors[operator.inputs[1]].shape
    shape = tensors[operator.inputs[0]].shape
    return (
        tensors[operator.inputs[1]].type == schema.TensorType.FLOAT32
        and list(window) == [1, 1]
        and inputs == shape[3]  # no groups
        and options.strideH == options.strideW == 1
        and shape[1] * shape[2] > 1  # one pixel fills no kernel of several rows
        and outputs > KERNEL  # below, a convolution gets the narrow one as well
        and takes_narrow_kernel(int(outputs))
    )
