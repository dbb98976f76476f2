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
        source: Where it prints them; "" for none, or none that was at hand to check.
        input_shape: To build and count at.
        to_run: Whether to count GhostNetV3's form to run, without the branches of training.
    """

    name: str
    builder: str
    arguments: dict
    params: str
    macs: str
    top1: str
    source: str
    input_shape: tuple[int, int, int] = IMAGENET
    to_run: bool = False


_GHOSTNET = "GhostNet (CVPR 2020) table {}"
_GHOSTNET_V2 = "GhostNetV2 (NeurIPS 2022)"
_GHOSTNET_V3 = "GhostNetV3 (2024)"
_G_GHOST = "official g_ghost_pytorch readme"
_KERAS = "keras.applications"
_REGNETX = ("002", "004", "006", "008", "016", "032", "040", "064", "080", "120", "160", "320")
_RELEASED = {
    "032": ("10.5", "1800", "77.8", _G_GHOST),
    "040": ("15.7", "2200", "78.6", _G_GHOST),
    "080": ("24.6", "4200", "79.0", _G_GHOST),
    "160": ("32.4", "9000", "79.9", _G_GHOST),
}

ROWS = (
    Row("GhostNet 0.5", "GhostNet", {"width": 0.5}, "2.6", "42", "66.2", _GHOSTNET.format(7)),
    Row("GhostNet 1.0", "GhostNet", {"width": 1.0}, "5.2", "141", "73.9", _GHOSTNET.format(7)),
    # With the rounding of the paper's TensorFlow code; that of the released code makes it 167 M.
    Row(
        "GhostNet 1.1 (tf)",
        "GhostNet",
        {"width": 1.1, "dialect": "tf"},
        "",
        "164",
        "",
        "GhostNet (CVPR 2020) detection",
    ),
    Row("GhostNet 1.3", "GhostNet", {"width": 1.3}, "7.3", "226", "75.7", _GHOSTNET.format(7)),
    Row("GhostNetV2 1.0", "GhostNetV2", {"width": 1.0}, "6.1", "167", "75.3", _GHOSTNET_V2),
    Row("GhostNetV2 1.3", "GhostNetV2", {"width": 1.3}, "8.9", "269", "76.9", _GHOSTNET_V2),
    Row("GhostNetV2 1.6", "GhostNetV2", {"width": 1.6}, "12.3", "399", "77.8", _GHOSTNET_V2),
    *(
        Row(f"GhostNetV3 {w} {form}", "GhostNetV3", {"width": w}, "", macs, top1, source, to_run=form == "to run")
        for w, form, macs, top1, source in (
            (0.5, "to run", "", "", ""),
            (1.0, "to run", "", "77.13", "released EMA weights (PaddleClas pull request 3413)"),
            (1.0, "in training", "", "", ""),
            (1.3, "to run", "269", "79.1", f"{_GHOSTNET_V3} abstract"),
            (1.6, "to run", "", "", ""),
        )
    ),
    *(
        Row(name, "GhostVGG16", {"ratio": s, "dw_size": d}, params, macs, top1, _GHOSTNET.format(table), CIFAR)
        for name, s, d, params, macs, top1, table in (
            ("VGG-16", 1, 3, "15.0", "313", "93.6", 5),
            ("Ghost-VGG-16 s=2 d=1", 2, 1, "7.6", "157", "93.5", 3),
            ("Ghost-VGG-16 s=2 d=3", 2, 3, "7.7", "158", "93.7", 3),
            ("Ghost-VGG-16 s=2 d=5", 2, 5, "7.7", "160", "93.4", 3),
            ("Ghost-VGG-16 s=2 d=7", 2, 7, "7.7", "163", "93.1", 3),
            ("Ghost-VGG-16 s=3 d=3", 3, 3, "5.2", "107", "93.4", 4),
            ("Ghost-VGG-16 s=4 d=3", 4, 3, "4.0", "80", "93.0", 4),
            ("Ghost-VGG-16 s=5 d=3", 5, 3, "3.3", "65", "92.9", 4),
        )
    ),
    Row("ResNet-56", "GhostResNet56", {"ratio": 1}, "0.85", "125", "93.0", _GHOSTNET.format(5), CIFAR),
    Row("Ghost-ResNet-56 s=2 d=1", "GhostResNet56", {"dw_size": 1}, "0.43", "63", "92.7", _GHOSTNET.format(5), CIFAR),
    Row("Ghost-ResNet-56 s=2 d=3", "GhostResNet56", {"dw_size": 3}, "0.43", "63", "92.7", _GHOSTNET.format(5), CIFAR),
    Row("ResNet-50", "GhostResNet50", {"ratio": 1}, "25.6", "4100", "75.3", _GHOSTNET.format(6)),
    Row("Ghost-ResNet-50 s=2", "GhostResNet50", {"ratio": 2}, "13.0", "2200", "75.0", _GHOSTNET.format(6)),
    Row("Ghost-ResNet-50 s=4", "GhostResNet50", {"ratio": 4}, "6.5", "1200", "74.1", _GHOSTNET.format(6)),
    *(Row(f"RegNetX-{name}", "RegNetX", {"variant": name}, "", "", "", "") for name in _REGNETX),
    *(
        Row(f"G-Ghost-RegNetX-{name}", "GGhostRegNetX", {"variant": name}, *_RELEASED.get(name, ("",) * 4))
        for name in _REGNETX
    ),
    Row("G-GhostNet 1.0 (our table)", "GGhostNet", {"width": 1.0}, "", "", "", ""),
    Row("MobileNetV2 1.0", "MobileNetV2", {}, "", "", "", ""),
    Row("MobileNetV3 Large 1.0", "MobileNetV3Large", {}, "5.4", "217", "75.6", _KERAS),
    Row("MobileNetV3 Small 1.0", "MobileNetV3Small", {}, "2.9", "66", "68.1", _KERAS),
    Row("EfficientNet B0", "EfficientNetB0", {}, "", "", "", ""),
)

# Where the printed numbers are not ours rounded to their digits: why, as far as is known.
NOTES = {
    "GhostNet 1.3": "the paper's numbers are those of its TensorFlow code, 7.353 and 226.996, cut off",
    "GhostNetV2 1.0": "the paper's parameters are cut off",
    "GhostNetV2 1.3": "the paper's parameters are cut off",
    "GhostNetV2 1.6": "the paper's parameters are cut off",
    "Ghost-VGG-16 s=2 d=7": "the paper's FLOPs, of all rows of VGG-16, leave the dense layers' 0.27 M out",
    "Ghost-VGG-16 s=5 d=3": "the paper's FLOPs, of all rows of VGG-16, leave the dense layers' 0.27 M out",
    "Ghost-ResNet-56 s=2 d=3": "the paper does not say d; d=1 reproduces its row, the usual d=3 does not",
    "Ghost-ResNet-50 s=2": "the paper's FLOPs are reproduced, its parameters are not, by any definition tried",
    "Ghost-ResNet-50 s=4": "the paper's FLOPs are reproduced, its parameters are not, by any definition tried",
    "G-Ghost-RegNetX-080": "the readme's 4.2 G is 4.1497 G rounded twice, by way of 4.15",
    "MobileNetV3 Large 1.0": "what Keras's documentation prints; its own network has other counts",
    "MobileNetV3 Small 1.0": "what Keras's documentation prints; its own network has other counts",
}


def build(row: Row):
    """The row's network, untrained."""
    import keras

    import ghostnet_tf
    from ghostnet_tf.models.ghostnet_v3 import without_branches

    package = ghostnet_tf if row.builder in ghostnet_tf.__all__ else keras.applications
    model = getattr(package, row.builder)(weights=None, input_shape=row.input_shape, **row.arguments)
    return without_branches(model) if row.to_run else model


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
        "note": NOTES.get(row.name, ""),
    }


def table(rows: list[dict[str, object]]) -> str:
    """The measured rows as aligned text, in millions, the papers' numbers in brackets, and the notes below."""
    lines = [("model", "input", "params M", "(paper)", "MACs M", "(paper)", "activations M", "top-1 of the paper")]
    for row in rows:
        params, macs, activations = (f"{row[name] / 1e6:.2f}" for name in ("params", "macs", "activations"))
        paper_params, paper_macs = (
            f"({row[name]})" if row[name] else "" for name in ("paper_params_m", "paper_macs_m")
        )
        cells = (params, paper_params, macs, paper_macs, activations, row["paper_top1"])
        lines.append((row["model"], row["input"], *cells))
    noted = {}
    for row in rows:
        if row["note"]:
            noted.setdefault(row["note"], []).append(row["model"])
    return "\n".join([aligned(lines, left=2), *(f"{', '.join(names)}: {note}" for note, names in noted.items())])
