"""What each layer of a `.tflite` file costs: multiply-adds, parameters, bytes, time, and what int8 does to it."""

import dataclasses
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from ghostnet_tf.analysis.complexity import Complexity
from ghostnet_tf.tflite.flatbuffer import op_name
from ghostnet_tf.tflite.layer_report import LayerError
from ghostnet_tf.tflite.op_profile import operation_layers

REST = "(no layer)"


@dataclass
class LayerCost:
    """One layer of the Keras model, as far as the file tells its layers apart; `None` where nothing was measured.

    Attributes:
        path: The layer's, in the Keras model, such as `blocks_0/blocks_0_ghost1/blocks_0_ghost1_cheap`; `REST` for
            all that cannot be assigned.
        operations: Of the file, without casts of constants.
        macs: Multiply-adds for one image, as `analysis.complexity` counts them.
        params: Trainable parameters of the Keras model, normalization included.
        bytes: Of the constants that its operations read; one that several read counts where it is read first.
        ms: Time of its operations.
        share: Of the time of all.
        sqnr_db: Lowest signal to quantization noise ratio among its operations' outputs.
        added_db: Most that one of its operations adds to the noise of its inputs.
    """

    path: str
    operations: int = 0
    macs: int | None = None
    params: int | None = None
    bytes: int = 0
    ms: float = 0.0
    share: float = 0.0
    sqnr_db: float | None = None
    added_db: float | None = None

    @property
    def name(self) -> str:
        """The layer's own."""
        return self.path.split("/")[-1]

    @property
    def block(self) -> str:
        """The outermost layer that it is in."""
        return self.path.split("/")[0]


@dataclass(frozen=True)
class Costs:
    """All layers in the file's order, what cannot be assigned last.

    Attributes:
        layers: Rows.
        untold: Operations that ran and whose layer the file does not tell, name to number.
        unnamed: Layers of the Keras model with parameters or multiply-adds that no operation is named after.
    """

    layers: list[LayerCost]
    untold: dict[str, int]
    unnamed: list[str]

    @property
    def total(self) -> LayerCost:
        """The sums."""
        return _sum("total", self.layers)

    @property
    def blocks(self) -> list[LayerCost]:
        """The sums of each outermost layer; signal to noise ratios are the lowest inside, noise added the most."""
        names = dict.fromkeys(row.block for row in self.layers)
        return [_sum(name, [row for row in self.layers if row.block == name]) for name in names]


def layer_costs(
    model: schema.ModelT,
    size: int,
    profile: dict,
    complexity: Complexity | None = None,
    errors: Iterable[LayerError] | None = None,
) -> Costs:
    """Joins what is known about the layers of a file.

    Args:
        model: The file, unpacked.
        size: Its bytes.
        profile: Of `op_profile.profile`, of the same file.
        complexity: Of the Keras model that the file was made from, in the form that runs.
        errors: Of `layer_report.layer_errors`.
    """
    rows: dict[str, LayerCost] = {}

    def row(path: str | None) -> LayerCost:
        return rows.setdefault(path or REST, LayerCost(path or REST))

    for path, stored in zip(operation_layers(model), constant_bytes(model), strict=True):
        if stored is not None:
            row(path).operations += 1
            row(path).bytes += stored
    for timed in profile["operators"]:
        row(timed["layer"]).ms += timed["ms"]
    spent = sum(timed["ms"] for timed in profile["operators"])
    for each in rows.values():
        each.share = each.ms / spent if spent else 0.0
    unnamed = []
    if complexity is not None:
        for each in rows.values():
            each.macs = each.params = 0
        owners = _owners(complexity, rows)
        for layer in complexity.rows:
            if not (layer.params or layer.macs):
                continue
            if owners[layer.name] is None:
                unnamed.append(layer.name)
            owned = row(owners[layer.name])
            owned.macs = (owned.macs or 0) + layer.macs
            owned.params = (owned.params or 0) + layer.params
    by_name = {each.name: each for each in rows.values()}
    for error in errors or ():
        noisy = by_name.get(error.layer) or row(None)
        noisy.sqnr_db = min(filter(_known, (noisy.sqnr_db, error.sqnr_db)))
        noisy.added_db = max(filter(_known, (noisy.added_db, error.added_db)))

    rest = row(None)
    if complexity is not None:
        rest.macs, rest.params = rest.macs or 0, rest.params or 0
    rest.bytes += size - sum(each.bytes for each in rows.values())
    del rows[REST]
    untold = Counter(timed["operator"] for timed in profile["operators"] if timed["layer"] is None)
    return Costs([*rows.values(), rest], dict(untold), unnamed)


def constant_bytes(model: schema.ModelT) -> list[int | None]:
    """Bytes of the constants that each operation is the first to read; `None` for casts of constants.

    In a 16-bit file such a cast stands between the weights and their operation, which counts as their reader.
    """
    graph = model.subgraphs[0]
    made_by = {int(output): operator for operator in graph.operators for output in operator.outputs}

    def stored(index: int) -> int | None:
        """The buffer of a constant, stored as it is or behind a cast."""
        if index in made_by:
            cast = made_by[index]
            return stored(int(cast.inputs[0])) if op_name(model, cast) == "DEQUANTIZE" else None
        return graph.tensors[index].buffer if model.buffers[graph.tensors[index].buffer].data is not None else None

    found, seen = [], set()
    for operator in graph.operators:
        if op_name(model, operator) == "DEQUANTIZE" and stored(int(operator.outputs[0])) is not None:
            found.append(None)
            continue
        buffers = {stored(int(index)) for index in operator.inputs if index >= 0} - seen - {None}
        seen |= buffers
        found.append(sum(int(np.asarray(model.buffers[buffer].data).nbytes) for buffer in buffers))
    return found


def _owners(complexity: Complexity, paths: Iterable[str]) -> dict[str, str | None]:
    """The row of each layer of the flat Keras model: that of its name, or of the layer that it is a part of.

    Normalizations and activations are inside the operation that computes their input, so where no row has their name
    they belong to its layer.
    """
    by_name = {path.split("/")[-1]: path for path in paths}
    owners: dict[str, str | None] = {}
    for layer in complexity.rows:
        path = by_name.get(layer.name)
        if path is None and layer.macs:
            around = [name for name in by_name if layer.name.startswith(f"{name}_")]
            path = by_name[max(around, key=len)] if around else None
        elif path is None:
            path = next((owners[name] for name in layer.inputs if owners.get(name)), None)
        owners[layer.name] = path
    return owners


def _sum(path: str, rows: list[LayerCost]) -> LayerCost:
    total = LayerCost(path)
    for name in ("operations", "macs", "params", "bytes", "ms", "share"):
        known = [getattr(row, name) for row in rows if getattr(row, name) is not None]
        setattr(total, name, sum(known) if known else None)
    total.sqnr_db = min(filter(_known, (row.sqnr_db for row in rows)), default=None)
    total.added_db = max(filter(_known, (row.added_db for row in rows)), default=None)
    return total


def _known(value: float | None) -> bool:
    return value is not None


def as_dicts(costs: Costs) -> list[dict]:
    """For JSON."""
    return [dataclasses.asdict(row) | {"ms": round(row.ms, 4), "share": round(row.share, 6)} for row in costs.layers]
