"""The fp16 file: allows a processor to compute in 16 bits, and is computed in 32 where it cannot."""

import numpy as np

from ghostnet_tf.runtime import TFLiteModel
from ghostnet_tf.tflite.flatbuffer import pack, unpack


def entries(content: bytes) -> dict[str, bytes]:
    model = unpack(content)
    return {entry.name.decode(): bytes(model.buffers[entry.buffer].data) for entry in model.metadata}


def test_fp16_alone_allows_computing_in_16_bits(small_files):
    key = "reduced_precision_support"
    assert entries(small_files["fp16"])[key] == b"fp16accfp16"  # multiply and add up
    assert [scheme for scheme, content in small_files.items() if key in entries(content)] == ["fp16"]


def test_repacking_keeps_the_entry(small_files):
    assert entries(pack(unpack(small_files["fp16"]))) == entries(small_files["fp16"])


def test_this_processor_computes_in_32_bits(small_files, small_images):
    """An x86 one, even with AVX512-FP16: as the file does whose weights are the rounded ones in 32 bits."""
    model = unpack(small_files["fp16"])
    graph = model.subgraphs[0]
    model.metadata = [entry for entry in model.metadata if entry.name != b"reduced_precision_support"]
    assert len(graph.operators) == len(unpack(small_files["fp16"]).subgraphs[0].operators)
    plain = TFLiteModel(pack(model)).predict(small_images.held_out)
    np.testing.assert_array_equal(TFLiteModel(small_files["fp16"]).predict(small_images.held_out), plain)
