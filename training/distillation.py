"""Knowledge distillation: learning from the answers of trained models beside the labels.

Hinton, Vinyals and Dean, "Distilling the Knowledge in a Neural Network" (2015), section 2. Of several teachers, what is
learnt is the geometric mean of their distributions.
"""

from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
from keras import ops

from ghostnet_tf.commands import BadInput
from ghostnet_tf.training.config import RunConfig
from ghostnet_tf.training.predict import Predictor, load_predictor
from ghostnet_tf.training.towers import Towers, in_parts
from ghostnet_tf.untrusted import sha256_of

LEAST = 1e-30  # probability; float32 has a logarithm for it


class SoftenedDivergence(keras.losses.Loss):
    """`T**2 * KL(softmax(teacher / T), softmax(student / T))` of logits `(batch, classes)`, averaged over the batch.

    The factor keeps the gradient's size whatever the temperature T. `keras.distillation.LogitsDistillation` is the
    same but for probabilities below 1e-7, where it has no gradient, and for sample weights, which it does not take.
    """

    def __init__(self, temperature: float):
        super().__init__(name="softened_divergence")
        self.temperature = temperature

    def call(self, y_true, y_pred):
        teacher, student = y_true / self.temperature, y_pred / self.temperature
        difference = ops.log_softmax(teacher) - ops.log_softmax(student)
        return self.temperature**2 * ops.sum(ops.softmax(teacher) * difference, axis=-1)


class Student(Towers):
    """A model of logits whose training loss is `(1 - weight)` of the compiled and `weight` of a teacher's.

    The teacher sees the very images that the student sees, as in inference, and is no part of this model: its weights
    are neither trained nor saved. Evaluation measures the compiled loss alone.

    Args:
        inputs, outputs, towers, name: As of `Towers`.
        teacher: Gives logits `(batch, classes)` for the inputs.
        temperature: See `SoftenedDivergence`.
        weight: From 0 to 1.
    """

    def __init__(self, inputs, outputs, *, teacher: Callable, temperature: float, weight: float, **towers):
        super().__init__(inputs, outputs, **towers)
        self.teacher = lambda images: teacher(images)  # a function, lest Keras take a model for a part of this one
        self.weight = weight
        self.divergence = SoftenedDivergence(temperature)

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        loss = super().compute_loss(x, y, y_pred, sample_weight, training)
        if not training:
            return loss
        answers = in_parts(self.teacher, x, self.towers)
        soft = self.divergence(ops.stop_gradient(answers), y_pred, sample_weight)
        return (1 - self.weight) * loss + self.weight * soft


def student_of(model: keras.Model, config: RunConfig, labels: list[str]) -> Student:
    """A model of logits that learns from the teachers of a run; see `Student`.

    Raises:
        BadInput: If a teacher cannot be read, or knows other classes or takes images of another size.
    """
    predictors = [_teacher(Path(file), config, labels) for file in config.teachers]
    return Student(
        model.input,
        model.output,
        teacher=logits_of(*predictors),
        temperature=config.temperature,
        weight=config.distillation_weight,
        towers=config.towers,
        name=model.name,
    )


def _teacher(file: Path, config: RunConfig, labels: list[str]) -> Predictor:
    predictor = load_predictor(file)
    if (predictor.classes, predictor.size) != (len(labels), config.size):
        raise BadInput(
            f"expected a teacher of {len(labels)} classes and images of {config.size} px, as the run has. "
            f"Received: {file} of {predictor.classes} classes and {predictor.size} px"
        )
    names = file.with_name("labels.txt")
    known = names.read_text(encoding="utf-8").splitlines() if names.is_file() else labels
    if known != labels:
        raise BadInput(
            f"expected a teacher of the classes {', '.join(labels)}. "
            f"Received: {file}, whose {names.name} has {', '.join(known)}"
        )
    return predictor


def logits_of(*teachers: Predictor) -> Callable:
    """A function from images `(batch, size, size, 3)`, RGB 0-255, to the mean of the logits that teachers give them.

    These are float32 `(batch, classes)`.
    """
    answers = [_logits_of(teacher) for teacher in teachers]
    return lambda images: sum(logits(images) for logits in answers) / len(answers)


def _logits_of(teacher: Predictor) -> Callable:
    """As `logits_of`, of one teacher.

    The logarithm of probabilities is as good: it differs from the logits by what a softmax takes away. That a teacher
    gives probabilities is seen from its answers to noise.
    """
    noise = np.random.default_rng(0).integers(0, 256, (4, teacher.size, teacher.size, 3), dtype=np.uint8)
    answers = teacher.predict(noise)
    # 1e-2 is far above what rounding to 16 bits moves a sum of probabilities by.
    normalized = bool((answers >= 0).all() and np.allclose(answers.sum(axis=1), 1, atol=1e-2))

    def logits(images):
        outputs = ops.cast(teacher.model(images, training=False), "float32")
        return ops.log(ops.maximum(outputs, LEAST)) if normalized else outputs

    return logits


def checksum(config: RunConfig) -> str | None:
    """The SHA-256 of a run's teachers, with commas between them, or `None` where there is none."""
    return ",".join(sha256_of(Path(file)) for file in config.teachers) or None
