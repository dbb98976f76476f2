"""Classifiers of digits for the page where one tries them, and a photo."""

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ghostnet_tf.litert.metadata import Metadata
from ghostnet_tf.tflite.flatbuffer import op_name, pack, replace_constant, unpack, values
from ghostnet_tf.tflite.metadata import with_metadata
from ghostnet_tf.tflite.schemes import convert
from ghostnet_tf.training.data import load_data


@pytest.fixture(scope="session")
def labels() -> tuple[str, ...]:
    return (*"012345678", "<b>nine</b>")


@pytest.fixture(scope="session")
def labelled(labels) -> Callable[[bytes], bytes]:
    """`labelled(content, names)` is the file with these class names in its metadata, by default `labels`."""

    def put(content: bytes, names: tuple[str, ...] | None = None) -> bytes:
        return with_metadata(content, Metadata("digits", "a test", "1", None, "", names or labels))

    return put


@pytest.fixture(scope="session")
def contents(digits_model) -> dict[str, bytes]:
    """Scheme -> a file without metadata; `contrary` is fp32 with the classifier's weights negated."""
    images = load_data("digits", size=32).train.images()[:50]
    made = {
        "int8": convert(digits_model, "int8", representative_dataset=images),
        "fp32": convert(digits_model, "fp32"),
    }
    model = unpack(made["fp32"])
    graph = model.subgraphs[0]
    dense = next(operator for operator in graph.operators if op_name(model, operator) == "FULLY_CONNECTED")
    replace_constant(model, dense, 1, -values(model, graph.tensors[dense.inputs[1]]))
    return made | {"contrary": pack(model)}


@pytest.fixture(scope="session")
def files(contents, labelled, tmp_path_factory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("serve")
    paths = {name: folder / f"a_rather_long_name_of_digits_32_{name}.tflite" for name in contents}
    for name, content in contents.items():
        paths[name].write_bytes(labelled(content))
    return paths


@pytest.fixture(scope="session")
def digit() -> np.ndarray:
    """Pixels of a photo that is no square: a digit with a border at its sides."""
    data = load_data("digits", size=32).test
    seven = data.images()[list(data.labels).index(7)]
    return np.pad(seven.repeat(4, 0).repeat(4, 1), ((0, 0), (20, 36), (0, 0)))


@pytest.fixture(scope="session")
def encoded() -> Callable[..., bytes]:
    """`encoded(pixels, kind)` is the file of an image, `kind` as Pillow calls it."""

    def encode(pixels: np.ndarray, kind: str = "PNG", **options) -> bytes:
        file = io.BytesIO()
        Image.fromarray(np.ascontiguousarray(pixels)).save(file, kind, **options)
        return file.getvalue()

    return encode
