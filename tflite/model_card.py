"""The metadata of a conversion: what goes into each file about the model that it was made from."""

from ghostnet_tf import __version__
from ghostnet_tf.litert.metadata import Metadata
from ghostnet_tf.tflite import artefacts, calibrate, sources
from ghostnet_tf.tflite.flatbuffer import softmax, unpack
from ghostnet_tf.tflite.graph import Tensor, structure
from ghostnet_tf.tflite.schemes import FILES

PIXELS = {"uint8": "0 to 255 as they are", "int8": "0 to 255, minus 128", "float32": "0 to 255 as floats"}


def describe(
    content: bytes, source: sources.Source, scheme: str, images: calibrate.ImageSet, licence: str | None = None
) -> Metadata:
    """The metadata of a file that was converted from `source`; nothing in it depends on where or when that was.

    Args:
        content: The file.
        scheme: A key of `FILES`.
        images: What it was calibrated with, if the scheme needs images.
        licence: In place of the source's own.
    """
    row, licence = FILES[scheme], licence or source.license
    name = artefacts.stem(source.network, source.size, source.trained_on)
    height, width = source.size
    trained = {None: "", sources.UNTRAINED: ", UNTRAINED"}.get(source.trained_on, f", trained on {source.trained_on}")
    description = f"{source.network} for images of {height}x{width} pixels{trained}; {scheme}: {row.summary}"

    model = unpack(content)
    graph = structure(model)
    (image,) = graph["inputs"]
    labels = _fitting(source.labels, graph["outputs"])
    results = "probabilities" if softmax(model) is not None else "scores"
    of_what = f"{results} of the classes in labels.txt, in this order" if labels else results
    points = [
        f"Input `{image.name}`: {_tensor(image)}. Red, green and blue of each pixel, row by row; values "
        f"{PIXELS[image.dtype]}: the network normalizes them itself.",
        *(f"Output `{output.name}`: {_tensor(output)}; {of_what}." for output in graph["outputs"]),
        *([f"Calibrated with {len(images.calibration)} images: {images.name}."] if row.needs_images else []),
        f"Licence: {licence or 'not stated'}.",
        f"Made by ghostnet-tf {__version__} and compared with its Keras model; the JSON beside the file says how far "
        "they agree.",
    ]
    card = "\n\n".join([f"# {name}, {scheme}", f"{description}.", "\n".join(f"- {point}" for point in points)])
    return Metadata(name, description, __version__, licence, f"{card}\n", labels)


def _fitting(labels: list[str] | None, outputs: tuple[Tensor, ...]) -> tuple[str, ...] | None:
    """`labels`, if the file has one output with a score for each."""
    if labels is None or [output.shape for output in outputs] != [(1, len(labels))]:
        return None
    return tuple(labels)


def _tensor(tensor: Tensor) -> str:
    steps = f", scale {tensor.scale:.8g}, zero point {tensor.zero_point}" if tensor.scale else ""
    return f"{tensor.dtype} {tensor.shape}{steps}"
