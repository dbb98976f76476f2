"""Reads what Keras saved without trusting it: sizes are checked before memory is given, and no code in a file runs."""

import contextlib
import io
import math
import warnings
from collections.abc import Iterator
from pathlib import Path

import h5py
import keras
import tensorflow as tf

from ghostnet_tf.untrusted import DAMAGE, check_size, first_line, zip_archive

WEIGHTS = "model.weights.h5"  # in the archive


def load_keras(path: Path | str) -> keras.Model:
    """The model in a `.keras` file, not compiled; custom objects in it can only be those that are registered.

    Nothing in the file is run (`safe_mode`), and it takes no more memory than `untrusted.check_size` allows.

    Raises:
        ValueError: If the file is damaged, claims more than it holds, is no model, or refers to unknown objects; says
            why in one line, without the name of the file.
    """
    path = Path(path)
    with reading():
        with zip_archive(path) as archive:
            damaged = archive.testzip()
            if damaged is not None:
                raise ValueError(f"the checksum of {damaged} is wrong")
            content = io.BytesIO(archive.read(WEIGHTS))
        size = content.getbuffer().nbytes
        with h5py.File(content) as file:
            tensor_shapes(file, size)
        with _variables_of_at_most(size):
            model = keras.models.load_model(path, compile=False, safe_mode=True)
    if not isinstance(model, keras.Model):
        raise ValueError(f"it holds no model but a {type(model).__name__}")
    return model


@contextlib.contextmanager
def reading() -> Iterator[None]:
    """Whatever Keras and HDF5 end with on a damaged file becomes a `ValueError` of one line."""
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("error", message="Skipping nested container")  # Keras leaves fresh values there
            yield
    except (*DAMAGE, UserWarning, tf.errors.OpError) as error:
        raise ValueError(first_line(error)) from error


def tensor_shapes(file: h5py.File, size: int) -> dict[str, tuple[int, ...]]:
    """Shapes of all tensors in an HDF5 file of `size` bytes, by name.

    Raises:
        ValueError: If they claim more memory than they may, or lie in another file.
    """
    tensors, links = {}, []  # gathered: h5py cannot be left by an error while it visits
    file.visititems(lambda name, item: tensors.update({name: item}) if isinstance(item, h5py.Dataset) else None)
    file.visititems_links(lambda name, link: None if isinstance(link, h5py.HardLink) else links.append(name))
    links += [name for name, tensor in tensors.items() if tensor.external or tensor.is_virtual]
    if links:
        raise ValueError(f"{links[0]} refers to another place")
    check_size(sum(math.prod(tensor.shape) * tensor.dtype.itemsize for tensor in tensors.values()), size)
    return {name: tensor.shape for name, tensor in tensors.items()}


@contextlib.contextmanager
def _variables_of_at_most(size: int) -> Iterator[None]:
    """Refuses layers whose variables need far more than the `size` bytes of weights that there are for them.

    A configuration of a hundred bytes may ask for a terabyte, and Keras fills new variables before it looks at the
    weights. It has no hook for that, hence the method is replaced while the block lasts.
    """
    layer, add_weight = keras.layers.Layer, keras.layers.Layer.add_weight
    claimed = 0

    def counted(self, shape=None, *args, **kwargs):
        nonlocal claimed
        claimed += 4 * math.prod(shape or ())
        check_size(claimed, size)
        return add_weight(self, shape, *args, **kwargs)

    layer.add_weight = counted
    try:
        yield
    finally:
        layer.add_weight = add_weight
