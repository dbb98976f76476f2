"""TFLite Metadata as a FlatBuffer, to and from dictionaries: the tables that an image classifier needs.

The format is `metadata_schema.fbs` of MediaPipe (Apache-2.0). Its generated Python comes with the mediapipe package
only, which is too large to depend on for a kilobyte.
"""

import struct

import flatbuffers
import numpy as np
from flatbuffers import number_types
from flatbuffers.table import Table

from ghostnet_tf.untrusted import check_size, first_line

IDENTIFIER = b"M001"
VALUE = 200  # bytes of memory that a value takes at least
PARSER = "1.0.0"  # the oldest reader that knows every field below

# Fields in the schema's order, which numbers them; left out are only those after the last one that is used.
TABLES = {
    "ModelMetadata": {
        "name": "string",
        "description": "string",
        "version": "string",
        "subgraph_metadata": "[SubGraphMetadata]",
        "author": "string",
        "license": "string",
        "associated_files": "[AssociatedFile]",
        "min_parser_version": "string",
    },
    "SubGraphMetadata": {
        "name": "string",
        "description": "string",
        "input_tensor_metadata": "[TensorMetadata]",
        "output_tensor_metadata": "[TensorMetadata]",
    },
    "TensorMetadata": {
        "name": "string",
        "description": "string",
        "dimension_names": "[string]",
        "content": "Content",
        "process_units": "[ProcessUnit]",
        "stats": "Stats",
        "associated_files": "[AssociatedFile]",
    },
    "Content": {"content_properties": "ContentProperties"},
    "FeatureProperties": {},
    "ImageProperties": {"color_space": "byte", "default_size": "ImageSize"},
    "ImageSize": {"width": "uint", "height": "uint"},
    "ProcessUnit": {"options": "ProcessUnitOptions"},
    "NormalizationOptions": {"mean": "[float]", "std": "[float]"},
    "Stats": {"max": "[float]", "min": "[float]"},
    "AssociatedFile": {"name": "string", "description": "string", "type": "byte"},
}
# Members count from 1. A union takes two numbers in its table: which member, and the member.
UNIONS = {
    "ContentProperties": ("FeatureProperties", "ImageProperties"),
    "ProcessUnitOptions": ("NormalizationOptions",),
}
COLOR_SPACES = {"rgb": 1, "grayscale": 2}
FILE_TYPES = {"descriptions": 1, "axis labels": 2}

_SCALARS = {"byte": number_types.Int8Flags, "uint": number_types.Uint32Flags}


def pack(metadata: dict) -> bytes:
    """The FlatBuffer of a `ModelMetadata`.

    Args:
        metadata: Field name to value: text, whole number, list of numbers, a dictionary for a table, a list of them
            for several, `{member: dictionary}` for a union. What is left out is not written.

    Raises:
        KeyError: On a field that the table does not have.
    """
    builder = flatbuffers.Builder(1024)
    builder.Finish(_write_table(builder, "ModelMetadata", metadata), IDENTIFIER)
    return bytes(builder.Output())


def unpack(content: bytes) -> dict:
    """The `ModelMetadata` of a FlatBuffer, as `pack` takes it; numbers that are 0 and unknown members are left out.

    Raises:
        ValueError: If it is none, or damaged.
    """
    if content[4:8] != IDENTIFIER:
        raise ValueError(f"Expected TFLite Metadata, {IDENTIFIER!r} at byte 4. Received: {content[:8]!r}")
    try:
        root = Table(content, flatbuffers.encode.Get(flatbuffers.packer.uoffset, content, 0))
        return _Reader(len(content)).table(root, "ModelMetadata")
    except (struct.error, IndexError, TypeError, ValueError) as error:
        raise ValueError(
            f"Expected TFLite Metadata. Received: {len(content)} damaged bytes ({first_line(error)})"
        ) from error


def _numbered(table: str) -> dict[str, tuple[int, str]]:
    """Field -> its number and kind."""
    fields, number = {}, 0
    for name, kind in TABLES[table].items():
        fields[name] = number, kind
        number += 2 if kind in UNIONS else 1
    return fields


def _write_table(builder: flatbuffers.Builder, table: str, values: dict) -> int:
    fields = {name: (*_numbered(table)[name], value) for name, value in values.items()}
    # What a table points to is written before it.
    placed = {name: _write(builder, kind, value) for name, (_, kind, value) in fields.items() if kind not in _SCALARS}
    builder.StartObject(max((number + 2 for number, _ in _numbered(table).values()), default=0))
    for name, (number, kind, value) in fields.items():
        if kind in _SCALARS:
            builder.PrependSlot(_SCALARS[kind], number, value, 0)
            continue
        if kind in UNIONS:
            (member,) = value
            builder.PrependUint8Slot(number, UNIONS[kind].index(member) + 1, 0)
            number += 1
        builder.PrependUOffsetTRelativeSlot(number, placed[name], 0)
    return builder.EndObject()


def _write(builder: flatbuffers.Builder, kind: str, value) -> int:
    if kind == "string":
        return builder.CreateString(value)
    if kind == "[float]":
        return builder.CreateNumpyVector(np.asarray(value, np.float32))
    if kind.startswith("["):
        items = [_write(builder, kind[1:-1], item) for item in value]
        builder.StartVector(4, len(items), 4)
        for item in reversed(items):
            builder.PrependUOffsetTRelative(item)
        return builder.EndVector()
    if kind in UNIONS:
        ((kind, value),) = value.items()
    return _write_table(builder, kind, value)


def _position(table: Table, number: int) -> int | None:
    offset = table.Offset(4 + 2 * number)
    return table.Pos + offset if offset else None


class _Reader:
    """Reads tables of a FlatBuffer of `size` bytes.

    All offsets may lead to one place, so that what a few kilobytes hold would be without end: it is counted.
    """

    def __init__(self, size: int):
        self.size, self.claimed = size, 0

    def table(self, table: Table, name: str) -> dict:
        values = {}
        for field, (number, kind) in _numbered(name).items():
            position = _position(table, number)
            if position is None:
                continue
            if kind in _SCALARS:
                values[field] = table.Get(_SCALARS[kind], position)
            elif kind in UNIONS:
                member, body = table.Get(number_types.Uint8Flags, position), _position(table, number + 1)
                if body is not None and 0 < member <= len(UNIONS[kind]):
                    kind = UNIONS[kind][member - 1]
                    values[field] = {kind: self._read(table, kind, body)}
            elif kind.startswith("["):
                start = table.Vector(position - table.Pos)
                places = range(start, start + 4 * table.VectorLen(position - table.Pos), 4)
                values[field] = [self._read(table, kind[1:-1], place) for place in places]
            else:
                values[field] = self._read(table, kind, position)
        return values

    def _read(self, table: Table, kind: str, position: int):
        self._count(VALUE)
        if kind == "float":
            return table.Get(number_types.Float32Flags, position)
        if kind == "string":
            text = table.String(position)
            self._count(len(text))
            return text.decode()
        return self.table(Table(table.Bytes, table.Indirect(position)), kind)

    def _count(self, claimed: int) -> None:
        self.claimed += claimed
        check_size(self.claimed, self.size)
