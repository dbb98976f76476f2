"""One graph of standard layers from a model with layers of ours."""

import keras

from ghostnet_tf.layers.composite import Composite, inlining


def flatten(
    model: keras.Model, batch_size: int | None = None, input_shape: tuple[int | None, ...] | None = None
) -> keras.Model:
    """Inlines every `Composite` layer and nested model of a Functional model, down to standard Keras layers.

    The result shares its layers and weights with `model`: training one trains the other.

    Args:
        model: A Functional or Sequential model.
        batch_size: Fixes the batch dimension; `None` leaves it open.
        input_shape: Replaces the shape of the model's one input, without the batch; `None` keeps it.
    """

    def call(layer, *args, **kwargs):
        if isinstance(layer, keras.Model):
            return layer.call(*args, **kwargs)
        if isinstance(layer, Composite):
            kwargs.pop("training", None)
        return layer(*args, **kwargs)

    if input_shape is not None and len(model.inputs) != 1:
        raise ValueError(f"Expected `input_shape` for a model of one input. Received: {len(model.inputs)} inputs")
    if isinstance(model, keras.Sequential):  # `clone_model` takes no `call_function` for it
        model = keras.Model(model.inputs[0], model.outputs[0], name=model.name)
    tensors = keras.tree.map_structure(
        lambda x: keras.Input(batch_shape=(batch_size, *(input_shape or x.shape[1:])), dtype=x.dtype, name=x.name),
        model.input,
    )
    with inlining():
        return keras.models.clone_model(
            model, input_tensors=tensors, clone_function=lambda layer: layer, call_function=call
        )
