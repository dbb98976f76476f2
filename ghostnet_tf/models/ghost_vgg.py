"""Ghost-VGG-16 for CIFAR-10 (GhostNet, CVPR 2020, section 4.1, tables 3 to 5), and VGG-16 with `ratio=1`."""

import keras

from ghostnet_tf.layers import BatchNormalization, GhostModule
from ghostnet_tf.layers.convolution import BATCH_NORM
from ghostnet_tf.models import _build

# Channels of the 3x3 convolutions between the five poolings, all replaced by ghost modules.
STAGES = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))
HIDDEN = 512  # units of the dense layer before the classifier


def GhostVGG16(
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
    """Builds Ghost-VGG-16, as its parameters and FLOPs in the paper define it.

    | ratio (s) | dw_size (d) | params     | convolutions' MACs | paper       | top-1 (paper) |
    |-----------|-------------|------------|--------------------|-------------|---------------|
    | 1 (VGG)   |             | 14,987,722 | 313,196,544        | 15.0M, 313M | 93.6          |
    | 2         | 1           | 7,634,602  | 156,736,512        | 7.6M, 157M  | 93.5          |
    | 2         | 3           | 7,651,498  | 157,842,432        | 7.7M, 158M  | 93.7          |
    | 2         | 5           | 7,685,290  | 160,054,272        | 7.7M, 160M  | 93.4          |
    | 2         | 7           | 7,735,978  | 163,372,032        | 7.7M, 163M  | 93.1          |
    | 3         | 3           | 5,219,500  | 106,972,776        | 5.2M, 107M  | 93.4          |
    | 4         | 3           | 3,983,386  | 80,165,376         | 4.0M, 80M   | 93.0          |
    | 5         | 3           | 3,270,721  | 65,398,032         | 3.3M, 65M   | 92.9          |

    Every 3x3 convolution is a ghost module, the first included; two dense layers end the network. The printed
    parameters include those of batch normalization, the printed FLOPs leave the dense layers out.

    Args:
        ratio, dw_size: s and d of every module, see `GhostModule`; `ratio=1` gives VGG-16 itself.

    The other arguments are those of `GhostNet`.
    """
    inputs, x = _build.inputs(input_shape, input_tensor, include_top, include_preprocessing)
    for stage, channels in enumerate(STAGES):
        for index, filters in enumerate(channels):
            x = GhostModule(filters, 3, ratio=ratio, dw_size=dw_size, name=f"stage_{stage}_{index}")(x)
        x = keras.layers.MaxPooling2D(name=f"stage_{stage}_pool")(x)
    if include_top:
        # The mean is the identity at 32x32, where one pixel is left.
        x = keras.layers.GlobalAveragePooling2D(name="head_pool")(x)
        x = keras.layers.Dense(HIDDEN, kernel_initializer="he_normal", name="head_dense")(x)
        x = BatchNormalization(name="head_bn", **BATCH_NORM)(x)
        x = keras.layers.ReLU(name="head_act")(x)
        top = _build.classifier(x, classes, classifier_activation, dropout_rate)
    else:
        top = _build.pool(x, pooling)
    return _build.model(inputs, top, name=name or ("vgg16" if ratio == 1 else "ghost_vgg16"), weights=weights)
