"""Ghost-ResNet-56 for CIFAR-10 and Ghost-ResNet-50 for ImageNet (GhostNet, CVPR 2020, tables 5 and 6).

`ratio=1` gives the plain ResNets (He et al., CVPR 2016).
"""

import keras

from ghostnet_tf.layers import AveragePooling2D, ConvBN, GhostModule, ResidualBottleneck
from ghostnet_tf.models import _build

RESNET56 = (
    # channels, blocks, stride of the first
    (16, 9, 1),
    (32, 9, 2),
    (64, 9, 2),
)
RESNET50 = (
    # channels, blocks, stride of the first
    (256, 3, 1),
    (512, 4, 2),
    (1024, 6, 2),
    (2048, 3, 2),
)


def GhostResNet56(
    *,
    ratio: int = 2,
    dw_size: int = 3,
    input_shape: tuple[int | None, int | None, int] = (32, 32, 3),
    include_top: bool = True,
    include_preprocessing: bool = True,
    weights: str | None = None,
    input_tensor=None,
    pooling: str | None = None,
    classes: int = 10,
    classifier_activation: str | None = "softmax",
    dropout_rate: float = 0.0,
    name: str | None = None,
) -> keras.Model:
    """Builds Ghost-ResNet-56: every convolution but the first is a ghost module, shortcuts have no parameters.

    | ratio (s)  | dw_size (d) | params  | MACs        | paper       | top-1 (paper) |
    |------------|-------------|---------|-------------|-------------|---------------|
    | 1 (ResNet) |             | 853,018 | 125,485,696 | 0.85M, 125M | 93.0          |
    | 2          | 1           | 430,090 | 63,222,400  | 0.43M, 63M  | 92.7          |
    | 2          | 3           | 438,154 | 65,286,784  |             |               |

    The paper does not print d of its row; d=1 reproduces it, the module's usual d=3 does not.

    Args:
        ratio, dw_size: s and d of every module, see `GhostModule`.
        weights: `"cifar10"` are in the package, trained for the default network: `weights/ghost_resnet56_cifar10.md`.

    The other arguments are those of `GhostNet`.
    """
    inputs, x = _build.inputs(input_shape, input_tensor, include_top, include_preprocessing)
    weights = _build.from_package(weights, "ghost_resnet56", inputs.shape, ratio=ratio != 2, dw_size=dw_size != 3)
    x = ConvBN(RESNET56[0][0], 3, name="stem")(x)
    for stage, (filters, blocks, stride) in enumerate(RESNET56):
        for index in range(blocks):
            x = _basic_block(x, filters, 1 if index else stride, ratio, dw_size, name=f"stage_{stage}_{index}")
    top = (classes, classifier_activation, dropout_rate)
    x = _build.mean_head(x, *top) if include_top else _build.pool(x, pooling)
    return _build.model(inputs, x, name=name or ("resnet56" if ratio == 1 else "ghost_resnet56"), weights=weights)


def GhostResNet50(
    *,
    ratio: int = 2,
    dw_size: int = 3,
    input_shape: tuple[int | None, int | None, int] = (224, 224, 3),
    include_top: bool = True,
    include_preprocessing: bool = True,
    weights: str | None = None,
    input_tensor=None,
    pooling: str | None = None,
    classes: int = 1000,
    classifier_activation: str | None = "softmax",
    dropout_rate: float = 0.0,
    name: str | None = None,
) -> keras.Model:
    """Builds Ghost-ResNet-50: every convolution but the first is a ghost module, those of shortcuts included.

    | ratio (s)  | params     | MACs          | paper       | top-1 / top-5 (paper) |
    |------------|------------|---------------|-------------|-----------------------|
    | 1 (ResNet) | 25,557,032 | 4,089,184,256 | 25.6M, 4.1B | 75.3 / 92.2           |
    | 2          | 13,953,512 | 2,151,023,360 | 13.0M, 2.2B | 75.0 / 92.3           |
    | 4          | 8,151,752  | 1,181,942,912 | 6.5M, 1.2B  | 74.1 / 91.9           |

    The paper's FLOPs are these; its parameters of the two ghost rows are not, by any definition tried.

    Args:
        ratio, dw_size: s and d of every module, see `GhostModule`.

    The other arguments are those of `GhostNet`.
    """
    inputs, x = _build.inputs(input_shape, input_tensor, include_top, include_preprocessing)
    x = ConvBN(64, 7, strides=2, name="stem")(x)
    # PyTorch pads with minus infinity; after ReLU zero is as low.
    x = keras.layers.ZeroPadding2D(1, name="stem_pool_pad")(x)
    x = keras.layers.MaxPooling2D(3, strides=2, name="stem_pool")(x)
    for stage, (filters, blocks, stride) in enumerate(RESNET50):
        for index in range(blocks):
            x = ResidualBottleneck(
                filters,
                1 if index else stride,
                expansion=4,
                ratio=ratio,
                dw_size=dw_size,
                name=f"stage_{stage}_{index}",
            )(x)
    top = (classes, classifier_activation, dropout_rate)
    x = _build.mean_head(x, *top) if include_top else _build.pool(x, pooling)
    return _build.model(inputs, x, name=name or ("resnet50" if ratio == 1 else "ghost_resnet50"), weights=weights)


def _basic_block(x, filters: int, strides: int, ratio: int, dw_size: int, name: str):
    """Two 3x3 modules and the shortcut without parameters: every second pixel, new channels zero (option A)."""
    shortcut = x
    if strides > 1:
        # The mean of one pixel, since XNNPACK takes no pooling by maximum of one.
        shortcut = AveragePooling2D(1, strides=strides, name=f"{name}_shortcut")(shortcut)
    missing = filters - x.shape[-1]
    if missing:
        shortcut = keras.ops.pad(shortcut, [(0, 0), (0, 0), (0, 0), (missing // 2, missing - missing // 2)])
    ghost = {"kernel_size": 3, "ratio": ratio, "dw_size": dw_size}
    x = GhostModule(filters, strides=strides, name=f"{name}_ghost1", **ghost)(x)
    x = GhostModule(filters, activation=None, name=f"{name}_ghost2", **ghost)(x)
    x = keras.layers.Add(name=f"{name}_add")([x, shortcut])
    return keras.layers.ReLU(name=f"{name}_act")(x)
