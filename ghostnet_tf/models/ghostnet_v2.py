"""GhostNetV2 (NeurIPS 2022): GhostNet with long-range attention in its expansions."""

import keras

from ghostnet_tf.models import _build, ghostnet

FIRST_WITH_ATTENTION = 2  # index of the bottleneck, as in the released code


def GhostNetV2(
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
    """Builds GhostNetV2, exact in the form of the released PyTorch code and of timm.

    | width | params     | MACs        | top-1 (paper) | weights    |
    |-------|------------|-------------|---------------|------------|
    | 1.0   | 6,156,908  | 167,048,288 | 75.3          | `imagenet` |
    | 1.3   | 8,960,404  | 269,322,976 | 76.9          | `imagenet` |
    | 1.6   | 12,392,698 | 398,607,224 | 77.8          | `imagenet` |

    The rows are GhostNet's; from the third on, a `DFCAttention` gates the first ghost module. Source: Tang et al.,
    "GhostNetV2: Enhance Cheap Operation with Long-Range Attention", NeurIPS 2022, and `ghostnetv2_pytorch`.

    The arguments are those of `GhostNet`. Where the input's size is open, it takes images from 33 pixels a side on.
    """
    name = name or f"ghostnetv2_{round(width * 100):03d}"
    inputs, x = _build.inputs(input_shape, input_tensor, include_top, include_preprocessing)
    weights = _build.published(weights, "ghostnetv2", width, inputs.shape)
    x = ghostnet.features(x, inputs.shape, width, ghostnet.ROWS, options)
    top = (classes, classifier_activation, dropout_rate)
    x = _build.head(x, ghostnet.HEAD, *top) if include_top else _build.pool(x, pooling)
    return _build.model(inputs, x, name=name, weights=weights)


def options(index: int) -> dict[str, bool]:
    """What the bottleneck at `index` has beside GhostNet's."""
    return {"attention": index >= FIRST_WITH_ATTENTION}
