"""RegNetX (Radosavovic et al., CVPR 2020) and G-Ghost-RegNetX in the form of the official `g_ghost_regnet.py`."""

import keras

from ghostnet_tf.layers import ConvBN, GGhostStage, ResidualBottleneck
from ghostnet_tf.models import _build

# Variants are named by their multiply-adds: "032" is RegNetX-3.2GF.
VARIANTS = {
    # blocks a stage, channels a stage, channels a group
    "002": ((1, 1, 4, 7), (24, 56, 152, 368), 8),
    "004": ((1, 2, 7, 12), (32, 64, 160, 384), 16),
    "006": ((1, 3, 5, 7), (48, 96, 240, 528), 24),
    "008": ((1, 3, 7, 5), (64, 128, 288, 672), 16),
    "016": ((2, 4, 10, 2), (72, 168, 408, 912), 24),
    "032": ((2, 6, 15, 2), (96, 192, 432, 1008), 48),
    "040": ((2, 5, 14, 2), (80, 240, 560, 1360), 40),
    "064": ((2, 4, 10, 1), (168, 392, 784, 1624), 56),
    "080": ((2, 5, 15, 1), (80, 240, 720, 1920), 120),
    "120": ((2, 5, 11, 1), (224, 448, 896, 2240), 112),
    "160": ((2, 6, 13, 1), (256, 512, 896, 2048), 128),
    "320": ((2, 7, 13, 1), (336, 672, 1344, 2520), 168),
}
STEM = 32  # channels of the first convolution
GHOST_RATIO = 0.5  # lambda of every stage
THIN_GROUPS = 0.75  # group width of thin blocks over that of wide ones


def RegNetX(
    variant: str = "032",
    *,
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
    """Builds RegNetX, the baseline of `GGhostRegNetX`.

    Parameters in millions, multiply-adds in thousand millions, convolutions' outputs in millions:

    | variant | params | MACs   | activations |
    |---------|--------|--------|-------------|
    | 002     | 2.68   | 0.199  | 2.16        |
    | 004     | 5.16   | 0.398  | 3.14        |
    | 006     | 6.20   | 0.601  | 3.97        |
    | 008     | 7.26   | 0.800  | 5.15        |
    | 016     | 9.19   | 1.603  | 7.93        |
    | 032     | 15.30  | 3.177  | 11.37       |
    | 040     | 22.12  | 3.964  | 12.20       |
    | 064     | 26.21  | 6.460  | 16.37       |
    | 080     | 39.57  | 7.995  | 14.06       |
    | 120     | 46.11  | 12.087 | 21.37       |
    | 160     | 54.28  | 15.941 | 25.51       |
    | 320     | 107.81 | 31.736 | 36.30       |

    Args:
        variant: A key of `VARIANTS`.

    The other arguments are those of `GhostNet`.
    """
    return _build_variant(**locals(), ghost=False)


def GGhostRegNetX(
    variant: str = "032",
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
    """Builds G-Ghost-RegNetX as the official code does: RegNetX with `GGhostStage`s of lambda 0.5.

    The third stage is a G-Ghost stage, and the second and fourth where they have more than two blocks.
    Parameters in millions, multiply-adds in thousand millions, convolutions' outputs in millions:

    | variant | params | MACs   | activations | released: params, MACs, top-1 |
    |---------|--------|--------|-------------|-------------------------------|
    | 002     | 1.83   | 0.131  | 1.96        |                               |
    | 004     | 2.88   | 0.221  | 2.63        |                               |
    | 006     | 4.03   | 0.390  | 3.48        |                               |
    | 008     | 5.25   | 0.529  | 4.52        |                               |
    | 016     | 7.11   | 1.021  | 6.61        |                               |
    | 032     | 10.51  | 1.802  | 8.72        | 10.5, 1.8, 77.8               |
    | 040     | 15.73  | 2.228  | 9.46        | 15.7, 2.2, 78.6               |
    | 064     | 17.99  | 4.055  | 13.66       |                               |
    | 080     | 24.59  | 4.150  | 10.44       | 24.6, 4.2, 79.0               |
    | 120     | 30.63  | 7.378  | 17.19       |                               |
    | 160     | 32.38  | 8.997  | 19.55       | 32.4, 9.0, 79.9               |
    | 320     | 62.82  | 17.158 | 27.22       |                               |

    Args:
        variant: A key of `VARIANTS`.

    The other arguments are those of `GhostNet`.
    """
    return _build_variant(**locals(), ghost=True)


def _build_variant(
    variant,
    input_shape,
    include_top,
    include_preprocessing,
    weights,
    input_tensor,
    pooling,
    classes,
    classifier_activation,
    dropout_rate,
    name,
    ghost,
) -> keras.Model:
    from ghostnet_tf.weights.g_ghost_names import g_ghost_torch_name  # the weights package knows the models

    if variant not in VARIANTS:
        raise ValueError(f"Expected `variant` to be one of {', '.join(VARIANTS)}. Received: variant={variant!r}")
    depths, widths, group_width = VARIANTS[variant]
    inputs, x = _build.inputs(input_shape, input_tensor, include_top, include_preprocessing)
    strides = _build.downsampling_strides(inputs.shape)
    x = ConvBN(STEM, 3, strides=next(strides), name="stem")(x)
    for stage, (depth, filters) in enumerate(zip(depths, widths, strict=True)):
        options = {"group_width": group_width}
        if ghost and stage and depth > 2:
            thin_width = int(THIN_GROUPS * group_width)
            x = GGhostStage(
                filters,
                depth,
                ResidualBottleneck,
                block_options=options,
                thin_options={"group_width": thin_width},
                strides=next(strides),
                ghost_ratio=GHOST_RATIO,
                divisor=thin_width,
                name=f"stage_{stage}",
            )(x)
            continue
        for index in range(depth):
            stride = 1 if index else next(strides)
            x = ResidualBottleneck(filters, stride, **options, name=f"stage_{stage}_{index}")(x)
    top = (classes, classifier_activation, dropout_rate)
    x = _build.mean_head(x, *top) if include_top else _build.pool(x, pooling)
    name = name or f"{'g_ghost_' if ghost else ''}regnetx_{variant}"
    return _build.model(inputs, x, name=name, weights=weights, names=g_ghost_torch_name)
