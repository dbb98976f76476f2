"""What a `.tflite` file would take as objects, counted before they are made.

Many offsets of a FlatBuffer may lead to one place, so that what a few kilobytes hold is without end as a tree.
"""

import functools

from ai_edge_litert import schema_py_generated as schema
from flatbuffers.table import Table

from ghostnet_tf.untrusted import check_size

OBJECT = 1000  # bytes that a table takes in memory, with the views of its vectors
_OPTIONS, _OPTIONS_2 = schema.BuiltinOptions, schema.BuiltinOptions2
# Fields with one table of several kinds -> the class that numbers these.
UNIONS = {"BuiltinOptions": _OPTIONS, "BuiltinOptions2": _OPTIONS_2, "Details": schema.QuantizationDetails}
UNIONS |= {"ArraySegments": schema.SparseIndexVector, "ArrayIndices": schema.SparseIndexVector}


def check_claims(content: bytes) -> None:
    """Counts tables, texts and numbers as often as something refers to them.

    Raises:
        ValueError: As soon as they are more than `check_size` allows a file of this size. Damaged content may end in
            any other error of reading, `untrusted.DAMAGE` or `struct.error`.
    """
    Counter(len(content)).table(schema.Model.GetRootAs(content))


class Counter:
    """Adds up what a file of `size` bytes claims, which becomes `claimed` bytes at least."""

    def __init__(self, size: int):
        self.size, self.claimed = size, 0

    def table(self, table: object) -> None:
        """Adds what a table of the schema and all below it take. It ends: offsets lead forward only."""
        self._add(OBJECT)
        for name, kind in fields(type(table)):
            read = getattr(table, name)
            if kind == "numbers":
                self._add(getattr(getattr(table, f"{name}AsNumpy")(), "nbytes", 0))
            elif kind == "several":
                for index in range(getattr(table, f"{name}Length")()):
                    self._value(read(index))
            elif name in UNIONS:
                self._union(read(), UNIONS[name], getattr(table, f"{name}Type")())
            else:
                self._value(read())

    def _union(self, body: Table | None, numbers: type, number: int) -> None:
        if body is not None and number and number in names(numbers):  # others are not unpacked either
            table = getattr(schema, names(numbers)[number])()
            table.Init(body.Bytes, body.Pos)
            self.table(table)

    def _value(self, value: object) -> None:
        if isinstance(value, bytes):
            self._add(len(value))
        elif hasattr(value, "_tab"):
            self.table(value)

    def _add(self, claimed: int) -> None:
        self.claimed += claimed
        check_size(self.claimed, self.size)


@functools.cache
def names(numbers: type) -> dict[int, str]:
    """Number to name of an enumeration of the schema."""
    return {value: name for name, value in vars(numbers).items() if not name.startswith("_")}


@functools.cache
def fields(table: type) -> tuple[tuple[str, str], ...]:
    """The fields of a table's class in the schema: name, and "numbers", "several" (tables or texts) or "one"."""
    methods = {name for name in vars(table) if name[0].isupper()} - {"Init"}
    methods -= {name for name in methods if name.startswith("GetRootAs") or name.endswith("BufferHasIdentifier")}
    found = []
    for name in sorted(methods):
        if any(name.removesuffix(end) in methods - {name} for end in ("AsNumpy", "Length", "IsNone")):
            continue  # says something about another field
        kind = "numbers" if f"{name}AsNumpy" in methods else "several" if f"{name}Length" in methods else "one"
        found.append((name, kind))
    return tuple(found)
