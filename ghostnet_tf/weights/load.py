"""Loads weights into a model, all or nothing."""

import warnings
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path

import h5py
import keras
import numpy as np

from ghostnet_tf.layers.composite import variable_key
from ghostnet_tf.weights.hub import fetch
from ghostnet_tf.weights.registry import CHECKPOINTS
from ghostnet_tf.weights.torch_names import from_torch, torch_name

HEAD = ("head_conv/kernel", "head_conv/bias", "classifier/kernel", "classifier/bias")
SUFFIXES = (".safetensors", ".weights.h5", ".keras")


def load_weights(model: keras.Model, weights: Path | str, names: Callable[[str], str] = torch_name) -> None:
    """Loads published weights or a file into `model`; every tensor is checked before the first is assigned.

    A model without its top ignores the top's tensors. Where the number of classes differs, the classifier keeps the
    values it has, and a warning says so.

    Args:
        model: A model of this package.
        weights: A tag of `list_weights()`, or the path of a `.safetensors` file (PyTorch's names and layouts), a
            `.weights.h5` or a `.keras` file (of the same architecture).
        names: Gives PyTorch's name of a variable "layer/variable".

    Raises:
        ValueError: If there is no such file, it cannot be read, or tensors are missing, unexpected or of another
            shape.
        WeightsUnavailable: If a tag's file cannot be had, see `fetch`.
    """
    path = fetch(weights) if weights in CHECKPOINTS else Path(weights)
    variables = {variable_key(variable): variable for variable in model.weights}
    if path.name.endswith(SUFFIXES) and not path.is_file():
        raise ValueError(f"Expected `weights` to be an existing file. Received: weights={str(weights)!r}")
    if path.name.endswith(".safetensors"):
        values = _read_safetensors(path, variables, names)
    elif path.name.endswith(SUFFIXES):
        values = _read_keras(path, model)
    else:
        raise ValueError(
            f"Expected `weights` to be one of {', '.join(CHECKPOINTS)}, or a file ending in "
            f"{', '.join(SUFFIXES)}. "
            f"Received: weights={str(weights)!r}"
        )

    if "classifier/bias" not in variables:
        values = {key: value for key, value in values.items() if key not in HEAD}
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
    }
    if any(faults.values()):
        found = ". ".join(f"{len(keys)} {kind} ({_first(keys)})" for kind, keys in faults.items() if keys)
        raise ValueError(f"Expected weights that fit {model.name}. Received: weights={str(weights)!r} with {found}")
    for key, variable in variables.items():
        variable.assign(values[key])


def _first(keys: Iterable[str], count: int = 3) -> str:
    keys = list(keys)
    return "; ".join(keys[:count]) + ("; …" if len(keys) > count else "")


def _read_safetensors(path: Path, variables: dict, names: Callable[[str], str]) -> dict[str, np.ndarray]:
    """Tensors under our names and in Keras's layout where a variable is known, else under their own."""
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    ours = {names(key): key for key in {**variables, **dict.fromkeys(HEAD)}}
    try:
        tensors = load_file(path)
    except (SafetensorError, OSError) as error:
        raise _unreadable(path, error) from error
    values = {}
    for name, value in tensors.items():
        if name.endswith("num_batches_tracked"):
            continue
        key = ours.get(name, name)
        values[key] = from_torch(value, tuple(variables[key].shape)) if key in variables else value
    return values


def _read_keras(path: Path, model: keras.Model) -> dict[str, np.ndarray]:
    """Values of a saved model, or of a copy of `model` that takes the saved weights."""
    try:
        if path.name.endswith(".keras"):
            zipfile.ZipFile(path).close()  # Keras calls a broken file missing
            source = keras.models.load_model(path, compile=False, safe_mode=True)
        else:
            source = _from_weights_file(path, model)
    except (OSError, zipfile.BadZipFile) as error:
        raise _unreadable(path, error) from error
    return {variable_key(variable): variable.numpy() for variable in source.weights}


def _from_weights_file(path: Path, model: keras.Model) -> keras.Model:
    """A new model like `model`, its classifier as wide as in the `.weights.h5` file, with the file's weights."""
    shapes = {}
    with h5py.File(path) as file:
        file.visititems(
            lambda name, item: shapes.update({name: item.shape}) if isinstance(item, h5py.Dataset) else None
        )
    # Keras names the file's groups by class, numbered in the model's order.
    dense = [layer.name for layer in model.layers if isinstance(layer, keras.layers.Dense)]
    number = dense.index("classifier") if "classifier" in dense else 0
    (classes,) = shapes.get(f"layers/dense{f'_{number}' if number else ''}/vars/1", (None,))

    def like(layer):
        changes = {"units": classes} if layer.name == "classifier" and classes else {}
        return type(layer).from_config(layer.get_config() | changes)

    copy = keras.models.clone_model(model, clone_function=like)
    # Keras passes over what the model does not have.
    saved = sum(name.startswith("layers/") and "/seed_generator/" not in name for name in shapes)
    ignored = 0 if "classifier" in dense else len(HEAD)
    if saved not in (len(copy.weights), len(copy.weights) + ignored):
        raise ValueError(
            f"Expected {len(copy.weights)} tensors for {model.name}. Received: weights={str(path)!r} with {saved}"
        )
    copy.load_weights(path)
    return copy


def _unreadable(path: Path, error: Exception) -> ValueError:
    return ValueError(f"Expected `weights` to be a readable file ({error}). Received: weights={str(path)!r}")
