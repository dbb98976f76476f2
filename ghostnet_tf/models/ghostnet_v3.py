"""GhostNetV3 (2024): GhostNetV2 that trains with parallel branches and runs without them."""

import keras

from ghostnet_tf.layers import BranchedConvBN
from ghostnet_tf.layers.composite import variable_key
from ghostnet_tf.models import _build, ghostnet, ghostnet_v2

BRANCHES = 3


def GhostNetV3(
    width: float = 1.0,
    *,
    input_shape: tuple[int | None, int | None, int] = (224, 224, 3),
    include_top: bool = True,
    include_preprocessing: bool = True,
    weights: str | None = None,
    input_tensor=None,
    pooling: str | None = None,
    classes: int = 1000,
    classifier_activation: str | None = "softmax",
    dropout_rate: float = 0.2,
    name: str | None = None,
) -> keras.Model:
    """Builds GhostNetV3 in its training form; `reparameterize` makes the form to run, with the same outputs.

    | width | params, training | params, to run | MACs, to run | top-1 (published) | weights    |
    |-------|------------------|----------------|--------------|-------------------|------------|
    | 0.5   | 3,395,384        | 2,853,176      | 49,640,656   |                   |            |
    | 1.0   | 8,129,028        | 6,147,588      | 167,048,288  | 77.1              | `imagenet` |
    | 1.3   | 12,217,720       | 8,948,296      | 269,322,976  | 79.1              |            |
    | 1.6   | 17,275,700       | 12,377,778     | 398,607,224  |                   |            |

    The network is GhostNetV2; each convolution of the ghost modules and each strided depthwise one is a
    `BranchedConvBN`. Source: Liu et al., "GhostNetV3: Exploring the Training Strategies for Compact Models", 2024,
    and `ghostnetv3_pytorch`; exact in the form of timm.

    The arguments are those of `GhostNet`. Where the input's size is open, it takes images from 33 pixels a side on.
    """
    name = name or f"ghostnetv3_{round(width * 100):03d}"
    inputs, x = _build.inputs(input_shape, input_tensor, include_top, include_preprocessing)
    weights = _build.published(weights, "ghostnetv3", width, inputs.shape)
    x = ghostnet.features(
        x, inputs.shape, width, ghostnet.ROWS, lambda index: ghostnet_v2.options(index) | {"branches": BRANCHES}
    )
    top = (classes, classifier_activation, dropout_rate)
    x = _build.head(x, ghostnet.HEAD, *top) if include_top else _build.pool(x, pooling)
    return _build.model(inputs, x, name=name, weights=weights)


def branched_layers(model: keras.Model) -> list[BranchedConvBN]:
    """The layers that `reparameterize` folds; none in a model of the form to run."""
    return [layer for layer in model._flatten_layers() if isinstance(layer, BranchedConvBN) and layer.branches]


def without_branches(model: keras.Model) -> keras.Model:
    """The form of `model` to run, with weights of its own that are not set: what to count it by."""

    def folded(layer):
        config = layer.get_config()
        return type(layer).from_config(config | {"branches": 0} if config.get("branches") else config)

    return keras.models.clone_model(model, clone_function=folded)


def reparameterize(model: keras.Model) -> keras.Model:
    """The form of a trained GhostNetV3 to run: every `BranchedConvBN` folded into one convolution.

    Args:
        model: A Functional model with `BranchedConvBN` layers, inside `GhostBottleneck`s as a rule. It stays as it is.

    Returns:
        A new model with its own weights and, but for rounding, the same outputs in inference.

    Raises:
        ValueError: If `model` has no branches to fold.
    """
    branched = branched_layers(model)
    if not branched:
        raise ValueError(
            f"Expected a model with `BranchedConvBN` layers in their training form. Received: {model.name}"
        )

    folded = without_branches(model)
    values = {variable_key(weight): weight.numpy() for weight in model.weights}
    for layer in branched:
        conv = f"{layer.name}_folded_conv"
        values[f"{conv}/kernel"], values[f"{conv}/bias"] = layer.fold()
    for weight in folded.weights:
        weight.assign(values[variable_key(weight)])
    return folded
