"""Puts TFLite Metadata into a `.tflite` file, as MediaPipe's tasks and Android Studio read it.

The description lies in the file's `TFLITE_METADATA` buffer; labels and model card are appended as a ZIP archive, which
a reader of the model does not see.
"""

import io
import zipfile

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from ghostnet_tf.litert import metadata_schema
from ghostnet_tf.litert.metadata import BUFFER, CARD, LABELS, Metadata
from ghostnet_tf.litert.normalization import per_channel
from ghostnet_tf.tflite.flatbuffer import pack, softmax, unpack


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
    mean, std = np.broadcast_arrays(per_channel(metadata.mean), per_channel(metadata.std))
    image = {
        "name": "image",
        "description": "the image to classify, values from 0 to 255 before normalization",
        "content": {"content_properties": {"ImageProperties": properties}},
        "process_units": [{"options": {"NormalizationOptions": {"mean": mean.tolist(), "std": std.tolist()}}}],
        "stats": {"max": ((255 - mean) / std).tolist(), "min": (-mean / std).tolist()},
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
