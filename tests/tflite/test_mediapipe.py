"""MediaPipe's image classifier, the C++ graph that runs on Android, takes our files with no other configuration."""

import os
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_sample_images

from ghostnet_tf.litert.metadata import BUFFER, Metadata, read_metadata
from ghostnet_tf.runtime import TFLiteModel
from ghostnet_tf.tflite.flatbuffer import unpack
from ghostnet_tf.tflite.metadata import with_metadata
from ghostnet_tf.tflite.schemes import convert
from ghostnet_tf.training.images import evaluation_image, read_image

mediapipe = pytest.importorskip("mediapipe", reason="needs the mediapipe package: make test-mediapipe")

LABELS = ("ant", "bee", "Kätzchen", "dog", "elephant")
PHOTOS = Path(__file__).resolve().parents[3] / "shared" / "data" / "photos"


@pytest.fixture(scope="module")
def photos() -> list[np.ndarray]:
    """32x32 pixels: two photos of scikit-learn and parts of them, and others where they are at hand."""
    whole = load_sample_images().images
    parts = [image[y : y + 200, x : x + 200] for image in whole for x in (0, 400) for y in (0, 200)]
    others = [read_image(path) for path in sorted(PHOTOS.rglob("*.jpg"))[:6]]
    return [np.ascontiguousarray(evaluation_image(image, 32)) for image in (*whole, *parts, *others)]


@pytest.fixture(scope="module")
def classified(photos, tmp_path_factory):
    """`classified(content)` gives the scores `(photos, classes)` and the names by index."""
    from mediapipe.tasks.python import BaseOptions, vision

    def classify(content: bytes) -> tuple[np.ndarray, list[str]]:
        file = tmp_path_factory.mktemp("assets") / "model.tflite"
        file.write_bytes(content)
        options = vision.ImageClassifierOptions(base_options=BaseOptions(model_asset_path=os.fspath(file)))
        scores, names = [], {}
        with vision.ImageClassifier.create_from_options(options) as classifier:
            for photo in photos:
                image = mediapipe.Image(image_format=mediapipe.ImageFormat.SRGB, data=photo)
                (head,) = classifier.classify(image).classifications
                assert head.head_name == "probability"
                found = [row.score for row in head.categories]
                assert found == sorted(found, reverse=True)
                names |= {row.index: row.category_name for row in head.categories}
                scores.append([row.score for row in sorted(head.categories, key=lambda row: row.index)])
        return np.array(scores), [names[index] for index in sorted(names)]

    return classify


def described(content: bytes) -> bytes:
    return with_metadata(content, Metadata("animals", "five of them", "1.0", "MIT", "# Animals\n", LABELS))


# Measured: equal in every bit. The runtime inside mediapipe is another build, so floats may be added in another order,
# and a rounding that falls the other way is a step of an activation in `dynamic`, of the output (1/256) in int8.
@pytest.mark.parametrize(
    ("scheme", "tolerance"), [("fp32", 1e-6), ("fp16", 1e-6), ("hybrid", 1e-3), ("dynamic", 1e-3), ("int8", 1 / 256)]
)
def test_scores_and_names_are_those_of_the_file(small_files, photos, classified, scheme, tolerance):
    content = described(small_files[scheme])
    scores, names = classified(content)
    assert names == list(LABELS)
    expected = TFLiteModel(content).predict(np.stack(photos))
    assert np.ptp(expected, axis=0).max() > 0.1  # the photos differ to the network
    np.testing.assert_allclose(scores, expected, atol=tolerance)


def test_bytes_in_bytes_out(small_model, small_images, photos, classified):
    content = convert(small_model, "int8", representative_dataset=small_images.calibration, output_type="uint8")
    scores, names = classified(described(content))
    assert names == list(LABELS)
    np.testing.assert_allclose(scores, TFLiteModel(content).predict(np.stack(photos)), atol=1 / 256)


def test_without_metadata_it_is_not_taken(small_files, classified):
    with pytest.raises(FileNotFoundError, match="requires specifying NormalizationOptions metadata"):
        classified(small_files["fp32"])


def test_its_own_reader_finds_what_ours_does(small_files):
    from mediapipe.tasks.metadata.metadata_schema_py_generated import AssociatedFileType, ModelMetadataT

    content = described(small_files["int8"])
    model, ours = unpack(content), read_metadata(content)
    (entry,) = (entry for entry in model.metadata if entry.name == BUFFER)
    theirs = ModelMetadataT.InitFromPackedBuf(bytes(model.buffers[entry.buffer].data), 0)
    assert theirs.name.decode() == ours.name == "animals"
    assert theirs.description.decode() == ours.description
    assert theirs.license.decode() == ours.license == "MIT"
    assert theirs.version.decode() == ours.version
    assert theirs.minParserVersion.decode() == "1.0.0"
    (graph,) = theirs.subgraphMetadata
    (image,), (output,) = graph.inputTensorMetadata, graph.outputTensorMetadata
    size = image.content.contentProperties.defaultSize
    assert (size.width, size.height) == (32, 32)
    (unit,) = image.processUnits
    assert (list(unit.options.mean), list(unit.options.std)) == ([ours.mean], [ours.std]) == ([0.0], [1.0])
    (labels,) = output.associatedFiles
    assert labels.type == AssociatedFileType.TENSOR_AXIS_LABELS
