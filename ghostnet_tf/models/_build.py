"""What every builder shares: arguments, input, normalization, downsampling of small images, head, weights."""

from collections.abc import Iterator

import keras

from ghostnet_tf.layers.batch_norm import BatchNormalization
from ghostnet_tf.layers.convolution import BATCH_NORM
from ghostnet_tf.layers.pointwise import Conv2D

MEAN = (0.485, 0.456, 0.406)  # ImageNet, RGB, of values in [0, 1]
STD = (0.229, 0.224, 0.225)
MIN_SIZE = 32  # pixels a side
SMALL_SIZE = 96  # pixels a side below which the resolution is halved less often


def inputs(input_shape, input_tensor, include_top: bool, include_preprocessing: bool):
    """Checks the input arguments and returns `(input tensor, normalized tensor)`."""
    if input_tensor is None:
        image = keras.Input(shape=check_input_shape(input_shape, include_top), name="image")
    elif keras.backend.is_keras_tensor(input_tensor):
        check_input_shape(input_tensor.shape[1:], include_top)
        image = input_tensor
    else:
        raise ValueError(f"Expected `input_tensor` to be a Keras tensor. Received: input_tensor={input_tensor!r}")
    return image, normalization(image.shape[-1])(image) if include_preprocessing else image


def normalization(channels: int) -> keras.layers.Layer:
    """The layer that normalizes values from 0 to 255: by ImageNet's statistics for RGB, else to [-1, 1]."""
    if channels == 3:
        scale, offset = [1 / (255 * s) for s in STD], [-m / s for m, s in zip(MEAN, STD, strict=True)]
    else:
        scale, offset = 1 / 127.5, -1.0
    return keras.layers.Rescaling(scale, offset, name="normalization")


def check_input_shape(input_shape, include_top: bool) -> tuple:
    """Returns `input_shape` as a tuple, or raises ValueError saying what is wrong with it."""
    received = f"Received: input_shape={input_shape!r}"
    if not isinstance(input_shape, (tuple, list)) or len(input_shape) != 3:
        raise ValueError(f"Expected `input_shape` as (height, width, channels). {received}")
    *size, channels = input_shape
    if include_top and None in size:
        raise ValueError(f"Expected fixed height and width with `include_top=True`. {received}")
    if any(side is not None and side < MIN_SIZE for side in size):
        raise ValueError(f"Expected height and width of at least {MIN_SIZE} pixels. {received}")
    if channels not in ((3,) if include_top else (1, 3, 4)):
        allowed = "3 channels with `include_top=True`" if include_top else "1, 3 or 4 channels"
        raise ValueError(f"Expected {allowed}. {received}")
    return tuple(input_shape)


def downsampling_strides(shape) -> Iterator[int]:
    """The stride of each of the five places where the network halves the resolution, the stem first.

    From 96 pixels a side on, or where the size is unknown, all are 2: the published network, 1/32 at its end. Smaller
    images would end on maps too small to see anything, so below 96 pixels the stem keeps the resolution, and below
    48 pixels the last halving does as well: a 32-pixel image ends on maps of 4x4.
    """
    side = min((side for side in shape[1:3] if side is not None), default=SMALL_SIZE)
    return iter((1 if side < SMALL_SIZE else 2, 2, 2, 2, 1 if side < SMALL_SIZE // 2 else 2))


def head(x, filters: int, classes: int, classifier_activation: str | None, dropout_rate: float, normalized=False):
    """Mean over the image, 1x1 convolution to `filters`, ReLU, dropout, classifier.

    The convolution has a bias or, if `normalized`, batch normalization.
    """
    layers = keras.layers
    x = layers.GlobalAveragePooling2D(keepdims=True, name="head_pool")(x)
    x = Conv2D(filters, 1, use_bias=not normalized, kernel_initializer="he_normal", name="head_conv")(x)
    if normalized:
        x = BatchNormalization(name="head_bn", **BATCH_NORM)(x)
    x = layers.ReLU(name="head_act")(x)
    x = layers.Flatten(name="head_flatten")(x)
    return classifier(x, classes, classifier_activation, dropout_rate)


def mean_head(x, classes: int, classifier_activation: str | None, dropout_rate: float):
    """Mean over the image, dropout, classifier."""
    x = keras.layers.GlobalAveragePooling2D(name="head_pool")(x)
    return classifier(x, classes, classifier_activation, dropout_rate)


def classifier(x, classes: int, classifier_activation: str | None, dropout_rate: float):
    """Dropout, then a dense layer to `classes` and its activation, on `(batch, channels)`."""
    if classes < 1:
        raise ValueError(f"Expected `classes` of at least 1. Received: classes={classes}")
    if not 0 <= dropout_rate < 1:
        raise ValueError(f"Expected `dropout_rate` from 0 to below 1. Received: dropout_rate={dropout_rate}")
    if classifier_activation not in ("softmax", None):
        raise ValueError(
            'Expected `classifier_activation` to be "softmax" or None (logits). '
            f"Received: classifier_activation={classifier_activation!r}"
        )
    x = keras.layers.Dropout(dropout_rate, name="head_dropout")(x)
    x = keras.layers.Dense(classes, name="classifier")(x)
    if classifier_activation is None:
        return x
    # Probabilities stay in float32 under mixed precision.
    return keras.layers.Activation(classifier_activation, dtype="float32", name="predictions")(x)


def pool(x, pooling: str | None):
    """The end of a network without its top."""
    layers = {"avg": keras.layers.GlobalAveragePooling2D, "max": keras.layers.GlobalMaxPooling2D}
    if pooling is None:
        return x
    if pooling not in layers:
        raise ValueError(f'Expected `pooling` to be None, "avg" or "max". Received: pooling={pooling!r}')
    return layers[pooling](name=f"{pooling}_pool")(x)


def published(weights, family: str, width: float, shape: tuple, **changed: bool):
    """`weights`, where "imagenet" becomes the tag that it means for this network.

    Args:
        shape: Of the input, with the batch.
        changed: Says of each argument whether it makes another network than the published one.
    """
    if weights != "imagenet":
        return weights
    from ghostnet_tf.weights import imagenet_tag

    # Below it a bottleneck loses its stride and with it a convolution, see `downsampling_strides`.
    changed[f"input size (below {SMALL_SIZE // 2} pixels)"] = 1 in list(downsampling_strides(shape))[1:]
    _check_unchanged("published", weights, shape, changed)
    return imagenet_tag(family, width)


def from_package(weights, family: str, shape: tuple, **changed: bool):
    """`weights`, where the tag of weights in the package becomes their file; arguments as in `published`."""
    if weights is None:
        return None
    from ghostnet_tf.weights import carried

    row = carried(family, weights)
    if row is None:
        return weights
    _check_unchanged("trained", weights, shape, changed)
    return row.path


def _check_unchanged(kind: str, weights: str, shape: tuple, changed: dict[str, bool]) -> None:
    """Refuses a network that differs from the one with these weights."""
    changed["input channels"] = shape[-1] != 3
    others = ", ".join(name for name, differs in changed.items() if differs)
    if others:
        raise ValueError(f'Expected the {kind} network with weights="{weights}". Received: other {others}')


def model(inputs, outputs, name: str, weights: str | None, **loading) -> keras.Model:
    """The finished model, with its weights; `loading` has further arguments of `load_weights`."""
    sources = keras.utils.get_source_inputs(inputs)  # what a given `input_tensor` was computed from
    built = keras.Model(sources[0] if len(sources) == 1 else sources, outputs, name=name)
    if weights is not None:
        from ghostnet_tf.weights import load_weights

        load_weights(built, weights, **loading)
    return built
