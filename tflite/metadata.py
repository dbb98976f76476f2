"""What a `.tflite` file says about itself: TFLite Metadata, as MediaPipe's tasks and Android Studio read it.

The description lies in the file's `TFLITE_METADATA` buffer; labels and model card are appended as a ZIP archive, which
a reader of the model does not see.
"""

import dataclasses
import io
import lzma
import struct
import zipfile
import zlib
from dataclasses import dataclass

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from ghostnet_tf.tflite import metadata_schema
from ghostnet_tf.tflite.flatbuffer import pack, softmax, unpack
from ghostnet_tf.untrusted import DAMAGE, check_size, first_line, printable

BUFFER = b"TFLITE_METADATA"
LABELS, CARD = "labels.txt", "model_card.md"


@dataclass(frozen=True)
class Metadata:
    """What a file of an image classifier says about itself.

    Attributes:
        name: Of the model.
        description: One line.
        version: Of what made the file.
        license: SPDX identifier or text; `None` where it is not known.
        card: Text for people, Markdown.
        labels: Class names by index, or `None`.
        mean, std: `(pixel - mean) / std`, of RGB values from 0 to 255, is what the model takes. A quantized input takes
            it in its own scale and zero point. Models that normalize themselves have 0 and 1.
    """

    name: str
    description: str
    version: str
    license: str | None
    card: str
    labels: tuple[str, ...] | None = None
    mean: float = 0.0
    std: float = 1.0

    def as_dict(self) -> dict:
        """For JSON, without the labels."""
        return {key: value for key, value in dataclasses.asdict(self).items() if key != "labels"}


def with_metadata(content: bytes, metadata: Metadata) -> bytes:
    """The file with metadata in it, in place of what it had. Equal arguments give equal bytes.

    Args:
        content: A `.tflite` file with one input of images `(1, height, width, channels)`.
        metadata: With labels only for a file whose one output is `(1, classes)`, one label a class.

    Raises:
        ValueError: If the labels do not fit, or one has a line break in it.
    """
    model = unpack(content)
    _check_labels(model, metadata.labels)
    packed = np.frombuffer(metadata_schema.pack(_described(model, metadata)), np.uint8)
    model.metadata = list(model.metadata or [])
    entry = next((entry for entry in model.metadata if entry.name == BUFFER), None)
    if entry is None:
        model.buffers.append(schema.BufferT())
        entry = schema.MetadataT(BUFFER, len(model.buffers) - 1)
        model.metadata.append(entry)
    model.buffers[entry.buffer].data = packed

    files = {CARD: metadata.card}
    if metadata.labels is not None:
        files[LABELS] = "".join(f"{label}\n" for label in metadata.labels)
    return _with_files(pack(model), files)


def read_metadata(content: bytes) -> Metadata | None:
    """The metadata in a file, whoever wrote it; `None` where there is none.

    Raises:
        ValueError: If the file is no `.tflite` file, or its metadata are damaged.
    """
    model = unpack(content, untrusted=True)
    entry = next((entry for entry in model.metadata or [] if entry.name == BUFFER), None)
    if entry is None:
        return None
    buffers = model.buffers or []
    stored = buffers[entry.buffer].data if entry.buffer < len(buffers) else None
    if stored is None:
        raise ValueError(f"Expected metadata in buffer {entry.buffer}. Received: {len(buffers)} buffers, nothing there")
    found = metadata_schema.unpack(bytes(stored))
    files = _files(content)
    graph = (found.get("subgraph_metadata") or [{}])[0]
    image = (graph.get("input_tensor_metadata") or [{}])[0]
    output = (graph.get("output_tensor_metadata") or [{}])[0]
    options = [unit["options"] for unit in image.get("process_units", []) if "options" in unit]
    normalization = next((option["NormalizationOptions"] for option in options), {})
    labels = _named(output, "axis labels", files)
    return Metadata(
        name=found.get("name", ""),
        description=found.get("description", ""),
        version=found.get("version", ""),
        license=found.get("license"),
        card=_named(found, "descriptions", files) or "",
        labels=None if labels is None else tuple(labels.removesuffix("\n").split("\n")),
        mean=(normalization.get("mean") or [0.0])[0],
        std=(normalization.get("std") or [1.0])[0],
    )


