"""Weights of published models and those in the package: where they are, how they load."""

from ghostnet_tf.weights.carried import Carried, carried
from ghostnet_tf.weights.hub import WeightsUnavailable, fetch
from ghostnet_tf.weights.load import load_weights
from ghostnet_tf.weights.registry import Checkpoint, imagenet_tag, list_weights

__all__ = [
    "Carried",
    "Checkpoint",
    "WeightsUnavailable",
    "carried",
    "fetch",
    "imagenet_tag",
    "list_weights",
    "load_weights",
]
