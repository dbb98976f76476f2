"""Reads weights from files of every kind, under our names and in Keras's layout."""

import pickle
import struct
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import h5py
import keras
import numpy as np

from ghostnet_tf.layers import GhostBottleneck
from ghostnet_tf.layers.composite import variable_key
from ghostnet_tf.untrusted import DAMAGE, first_line, printable
from ghostnet_tf.weights import bridge
from ghostnet_tf.weights.carried import FORMAT
from ghostnet_tf.weights.hub import WeightsUnavailable
from ghostnet_tf.weights.keras_file import load_keras, reading, tensor_shapes
from ghostnet_tf.weights.tf_names import from_tf, tf_name
from ghostnet_tf.weights.torch_names import from_torch, timm_name

HEAD = ("head_conv/kernel", "head_conv/bias", *bridge.HEAD_BN, "classifier/kernel", "classifier/bias")
HEAD_TENSORS = (0, 2, 4, 7, 8)  # how many there are: no head, a classifier, GhostNet's, its normalized one, Ghost-VGG's
TORCH = (".pth", ".pth.tar", ".pt", ".bin")
SUFFIXES = (".safetensors", ".weights.h5", ".keras", *TORCH, ".index")
# Where training scripts put the weights beside other things; averaged ones first, as timm takes them.
STATE_DICTS = ("state_dict_ema", "model_ema", "state_dict", "model")


class Source(NamedTuple):
    """What a file holds.

    Attributes:
        values: By "layer/variable", those without a counterpart in the model under their own names.
        clips: See `bridge.clips`.
        padding: See `bridge.strided_padding`; `None` where the file does not tell.
    """

    values: dict[str, np.ndarray]
    clips: bool
    padding: str | None


def read(path: Path, model: keras.Model, names: Callable[[str], str]) -> Source:
    """What is in `path`, which ends in one of `SUFFIXES`; see `load_weights`."""
    if path.name.endswith(".keras"):
        try:
            return _of(load_keras(path))
        except ValueError as error:
            raise _unreadable(path, error) from error
    if path.name.endswith(".weights.h5"):
        return _of(_from_weights_file(path, model))._replace(padding=None)
    variables = {variable_key(variable): variable for variable in model.weights}
    if path.name.endswith(".index"):
        ours = {tf_name(key): key for key in {**variables, **dict.fromkeys(HEAD)}}
        values = {}
        for name, value in _tensorflow_checkpoint(path).items():
            key = ours.get(name, name)
            values[key] = from_tf(value, key)
        return Source(values, clips=True, padding="same")
    tensors, native = (_torch_file(path), False) if path.name.endswith(TORCH) else _safetensors(path)
    if native:
        return Source(tensors, bridge.values_clip(tensors, model), None)
    ours = {names(key): key for key in {**variables, **dict.fromkeys(HEAD)}}
    values = {}
    for name, value in tensors.items():
        if (known := timm_name(name)) is not None:
            key = ours.get(known, name)
            values[key] = from_torch(value, tuple(variables[key].shape)) if key in variables else value
    clips = bridge.values_clip(values, model)
    return Source(values, clips, None if clips else "symmetric")


def _of(model: keras.Model) -> Source:
    values = {variable_key(variable): variable.numpy() for variable in model.weights}
    return Source(values, bridge.clips(model), bridge.strided_padding(model))


