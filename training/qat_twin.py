"""The tf_keras twin of a Keras 3 model, quantized where its int8 `.tflite` file is.

A tensor of the file gets its range from the twin, so the twin quantizes just what becomes a tensor there: what follows
a convolution together with its normalization and activation, a sum, a product, a mean, a concatenation. Padding,
pooling by maximum, slices and reshaping keep their input's values and range.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import keras
import numpy as np
import tensorflow as tf

from ghostnet_tf.commands import BadInput
from ghostnet_tf.training.qat_graph import NORMALIZATIONS, WEIGHTED, Graph, Step
from ghostnet_tf.training.qat_quantizers import SIGMOID, Mode, classes

# Attributes of a layer that the twin's layer gets.
ARGUMENTS = {
    "Conv2D": ("filters", "kernel_size", "strides", "padding", "dilation_rate", "groups", "use_bias"),
    "DepthwiseConv2D": ("kernel_size", "strides", "padding", "depth_multiplier", "dilation_rate", "use_bias"),
    "Dense": ("units", "use_bias"),
    "BatchNormalization": ("axis", "momentum", "epsilon", "center", "scale"),
}


@dataclass
class Twin:
    """A tf_keras model with the weights of a Keras 3 model, and what it is quantized with.

    Attributes:
        model: Inputs and outputs as those of the Keras 3 model.
        pairs: Layers of the Keras 3 model with weights, and the variables that stand for these.
        ranges: Quantizers by the layer that they follow; by `layer/operation` where a layer is several in the file.
        normalizations: The batch normalizations.
        mode: Of the quantizers.
    """

    model: "tf_keras.Model"  # noqa: F821
    pairs: list[tuple[keras.layers.Layer, list[tf.Variable]]] = field(default_factory=list)
    ranges: dict = field(default_factory=dict)
    normalizations: list = field(default_factory=list)
    mode: Mode = field(default_factory=Mode)

    def calibrate(self, batches: Iterable[np.ndarray]) -> None:
        """Widens the ranges to all that the activations are on batches `(n, height, width, channels)`.

        They begin empty, with which the model computes zeros. The statistics of normalization stay.
        """
        self.mode.calibrating = True
        for images in batches:
            self.model(images, training=False)  # not traced: it reads the mode
        self.mode.calibrating = False

    def read_ranges(self) -> dict[str, list[float]]:
        """Least and greatest value by key of `ranges`."""
        return {key: quantizer.limits for key, quantizer in self.ranges.items()}

    def set_ranges(self, ranges: dict[str, list[float]]) -> None:
        """What `read_ranges` gave, of this model or one like it."""
        for key, quantizer in self.ranges.items():
            quantizer.limits = ranges[key]

    def return_weights(self) -> None:
        """Copies the weights into the layers of the Keras 3 model."""
        for layer, variables in self.pairs:
            layer.set_weights([variable.numpy() for variable in variables])


def fake_quantized(model: keras.Model, quantized: bool = True) -> Twin:
    """The twin of a model of logits, with a copy of its weights.

    Args:
        model: A Keras 3 model with one input and one output, which is no softmax.
        quantized: Whether weights and activations are fake-quantized; else the twin computes what the model computes.

    Raises:
        BadInput: If a layer is not known; names it.
    """
    graph = Graph(model)
    graph.check()
    return _Builder(graph, quantized).build(model.name)


class _Builder:
    """Makes the layers of a twin, step by step."""

    def __init__(self, graph: Graph, quantized: bool):
        self.graph, self.quantized, self.kit = graph, quantized, classes()
        self.twin = Twin(None)
        self.tensors: dict[int, object] = {}  # by the Keras 3 tensor
        self.joined: dict[int, Step] = {}  # the concatenation that gives a tensor its range
        self.shared: dict[int, object] = {}  # the same tensors in that range

    def build(self, name: str) -> Twin:
        source = self.graph.input
        image = self.kit.tf_keras.layers.Input(source.shape[1:], name=source.name)
        self.tensors[id(source)] = image
        for step in self.graph.steps:
            x = [self._read(tensor, step) for tensor in step.inputs]
            y = self._applied(step, x if len(x) > 1 else x[0])
            self.tensors[id(step.output)] = self._with_range(step, y)
        self.twin.model = self.kit.tf_keras.Model(image, self.tensors[id(self.graph.output)], name=name)
        return self.twin

    def _read(self, tensor, reader: Step):
        """A step's input. What is copied goes to the concatenation as it is, lest its range never grow."""
        whole, joined = self.tensors[id(tensor)], self.joined.get(id(tensor))
        if joined is None or self.graph.copies(reader):
            return whole
        if id(tensor) not in self.shared:
            follower = self.kit.RangeQuantizer(self.twin.mode, leader=self._quantizer(joined.name))
            name = f"{self.graph.maker[id(tensor)].name}_joined"
            self.shared[id(tensor)] = self.kit.quantized_output(follower, name)(whole)
        return self.shared[id(tensor)]

    def _applied(self, step: Step, x):
        if step.is_a((*WEIGHTED, *NORMALIZATIONS)):
            return self._weighted(step, x)
        if step.is_a((keras.layers.Dropout,)):
            return self.kit.tf_keras.layers.Dropout(step.operation.rate, name=step.name)(x)
        if step.is_a((keras.layers.Rescaling,)):
            # A depthwise convolution in the file. Its only weight of a channel is 127 steps there: int8 loses nothing
            # of it, and the bias is in such steps, the input's being 1.
            scale, offset = (np.asarray(value, np.float32) for value in (step.operation.scale, step.operation.offset))
            if self.quantized:
                offset = np.round(offset / (scale / 127)) * (scale / 127)
            return self._function(step.name, lambda x: x * scale + offset, x)
        if step.activates("hard_sigmoid"):
            x = self._function(f"{step.name}_relu6", lambda x: tf.nn.relu6(x + 3.0), x)
            return self._function(step.name, lambda x: x / 6, self._quantized(f"{step.name}/relu6", x))
        return self._function(step.name, step.function(), x)

    def _function(self, name: str, function: Callable, x):
        return self.kit.Applied(function, name)(x)

    def _weighted(self, step: Step, x):
        """A layer with weights: a convolution, a dense layer or a normalization."""
        kind = next(kind for kind in type(step.operation).__mro__ if kind.__name__ in ARGUMENTS).__name__
        arguments = {key: getattr(step.operation, key) for key in ARGUMENTS[kind]}
        layer = getattr(self.kit.tf_keras.layers, kind)(**arguments, name=step.name)
        layer.build(x.shape)
        variables = list(layer.weights)  # the wrapper puts tensors in their place
        for variable, value in zip(variables, step.operation.get_weights(), strict=True):
            variable.assign(value)
        self.twin.pairs.append((step.operation, variables))
        if kind == "BatchNormalization":
            self.twin.normalizations.append(layer)
        elif self.quantized:
            weight = "depthwise_kernel" if kind == "DepthwiseConv2D" else "kernel"
            layer = self.kit.quantized_weights(layer, weight, step.output.shape[-1])
        return layer(x)

    def _with_range(self, step: Step, y):
        """What a step gave, quantized where the file has a tensor with a range of its own."""
        if step.keeps_range() or self.graph.fused(step):
            return y
        if step.activates("sigmoid"):
            return self._quantized(step.name, y, fixed=SIGMOID)
        joined = None if step.is_a((keras.layers.Concatenate,)) else self.graph.concatenation(step.output)
        if joined is None:
            return self._quantized(step.name, y)
        if self.quantized:
            self.joined[id(step.output)] = joined
        return y

    def _quantized(self, key: str, y, **options):
        if not self.quantized:
            return y
        return self.kit.quantized_output(self._quantizer(key, **options), f"{key.replace('/', '_')}_range")(y)

    def _quantizer(self, key: str, **options):
        """The quantizer of a key; of a concatenation it is made before its turn, where its inputs are read."""
        if key not in self.twin.ranges:
            self.twin.ranges[key] = self.kit.RangeQuantizer(self.twin.mode, **options)
        return self.twin.ranges[key]


def loaded(model: keras.Model, ranges: dict[str, list[float]]) -> Twin:
    """The fake-quantized model as a finished run left it, from its weights and ranges."""
    twin = fake_quantized(model)
    if missing := twin.ranges.keys() ^ ranges.keys():
        raise BadInput(f"expected ranges of the model's own tensors. Received: others for {', '.join(sorted(missing))}")
    twin.set_ranges(ranges)
    return twin
