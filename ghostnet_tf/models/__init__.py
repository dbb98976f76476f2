"""Builders of the GhostNet family."""

from ghostnet_tf.models.ghostnet import GhostNet

__all__ = ["GhostNet"]
