"""Metadata: their bytes against MediaPipe's own, what goes into a file comes out, and nothing else changes."""

import base64
import dataclasses
import io
import zipfile

import flatbuffers
import numpy as np
import pytest

from ghostnet_tf.litert import metadata_schema
from ghostnet_tf.litert.metadata import BUFFER, CARD, LABELS, Metadata, read_metadata
from ghostnet_tf.runtime import TFLiteModel
from ghostnet_tf.tflite.flatbuffer import pack, unpack, with_logits
from ghostnet_tf.tflite.metadata import with_metadata

# Written with `metadata_schema_py_generated.ModelMetadataT` of mediapipe 1.2.2: the same dictionary as below.
OF_MEDIAPIPE = base64.b64decode("""
HAAAAE0wMDEUACAAHAAYABQAEAAAAAwACAAEABQAAAAcAAAAJAAAAFQAAABYAAAA1AEAANgBAADkAQAABQAAADEuMC4wAAAAAQAA
ABAAAAAAAAoADAAIAAAABwAKAAAAAAAAAQQAAAANAAAAbW9kZWxfY2FyZC5tZAAAAAMAAABNSVQAAQAAABAAAAAMAAwAAAAAAAgA
BAAMAAAACAAAAKwAAAABAAAAGAAAAAAAEgAUABAADAAAAAgAAAAAAAQAEgAAABAAAABMAAAAXAAAAGwAAAABAAAAEAAAAAAACgAQ
AAwACAAHAAoAAAAAAAACCAAAABAAAAAFAAAAbmFtZXMAAAAKAAAAbGFiZWxzLnR4dAAARP///wwAAAAAAAABBAAEAAQAAAANAAAA
b2YgZWFjaCBjbGFzcwAAAAsAAABwcm9iYWJpbGl0eQABAAAAFAAAABAAFAAQAAAAAAAMAAgABAAQAAAAEAAAACgAAABUAAAAhAAA
AJT///8IAAAADAAAAAEAAAAAAIC/AQAAAAAAgD8BAAAABAAAAMz///8IAAAAAAAAAcT///8IAAAADAAAAAEAAAAAAABDAQAAAAAA
/0L0////EAAAAAAAAAIIAAwACwAEAAgAAAAQAAAAAAAAAQgADAAIAAQACAAAACAAAAAwAAAABQAAAGltYWdlAAAAAQAAADMAAAAL
AAAAdHdvIGZsb3dlcnMABwAAAGZsb3dlcnMA
""")
FLOWERS = {
    "name": "flowers",
    "description": "two flowers",
    "version": "3",
    "license": "MIT",
    "subgraph_metadata": [
        {
            "input_tensor_metadata": [
                {
                    "name": "image",
                    "content": {
                        "content_properties": {
                            "ImageProperties": {"color_space": 1, "default_size": {"width": 48, "height": 32}}
                        }
                    },
                    "process_units": [{"options": {"NormalizationOptions": {"mean": [127.5], "std": [128.0]}}}],
                    "stats": {"max": [1.0], "min": [-1.0]},
                }
            ],
            "output_tensor_metadata": [
                {
                    "name": "probability",
                    "description": "of each class",
                    "content": {"content_properties": {"FeatureProperties": {}}},
                    "associated_files": [{"name": "labels.txt", "description": "names", "type": 2}],
                }
            ],
        }
    ],
    "associated_files": [{"name": "model_card.md", "type": 1}],
    "min_parser_version": "1.0.0",
}
LABELLED = Metadata(
    name="animals",
    description="five of them",
    version="1.0",
    license="Apache-2.0",
    card="# Animals\n\nFive, one with an accent.\n",
    labels=(
        "ant",
        "bee",
        "Kätzchen",
        "",
        "line\u2028separator",
    ),  # a name may be empty, or hold what splitlines() splits
)


def test_mediapipes_bytes_are_understood():
    assert metadata_schema.unpack(OF_MEDIAPIPE) == FLOWERS


def test_what_is_packed_comes_out():
    packed = metadata_schema.pack(FLOWERS)
    assert packed[4:8] == b"M001"
    assert metadata_schema.unpack(packed) == FLOWERS
    assert packed == metadata_schema.pack(FLOWERS)
    with pytest.raises(KeyError, match="licence"):
        metadata_schema.pack({"licence": "MIT"})


def test_damaged_bytes_are_one_error():
    rng = np.random.default_rng(0)
    refused = 0
    for _ in range(1000):
        damaged = bytearray(OF_MEDIAPIPE)
        damaged[rng.integers(len(damaged))] ^= 1 << rng.integers(8)
        try:
            metadata_schema.unpack(bytes(damaged))
        except ValueError:
            refused += 1
    assert refused > 100  # the others changed a letter or a number
    with pytest.raises(ValueError, match=r"Expected TFLite Metadata, b'M001' at byte 4\. Received: b''"):
        metadata_schema.unpack(b"")


