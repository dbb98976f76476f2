"""Every network of the package and its usual comparisons, with the numbers that the papers print for them."""

from typing import NamedTuple

from ghostnet_tf.analysis.complexity import aligned, complexity

IMAGENET = (224, 224, 3)
CIFAR = (32, 32, 3)


class Row(NamedTuple):
    """A network and what its paper prints.

    Attributes:
        name: As the table shows it.
        builder: A public name of `ghostnet_tf` or of `keras.applications`.
        arguments: For the builder, beside `weights=None` and `input_shape`.
        params, macs, top1: The paper's parameters in millions, FLOPs in millions and top-1 accuracy in percent, as
            printed; "" where it prints none.
        source: Where it prints them.
        input_shape: To build and count at.
    """

    name: str
    builder: str
    arguments: dict
    params: str
    macs: str
    top1: str
    source: str
    input_shape: tuple[int, int, int] = IMAGENET


_GHOSTNET = "GhostNet (CVPR 2020) table 7"
_KERAS = "keras.applications"

ROWS = (
    Row("GhostNet 0.5", "GhostNet", {"width": 0.5}, "2.6", "42", "66.2", _GHOSTNET),
    Row("GhostNet 1.0", "GhostNet", {"width": 1.0}, "5.2", "141", "73.9", _GHOSTNET),
    Row("GhostNet 1.3", "GhostNet", {"width": 1.3}, "7.3", "226", "75.7", _GHOSTNET),
    Row("MobileNetV2 1.0", "MobileNetV2", {}, "3.47", "300", "71.8", _KERAS),
    Row("MobileNetV3 Large 1.0", "MobileNetV3Large", {}, "5.4", "217", "75.6", _KERAS),
    Row("MobileNetV3 Small 1.0", "MobileNetV3Small", {}, "2.9", "66", "68.1", _KERAS),
    Row("EfficientNet B0", "EfficientNetB0", {}, "5.3", "390", "77.1", "EfficientNet (ICML 2019) table 2"),
)


def build(row: Row):
    """The row's network, untrained."""
    import keras

    import ghostnet_tf

    package = ghostnet_tf if row.builder in ghostnet_tf.__all__ else keras.applications
    return getattr(package, row.builder)(weights=None, input_shape=row.input_shape, **row.arguments)


def measure(row: Row) -> dict[str, object]:
    """One line of `results/zoo.csv`, but for its `command`: our exact counts and the paper's numbers."""
    counted = complexity(build(row))
    return {
        "model": row.name,
        "input": "x".join(map(str, row.input_shape)),
        "params": counted.params,
        "params_without_bn": counted.params_without_bn,
        "macs": counted.macs,
        **{f"{kind}_macs": macs for kind, macs in counted.macs_by_kind.items()},
        "activations": counted.activations,
        "paper_params_m": row.params,
        "paper_macs_m": row.macs,
        "paper_top1": row.top1,
        "source": row.source,
    }


def table(rows: list[dict[str, object]]) -> str:
    """The measured rows as aligned text, in millions, the papers' numbers in brackets."""
    lines = [("model", "input", "params M", "(paper)", "MACs M", "(paper)", "activations M", "top-1 of the paper")]
    for row in rows:
        params, macs, activations = (f"{row[name] / 1e6:.2f}" for name in ("params", "macs", "activations"))
        paper_params, paper_macs = (
            f"({row[name]})" if row[name] else "" for name in ("paper_params_m", "paper_macs_m")
        )
        cells = (params, paper_params, macs, paper_macs, activations, row["paper_top1"])
        lines.append((row["model"], row["input"], *cells))
    return aligned(lines, left=2)
