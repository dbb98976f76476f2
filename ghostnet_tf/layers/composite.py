"""The base of layers that are made of standard Keras layers."""

import contextlib

import keras

_inlining = False


@contextlib.contextmanager
def inlining():
    """While active, a `Composite` called on a symbolic tensor records its sublayers instead of itself."""
    global _inlining
    before, _inlining = _inlining, True
    try:
        yield
    finally:
        _inlining = before


class Composite(keras.layers.Layer):
    """A layer whose `call` is written with sublayers only, so that it can be inlined into a flat graph.

    A subclass creates its sublayers in `__init__` or at the start of `build`, writes `call(inputs)` with them, and
    gives `compute_output_shape` as a formula. Building runs `call` once on a symbolic tensor, which builds every
    sublayer. Sublayers are named `<this layer's name>_<role>`, which is unique in a model.
    """

    def __call__(self, *args, **kwargs):
        if _inlining:
            return self.call(*args, **kwargs)
        return super().__call__(*args, **kwargs)

    def build(self, input_shape):
        self.call(keras.KerasTensor(input_shape, dtype=self.compute_dtype))

    def sublayer_name(self, role: str) -> str:
        """The name of the sublayer that plays `role` in this layer."""
        return f"{self.name}_{role}"


def strided_shape(input_shape, strides: int, filters: int) -> tuple:
    """Output shape of a padded convolution: `(batch, ceil(height / strides), ceil(width / strides), filters)`."""
    batch, *size, _ = input_shape
    return (batch, *(side if side is None else -(-side // strides) for side in size), filters)


def variable_key(variable) -> str:
    """ "layer/variable", e.g. `blocks_3_se_reduce/bias`: unique in a model, and the same in its flattened form."""
    return "/".join(variable.path.split("/")[-2:])