def test_offsets_that_meet_in_one_place_end():
    """5 kB whose lists each lead 400 times to one list: 64 million values."""
    builder = flatbuffers.Builder()
    builder.StartObject(1)
    place = builder.EndObject()
    for field in (4, 2, 3):  # process_units of a tensor, tensors of a graph, graphs of a model
        builder.StartVector(4, 400, 4)
        for _ in range(400):
            builder.PrependUOffsetTRelative(place)
        places = builder.EndVector()
        builder.StartObject(field + 1)
        builder.PrependUOffsetTRelativeSlot(field, places, 0)
        place = builder.EndObject()
    builder.Finish(place, metadata_schema.IDENTIFIER)
    with pytest.raises(ValueError, match=r"^Expected TFLite Metadata\. Received: \d+ damaged bytes \(it claims 1\d MB"):
        metadata_schema.unpack(bytes(builder.Output()))


@pytest.fixture(scope="module")
def described(small_files):
    return {scheme: with_metadata(content, LABELLED) for scheme, content in small_files.items()}


def test_files_say_what_was_put_in_and_compute_what_they_did(described, small_files):
    images = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3))
    for scheme, content in described.items():
        assert read_metadata(content) == LABELLED
        assert read_metadata(small_files[scheme]) is None
        before, after = TFLiteModel(small_files[scheme]), TFLiteModel(content)
        np.testing.assert_array_equal(after.predict(images), before.predict(images))
        assert len(content) - len(small_files[scheme]) < 20_000


def test_equal_arguments_give_equal_bytes(described, small_files):
    assert with_metadata(small_files["int8"], LABELLED) == described["int8"]


def test_weights_keep_their_alignment(described):
    for content in described.values():
        whole = np.frombuffer(content, np.uint8)
        for buffer in unpack(content).buffers:
            if buffer.data is not None and buffer.data.size:
                # The schema has `force_align: 16`; the arrays are views into `content`.
                assert (buffer.data.__array_interface__["data"][0] - whole.__array_interface__["data"][0]) % 16 == 0


def test_other_metadata_take_their_place(described):
    other = dataclasses.replace(
        LABELLED, name="plants", labels=None, license=None, mean=(123.5, 116.25, 103.5), std=127.5
    )
    content = with_metadata(described["fp32"], other)
    assert read_metadata(content) == other
    assert zipfile.ZipFile(io.BytesIO(content)).namelist() == [CARD]
    assert [entry.name for entry in unpack(content).metadata].count(BUFFER) == 1
    assert with_metadata(content, LABELLED) == described["fp32"]


def test_labels_lie_uncompressed_behind_the_model(described):
    for content in described.values():
        archive = zipfile.ZipFile(io.BytesIO(content))
        assert archive.read(LABELS).decode() == "".join(f"{label}\n" for label in LABELLED.labels)
        assert {entry.compress_type for entry in archive.infolist()} == {zipfile.ZIP_STORED}


def test_changing_a_file_keeps_its_metadata_buffer(described):
    for content in described.values():
        for changed in (pack(unpack(content)), with_logits(content)):
            before, after = (
                [bytes(model.buffers[entry.buffer].data) for entry in model.metadata if entry.name == BUFFER]
                for model in (unpack(content), unpack(changed))
            )
            assert len(before) == 1
            assert before == after
            with pytest.raises(ValueError, match=r"Expected labels\.txt behind the model\. Received: nothing"):
                read_metadata(changed)


@pytest.mark.parametrize(("scheme", "stored"), [("int8", np.uint8), ("fp32", np.float32)])
def test_normalization_gives_the_input_its_pixels(described, scheme, stored):
    found = read_metadata(described[scheme])
    pixels = np.arange(256, dtype=np.float32)
    values = TFLiteModel(described[scheme]).quantize((pixels - found.mean) / found.std)
    assert values.dtype == stored
    np.testing.assert_array_equal(values, pixels)
    graph = metadata_schema.unpack(metadata_bytes(described[scheme]))["subgraph_metadata"][0]
    assert graph["input_tensor_metadata"][0]["stats"] == {"max": [255.0], "min": [0.0]}


def metadata_bytes(content: bytes) -> bytes:
    model = unpack(content)
    (entry,) = (entry for entry in model.metadata if entry.name == BUFFER)
    return bytes(model.buffers[entry.buffer].data)


def test_files_that_claim_more_than_there_is_are_refused(small_files):
    stream = io.BytesIO(with_metadata(small_files["int8"], LABELLED))
    with zipfile.ZipFile(stream, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bomb.txt", b" " * 50_000_000)
    with pytest.raises(ValueError, match=r"^Expected readable files in the metadata\. Received: it claims 50 MB"):
        read_metadata(stream.getvalue())


def test_labels_that_do_not_fit_are_refused(small_files):
    with pytest.raises(ValueError, match=r"Expected labels for an output of shape \[\(1, 5\)\]\. Received: 2 labels"):
        with_metadata(small_files["fp32"], dataclasses.replace(LABELLED, labels=("a", "b")))
    with pytest.raises(ValueError, match=r"Expected labels of one line\. Received: 'a\\nb'"):
        with_metadata(small_files["fp32"], dataclasses.replace(LABELLED, labels=("a\nb", *"cdef")))
