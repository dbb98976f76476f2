"""One way to ask any trained artefact for its answers."""

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ghostnet_tf.commands import BadInput, progress
from ghostnet_tf.litert.normalization import PIXELS, Normalization
from ghostnet_tf.training.splits import Split

BATCH = 256  # images at once, which bounds memory


@dataclass
class Predictor:
    """A loaded model.

    Attributes:
        model: Something with Keras's `predict`.
        size: Pixels a side of the images it takes.
        classes: Length of its answers.
        scheme: `"keras"`, or the scheme in a `.tflite` file's name.
        normalization: What the model takes in place of RGB from 0 to 255.
        stated: Whether the file says so itself, else it is assumed.
    """

    model: object
    size: int
    classes: int
    scheme: str
    normalization: Normalization = PIXELS
    stated: bool = True

    @property
    def takes(self) -> str:
        """The form of the pixels, and how it is known, for logs."""
        if self.scheme == "keras":
            return f"it takes {self.normalization}"
        source = "as its metadata say" if self.stated else "which is assumed: it has no metadata that say so"
        return f"it takes {self.normalization}, {source}"

    def predict(self, images: np.ndarray | Split) -> np.ndarray:
        """Scores `(n, classes)`, float32, for uint8 RGB images `(n, size, size, 3)`, or for all of a split."""
        starts = range(BATCH, len(images), BATCH)
        batches = images.batches(BATCH) if isinstance(images, Split) else np.split(images, starts)
        return np.concatenate([self._scores(batch) for batch in progress(batches, "predicting", len(starts) + 1)])

    def _scores(self, images: np.ndarray) -> np.ndarray:
        if self.scheme == "keras":
            return self.model.predict(images.astype("float32"), verbose=0)
        return self.model.predict(self.normalization(images))


def load_predictor(file: Path, num_threads: int = 1) -> Predictor:
    """Loads a `.keras` or `.tflite` image classifier.

    Raises:
        BadInput: If the file cannot be read or is no classifier of square RGB images, or its input cannot hold these in
            the form that its metadata state.
    """
    stated = None
    if file.suffix == ".keras":
        from ghostnet_tf.weights.keras_file import load_keras

        try:
            model = load_keras(file)
        except ValueError as error:
            raise BadInput(f"{file} cannot be loaded as a Keras model: {error}") from error
        inputs, outputs, scheme = model.input_shape, model.output_shape, "keras"
    else:
        from ghostnet_tf.litert.metadata import stated_normalization
        from ghostnet_tf.runtime import open_model

        model = open_model(file, num_threads)
        try:
            stated = stated_normalization(file.read_bytes())
        except ValueError as error:
            raise BadInput(f"{file} has metadata that cannot be used: {error}") from error
        inputs, outputs = tuple(model.input["shape"]), tuple(model.output["shape"])
        scheme = re.search(r"[^_]*(_qat|_mixed)?$", file.stem)[0]
    if len(inputs) != 4 or inputs[1] != inputs[2] or inputs[3] != 3 or len(outputs) != 2:
        raise BadInput(f"expected a classifier of square RGB images. Received: {file}, {inputs} -> {outputs}")
    normalization = stated or PIXELS
    if scheme != "keras":
        _check_range(file, model.held(), normalization)
    return Predictor(model, int(inputs[1]), int(outputs[1]), scheme, normalization, stated is not None)


def _check_range(file: Path, held: tuple[float, float], normalization: Normalization) -> None:
    """Refuses a quantized input that can hold less than half of the range of normalized pixels."""
    ends = normalization(np.array([[0.0] * 3, [255.0] * 3]))
    low, high = float(ends.min()), float(ends.max())
    if min(high, held[1]) - max(low, held[0]) < (high - low) / 2:
        raise BadInput(
            f"expected an input that holds {normalization}, {low:g} to {high:g}. Received: {file}, whose input holds "
            f"{held[0]:g} to {held[1]:g}; its metadata should state its normalization"
        )
