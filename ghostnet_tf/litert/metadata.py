"""What a `.tflite` file says about itself, whoever wrote it: TFLite Metadata and the files behind the model."""

import dataclasses
import io
import lzma
import reprlib
import struct
import zipfile
import zlib
from dataclasses import dataclass

import numpy as np

from ghostnet_tf.litert import metadata_schema
from ghostnet_tf.litert.flatbuffer import unpack
from ghostnet_tf.litert.normalization import PIXELS, Normalization, per_channel
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
        mean, std: Of `Normalization`.
    """

    name: str
    description: str
    version: str
    license: str | None
    card: str
    labels: tuple[str, ...] | None = None
    mean: float | tuple[float, ...] = 0.0
    std: float | tuple[float, ...] = 1.0

    def as_dict(self) -> dict:
        """For JSON, without the labels."""
        return {key: value for key, value in dataclasses.asdict(self).items() if key != "labels"}


def read_metadata(content: bytes) -> Metadata | None:
    """The metadata in a file, whoever wrote it; `None` where there is none.

    Raises:
        ValueError: If the file is no `.tflite` file, or its metadata are damaged.
    """
    found = _described(content)
    if found is None:
        return None
    files = _files(content)
    graph = (found.get("subgraph_metadata") or [{}])[0]
    output = (graph.get("output_tensor_metadata") or [{}])[0]
    labels = _named(output, "axis labels", files)
    normalization = _stated(found) or PIXELS
    return Metadata(
        name=found.get("name", ""),
        description=found.get("description", ""),
        version=found.get("version", ""),
        license=found.get("license"),
        card=_named(found, "descriptions", files) or "",
        labels=None if labels is None else tuple(labels.removesuffix("\n").split("\n")),
        mean=normalization.mean,
        std=normalization.std,
    )


def stated_normalization(content: bytes, channels: int = 3) -> Normalization | None:
    """What a file's metadata say that its first input takes; `None` where they do not, or there are none.

    Raises:
        ValueError: If the file is no `.tflite` file, its metadata are damaged, or nothing can be normalized so.
    """
    found = _described(content)
    stated = None if found is None else _stated(found)
    if stated is None:
        return None
    mean, std = per_channel(stated.mean), per_channel(stated.std)
    sound = np.isfinite(mean).all() and np.isfinite(std).all() and std.all()
    if not sound or not {len(mean), len(std)} <= {1, channels}:
        raise ValueError(
            f"Expected finite means and deviations other than 0, 1 or {channels} of each, to normalize with. "
            f"Received: mean {reprlib.repr(stated.mean)}, std {reprlib.repr(stated.std)}"
        )
    return stated


def _described(content: bytes) -> dict | None:
    """The metadata's own FlatBuffer, as `metadata_schema.unpack` gives it."""
    model = unpack(content, untrusted=True)
    entry = next((entry for entry in model.metadata or [] if entry.name == BUFFER), None)
    if entry is None:
        return None
    buffers = model.buffers or []
    stored = buffers[entry.buffer].data if entry.buffer < len(buffers) else None
    if stored is None:
        raise ValueError(f"Expected metadata in buffer {entry.buffer}. Received: {len(buffers)} buffers, nothing there")
    return metadata_schema.unpack(bytes(stored))


def _stated(described: dict) -> Normalization | None:
    graph = (described.get("subgraph_metadata") or [{}])[0]
    image = (graph.get("input_tensor_metadata") or [{}])[0]
    options = [unit["options"] for unit in image.get("process_units", []) if "options" in unit]
    stated = next((option["NormalizationOptions"] for option in options if "NormalizationOptions" in option), None)
    if stated is None:
        return None
    mean, std = (stated.get(name) or [default] for name, default in (("mean", 0.0), ("std", 1.0)))
    return Normalization(*(numbers[0] if len(set(numbers)) == 1 else tuple(numbers) for numbers in (mean, std)))


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
