"""The graph that files get where nothing else is asked for, by scheme: from small files that are there anyway."""

import dataclasses
import inspect

import pytest

from ghostnet_tf.tflite import convert as command
from ghostnet_tf.tflite import qat, schemes
from ghostnet_tf.tflite.flatbuffer import op_name, unpack
from ghostnet_tf.tflite.schemes import FILES, GRAPH, GRAPHS, SCHEMES, form


def test_it_is_that_of_arm_everywhere():
    assert GRAPH == "arm"
    for function in (schemes.convert, schemes.to_quantize, qat.converted):
        assert inspect.signature(function).parameters["graph"].default == GRAPH
    assert command.parser().parse_args(["--int8"]).graph == GRAPH


@pytest.mark.parametrize("scheme", SCHEMES)
def test_what_the_file_of_each_scheme_has(small_files, scheme):
    model = unpack(small_files[scheme])
    operators = model.subgraphs[0].operators
    kinds = [op_name(model, operator) for operator in operators]
    first = next(kind for kind in kinds if kind not in ("QUANTIZE", "DEQUANTIZE"))
    # The border of the image, for the convolution that normalizes; of fp16, the normalization.
    assert first == ("DEPTHWISE_CONV_2D" if scheme == "fp16" else "CONCATENATION")
    rows = [
        operator
        for kind, operator in zip(kinds, operators, strict=True)
        if kind == "CONV_2D" and (operator.builtinOptions.strideH, operator.builtinOptions.strideW) == (2, 1)
    ]
    assert (len(rows) > 10) == (scheme in ("fp32", "hybrid"))
    assert kinds.count("RESHAPE") == 2 * len(rows)


def test_schemes_and_graphs_that_share_a_form():
    """What `layers` and the converter rely on."""
    assert form("arm", "fp32") not in [form(graph, scheme) for graph in GRAPHS for scheme in FILES if scheme != "fp32"]
    for scheme in ("fp16", "dynamic", "int8", "int8_mixed"):
        integers = scheme.startswith("int8")
        expected = dataclasses.replace(
            form("late", "fp32"), tanh_gates=False, interleaved_halves=integers, cast_in_xnnpack=integers
        )
        assert form("arm", scheme) == form("late", scheme) == expected
    for graph in ("plain", "optimized"):
        assert len({form(graph, scheme) for scheme in FILES if scheme != "hybrid"}) == 1
    for graph in GRAPHS:
        assert form(graph, "hybrid") == dataclasses.replace(form(graph, "fp32"), hybrid_products=True)
    assert form("arm", "int8_qat") == form("late", "int8_qat") != form("arm", "int8")
