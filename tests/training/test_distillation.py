"""Learning from teachers: the loss against its formula, and runs with them."""

import dataclasses
import json

import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy.special import log_softmax, softmax
from scipy.stats import entropy

from ghostnet_tf.commands import BadInput
from ghostnet_tf.training import fit
from ghostnet_tf.training.config import RunConfig
from ghostnet_tf.training.distillation import SoftenedDivergence, Student, logits_of
from ghostnet_tf.training.predict import load_predictor

DIGITS = [str(digit) for digit in range(10)]
SMALL = RunConfig(batch_size=256, epochs=2, warmup_epochs=0)


@pytest.fixture
def logits() -> tuple[np.ndarray, np.ndarray]:
    """Of a teacher and a student, four images of five classes; the teacher's range makes probabilities below 1e-7."""
    rng = np.random.default_rng(0)
    return rng.normal(0, 8, (4, 5)).astype("float32"), rng.normal(0, 2, (4, 5)).astype("float32")


def linear(classes: int, activation: str | None = None, seed: int = 0) -> keras.Model:
    """A classifier of an image's mean colour."""
    inputs = keras.Input((32, 32, 3))
    x = keras.layers.GlobalAveragePooling2D()(keras.layers.Rescaling(1 / 255)(inputs))
    initializer = keras.initializers.RandomNormal(stddev=2, seed=seed)
    return keras.Model(inputs, keras.layers.Dense(classes, activation, kernel_initializer=initializer)(x))


@pytest.fixture
def teacher(tmp_path):
    """The path of a saved teacher of the digits."""
    path = tmp_path / "teacher.keras"
    linear(10, "softmax", seed=1).save(path)
    return path


@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_the_loss_is_the_divergence_of_softened_answers(logits, temperature):
    teacher, student = (values.astype("float64") for values in logits)
    expected = temperature**2 * entropy(softmax(teacher / temperature, 1), softmax(student / temperature, 1), axis=1)
    loss = SoftenedDivergence(temperature)
    assert float(loss(teacher, student)) == pytest.approx(expected.mean(), rel=1e-5)
    counts = np.array([1.0, 0.0, 3.0, 0.5])
    assert float(loss(teacher, student, counts)) == pytest.approx((counts * expected).mean(), rel=1e-5)
    assert float(loss(teacher, teacher)) == pytest.approx(0, abs=1e-5)


def test_its_gradient_keeps_its_size_at_any_temperature(logits):
    teacher, student = logits
    variable = tf.Variable(student)
    for temperature in (1.0, 4.0):
        with tf.GradientTape() as tape:
            loss = SoftenedDivergence(temperature)(teacher, variable)
        expected = temperature * (softmax(student / temperature, 1) - softmax(teacher / temperature, 1)) / len(student)
        np.testing.assert_allclose(tape.gradient(loss, variable), expected, atol=1e-6)


