"""Muon for convolutional networks."""

import re

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="ghostnet_tf")
class Muon(keras.optimizers.Muon):
    """`keras.optimizers.Muon` that also takes the kernels of convolutions.

    Keras's own orthogonalizes the updates of matrices and leaves all else to Adam, in a convolutional network nearly
    everything. Here a convolution's kernel `(height, width, in, filters)` is the matrix `(height * width * in,
    filters)` that it multiplies patches by, as in the original implementation (Jordan et al., "Muon: An optimizer for
    hidden layers in neural networks", 2024). Depthwise kernels are no matrices and stay with Adam, as do normalization
    and biases. Same arguments; name in `exclude_layers` what else Adam is to have, the classifier at least.
    """

    def _should_use_adamw(self, variable) -> bool:
        if len(variable.shape) == 4 and min(variable.shape[-2:]) > 1:
            return any(re.search(keyword, variable.path) for keyword in self.exclude_layers)
        return super()._should_use_adamw(variable)

    def zeropower_via_newtonschulz5(self, x, steps: int):
        """The nearest orthogonal matrix of an update of any shape, in that shape."""
        return _of_matrix(lambda matrix: super(Muon, self).zeropower_via_newtonschulz5(matrix, steps), x)

    def lr_adjust(self, x):
        """An orthogonal update of any shape, scaled to the size of Adam's."""
        return _of_matrix(super().lr_adjust, x)


def _of_matrix(function, kernel):
    return ops.reshape(function(ops.reshape(kernel, (-1, kernel.shape[-1]))), kernel.shape)
