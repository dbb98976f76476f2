"""Test images with what a float and an int8 file make of them, for the report."""

import base64
import dataclasses
import io

import numpy as np

from ghostnet_tf.runtime import open_model
from ghostnet_tf.tflite.run_folder import ModelFile, Run

PICTURE_SIZE = 160  # pixels a side at most, of a picture in the page


@dataclasses.dataclass
class Guess:
    """First class of one file for one image, and the probability it gives."""

    scheme: str
    label: str
    probability: float
    right: bool


@dataclasses.dataclass
class Example:
    """A test image as a PNG data URI, its class, and the guesses."""

    picture: str
    truth: str
    guesses: list[Guess]

    @property
    def wrong(self) -> bool:
        return not all(guess.right for guess in self.guesses)


@dataclasses.dataclass
class Predictions:
    """Examples, and a sentence that says how they were chosen."""

    examples: list[Example]
    note: str


def compared(run: Run) -> list[ModelFile]:
    """The float and the int8 file of a run, as far as there are."""
    of_float = [file for file in run.files if file.scheme in ("fp32", "fp16")]
    of_int8 = [file for file in run.files if file.scheme.startswith("int8")]
    return of_float[:1] + of_int8[:1]


def predict(
    files: list[ModelFile], images: np.ndarray, truths: np.ndarray, labels: list[str], count: int = 12
) -> Predictions:
    """Runs `files` on `images` and picks `count` of them, up to a third with a wrong guess if there are such.

    Args:
        files: `.tflite` files.
        images: uint8 RGB `(n, height, width, 3)`.
        truths: Class numbers `(n,)`.
        labels: Class names.
        count: How many to show.
    """
    outputs = [open_model(file.path).predict(images) for file in files]
    firsts = np.stack([output.argmax(-1) for output in outputs])
    wrong = (firsts != truths).any(0)
    shown = choose(wrong, count)
    examples = [
        Example(
            picture(images[index]),
            labels[truths[index]],
            [
                Guess(
                    file.scheme, labels[first[index]], float(output[index].max()), bool(first[index] == truths[index])
                )
                for file, output, first in zip(files, outputs, firsts, strict=True)
            ],
        )
        for index in shown
    ]
    errors = ", ".join(
        f"{file.scheme} guesses {np.count_nonzero(first != truths)} wrong"
        for file, first in zip(files, firsts, strict=True)
    )
    note = (
        f"{len(shown)} of {len(images)} test images, {np.count_nonzero(wrong[shown])} of them chosen because a guess "
        f"is wrong. On all {len(images)}, {errors}"
    )
    if len(files) > 1:
        note += f"; they differ on {np.count_nonzero(firsts[0] != firsts[1])}"
    return Predictions(examples, note + ".")


def choose(wrong: np.ndarray, count: int) -> np.ndarray:
    """Indices of up to `count` images, in their order: wrong ones up to a third, or more if the right ones run out."""
    wrongs, rights = np.flatnonzero(wrong), np.flatnonzero(~wrong)
    taken_wrong = min(len(wrongs), max(count // 3, count - len(rights)))
    return np.sort(np.concatenate([wrongs[:taken_wrong], rights[: count - taken_wrong]]))


def picture(image: np.ndarray) -> str:
    """A uint8 RGB image `(height, width, 3)` as a PNG data URI, made smaller if it is large."""
    from PIL import Image

    picture = Image.fromarray(image)
    picture.thumbnail((PICTURE_SIZE, PICTURE_SIZE))
    file = io.BytesIO()
    picture.save(file, "PNG", optimize=True)
    return data_uri(file.getvalue())


def data_uri(png: bytes) -> str:
    """PNG bytes as the source of an `<img>`."""
    return "data:image/png;base64," + base64.b64encode(png).decode("ascii")
