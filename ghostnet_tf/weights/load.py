"""Loads weights into a model, all or nothing."""

import warnings
from collections.abc import Callable, Iterable
from pathlib import Path

import keras
import numpy as np

from ghostnet_tf.layers.composite import variable_key
from ghostnet_tf.untrusted import printable
from ghostnet_tf.weights import bridge
from ghostnet_tf.weights.files import SUFFIXES, read
from ghostnet_tf.weights.hub import fetch
from ghostnet_tf.weights.registry import CHECKPOINTS, is_tag
from ghostnet_tf.weights.torch_names import torch_name


def load_weights(model: keras.Model, weights: Path | str, names: Callable[[str], str] = torch_name) -> None:
    """Loads published weights or a file into `model`; every tensor is checked before the first is assigned.

    A model without its top ignores the top's tensors. Where the number of classes differs, the classifier keeps the
    values it has, and a warning says so.

    Weights of one dialect of GhostNet load into a model of another where there are equal ones, see `bridge`. There
    are none where the padding differs, nor where more squeezed channels are in use than the model has, as in the
    published weights for `dialect="paper"`. A `.weights.h5` file does not tell its padding: that of `dialect="tf"`
    is for models of that dialect only.

    Args:
        model: A model of this package.
        weights: A tag of `list_weights()`, which takes a revision (see `fetch`), or the path of a file:
            `.safetensors`, `.pth`, `.pth.tar`, `.pt` or `.bin`: PyTorch's names and layouts, timm's or official. All
            but the first need PyTorch installed and are read as weights only: no code in them runs.
            `.weights.h5` or `.keras`: the same architecture, saved by Keras.
            `.index`: a checkpoint of the official TensorFlow code.
        names: Gives PyTorch's name of a variable "layer/variable".

    Raises:
        ValueError: If there is no such file, it cannot be read, tensors are missing, unexpected or of another shape,
            or the model's dialect has no equal weights.
        WeightsUnavailable: If a tag's file cannot be had, see `fetch`, or PyTorch is needed and not installed.
    """
    path = fetch(weights) if is_tag(weights) else Path(weights)
    if not path.name.endswith(SUFFIXES):
        raise ValueError(
            f"Expected `weights` to be one of {', '.join(CHECKPOINTS)}, or a file ending in {', '.join(SUFFIXES)}. "
            f"Received: weights={str(weights)!r}"
        )
    if not path.is_file():
        raise ValueError(f"Expected `weights` to be an existing file. Received: weights={str(weights)!r}")
    variables = {variable_key(variable): variable for variable in model.weights}
    source = read(path, model, names)
    padding = bridge.strided_padding(model)
    if None not in (padding, source.padding) and padding != source.padding:
        raise ValueError(
            f"Expected weights for {padding} padding, as {model.name} has. Received: weights={str(weights)!r} for "
            f"{source.padding} padding, which has no equal there. Build the model with the dialect of the weights."
        )
    values = source.values
    if source.clips != bridge.clips(model):
        values = bridge.bridged(values, variables, to_clip=not source.clips)

    if "classifier/bias" not in variables:
        values = {key: value for key, value in values.items() if not key.startswith(("head_", "classifier/"))}
    else:
        have, want = values.get("classifier/bias"), variables["classifier/bias"]
        if have is not None and have.shape != want.shape:
            warnings.warn(
                f"{weights} has {have.size} classes, the model {want.shape[0]}: the classifier starts anew.",
                stacklevel=2,
            )
            for key in ("classifier/kernel", "classifier/bias"):
                del variables[key]
                values.pop(key, None)

    faults = {
        "missing": [key for key in variables if key not in values],
        "unexpected": [key for key in values if key not in variables],
        "of another shape": [
            f"{key}: expected {tuple(variables[key].shape)}, received {value.shape}"
            for key, value in values.items()
            if key in variables and value.shape != tuple(variables[key].shape)
        ],
        "not of finite numbers": [
            key for key, value in values.items() if key in variables and not _finite(value, variables[key].dtype)
        ],
    }
    if any(faults.values()):
        found = ". ".join(f"{len(keys)} {kind} ({_first(keys)})" for kind, keys in faults.items() if keys)
        raise ValueError(f"Expected weights that fit {model.name}. Received: weights={str(weights)!r} with {found}")
    for key, variable in variables.items():
        variable.assign(values[key])


def _finite(value: np.ndarray, dtype: str) -> bool:
    """Whether `value` can be assigned to a variable of `dtype` without becoming infinite."""
    if value.dtype.kind in "OSU":  # texts
        return False
    with np.errstate(over="ignore"):
        return bool(np.isfinite(value.astype(np.float16 if dtype == "float16" else np.float32)).all())


def _first(keys: Iterable[str], count: int = 3) -> str:
    keys = list(keys)
    return "; ".join(map(printable, keys[:count])) + ("; …" if len(keys) > count else "")
