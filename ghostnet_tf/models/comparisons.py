"""Networks of others to compare with, from keras.applications, with the arguments of our builders.

They are as Keras builds them, untrained, with two changes: they take RGB values from 0 to 255 and normalize them
inside, and batch normalization has our momentum, since Keras's 0.99 and 0.999 want thousands of steps before the
moving statistics are those of the data. At every size they keep their strides: a 32-pixel image ends on one pixel.
"""

import keras

from ghostnet_tf.layers.convolution import BATCH_NORM
from ghostnet_tf.models import _build


def MobileNetV2(width: float = 1.0, *, dropout_rate: float = 0.0, **arguments) -> keras.Model:
    """Builds MobileNetV2 (Sandler et al., CVPR 2018).

    Args:
        width: Multiplies the channels; above 0.
        dropout_rate: Before the classifier, from 0 to below 1.
        **arguments: `input_shape`, `classes`, `classifier_activation`, `weights` (a file) and `name`, see `GhostNet`.
    """

    def classified(image, *top):
        x = keras.layers.Rescaling(1 / 127.5, -1.0, name="normalization")(image)
        maps = keras.applications.MobileNetV2(alpha=width, input_tensor=x, include_top=False, weights=None).output
        return _build.mean_head(maps, *top, dropout_rate)

    return _comparison(classified, _named("mobilenetv2", width), **arguments)


def MobileNetV3Small(width: float = 1.0, *, dropout_rate: float = 0.2, **arguments) -> keras.Model:
    """Builds MobileNetV3-Small (Howard et al., ICCV 2019); arguments as in `MobileNetV2`."""
    classified = _mobilenetv3(keras.applications.MobileNetV3Small, width, dropout_rate)
    return _comparison(classified, _named("mobilenetv3_small", width), **arguments)


def MobileNetV3Large(width: float = 1.0, *, dropout_rate: float = 0.2, **arguments) -> keras.Model:
    """Builds MobileNetV3-Large (Howard et al., ICCV 2019); arguments as in `MobileNetV2`."""
    classified = _mobilenetv3(keras.applications.MobileNetV3Large, width, dropout_rate)
    return _comparison(classified, _named("mobilenetv3_large", width), **arguments)


def EfficientNetB0(*, dropout_rate: float = 0.2, **arguments) -> keras.Model:
    """Builds EfficientNet-B0 (Tan and Le, ICML 2019); arguments as in `MobileNetV2`, without `width`."""

    def classified(image, *top):
        maps = keras.applications.EfficientNetB0(input_tensor=image, include_top=False, weights=None).output
        return _build.mean_head(maps, *top, dropout_rate)

    return _comparison(classified, "efficientnet_b0", **arguments)


def _mobilenetv3(application, width: float, dropout_rate: float):
    def classified(image, classes, classifier_activation):
        options = {"classes": classes, "classifier_activation": classifier_activation, "dropout_rate": dropout_rate}
        return application(alpha=width, input_tensor=image, weights=None, **options).output

    return classified


def _named(family: str, width: float) -> str:
    if width <= 0:
        raise ValueError(f"Expected `width` above 0. Received: width={width}")
    return f"{family}_{round(width * 100):03d}"


def _comparison(
    classified,
    default_name: str,
    *,
    input_shape: tuple[int, int, int] = (224, 224, 3),
    classes: int = 1000,
    classifier_activation: str | None = "softmax",
    weights: str | None = None,
    name: str | None = None,
) -> keras.Model:
    image = keras.Input(shape=_build.check_input_shape(input_shape, include_top=True), name="image")
    outputs = classified(image, classes, classifier_activation)
    model = _build.model(image, outputs, name=name or default_name, weights=weights)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = BATCH_NORM["momentum"]
    return model
