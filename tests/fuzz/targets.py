"""What the fuzzer calls, and what the suite calls again with its seeds and findings.

A target is made once, with a folder for its files, and then takes any bytes. It ends well when the reader under test
ends as it promises, and with any error where it does not.
"""

import json
import math
import warnings
from collections.abc import Callable
from pathlib import Path
from unittest import mock

Target = Callable[[bytes], None]

# Bytes of an element, by the file's name for its type: what the safetensors format has.
ITEM_SIZES = {"F64": 8, "I64": 8, "U64": 8, "C64": 8, "F32": 4, "I32": 4, "U32": 4}
ITEM_SIZES |= {"F16": 2, "BF16": 2, "I16": 2, "U16": 2, "F8_E4M3": 1, "F8_E5M2": 1, "I8": 1, "U8": 1, "BOOL": 1}
LARGEST = 1 << 21  # bytes of all tensors together, enough for the network below


def names(folder: Path) -> Target:
    """The mapping of a `.safetensors` file's names and layouts to variables, into a network of two bottlenecks.

    The bytes are lines `NAME TYPE SIDES BYTE`, as `conv_stem.weight F32 8,3,3,3 0`: a tensor of a sound file, each of
    its bytes the same. Sides that are not numbers are left out, so `-` makes a tensor without sides. If they begin
    with `paper`, the network is of that dialect.
    """
    import keras
    import numpy as np

    from ghostnet_tf.models import ghostnet
    from ghostnet_tf.weights.load import load_weights

    path = folder / "weights.safetensors"
    keras.utils.set_random_seed(0)
    with mock.patch.object(ghostnet, "ROWS", (ghostnet.ROWS[0], ghostnet.ROWS[3])):
        models = {
            dialect: ghostnet.GhostNet(0.25, input_shape=(32, 32, 3), classes=4, dialect=dialect)
            for dialect in ("release", "paper")
        }

    def target(data: bytes) -> None:
        _write_safetensors(path, data)
        model = models["paper" if data.startswith(b"paper") else "release"]
        before = [weight.numpy() for weight in model.weights]
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            warnings.filterwarnings("ignore", r".* classes, the model 4: the classifier starts anew\.")
            try:
                load_weights(model, path)
            except ValueError as error:
                _expect_one_line(error, "Expected ")
                now = (weight.numpy() for weight in model.weights)
                assert all(map(np.array_equal, before, now)), error
            else:
                assert all(np.isfinite(weight.numpy()).all() for weight in model.weights)

    return target


def metadata(folder: Path) -> Target:
    """The readers of a `.tflite` file's metadata, labels and model card, and of its input's normalization."""
    import numpy as np

    from ghostnet_tf.litert.metadata import read_metadata, stated_normalization
    from ghostnet_tf.litert.normalization import Normalization

    def target(data: bytes) -> None:
        for read in (read_metadata, stated_normalization):
            try:
                found = read(data)
            except ValueError as error:
                _expect_one_line(error, "Expected ")
                continue
            if isinstance(found, Normalization):
                assert found(np.zeros((1, 1, 3), np.uint8)).shape == (1, 1, 3)
            elif found is not None:
                assert all(isinstance(label, str) for label in found.labels or ())
                json.dumps(found.as_dict()).encode()

    return target


def config(folder: Path) -> Target:
    """The reader of a run's `config.toml`: settings of the right types, which come back from the file they go to."""
    from ghostnet_tf.commands import BadInput
    from ghostnet_tf.training.config import RunConfig
    from ghostnet_tf.training.runs import read_config

    path = folder / "config.toml"

    def target(data: bytes) -> None:
        path.write_bytes(data)
        try:
            settings = RunConfig(**read_config(path))
        except BadInput as error:
            _expect_one_line(error)
            return
        assert all(isinstance(epoch, int | float) for epoch in settings.decay_epochs or ())
        settings.save(path)
        assert repr(RunConfig(**read_config(path))) == repr(settings)  # repr, since NaN is not equal to itself

    return target


TARGETS = {"names": names, "metadata": metadata, "config": config}


def _expect_one_line(error: Exception, beginning: str = "") -> None:
    """A message that a terminal can show: no line breaks, no control characters."""
    text = str(error)
    assert text.startswith(beginning) and text.isprintable(), text


def _write_safetensors(path: Path, data: bytes) -> None:
    header, place, fills = {}, 0, []
    for line in data.decode(errors="replace").split("\n"):
        words = line.rsplit(" ", 3)
        if len(words) != 4 or words[0] in header:
            continue
        name, kind, sides, fill = words
        shape = [int(side[:6]) for side in sides.split(",") if side.isdecimal()]
        size = math.prod(shape) * ITEM_SIZES.get(kind, 1)
        if place + size > LARGEST:
            continue
        header[name] = {"dtype": kind, "shape": shape, "data_offsets": [place, place + size]}
        fills.append((place, size, int(fill[:3]) % 256 if fill.isdecimal() else 0))
        place += size
    text = json.dumps(header).encode()
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        file.truncate(8 + len(text) + place)
        for start, size, value in fills:
            if value:
                file.seek(8 + len(text) + start)
                file.write(bytes([value]) * size)
