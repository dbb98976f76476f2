"""What goes into and comes out of a network trained on ImageNet."""

import functools
from importlib.resources import files

import numpy as np


def preprocess_input(x, data_format: str | None = None):
    """Returns `x` as it is: models with `include_preprocessing=True` normalize RGB values from 0 to 255 themselves.

    Args:
        x: Images `(..., height, width, channels)`, values from 0 to 255.
        data_format: Ignored; here for code written for other `keras.applications`.
    """
    return x


@functools.cache
def imagenet_classes() -> tuple[tuple[str, str], ...]:
    """`(WordNet id, name)` of the 1000 classes of ImageNet-1k, in the order of the outputs."""
    text = (files(__package__) / "imagenet_classes.txt").read_text(encoding="utf-8")
    return tuple(tuple(line.split("\t")) for line in text.splitlines() if not line.startswith("#"))


def decode_predictions(preds: np.ndarray, top: int = 5) -> list[list[tuple[str, str, float]]]:
    """The classes with the highest scores, of each row of predictions.

    Args:
        preds: `(batch, 1000)` scores: probabilities or logits.
        top: How many classes a row, 1 to 1000.

    Returns:
        For each row a list of `(WordNet id, name, score)`, highest first.

    Raises:
        ValueError: If `preds` has another shape or `top` is out of range.
    """
    preds, classes = np.asarray(preds), imagenet_classes()
    if preds.ndim != 2 or preds.shape[1] != len(classes):
        raise ValueError(f"Expected `preds` of shape (batch, {len(classes)}). Received: shape={preds.shape}")
    if not 1 <= top <= len(classes):
        raise ValueError(f"Expected `top` from 1 to {len(classes)}. Received: top={top}")
    order = np.argsort(-preds, axis=1, kind="stable")[:, :top]
    return [[(*classes[i], float(row[i])) for i in best] for row, best in zip(preds, order, strict=True)]
