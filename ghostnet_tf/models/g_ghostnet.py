"""G-GhostNet (Han et al., IJCV 2022): residual bottlenecks in G-Ghost stages, for GPUs."""

from collections.abc import Sequence

import keras

from ghostnet_tf.layers import ConvBN, GGhostStage, ResidualBottleneck, make_divisible
from ghostnet_tf.models import _build

# Ours, not the paper's: its table could not be had. The kind of network is the paper's: residual bottlenecks of
# expansion 3 with squeeze-and-excitation and ReLU, lambda 0.4, 1x1 convolutions as the cheap operation, mix.
STAGES = (
    # channels, blocks, stride of the first
    (60, 2, 2),
    (120, 3, 2),
    (240, 8, 2),
    (480, 4, 2),
)
STEM = 24  # channels of the first convolution, times width
HEAD = 960  # channels before the mean, times width
BLOCK = {"expansion": 3, "se_ratio": 0.25}
DIVISOR = 12  # channels are multiples of it, so that inner ones are of 4


def GGhostNet(
    width: float = 1.0,
    *,
    stages: Sequence[tuple[int, int, int]] = STAGES,
    ghost_ratio: float = 0.4,
    mix: bool = True,
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
    """Builds a network of the G-GhostNet kind.

    The default `stages` are ours: no number of the paper's G-GhostNet belongs to this network. With them, width 1.0
    has 3,368,000 parameters, 279,069,888 multiply-adds and 2,772,256 outputs of convolutions at 224x224, without mix
    3,097,208 and 278,799,456; the plain network of `ghost_ratio=0` has 4,012,268 and 386,617,792.

    Args:
        width: Multiplies the channels of every stage, rounded to multiples of 12; above 0.
        stages: Rows of (channels, blocks, stride of the first block), every stage a `GGhostStage` in the paper's form.
        ghost_ratio: lambda of the paper, see `GGhostStage`; 0 makes every stage wide blocks alone.
        mix: Whether the ghosts are mixed with the blocks' means, see `GGhostStage`.

    The other arguments are those of `GhostNet`.
    """
    if width <= 0:
        raise ValueError(f"Expected `width` above 0. Received: width={width}")

    def scaled(channels: int) -> int:
        return make_divisible(channels * width, DIVISOR)

    inputs, x = _build.inputs(input_shape, input_tensor, include_top, include_preprocessing)
    strides = _build.downsampling_strides(inputs.shape)
    x = ConvBN(scaled(STEM), 3, strides=next(strides), name="stem")(x)
    for index, (channels, blocks, stride) in enumerate(stages):
        stride = next(strides) if stride > 1 else 1
        if ghost_ratio == 0:
            for block in range(blocks):
                options = {**BLOCK, "name": f"stage_{index}_{block}"}
                x = ResidualBottleneck(scaled(channels), 1 if block else stride, **options)(x)
            continue
        x = GGhostStage(
            scaled(channels),
            blocks,
            ResidualBottleneck,
            block_options=BLOCK,
            strides=stride,
            ghost_ratio=ghost_ratio,
            divisor=DIVISOR,
            mix=mix,
            form="paper",
            name=f"stage_{index}",
        )(x)
    x = ConvBN(scaled(HEAD), name="final")(x)
    top = (classes, classifier_activation, dropout_rate)
    x = _build.mean_head(x, *top) if include_top else _build.pool(x, pooling)
    return _build.model(inputs, x, name=name or f"g_ghostnet_{round(width * 100):03d}", weights=weights)
