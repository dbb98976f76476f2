"""Whether a `.tflite` file computes what its Keras model computes: both run on held-out images."""

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass

import keras
import numpy as np

from ghostnet_tf.commands import progress
from ghostnet_tf.quiet import quiet
from ghostnet_tf.runtime import TFLiteModel
from ghostnet_tf.tflite.flatbuffer import with_logits
from ghostnet_tf.tflite.graph import Graph
from ghostnet_tf.tflite.schemes import FILES
from ghostnet_tf.tflite.tensorflow_converter import ConversionError

BATCH = 32


@dataclass(frozen=True)
class Reference:
    """What the Keras model gives for held-out images.

    Attributes:
        images: `(n, height, width, channels)` in the values that the model takes.
        outputs: `(n, …)`, the model's outputs, float32; a list for several, as `feature_extractor` has.
        logits: The outputs before the softmax that ends the model; `outputs` where it ends otherwise.
        has_softmax: Whether it does.
        classified: Whether the top class of an output means something: classes that were learned, seen on photos.
    """

    images: np.ndarray
    outputs: np.ndarray | list[np.ndarray]
    logits: np.ndarray | list[np.ndarray]
    has_softmax: bool
    classified: bool


@dataclass(frozen=True)
class Agreement:
    """How far a file's results are from its Keras model's, over all held-out images; of several outputs, the farthest.

    Attributes:
        images: Their number.
        max_difference, mean_difference: Between the outputs, absolute.
        cosine: Between the logits, mean over the images.
        snr_db: Of the logits: energy of the model's over energy of the difference, in decibels; infinite if equal.
        top1: Share of images with the same top class in the outputs; `None` where classes mean nothing.
        expected: Least `value` that the scheme promises.
        expected_cosine: Least `cosine` that it promises.
    """

    images: int
    max_difference: float
    mean_difference: float
    cosine: float
    snr_db: float
    top1: float | None
    expected: float
    expected_cosine: float

    @property
    def kept(self) -> bool:
        """Whether the scheme's promise holds, in the logits too: the same top class of collapsed outputs is nothing."""
        return self.value >= self.expected and self.cosine >= self.expected_cosine

    @property
    def measure(self) -> str:
        """What `value` is."""
        return "cosine of logits" if self.top1 is None else "top-1 agreement"

    @property
    def value(self) -> float:
        """The one number to judge by, 1 for equal: `top1` where there is one, else `cosine`."""
        return self.cosine if self.top1 is None else self.top1

    def as_dict(self) -> dict:
        """For JSON, which has no infinity: equal results have no `snr_db`."""
        values = dataclasses.asdict(self) | {"measure": self.measure, "value": self.value}
        return values | {"snr_db": self.snr_db if np.isfinite(self.snr_db) else None}


def reference(model: keras.Model, images: np.ndarray, classified: bool) -> Reference:
    """Runs the Keras model on held-out images.

    Args:
        model: With one input.
        images: `(n, height, width, channels)` in the values that it takes, none of them used for calibration.
        classified: Whether the weights were trained and `images` are photos of the kind they were trained on.

    Raises:
        ValueError: If there are no images.
    """
    if len(images) == 0:
        raise ValueError("Expected at least one held-out image. Received: none")
    several = len(model.outputs) > 1
    logits = None if several else before_softmax(model)
    both = keras.Model(model.inputs, [*model.outputs, model.outputs[0] if logits is None else logits])
    batches = [images[start : start + BATCH].astype(np.float32) for start in range(0, len(images), BATCH)]
    results = [both.predict_on_batch(batch) for batch in progress(batches, "running the Keras model")]
    *outputs, before = (np.concatenate(parts).astype(np.float32) for parts in zip(*results, strict=True))
    if several:
        return Reference(images, outputs, outputs, has_softmax=False, classified=False)
    return Reference(images, outputs[0], before, logits is not None, classified and outputs[0].ndim == 2)


def before_softmax(model: keras.Model):
    """The tensor that goes into the softmax at the end of `model`, or `None`."""
    last = model.layers[-1]
    activation = getattr(last, "activation", None)
    if isinstance(last, keras.layers.Softmax):
        return last.input
    if activation is not keras.activations.softmax:
        return None
    if isinstance(last, keras.layers.Dense):
        config = last.get_config() | {"activation": None, "name": f"{last.name}_logits"}
        linear = type(last).from_config(config)
        tensor = linear(last.input)
        linear.set_weights(last.get_weights())
        return tensor
    return last.input if isinstance(last, keras.layers.Activation) else None


def agreement(content: bytes, reference: Reference, scheme: str) -> Agreement:
    """Runs a file on the reference's images and compares.

    The logits are the file's own: the same file with its outputs moved to before the softmax. They tell more than the
    outputs where those are coarse (an int8 softmax has steps of 1/256, in which the classes of an untrained network
    all vanish).
    """
    with quiet():
        file = TFLiteModel(content)
    outputs = file.predict(reference.images)
    logits = outputs
    before_softmax = with_logits(content) if reference.has_softmax else None
    if before_softmax is not None:
        with quiet():
            file = TFLiteModel(before_softmax)
        logits = file.predict(reference.images)
    differences = [np.abs(found - expected) for expected, found in _pairs(reference.outputs, outputs)]
    cosines, ratios = zip(*(closeness(*pair) for pair in _pairs(reference.logits, logits)), strict=True)
    row = FILES[scheme]
    top1 = float(np.mean(outputs.argmax(-1) == reference.outputs.argmax(-1))) if reference.classified else None
    return Agreement(
        images=len(reference.images),
        max_difference=float(max(difference.max() for difference in differences)),
        mean_difference=float(max(difference.mean() for difference in differences)),
        cosine=min(cosines),
        snr_db=min(ratios),
        top1=top1,
        expected=row.cosine if top1 is None else row.top1,
        expected_cosine=row.cosine,
    )


def _pairs(expected, received) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Each output of the Keras model with the file's."""
    both = ([values] if isinstance(values, np.ndarray) else values for values in (expected, received))
    return zip(*both, strict=True)


def closeness(expected: np.ndarray, received: np.ndarray) -> tuple[float, float]:
    """Mean cosine between what two models give for an image, and the signal to noise ratio in decibels."""
    expected, received = (values.reshape(len(values), -1).astype(np.float64) for values in (expected, received))
    lengths = np.linalg.norm(expected, axis=1) * np.linalg.norm(received, axis=1)
    products = np.sum(expected * received, axis=1)
    error = np.sum((expected - received) ** 2)
    cosine = np.mean(np.divide(products, lengths, out=np.zeros_like(products), where=lengths > 0))
    return float(cosine), float(10 * np.log10(np.sum(expected**2) / error)) if error else np.inf


def check_name(scheme: str, graph: Graph) -> None:
    """Lets a file be called int8 only if no operation in it is a float one.

    Raises:
        ConversionError: If it is not what the name says.
    """
    if scheme.startswith("int8") and graph.float_ops:
        ops = ", ".join(graph.float_ops[:5]) + (" …" if len(graph.float_ops) > 5 else "")
        raise ConversionError(f"{len(graph.float_ops)} float operations are left, so this is no {scheme} file: {ops}")
