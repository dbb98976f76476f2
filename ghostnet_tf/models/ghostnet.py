"""GhostNet (CVPR 2020), which the 2022 paper calls C-GhostNet: the table of its rows and its builder."""

import itertools
import math
from collections.abc import Callable
from typing import NamedTuple

import keras

from ghostnet_tf.layers import ConvBN, GhostBottleneck, make_divisible
from ghostnet_tf.models import _build

# Table 1 of the paper: one row a bottleneck, a blank line where the resolution halves.
# SE is the squeeze-and-excitation ratio.
ROWS = (
    # k, exp, out, se, stride
    (3, 16, 16, 0, 1),
    #
    (3, 48, 24, 0, 2),
    (3, 72, 24, 0, 1),
    #
    (5, 72, 40, 0.25, 2),
    (5, 120, 40, 0.25, 1),
    #
    (3, 240, 80, 0, 2),
    (3, 200, 80, 0, 1),
    (3, 184, 80, 0, 1),
    (3, 184, 80, 0, 1),
    (3, 480, 112, 0.25, 1),
    (3, 672, 112, 0.25, 1),
    #
    (5, 672, 160, 0.25, 2),
    (5, 960, 160, 0, 1),
    (5, 960, 160, 0.25, 1),
    (5, 960, 160, 0, 1),
    (5, 960, 160, 0.25, 1),
)
STEM = 16  # channels of the first convolution, times width
HEAD = 1280  # channels before the classifier, at every width


def tf_rounding(value: float) -> int:
    """`value` cut to a whole number of at least 8, then rounded to a multiple of 4, halves to the even multiple."""
    return round(max(int(value), 8) / 4) * 4


ROUNDINGS = {"release": make_divisible, "tf": tf_rounding}


class Dialect(NamedTuple):
    """Where the published codes of GhostNet differ.

    Attributes:
        rounding: Of channels times width, a key of `ROUNDINGS`.
        padding: Of convolutions with strides, see `ConvBN`.
        se_divisor, se_gate: See `SqueezeExcite`.
        head_bn: Whether the convolution of the head has batch normalization instead of a bias.
    """

    rounding: str
    padding: str
    se_divisor: int
    se_gate: str
    head_bn: bool


DIALECTS = {
    "release": Dialect("release", "symmetric", 4, "hard_sigmoid", False),
    "paper": Dialect("release", "symmetric", 1, "clip", True),
    "tf": Dialect("tf", "same", 1, "clip", True),
}


def deepened(rows: tuple[tuple, ...], depth: float) -> tuple[tuple, ...]:
    """`rows` with `depth` times as many at every resolution, rounded up; the last of each is repeated.

    Raises:
        ValueError: If `depth` is below 1.
    """
    if depth < 1:
        raise ValueError(f"Expected `depth` of at least 1. Received: depth={depth}")
    starts = [index for index, row in enumerate(rows) if index == 0 or row[-1] > 1] + [len(rows)]
    deeper = []
    for start, end in itertools.pairwise(starts):
        count = math.ceil(round((end - start) * depth, 6))  # 10 * 1.1 is a little above 11
        again = (*rows[end - 1][:-1], 1)
        deeper += [*rows[start:end], *[again] * (count - (end - start))]
    return tuple(deeper)


