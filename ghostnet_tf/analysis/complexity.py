"""Parameters, multiply-adds and activations of a model, layer by layer."""

import dataclasses
import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # Keras is imported on use: `python -m ghostnet_tf.analysis --help` does not wait for it
    import keras

KINDS = ("conv", "depthwise", "dense")  # of layers with multiply-adds


@dataclasses.dataclass(frozen=True)
class LayerComplexity:
    """One call of one layer.

    Attributes:
        name: Of the layer.
        kind: `"conv"`, `"depthwise"`, `"dense"`, `"norm"` or `"other"`.
        output_shape: Without the batch.
        params: Trainable parameters; 0 where a shared layer was counted before.
        fixed_params: Parameters that training leaves alone (moving statistics, frozen layers).
        macs: Multiply-adds for one image.
        activations: Output elements, of convolutions only.
        inputs: Names of the layers that it reads.
    """

    name: str
    kind: str
    output_shape: tuple[int, ...]
    params: int
    fixed_params: int
    macs: int
    activations: int
    inputs: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Complexity:
    """What `complexity` counted: `rows` has one entry a layer, the properties are the totals."""

    rows: tuple[LayerComplexity, ...]

    @property
    def params(self) -> int:
        """Trainable parameters, batch normalization's scales and shifts included."""
        return sum(row.params for row in self.rows)

    @property
    def params_without_bn(self) -> int:
        """Trainable parameters outside normalization, as the GhostNet paper counts them."""
        return sum(row.params for row in self.rows if row.kind != "norm")

    @property
    def total_params(self) -> int:
        """All parameters: trainable, frozen and moving statistics."""
        return self.params + sum(row.fixed_params for row in self.rows)

    @property
    def macs_by_kind(self) -> dict[str, int]:
        """Multiply-adds of `"conv"` (grouped ones included), `"depthwise"` and `"dense"` layers for one image."""
        return {kind: sum(row.macs for row in self.rows if row.kind == kind) for kind in KINDS}

    @property
    def macs(self) -> int:
        """Multiply-adds of convolutions and dense layers for one image: the papers' FLOPs.

        Normalization, activations, pooling and the multiplication of squeeze and excitation do not count.
        """
        return sum(self.macs_by_kind.values())

    @property
    def activations(self) -> int:
        """Elements of all convolutions' outputs for one image: the measure of the G-Ghost (IJCV 2022) paper."""
        return sum(row.activations for row in self.rows)

    def table(self) -> str:
        """Aligned text: a line for each layer with parameters or multiply-adds, and the totals."""
        lines = [("layer", "kind", "output", "params", "MACs", "activations")]
        for row in self.rows:
            if row.params or row.fixed_params or row.macs:
                size = " x ".join(map(str, row.output_shape))
                lines.append((row.name, row.kind, size, f"{row.params:,}", f"{row.macs:,}", f"{row.activations:,}"))
        lines.append(("total", "", "", f"{self.params:,}", f"{self.macs:,}", f"{self.activations:,}"))
        return aligned(lines, left=3)


def aligned(lines: list[tuple[str, ...]], left: int) -> str:
    """`lines` of cells as text in columns, the first `left` of them flush left, the others flush right."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if index < left else cell.rjust(width)
            for index, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )


def complexity(model: "keras.Model", input_shape: tuple[int, ...] | None = None) -> Complexity:
    """Counts parameters, multiply-adds and activations of a model for one image.

    Args:
        model: A Functional or Sequential model; nested models and layers of ours count by their parts.
        input_shape: `(height, width, channels)` to count at, instead of the model's own; required where that is
            open.

    Raises:
        ValueError: If a size is unknown, or a layer has weight matrices and no known count.
    """
    from ghostnet_tf.analysis.multiply_adds import multiply_adds
    from ghostnet_tf.flattening import flatten

    flat = flatten(model, input_shape=input_shape)
    for tensor in flat.inputs:
        if None in tensor.shape[1:]:
            raise ValueError(
                "Expected a model of fixed input size, or `input_shape` to count at. "
                f"Received: input of shape {tensor.shape}"
            )
    rows, seen = [], set()
    for depth in sorted(flat._nodes_by_depth, reverse=True):  # Keras has no public list of a graph's calls
        for node in flat._nodes_by_depth[depth]:
            if node.is_input:
                continue
            layer, shape = node.operation, node.outputs[0].shape
            fresh = [weight for weight in getattr(layer, "weights", ()) if id(weight) not in seen]
            seen.update(map(id, fresh))
            kind, macs = multiply_adds(layer, node.input_tensors[0].shape, shape)
            rows.append(
                LayerComplexity(
                    name=layer.name,
                    kind=kind,
                    output_shape=tuple(shape[1:]),
                    params=sum(math.prod(weight.shape) for weight in fresh if weight.trainable),
                    fixed_params=sum(math.prod(weight.shape) for weight in fresh if not weight.trainable),
                    macs=macs,
                    activations=math.prod(shape[1:]) if kind in ("conv", "depthwise") else 0,
                    inputs=tuple(tensor._keras_history.operation.name for tensor in node.input_tensors),
                )
            )
    return Complexity(tuple(rows))


def speedup_ratio(c: int, s: int, k: int, d: int) -> float:
    """r_s of the GhostNet paper (section 3.1): multiply-adds of a convolution over those of its ghost module.

    r_s = c k^2 / (c k^2 / s + (s - 1) d^2 / s), which the paper rounds to s c / (s + c - 1), near s. Biases and
    normalization do not count, and the output channels are taken as a multiple of s.

    Args:
        c: Input channels.
        s: `ratio` of the module.
        k: `kernel_size` of its primary convolution.
        d: `dw_size` of its cheap operation.
    """
    for name, value in (("c", c), ("s", s), ("k", k), ("d", d)):
        if value < 1:
            raise ValueError(f"Expected c, s, k and d of at least 1. Received: {name}={value}")
    return s * c * k**2 / (c * k**2 + (s - 1) * d**2)


def compression_ratio(c: int, s: int, k: int, d: int) -> float:
    """r_c of the GhostNet paper (section 3.1): weights of a convolution over those of its ghost module.

    Every weight is used once at each output position, so it equals r_s; arguments as in `speedup_ratio`.
    """
    return speedup_ratio(c, s, k, d)