@pytest.mark.parametrize("towers", [1, 2])
def test_a_step_is_the_one_that_the_formula_gives(towers):
    """One step of SGD on a linear student, written out; labels are smoothed, images count differently."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (6, 32, 32, 3)).astype("float32")
    targets, counts = np.eye(5)[[0, 1, 2, 3, 4, 0]], np.array([1, 2, 0.5, 1, 1, 0.1])
    teacher, base = linear(5, seed=1), linear(5)
    kernel, bias = base.get_weights()
    weight, temperature, rate = 0.3, 2.0, 0.5
    settings = {"temperature": temperature, "weight": weight, "towers": towers, "name": base.name}
    student = Student(base.input, base.output, teacher=teacher, **settings)
    loss = keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=0.1)
    student.compile(keras.optimizers.SGD(rate), loss=loss)

    features, smoothed = images.mean(axis=(1, 2)) / 255, 0.9 * targets + 0.1 / 5
    taught, scores = features @ teacher.get_weights()[0] + teacher.get_weights()[1], features @ kernel + bias
    hard = -(smoothed * log_softmax(scores, 1)).sum(1)
    soft = entropy(softmax(taught / temperature, 1), softmax(scores / temperature, 1), axis=1) * temperature**2
    softened = temperature * (softmax(scores / temperature, 1) - softmax(taught / temperature, 1))
    gradient = counts[:, None] * ((1 - weight) * (softmax(scores, 1) - smoothed) + weight * softened) / len(images)

    evaluated = student.test_on_batch(images, targets, counts)
    assert evaluated == pytest.approx((counts * hard).mean(), rel=1e-5)  # the labels alone
    student.reset_metrics()
    trained = student.train_on_batch(images, targets, counts)
    assert trained == pytest.approx((counts * ((1 - weight) * hard + weight * soft)).mean(), rel=1e-5)
    np.testing.assert_allclose(student.get_weights()[0], kernel - rate * features.T @ gradient, atol=1e-5)
    np.testing.assert_allclose(student.get_weights()[1], bias - rate * gradient.sum(0), atol=1e-5)
    assert len(student.weights) == 2  # the teacher's are not among them


@pytest.mark.parametrize("activation", [None, "softmax"])
def test_a_teacher_may_give_logits_or_probabilities(tmp_path, activation):
    images = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3)).astype("float32")
    linear(5, activation).save(tmp_path / "teacher.keras")
    answers = np.asarray(logits_of(load_predictor(tmp_path / "teacher.keras"))(images))
    expected = linear(5).predict(images, verbose=0)
    np.testing.assert_allclose(log_softmax(answers, 1), log_softmax(expected, 1), atol=1e-5)


def test_several_teachers_answer_with_the_geometric_mean_of_their_distributions(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3)).astype("float32")
    linear(5, "softmax").save(tmp_path / "one.keras")
    linear(5, seed=1).save(tmp_path / "other.keras")
    answers = np.asarray(logits_of(*(load_predictor(tmp_path / f"{name}.keras") for name in ("one", "other")))(images))
    expected = np.sqrt(
        softmax(linear(5).predict(images, verbose=0), 1) * softmax(linear(5, seed=1).predict(images, verbose=0), 1)
    )
    np.testing.assert_allclose(softmax(answers, 1), expected / expected.sum(1, keepdims=True), atol=1e-6)


@pytest.mark.usefixtures("tiny_network")
def test_a_run_learns_what_its_teacher_says(tmp_path, teacher):
    """The teacher knows nothing of digits: only who learns from it alone comes near its answers."""
    data, _ = fit.prepare(SMALL)
    images = data.test.images().astype("float32")
    taught = keras.models.load_model(teacher).predict(images, verbose=0)
    distances = []
    for weight in (0.0, 1.0):
        config = dataclasses.replace(SMALL, epochs=4, teacher=str(teacher), distillation_weight=weight)
        fit.train(config, tmp_path / f"run_{weight}")
        learnt = keras.models.load_model(tmp_path / f"run_{weight}" / "model.keras").predict(images, verbose=0)
        distances.append(np.abs(learnt - taught).sum(axis=1).mean() / 2)  # of distributions, total variation
    assert distances[1] < distances[0] / 3


@pytest.mark.usefixtures("tiny_network")
def test_a_resumed_run_needs_the_same_teachers(resumed_after, teacher):
    other = teacher.with_name("other.keras")
    linear(10, "softmax", seed=3).save(other)
    config = dataclasses.replace(SMALL, teacher=f"{other},{teacher}")
    whole, killed = resumed_after(config, 1)
    expected, found = (keras.models.load_model(folder / "model.keras").get_weights() for folder in (whole, killed))
    for one, other in zip(expected, found, strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-6)  # threads add in any order
    assert [len(sha) for sha in json.loads((killed / "resume.json").read_text())["teacher"].split(",")] == [64, 64]
    linear(10, "softmax", seed=2).save(teacher)
    with pytest.raises(BadInput, match=r"teacher .*teacher\.keras: other contents"):
        fit.train(config, killed, resume=True)


@pytest.mark.usefixtures("tiny_network")
def test_a_teacher_that_does_not_fit_is_refused(tmp_path, teacher):
    config = dataclasses.replace(SMALL, teacher=str(teacher))
    with pytest.raises(BadInput, match=r"10 classes and images of 48 px.* Received: .* of 10 classes and 32 px"):
        fit.train(dataclasses.replace(config, size=48), tmp_path / "run")
    (tmp_path / "labels.txt").write_text("\n".join(["ten", *DIGITS[1:]]) + "\n")
    with pytest.raises(BadInput, match=r"teacher of the classes 0, 1, .*whose labels\.txt has ten, 1"):
        fit.train(config, tmp_path / "run")
    linear(9).save(teacher)
    with pytest.raises(BadInput, match=r"a teacher of 10 classes .* Received: .* of 9 classes"):
        fit.train(config, tmp_path / "run")
    linear(10).save(other := tmp_path / "other.keras")
    config = dataclasses.replace(config, teacher=f"{other},{teacher}")
    (tmp_path / "labels.txt").unlink()
    with pytest.raises(BadInput, match=r"Received: .*teacher\.keras of 9 classes"):
        fit.train(config, tmp_path / "run")
    teacher.unlink()
    with pytest.raises(BadInput, match=r"teacher\.keras cannot be loaded"):
        fit.train(config, tmp_path / "run")
    assert not (tmp_path / "run").exists()
