"""What `.tflite` files answer for a photo, side by side: the content of the page that `serve` opens."""

import platform
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ghostnet_tf.commands import BadInput
from ghostnet_tf.litert import untrusted
from ghostnet_tf.litert.metadata import read_metadata
from ghostnet_tf.quiet import quiet
from ghostnet_tf.tflite import predictions, timing
from ghostnet_tf.tflite.flatbuffer import softmax, unpack
from ghostnet_tf.tflite.schemes import FILES
from ghostnet_tf.training.images import UnreadableImage, evaluation_image, read_image
from ghostnet_tf.training.metrics import processor
from ghostnet_tf.training.predict import Predictor, load_predictor
from ghostnet_tf.training.runs import run_folder
from ghostnet_tf.untrusted import DAMAGE, first_line

TOP = 5  # guesses shown
RUNS, WARM_UP = 9, 2  # of each file for each photo: timed, and before them


class NoAnswer(ValueError):
    """There is no answer for what was sent; the message is for people."""


@dataclass(frozen=True)
class LoadedFile:
    """A classifier that is ready to answer.

    Attributes:
        path: Of the file.
        predictor: The one that `evaluate` measures with.
        labels: Class names by index, or `None` where neither the file nor its run folder has them.
        probabilities: Whether its scores come from a softmax.
    """

    path: Path
    predictor: Predictor
    labels: tuple[str, ...] | None
    probabilities: bool


class Comparison:
    """Files that answer the same photos; safe to ask from several threads.

    Args:
        paths: `.tflite` classifiers of square RGB images with the same classes.
        num_threads: CPU threads of each interpreter.

    Attributes:
        about: Of each file: `name` (its scheme, or the file's name where two have the same), `file`, `bytes`, `size`
            (pixels a side of the image it takes) and `probabilities`.
        classes: Class names by index.

    Raises:
        BadInput: If a file cannot be run, or has other classes.
    """

    def __init__(self, paths: Sequence[Path], num_threads: int = 1):
        self._files = [_loaded(path, num_threads) for path in paths]
        self._one_at_a_time = threading.Lock()  # an interpreter has one set of tensors; and times want a quiet machine
        self.classes = _shared_classes(self._files)
        schemes = [file.predictor.scheme for file in self._files]
        self.about = [
            {
                "name": scheme if scheme in FILES and schemes.count(scheme) == 1 else file.path.name,
                "file": file.path.name,
                "bytes": file.path.stat().st_size,
                "size": file.predictor.size,
                "probabilities": file.probabilities,
            }
            for file, scheme in zip(self._files, schemes, strict=True)
        ]
        self._num_threads = num_threads

    def answer(self, photo: bytes) -> dict[str, object]:
        """The answers for an encoded photo.

        Returns:
            `files`: of each what `about` says, its `guesses` (`label`, `score`; best first, equal scores by class
            index) and `median_ms`; `agree`: whether all have the same first guess, `None` for a single file;
            `verdict`: that in words; `picture`: what the first file gets, a data URI.

        Raises:
            NoAnswer: If it is no photo, or a file answers with values that are not finite.
        """
        with self._one_at_a_time:
            try:
                pixels = read_image(photo)
            except UnreadableImage as error:
                raise NoAnswer(f"expected a photo. Received: {len(photo):,} bytes, {error}") from error
            images = [evaluation_image(pixels, file.predictor.size) for file in self._files]
            # The photo stays in each interpreter's input, where the timed runs find it.
            scores = [file.predictor.predict(image[None])[0] for file, image in zip(self._files, images, strict=True)]
            models = [file.predictor.model for file in self._files]
            times = timing.measure(models, num_runs=RUNS, warmup_runs=WARM_UP)
        for row, answered in zip(self.about, scores, strict=True):
            if not np.isfinite(answered).all():
                raise NoAnswer(f"expected finite scores of {row['file']}. Received: {answered.tolist()[:TOP]}…")
        files = [
            row | {"guesses": self._guesses(answered), "median_ms": float(np.median(runs))}
            for row, answered, runs in zip(self.about, scores, times, strict=True)
        ]
        firsts = {int(answered.argmax()) for answered in scores}
        return {
            "files": files,
            "agree": None if len(files) == 1 else len(firsts) == 1,
            "verdict": _verdict(files, len(firsts) == 1),
            "picture": predictions.picture(images[0]),
        }

    def _guesses(self, scores: np.ndarray) -> list[dict[str, object]]:
        best = np.argsort(-scores, kind="stable")[:TOP]
        return [{"label": self.classes[index], "score": float(scores[index])} for index in best]

    def measured(self) -> str:
        """How the times come about, in a sentence for people."""
        count = f"{self._num_threads} thread{'s' * (self._num_threads > 1)}"
        how = (
            f"Time: median of {RUNS} runs of each file after {WARM_UP} to warm up, the files in turn in random order, "
            f"{count} of {processor()}, wall clock; the network alone, without reading and resizing the photo."
        )
        if platform.machine().lower() in ("x86_64", "amd64"):
            how += " int8 on x86 is not int8 on a phone: measure there."
        return how


def _loaded(path: Path, num_threads: int) -> LoadedFile:
    untrusted.trial(path, num_threads)
    with quiet():
        predictor = load_predictor(path, num_threads)
    if len(predictor.model.outputs) != 1 or predictor.model.input["shape"][0] != 1:
        raise BadInput(f"expected a model with one output, for one image at a time. Received: {path}")
    content = path.read_bytes()
    try:
        metadata, probabilities = read_metadata(content), softmax(unpack(content)) is not None
    except DAMAGE as error:
        raise BadInput(f"{path} has metadata that cannot be read: {first_line(error)}; {untrusted.WAY_OUT}") from error
    labels = None if metadata is None else metadata.labels
    run = run_folder(path)
    if labels is None and run is not None and (run / "labels.txt").is_file():
        labels = tuple((run / "labels.txt").read_text(encoding="utf-8").splitlines())
    if labels is not None and len(labels) != predictor.classes:
        raise BadInput(f"expected {predictor.classes} class names for {path}. Received: {len(labels)}")
    return LoadedFile(path, predictor, labels, probabilities)


def _shared_classes(files: Sequence[LoadedFile]) -> tuple[str, ...]:
    """The class names that all files have; files without names take those of the others, else there are numbers."""
    first = files[0]
    named = next((file for file in files if file.labels is not None), None)
    for file in files:
        if file.predictor.classes != first.predictor.classes:
            counts = f"{first.path} with {first.predictor.classes}, {file.path} with {file.predictor.classes}"
            raise BadInput(f"expected files with the same classes. Received: {counts}")
        if named is not None and file.labels not in (None, named.labels):
            raise BadInput(
                f"expected files with the same classes. Received: other names in {named.path} and {file.path}"
            )
    return tuple(f"class {index}" for index in range(first.predictor.classes)) if named is None else named.labels


def _verdict(files: Sequence[dict], agree: bool) -> str:
    firsts = [file["guesses"][0]["label"] for file in files]
    if len(files) == 1:
        score = files[0]["guesses"][0]["score"]
        return f"{firsts[0]}, {score:.1%}".replace("%", " %") if files[0]["probabilities"] else firsts[0]
    names = [file["name"] for file in files]
    if agree:
        return f"{', '.join(names[:-1])} and {names[-1]} agree: {firsts[0]}"
    said = ", ".join(f"{name} says {label}" for name, label in zip(names, firsts, strict=True))
    return f"They differ: {said}"
