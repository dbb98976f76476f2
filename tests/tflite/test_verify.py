"""Agreement between a file and its Keras model: the numbers, and what they are of."""

import dataclasses
import json

import keras
import numpy as np
import pytest

from ghostnet_tf.runtime import TFLiteModel
from ghostnet_tf.tflite.schemes import SCHEMES, convert
from ghostnet_tf.tflite.verify import Reference, agreement, reference


def classifier(classes: int, end: str) -> keras.Model:
    keras.utils.set_random_seed(2)
    image = keras.Input((8, 8, 3), name="image")
    x = keras.layers.GlobalAveragePooling2D()(keras.layers.Rescaling(1 / 64)(image))
    x = keras.layers.Dense(classes, activation="softmax" if end == "dense" else None)(x)
    if end == "activation":
        x = keras.layers.Activation("softmax")(x)
    if end == "softmax":
        x = keras.layers.Softmax()(x)
    return keras.Model(image, x)


@pytest.fixture(scope="module")
def images():
    rng = np.random.default_rng(0)
    return (rng.integers(0, 256, (40, 1, 1, 3)) + rng.integers(0, 20, (40, 8, 8, 3))).clip(0, 255).astype(np.uint8)


@pytest.mark.parametrize("end", ["dense", "activation", "softmax", "none"])
def test_logits_of_every_kind_of_head(images, end):
    model = classifier(4, end)
    found = reference(model, images, classified=True)
    np.testing.assert_allclose(found.outputs, model.predict(images.astype(np.float32), verbose=0), atol=1e-6)
    assert found.has_softmax == (end != "none")
    if found.has_softmax:
        exponents = np.exp(found.logits)
        np.testing.assert_allclose(found.outputs, exponents / exponents.sum(-1, keepdims=True), atol=1e-6)
    else:
        np.testing.assert_array_equal(found.logits, found.outputs)
    assert agreement(convert(model, "fp32"), found, "fp32").snr_db > 100


def test_numbers_are_those_of_the_differences(images):
    model = classifier(4, "none")
    content = convert(model, "fp32")
    outputs = TFLiteModel(content).predict(images)
    shifted = outputs.copy()
    shifted[0, 0] += 0.5
    shifted[:10] = shifted[:10, ::-1]  # an even number of classes: the first ten change their top one
    found = agreement(content, Reference(images, shifted, shifted, False, True), "fp32")
    difference = np.abs(outputs - shifted)
    assert found.images == 40
    assert found.max_difference == pytest.approx(difference.max())
    assert found.mean_difference == pytest.approx(difference.mean())
    assert found.top1 == np.mean(outputs.argmax(-1) == shifted.argmax(-1)) == 0.75
    cosines = [np.dot(a, b) / np.linalg.norm(a) / np.linalg.norm(b) for a, b in zip(outputs, shifted, strict=True)]
    assert found.cosine == pytest.approx(np.mean(cosines))
    assert found.snr_db == pytest.approx(10 * np.log10(np.sum(shifted**2) / np.sum(difference**2)), rel=1e-4)
    assert not found.kept
    assert (found.measure, found.value, found.expected) == ("top-1 agreement", 0.75, SCHEMES["fp32"].top1)


def test_equal_results_make_json(images):
    model = classifier(4, "none")
    content = convert(model, "fp32")
    outputs = TFLiteModel(content).predict(images)
    found = agreement(content, Reference(images, outputs, outputs, False, False), "fp32")
    assert found.snr_db == np.inf
    assert json.loads(json.dumps(found.as_dict(), allow_nan=False))["snr_db"] is None
    assert (found.top1, found.measure, found.value) == (None, "cosine of logits", found.cosine)


def test_logits_tell_what_an_int8_softmax_hides(images):
    """1000 classes of an untrained network: every probability rounds to nothing, the logits are all there."""
    model = classifier(1000, "activation")
    content = convert(model, "int8", representative_dataset=images)
    assert TFLiteModel(content).predict(images).max() <= 2 / 256
    found = agreement(content, reference(model, images, classified=False), "int8")
    assert found.cosine > 0.999
    assert found.value == found.cosine


def test_classes_mean_something_after_training_only(small_model, small_files, small_images):
    trained = agreement(small_files["fp32"], reference(small_model, small_images.held_out, True), "fp32")
    assert trained.top1 == 1.0
    assert trained.expected == SCHEMES["fp32"].top1
    assert trained.kept
    collapsed = dataclasses.replace(trained, cosine=0.0)
    assert (collapsed.value, collapsed.kept) == (1.0, False)
    maps = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Conv2D(4, 3)])
    assert not reference(maps, np.zeros((1, 8, 8, 3), np.uint8), classified=True).classified


def test_of_several_outputs_each_meets_its_own_and_the_farthest_counts(images):
    keras.utils.set_random_seed(3)
    image = keras.Input((8, 8, 3), name="image")
    x = keras.layers.Rescaling(1 / 64)(image)
    # Of one shape, so that only their order tells them apart, and more than ten: "output_10" sorts before "output_2".
    model = keras.Model(image, [keras.layers.Conv2D(2, 3)(x) for _ in range(11)])
    content = convert(model, "fp32")
    found = reference(model, images, classified=True)
    assert [values.shape for values in found.outputs] == [(40, 6, 6, 2)] * 11
    assert not found.classified
    assert agreement(content, found, "fp32").snr_db > 100

    moved = [values + 0.5 if number == 7 else values for number, values in enumerate(found.outputs)]
    apart = agreement(content, dataclasses.replace(found, outputs=moved, logits=moved), "fp32")
    assert apart.max_difference == pytest.approx(0.5, abs=1e-4)
    assert apart.mean_difference == pytest.approx(0.5, abs=1e-4)
    assert apart.snr_db == pytest.approx(10 * np.log10(np.mean(moved[7] ** 2) / 0.25), rel=1e-3)
    assert not apart.kept


def test_what_is_refused(images):
    with pytest.raises(ValueError, match="at least one held-out image"):
        reference(classifier(4, "none"), images[:0], True)
