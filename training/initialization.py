"""How residual blocks begin."""

import keras

from ghostnet_tf.commands import BadInput
from ghostnet_tf.layers import GhostBottleneck, ResidualBottleneck


def zero_init_residual(model: keras.Model) -> None:
    """Sets the scales before each addition to 0, so that every residual block begins as its shortcut.

    Goyal et al., "Accurate, Large Minibatch SGD" (2017), section 5.1; an option of the same name in torchvision.

    Raises:
        BadInput: If the model has no residual block of this package.
    """
    blocks = [layer for layer in model._flatten_layers() if isinstance(layer, (GhostBottleneck, ResidualBottleneck))]
    if not blocks:
        raise BadInput(f"expected a network of residual blocks for --zero-init-residual. Received: {model.name}")
    for block in blocks:
        for variable in block.residual.trainable_variables:
            if variable.name == "gamma":
                variable.assign(keras.ops.zeros_like(variable))