def _check_labels(model: schema.ModelT, labels: tuple[str, ...] | None) -> None:
    if labels is None:
        return
    graph = model.subgraphs[0]
    shapes = [tuple(int(side) for side in graph.tensors[index].shape) for index in graph.outputs]
    if shapes != [(1, len(labels))]:
        raise ValueError(f"Expected labels for an output of shape {shapes}. Received: {len(labels)} labels")
    broken = [label for label in labels if "\n" in label]
    if broken:
        raise ValueError(f"Expected labels of one line. Received: {broken[0]!r}")


def _described(model: schema.ModelT, metadata: Metadata) -> dict:
    graph = model.subgraphs[0]
    (source,) = graph.inputs
    _, height, width, channels = (int(side) for side in graph.tensors[source].shape)
    properties = {"default_size": {"width": width, "height": height}}
    color_space = {3: "rgb", 1: "grayscale"}.get(channels)
    if color_space is not None:
        properties["color_space"] = metadata_schema.COLOR_SPACES[color_space]
    image = {
        "name": "image",
        "description": "the image to classify, values from 0 to 255 before normalization",
        "content": {"content_properties": {"ImageProperties": properties}},
        "process_units": [{"options": {"NormalizationOptions": {"mean": [metadata.mean], "std": [metadata.std]}}}],
        "stats": {"max": [(255 - metadata.mean) / metadata.std], "min": [-metadata.mean / metadata.std]},
    }
    return {
        "name": metadata.name,
        "description": metadata.description,
        "version": metadata.version,
        **({} if metadata.license is None else {"license": metadata.license}),
        "subgraph_metadata": [
            {
                "input_tensor_metadata": [image],
                "output_tensor_metadata": [_output(model, metadata, place) for place in range(len(graph.outputs))],
            }
        ],
        "associated_files": [_file(CARD, "descriptions", "what the model is, for people")],
        "min_parser_version": metadata_schema.PARSER,
    }


def _output(model: schema.ModelT, metadata: Metadata, place: int) -> dict:
    described = {"name": f"output_{place}", "content": {"content_properties": {"FeatureProperties": {}}}}
    if place == 0 and softmax(model) is not None:
        described |= {
            "name": "probability",
            "description": "probability of each class",
            "stats": {"max": [1.0], "min": [0.0]},
        }
    if metadata.labels is not None:
        described["associated_files"] = [_file(LABELS, "axis labels", "name of each class, a line each")]
    return described


def _file(name: str, kind: str, description: str) -> dict:
    return {"name": name, "description": description, "type": metadata_schema.FILE_TYPES[kind]}


def _with_files(content: bytes, files: dict[str, str]) -> bytes:
    """`content` with a ZIP archive behind it: not compressed, as the format wants, and without a date."""
    stream = io.BytesIO(content)
    with zipfile.ZipFile(stream, "a", zipfile.ZIP_STORED) as archive:
        for name, text in files.items():
            entry = zipfile.ZipInfo(name)
            entry.create_system = 3  # Unix, wherever this runs
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, text)
    return stream.getvalue()


def _files(content: bytes) -> dict[str, str]:
    if not zipfile.is_zipfile(io.BytesIO(content)):
        return {}
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            check_size(sum(member.file_size for member in archive.infolist()), len(content))
            return {member.filename: archive.read(member).decode() for member in archive.infolist()}
    except (*DAMAGE, zlib.error, lzma.LZMAError, struct.error) as error:
        raise ValueError(f"Expected readable files in the metadata. Received: {first_line(error)}") from error


def _named(described: dict, kind: str, files: dict[str, str]) -> str | None:
    """Content of the first file of a kind that the metadata name.

    Raises:
        ValueError: If the file is missing.
    """
    for entry in described.get("associated_files", []):
        if entry.get("type") == metadata_schema.FILE_TYPES[kind]:
            name = entry.get("name", "")
            if name not in files:
                received = printable(", ".join(files)) or "nothing"
                raise ValueError(f"Expected {printable(name)} behind the model. Received: {received}")
            return files[name]
    return None
