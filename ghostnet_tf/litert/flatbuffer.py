"""`.tflite` files read as objects, through the schema that the runtime ships."""

import struct

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from ghostnet_tf.litert.claims import check_claims, names
from ghostnet_tf.untrusted import first_line

OP_NAMES = names(schema.BuiltinOperator)
TYPE_NAMES = {code: name.lower() for code, name in names(schema.TensorType).items()}


def unpack(content: bytes, *, untrusted: bool = False) -> schema.ModelT:
    """The object tree of a file, with the constants that some writers (litert-quantizer) put behind the FlatBuffer.

    Args:
        content: The file.
        untrusted: Whether it may be made to harm, so that what it claims is counted first, in about the same time.

    Raises:
        ValueError: If it is no `.tflite` file, or so damaged that it cannot be read, or claims too much.
    """
    if content[4:8] != b"TFL3":
        raise ValueError(f"Expected the content of a .tflite file. Received: {len(content)} bytes, {content[:8]!r}…")
    try:
        if untrusted:
            check_claims(content)
        model = schema.ModelT.InitFromPackedBuf(content, 0)
    except (struct.error, IndexError, TypeError, AttributeError, ValueError) as error:
        raise ValueError(
            f"Expected the content of a .tflite file. Received: damaged bytes ({first_line(error)})"
        ) from error
    for buffer in model.buffers or []:
        if buffer.offset > 1:
            if buffer.offset + buffer.size > len(content):
                raise ValueError(
                    f"Expected constants inside the file. Received: {buffer.size} bytes at {buffer.offset}"
                )
            buffer.data = np.frombuffer(content, np.uint8, buffer.size, buffer.offset)
            buffer.offset = buffer.size = 0
    return model
