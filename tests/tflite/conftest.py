"""One small GhostNet in all schemes, converted once."""

import functools
import os
from collections.abc import Callable

import keras
import numpy as np
import pytest

from ghostnet_tf import GhostNet
from ghostnet_tf.commands import written_whole
from ghostnet_tf.tflite import calibrate
from ghostnet_tf.tflite.schemes import GRAPH, SCHEMES, convert, form, full_integer, rearranged
from ghostnet_tf.tflite.tensorflow_converter import converted
from ghostnet_tf.training.config import RunConfig
from ghostnet_tf.training.data import load_data

SIZE, CLASSES = 32, 5


def _randomized(model: keras.Model, seed: int = 0, shift: float = 0.0) -> keras.Model:
    """`model` with every bias, scale and shift at random, so that folding shows; shifts are `shift` on average."""
    rng = np.random.default_rng(seed)
    for weight in model.weights:
        kind = weight.path.rsplit("/", 1)[-1]
        if kind in ("beta", "bias"):
            weight.assign(rng.normal(shift, 0.3, weight.shape))
        elif kind == "gamma":
            weight.assign(rng.uniform(0.6, 1.4, weight.shape))
    return model


@pytest.fixture(scope="session")
def randomized():
    """`randomized(model, seed, shift)` changes a model's biases, scales and shifts and returns it."""
    return _randomized


@pytest.fixture(scope="session")
def small_images() -> calibrate.ImageSet:
    return calibrate.synthetic((SIZE, SIZE, 3), 24, 16)


@pytest.fixture(scope="session")
def small_model(small_images) -> keras.Model:
    """GhostNet 0.25 for 32 pixels and 5 classes, as far from its initial values as a trained one."""
    keras.utils.set_random_seed(0)
    model = _randomized(GhostNet(0.25, input_shape=(SIZE, SIZE, 3), classes=CLASSES))
    calibrate.settle(model, small_images.calibration)
    return model


@pytest.fixture(scope="session")
def made_once(tmp_path_factory) -> Callable[[str, Callable[[], bytes]], bytes]:
    """`made_once(name, make)` gives what `make` gave to the first of the processes that run tests."""
    folder = tmp_path_factory.getbasetemp()
    folder = folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder

    def content(name: str, make: Callable[[], bytes]) -> bytes:
        path = folder / name
        if not path.is_file():
            with written_whole(path) as temporary:
                temporary.write_bytes(make())
        return path.read_bytes()

    return content


@pytest.fixture(scope="session")
def small_converted(small_model, made_once) -> bytes:
    """What TensorFlow's converter makes of `small_model`."""
    return made_once("small_converted.tflite", lambda: converted(small_model, SCHEMES["fp32"]))


@pytest.fixture(scope="session")
def small_floats(small_converted) -> Callable[[str, str], bytes]:
    """`small_floats(graph, scheme)` is the float file of `small_model` in that graph: of fp32, or to quantize."""
    return functools.cache(lambda graph, scheme: rearranged(small_converted, form(graph, scheme)))


@pytest.fixture(scope="session")
def small_to_quantize(small_floats) -> bytes:
    """The float file of which the int8 one of `small_files` is made."""
    return small_floats(GRAPH, "int8")


@pytest.fixture(scope="session")
def small_files(small_model, small_images, small_floats, small_to_quantize, made_once) -> dict[str, bytes]:
    """Scheme -> the `.tflite` file of `small_model`, as `convert` makes it (see test_schemes.py)."""
    make = {name: functools.partial(convert, small_model, name) for name in ("fp16", "dynamic")}
    make |= {name: functools.partial(small_floats, GRAPH, name) for name in ("fp32", "hybrid")}
    make["int8"] = lambda: full_integer(small_to_quantize, small_images.calibration, "uint8", "float32")
    return {name: made_once(f"small_{name}.tflite", make[name]) for name in SCHEMES}


@pytest.fixture(scope="session")
def digits_model():
    """Centres of the ten classes as a linear classifier: right for nine of ten digits, and quick to convert."""
    data = load_data("digits", size=32)
    pixels = data.train.images().reshape(len(data.train), -1) / 255.0
    centres = np.stack([pixels[data.train.labels == label].mean(0) for label in range(10)])
    image = keras.Input((32, 32, 3), name="image")
    x = keras.layers.Flatten()(keras.layers.Rescaling(1 / 255)(image))
    outputs = keras.layers.Dense(10, activation="softmax", name="classifier")(x)
    model = keras.Model(image, outputs, name="ghostnet_025")
    # Nearest centre: |x - c|^2 = |x|^2 - 2 c.x + |c|^2. The factor makes the softmax peaky, not one-hot.
    model.get_layer("classifier").set_weights([0.02 * centres.T, -0.01 * (centres**2).sum(1)])
    return model


@pytest.fixture
def run_folder(digits_model, tmp_path):
    """A finished run, as training leaves it."""
    run = tmp_path / "digits_run"
    run.mkdir()
    RunConfig(data="digits", width=0.25, size=32).save(run / "config.toml")
    digits_model.save(run / "model.keras")
    (run / "labels.txt").write_text("\n".join(map(str, range(10))) + "\n")
    return run