def _safetensors(path: Path) -> tuple[dict[str, np.ndarray], bool]:
    """The tensors, and whether their names and layouts are ours."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="np") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118, it is no dictionary
            native = (file.metadata() or {}).get("format") == FORMAT
    except (SafetensorError, *DAMAGE) as error:  # the others on types that NumPy does not have
        raise _unreadable(path, error) from error
    for name, value in tensors.items():
        if np.iscomplexobj(value):
            raise _unreadable(path, ValueError(f"{printable(name)} has complex numbers"))
    return tensors, native


def _torch_file(path: Path) -> dict[str, np.ndarray]:
    """The tensors of a state_dict, or of the one inside a training script's checkpoint."""
    try:
        import torch
    except ImportError as error:
        raise WeightsUnavailable(
            f"reading {path} takes PyTorch, which cannot be imported ({error}). Install it (pip install torch), or "
            "convert the file where it is: "
            'safetensors.torch.save_file(torch.load("FILE", weights_only=True), "FILE.safetensors").'
        ) from error
    try:
        saved = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:  # whose text recommends to run the code in the file
        raise ValueError(
            "Expected `weights` to hold tensors and plain values only; save the network's state_dict alone. "
            f"Received: weights={str(path)!r}"
        ) from error
    except (RuntimeError, EOFError, OSError, ValueError, LookupError, struct.error) as error:
        raise _unreadable(path, error) from error
    if isinstance(saved, dict):
        saved = next((saved[key] for key in STATE_DICTS if key in saved), saved)
    if not isinstance(saved, dict) or not all(isinstance(value, torch.Tensor) for value in saved.values()):
        raise ValueError(
            f"Expected a state_dict, or a checkpoint with one under {', '.join(STATE_DICTS)}. "
            f"Received: weights={str(path)!r}"
        )
    return {name: value.detach().double().numpy() for name, value in saved.items()}


def _tensorflow_checkpoint(path: Path) -> dict[str, np.ndarray]:
    import tensorflow as tf

    try:
        reader = tf.train.load_checkpoint(str(path).removesuffix(".index"))
        return {name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map()}
    except (tf.errors.OpError, ValueError, RuntimeError) as error:
        raise _unreadable(path, error) from error


def _from_weights_file(path: Path, model: keras.Model) -> keras.Model:
    """A new model like `model`, with the file's classes, dialect and weights."""
    try:
        with reading(), h5py.File(path) as file:
            shapes = tensor_shapes(file, path.stat().st_size)
    except ValueError as error:
        raise _unreadable(path, error) from error
    # Keras names the file's groups by class, numbered in the model's order.
    dense = [layer.name for layer in model.layers if isinstance(layer, keras.layers.Dense)]
    number = dense.index("classifier") if "classifier" in dense else 0
    group = f"layers/dense{f'_{number}' if number else ''}/vars"
    classes = shapes.get(f"{group}/1", (None,))[-1:]
    # A bias alone may claim classes whose kernel would not fit into memory.
    classes = classes[0] if shapes.get(f"{group}/0", ())[1:] == classes else None

    def like(layer):
        changes = {"units": classes} if layer.name == "classifier" and classes else {}
        return type(layer).from_config(layer.get_config() | changes)

    saved = Counter(
        shape for name, shape in shapes.items() if name.startswith("layers/") and "/seed_generator/" not in name
    )
    copy = keras.models.clone_model(model, clone_function=like)
    wanted = _shapes(copy)
    if not _fits(saved, wanted, "classifier" in dense):
        twin = None
        if any(isinstance(layer, GhostBottleneck) for layer in copy.layers):
            twin = bridge.other_dialect(copy)
        if twin is None or not _fits(saved, _shapes(twin), "classifier" in dense):
            lacking = ", ".join(str(shape) for shape in (wanted - saved)) or "none"
            raise ValueError(
                f"Expected {wanted.total()} tensors for {model.name}. Received: weights={str(path)!r} with "
                f"{saved.total()}, none of some shapes ({lacking})"
            )
        copy = twin
    try:
        with reading():
            copy.load_weights(path)
    except ValueError as error:
        raise _unreadable(path, error) from error
    return copy


def _shapes(model: keras.Model) -> Counter:
    return Counter(tuple(weight.shape) for weight in model.weights)


def _fits(saved: Counter, wanted: Counter, with_top: bool) -> bool:
    """Whether a file's shapes are the model's; Keras passes over what the model does not have, such as a head."""
    rest = (saved - wanted).total()
    return not wanted - saved and rest in (HEAD_TENSORS[:1] if with_top else HEAD_TENSORS)


def _unreadable(path: Path, error: Exception) -> ValueError:
    return ValueError(
        f"Expected `weights` to be a readable file ({first_line(error)}). Received: weights={str(path)!r}"
    )
