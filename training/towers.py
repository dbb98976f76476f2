"""A batch in parts that the processor's cores compute side by side, and images smaller than the network's."""

from collections.abc import Callable

import keras
from keras import ops


class Towers(keras.Model):
    """A Functional model of logits that takes a batch in equal parts, one after the other in the batch.

    A core a part keeps the cores busier than all of them at one small operation after the other: on two cores GhostNet
    trains faster (results/training_throughput.csv), if TensorFlow has a thread for each part, see
    `quiet.start_tensorflow`. In training, batch normalization sees a part of the batch, as with replicas; its moving
    statistics follow one part after the other. A batch to train on must be a multiple of the parts.

    Images may have any size that the layers can take.

    Args:
        inputs, outputs: Of the model of logits; its layers are shared.
        towers: How many parts.
        name: Of the model.
    """

    def __init__(self, inputs, outputs, *, towers: int = 1, name: str):
        super().__init__(inputs=inputs, outputs=outputs, name=name)
        self.input_spec = keras.layers.InputSpec(ndim=4)
        self.towers = towers

    def call(self, inputs, training=None, mask=None):
        return in_parts(lambda part: super(Towers, self).call(part, training, mask), inputs, self.towers)


def in_parts(function: Callable, inputs, parts: int):
    """The outputs `(batch, ...)` of a function for inputs `(batch, ...)`, called for each of equal parts of a batch."""
    if parts == 1:
        return function(inputs)
    images = inputs.shape[0]
    if images is None or images % parts:  # the last batch of an evaluation: filled up with its last image
        images = ops.shape(inputs)[0]
        filled = -(-images // parts) * parts
        inputs = ops.take(inputs, ops.minimum(ops.arange(filled), images - 1), axis=0)
    return ops.concatenate([function(part) for part in ops.split(inputs, parts)])[:images]
