"""The feature maps inside a network for one image, and where its blocks, stages and ghost modules are."""

import difflib
from collections.abc import Iterable
from itertools import groupby
from typing import NamedTuple

import keras
import numpy as np

from ghostnet_tf.flattening import flatten
from ghostnet_tf.layers import GhostBottleneck, GhostModule, ResidualBottleneck


class Stage(NamedTuple):
    """Blocks in a row whose outputs have one shape.

    Attributes:
        blocks: Their names, in order.
        shape: `(height, width, channels)`.
    """

    blocks: tuple[str, ...]
    shape: tuple[int, int, int]


class Ghosts(NamedTuple):
    """A ghost module's two kinds of maps.

    Attributes:
        name: Of the module.
        concat: Name of the layer whose output has the intrinsic maps first, then the ghosts.
        sources: For each ghost, the intrinsic map that it is made from.
        intrinsic: How many intrinsic maps there are.
        size: Window of the cheap operation, the largest if there are several.
    """

    name: str
    concat: str
    sources: np.ndarray
    intrinsic: int
    size: int


class Inside:
    """A network opened up: every layer of it by name, those inside blocks and modules too.

    Args:
        model: A Functional or Sequential image model with one input of a known size.
    """

    def __init__(self, model: keras.Model):
        self.model = model
        self._flat = flatten(model)
        self._tensors = {}
        self._users = {}  # what takes a tensor, by the tensor's id
        for depth in sorted(self._flat._nodes_by_depth, reverse=True):  # Keras has no public list of a graph's calls
            for node in self._flat._nodes_by_depth[depth]:
                if not node.is_input:
                    self._tensors[node.operation.name] = node.outputs[0]
                for tensor in node.input_tensors:
                    self._users.setdefault(id(tensor), []).append(node.operation)

    def _tensor(self, name: str) -> keras.KerasTensor:
        """The output of a layer, or of the last layer in a block or module of that name."""
        if name in self._tensors:
            return self._tensors[name]
        inside = [tensor for layer, tensor in self._tensors.items() if layer.startswith(f"{name}_")]
        if not inside:
            near = difflib.get_close_matches(name, [*self._tensors, *(layer.name for layer in self.model.layers)], n=1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise ValueError(f"Expected a layer of {self.model.name}. Received: {name!r}.{hint}")
        return inside[-1]

    def shape(self, name: str) -> tuple[int, ...]:
        """Of a layer's output, without the batch.

        Raises:
            ValueError: If there is no such layer.
        """
        return tuple(self._tensor(name).shape[1:])

    def maps(self, image: np.ndarray, names: Iterable[str]) -> dict[str, np.ndarray]:
        """Outputs of layers, blocks and modules for one image, by name.

        Args:
            image: `(height, width, channels)`, what the model takes.
            names: Of layers whose outputs are maps.

        Returns:
            Arrays `(height, width, channels)`, float64.

        Raises:
            ValueError: If there is no such layer, or its output is no maps.
        """
        names = list(dict.fromkeys(names))
        for name in names:
            if len(self.shape(name)) != 3:
                raise ValueError(f"Expected a layer with feature maps. Received: {name!r} of shape {self.shape(name)}")
        opened = keras.Model(self._flat.input, {name: self._tensor(name) for name in names})
        outputs = opened(np.asarray(image, "float32")[None], training=False)
        return {name: np.asarray(keras.ops.convert_to_numpy(outputs[name])[0], np.float64) for name in names}

    def blocks(self) -> list[str]:
        """The residual blocks in order: bottlenecks of this package, or where there are none, additions of maps.

        An addition whose sum goes into an activation only is called by the activation, which the next block sees.
        """
        inner = self.model._flatten_layers(include_self=False)
        names = [layer.name for layer in inner if isinstance(layer, (GhostBottleneck, ResidualBottleneck))]
        if not names:
            names = [self._end(layer).name for layer in self._flat.layers if isinstance(layer, keras.layers.Add)]
        names = [name for name in names if len(self.shape(name)) == 3]
        order = {id(tensor): index for index, tensor in enumerate(self._tensors.values())}
        return sorted(names, key=lambda name: order[id(self._tensor(name))])

    def _end(self, addition: keras.layers.Add) -> keras.Operation:
        """The activation of a sum, or the addition itself."""
        users = self._users.get(id(self._tensors[addition.name]), [])
        activated = len(users) == 1 and isinstance(users[0], (keras.layers.ReLU, keras.layers.Activation))
        return users[0] if activated else addition

    def stages(self) -> list[Stage]:
        """Runs of blocks of one output shape, in order."""
        return [Stage(tuple(names), shape) for shape, names in groupby(self.blocks(), self.shape)]

    def ghosts(self) -> list[Ghosts]:
        """The ghost modules that have ghosts, in order."""
        found = [
            Ghosts(
                layer.name,
                layer.concat.name,
                np.arange(layer.ghosts) // (layer.ratio - 1),
                layer.filters - layer.ghosts,
                layer.dw_size if isinstance(layer.dw_size, int) else max(layer.dw_size),
            )
            for layer in self.model._flatten_layers(include_self=False)
            if isinstance(layer, GhostModule) and layer.ghosts
        ]
        order = list(self._tensors)
        return sorted(found, key=lambda row: order.index(row.concat))

    def first_group(self) -> str:
        """Where the paper's figure 1 looks: the end of the first stage, or without blocks the first convolution."""
        stages = self.stages()
        if stages:
            return stages[0].blocks[-1]
        layers = self.model._flatten_layers(include_self=False)
        names = [layer.name for layer in layers if isinstance(layer, (GhostModule, keras.layers.Conv2D))]
        if not names:
            raise ValueError(f"Expected a convolutional network. Received: {self.model.name}")
        return names[0]
