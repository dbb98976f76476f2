"""Corrects what litert-torch makes of PyTorch's nearest-neighbour resizing."""

from ai_edge_litert import schema_py_generated as schema

HALF_PIXEL_CENTERS = 6  # place of the option in the table of RESIZE_NEAREST_NEIGHBOR, by the schema's numbering


def corrected(content: bytes) -> bytes:
    """A `.tflite` file with the neighbours that PyTorch takes.

    litert-torch 0.10.0 sets half-pixel centres, which PyTorch does not have: 3 pixels become 7 by other rows, and
    GhostNetV2 then computes something else.
    """
    changed = bytearray(content)
    graph = schema.Model.GetRootAs(changed, 0).Subgraphs(0)
    for index in range(graph.OperatorsLength()):
        operator = graph.Operators(index)
        if operator.BuiltinOptionsType() == schema.BuiltinOptions.ResizeNearestNeighborOptions:
            options = operator.BuiltinOptions()
            offset = options.Offset(HALF_PIXEL_CENTERS)
            if offset:  # else it has the default, false
                changed[options.Pos + offset] = 0
    return bytes(changed)
