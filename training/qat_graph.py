"""What the layers of a model become in its int8 `.tflite` file: which are one operation, which share a range."""

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import keras

from ghostnet_tf import flatten, layers
from ghostnet_tf.commands import BadInput

CONVOLUTIONS = (keras.layers.Conv2D, layers.Conv2D)
WEIGHTED = (*CONVOLUTIONS, keras.layers.DepthwiseConv2D, keras.layers.Dense)
NORMALIZATIONS = (keras.layers.BatchNormalization, layers.BatchNormalization)
# Layers and operations without weights, by whether a tensor of the file has a range of its own after them.
OWN_RANGE = (
    keras.layers.Add,
    keras.layers.Multiply,
    keras.layers.Concatenate,
    keras.layers.GlobalAveragePooling2D,
    keras.layers.ReLU,
    layers.AveragePooling2D,  # a convolution in the file
)
SAME_RANGE = (
    keras.layers.Dropout,
    keras.layers.Flatten,
    keras.layers.MaxPooling2D,
    keras.layers.Reshape,
    keras.layers.ZeroPadding2D,
    layers.HalfToFull,
)
SAME_RANGE_OPERATIONS = ("GetItem", "Pad")


@dataclass(frozen=True, eq=False)
class Step:
    """A call of a layer or operation in a flat model."""

    operation: keras.Operation
    args: tuple
    kwargs: dict
    output: keras.KerasTensor

    @cached_property
    def inputs(self) -> list[keras.KerasTensor]:
        return [x for x in keras.tree.flatten((self.args, self.kwargs)) if isinstance(x, keras.KerasTensor)]

    @property
    def name(self) -> str:
        return self.operation.name

    def function(self) -> Callable:
        """The call as a function of its tensors: one, or a list of several."""

        def called(inputs):
            tensors = iter(inputs if isinstance(inputs, (list, tuple)) else [inputs])
            args, kwargs = keras.tree.map_structure(
                lambda x: next(tensors) if isinstance(x, keras.KerasTensor) else x, (self.args, self.kwargs)
            )
            return self.operation.call(*args, **kwargs)

        return called

    def is_a(self, kinds: tuple) -> bool:
        """Whether it is of one of these very classes: a subclass may compute something else."""
        return type(self.operation) in kinds

    def activates(self, *names: str) -> bool:
        """Whether it is one of these activations and nothing else."""
        if "relu" in names and self.is_a((keras.layers.ReLU,)):
            return (self.operation.max_value, self.operation.negative_slope, self.operation.threshold) == (None, 0, 0)
        activation = getattr(self.operation, "activation", None)
        return self.is_a((keras.layers.Activation,)) and activation in [keras.activations.get(name) for name in names]

    def keeps_range(self) -> bool:
        return self.is_a(SAME_RANGE) or type(self.operation).__name__ in SAME_RANGE_OPERATIONS


class Graph:
    """The steps of a model in order, and what they mean for an int8 file."""

    def __init__(self, model: keras.Model):
        flat = flatten(model)
        self.steps: list[Step] = []

        def record(operation, *args, **kwargs):
            kwargs.pop("training", None)
            output = operation(*args, **kwargs)
            self.steps.append(Step(operation, args, kwargs, output))
            return output

        traced = keras.models.clone_model(flat, clone_function=lambda layer: layer, call_function=record)
        (self.input,) = traced.inputs
        (self.output,) = traced.outputs
        self.readers: dict[int, list[Step]] = defaultdict(list)
        self.maker: dict[int, Step] = {}
        for step in self.steps:
            self.maker[id(step.output)] = step
            for tensor in step.inputs:
                self.readers[id(tensor)].append(step)

    def fused(self, step: Step) -> bool:
        """Whether the file computes the step and the one that reads it as one operation."""
        readers = self.readers[id(step.output)]
        if len(readers) != 1:
            return False
        (reader,) = readers
        if step.is_a(WEIGHTED) and reader.is_a(NORMALIZATIONS):
            return True
        if step.is_a((*WEIGHTED, *NORMALIZATIONS)):
            return reader.activates("relu", "hard_sigmoid")
        return step.is_a((keras.layers.Add,)) and reader.activates("relu")

    def concatenation(self, tensor) -> Step | None:
        """The concatenation whose range a tensor has in the file, since it is copied into it."""
        for reader in self.readers[id(tensor)]:
            if reader.is_a((keras.layers.Concatenate,)):
                return reader
            found = self.concatenation(reader.output) if reader.keeps_range() else None
            if found is not None:
                return found
        return None

    def copies(self, reader: Step) -> bool:
        """Whether a step does nothing but bring its input to a concatenation."""
        return reader.is_a((keras.layers.Concatenate,)) or (
            reader.keeps_range() and self.concatenation(reader.output) is not None
        )

    def check(self) -> None:
        """Refuses what the twin does not know.

        Raises:
            BadInput: With the name of the first such layer.
        """
        for step in self.steps:
            why = self._unknown(step)
            if why is not None:
                raise BadInput(
                    f"expected layers that quantization-aware training knows. Received: {step.name}, "
                    f"{type(step.operation).__name__}{why}. Post-training quantization may take it: convert the "
                    "float model with --int8"
                )

    def _unknown(self, step: Step) -> str | None:
        """What of a step is not known, as words that follow its class; `None` if all is."""
        before = self.maker.get(id(step.inputs[0])) if step.inputs else None
        channels_last = getattr(step.operation, "data_format", "channels_last") == "channels_last"
        if step.is_a(WEIGHTED):
            plain = getattr(step.operation, "activation", None) in (None, keras.activations.linear)
            return None if plain and channels_last else " with an activation of its own or channels first"
        if step.is_a(NORMALIZATIONS):
            follows = before is not None and before.is_a(WEIGHTED) and self.fused(before)
            return None if follows else " that follows no convolution"
        if step.is_a((keras.layers.Rescaling,)):
            return None if step.inputs[0] is self.input else " inside the network"
        if step.activates("hard_sigmoid"):
            return None if before is not None and self.fused(before) else " that follows no convolution"
        if step.is_a((keras.layers.ReLU,)):
            return None if step.activates("relu") else " with a bound or a slope"
        known = step.is_a(OWN_RANGE) or step.keeps_range() or step.activates("relu", "sigmoid")
        return None if known else ""
