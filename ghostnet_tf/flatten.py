"""One graph of standard layers from a model with layers of ours."""

import keras

from ghostnet_tf.layers.composite import Composite, inlining


def flatten(model: keras.Model, batch_size: int | None = None) -> keras.Model:
    """Inlines every `Composite` layer of a Functional model, down to standard Keras layers.

    The result shares its layers and weights with `model`: training one trains the other.

    Args:
        model: A Functional model.
        batch_size: Fixes the batch dimension; `None` leaves it open.
    """

    def call(layer, *args, **kwargs):
        if isinstance(layer, Composite):
            kwargs.pop("training", None)
        return layer(*args, **kwargs)

    tensors = keras.tree.map_structure(
        lambda x: keras.Input(batch_shape=(batch_size, *x.shape[1:]), dtype=x.dtype, name=x.name), model.input
    )
    with inlining():
        return keras.models.clone_model(
            model, input_tensors=tensors, clone_function=lambda layer: layer, call_function=call
        )