def GhostNet(
    width: float = 1.0,
    *,
    depth: float = 1.0,
    ratio: int = 2,
    dw_size: int | tuple[int, ...] = 3,
    cheap_operation: str = "depthwise",
    dialect: str = "release",
    rounding: str | None = None,
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
    """Builds GhostNet, exact in the form of the released PyTorch code and of timm, or in an earlier form.

    | width | params    | MACs        | top-1 / top-5 (paper) | weights    |
    |-------|-----------|-------------|-----------------------|------------|
    | 0.5   | 2,587,292 | 42,328,152  | 66.2 / 86.6           |            |
    | 1.0   | 5,182,508 | 141,150,512 | 73.9 / 91.4           | `imagenet` |
    | 1.3   | 7,358,820 | 227,003,256 | 75.7 / 92.7           |            |

    Parameters are the trainable ones, MACs those of convolutions and dense layers at 224x224. Source: Han et
    al., "GhostNet: More Features from Cheap Operations", CVPR 2020, tables 1 and 7, and `ghostnet_pytorch`. In the
    earlier dialects width 1.0 has 5,183,016 parameters and 141,149,744 MACs.

    Args:
        width: Multiplies the channels of every row, rounded to multiples of 4; above 0.
        depth: Multiplies the bottlenecks of every resolution, rounded up; at least 1, see `deepened`.
        ratio: s of the paper, see `GhostModule`.
        dw_size: d of the paper, see `GhostModule`.
        cheap_operation: See `GhostModule`.
        dialect: `"release"`; `"paper"`, the form of 2020's first codes, kept by PaddleClas: other squeezed channels,
            a clipping gate, a normalized head; or `"tf"`, that of the paper's own TensorFlow code: as `"paper"`, with
            TensorFlow's padding and its own rounding. Weights go from one to another where that is exact, see
            `load_weights`.
        rounding: Of the channels to multiples of 4: `"release"`, the nearest one, or `"tf"`, see `tf_rounding`; by
            default the dialect's. The paper's 164 M multiply-adds at width 1.1 are those of `"tf"`.
        input_shape: `(height, width, channels)`, at least 32 pixels a side. Without the top, sizes may be
            `None` and channels 1 or 4. Sizes below 96 keep early resolution, see `_build.downsampling_strides`.
        include_top: Whether to end with pooling, the 1280-channel head and the classifier.
        include_preprocessing: Whether the model itself normalizes RGB values from 0 to 255; without it, inputs
            are expected normalized by the ImageNet mean and deviation.
        weights: `None` (random), `"imagenet"` (downloaded from timm's hub page) or a tag of `list_weights()`, or a
            path of a file, see `ghostnet_tf.weights.load_weights`.
        input_tensor: A Keras tensor to build on instead of a new input.
        pooling: Without the top: `None` for feature maps, `"avg"` or `"max"` for `(batch, channels)`.
        classes: Outputs of the classifier. With weights of another number of classes, the classifier starts
            anew and a warning says so.
        classifier_activation: `"softmax"`, or `None` for logits.
        dropout_rate: Before the classifier, from 0 to below 1.
        name: Of the model; by default `ghostnet_100` for width 1.0.

    Returns:
        A Functional `keras.Model` on `(batch, height, width, channels)`.

    Raises:
        ValueError: On arguments that contradict each other, with what was expected and received.
        WeightsUnavailable: If published weights are neither cached nor to be had from the hub.
    """
    for argument, value, known in (("dialect", dialect, DIALECTS), ("rounding", rounding, (*ROUNDINGS, None))):
        if value not in known:
            allowed = ", ".join(repr(name) for name in known)
            raise ValueError(f"Expected `{argument}` to be one of {allowed}. Received: {argument}={value!r}")
    name = name or f"ghostnet_{round(width * 100):03d}" + (f"_{dialect}" if dialect != "release" else "")
    form = DIALECTS[dialect]
    if rounding is not None:
        form = form._replace(rounding=rounding)
    inputs, x = _build.inputs(input_shape, input_tensor, include_top, include_preprocessing)
    changed = {"depth": depth != 1, "ratio": ratio != 2, "dw_size": dw_size != 3}
    changed["cheap_operation"] = cheap_operation != "depthwise"
    changed["dialect"] = dialect != "release"
    weights = _build.published(weights, "ghostnet", width, inputs.shape, **changed)
    module = {"ratio": ratio, "dw_size": dw_size, "cheap_operation": cheap_operation}
    x = features(x, inputs.shape, width, deepened(ROWS, depth), lambda index: module, form)
    if include_top:
        x = _build.head(x, HEAD, classes, classifier_activation, dropout_rate, form.head_bn)
    else:
        x = _build.pool(x, pooling)
    return _build.model(inputs, x, name=name, weights=weights)


def features(
    x,
    shape: tuple,
    width: float,
    rows: tuple[tuple, ...],
    options: Callable[[int], dict],
    dialect: Dialect = DIALECTS["release"],
):
    """Everything before the head, in all versions of GhostNet: stem, bottlenecks, 1x1 convolution.

    Args:
        x: The normalized images.
        shape: Of the model's input, with the batch.
        width: Multiplies all channels; above 0.
        rows: As in `ROWS`.
        options: Further arguments of the `GhostBottleneck` at an index.
        dialect: As in `DIALECTS`.
    """
    if width <= 0:
        raise ValueError(f"Expected `width` above 0. Received: width={width}")

    def scaled(channels: int) -> int:
        return ROUNDINGS[dialect.rounding](channels * width)

    strides = _build.downsampling_strides(shape)
    x = ConvBN(scaled(STEM), 3, strides=next(strides), padding=dialect.padding, name="stem")(x)
    for index, (k, exp, out, se, stride) in enumerate(rows):
        x = GhostBottleneck(
            scaled(exp),
            scaled(out),
            kernel_size=k,
            strides=next(strides) if stride > 1 else 1,
            se_ratio=se,
            se_divisor=dialect.se_divisor,
            se_gate=dialect.se_gate,
            padding=dialect.padding,
            name=f"blocks_{index}",
            **options(index),
        )(x)
    return ConvBN(scaled(exp), name="final")(x)  # as many channels as the last bottleneck expands to
