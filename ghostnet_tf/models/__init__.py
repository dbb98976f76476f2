"""Builders of the GhostNet family."""

from ghostnet_tf.models.comparisons import EfficientNetB0, MobileNetV2, MobileNetV3Large, MobileNetV3Small
from ghostnet_tf.models.compound_scaling import compound_scale
from ghostnet_tf.models.feature_extractor import feature_extractor
from ghostnet_tf.models.g_ghost_regnet import GGhostRegNetX, RegNetX
from ghostnet_tf.models.g_ghostnet import GGhostNet
from ghostnet_tf.models.ghost_resnet import GhostResNet50, GhostResNet56
from ghostnet_tf.models.ghost_vgg import GhostVGG16
from ghostnet_tf.models.ghostnet import GhostNet
from ghostnet_tf.models.ghostnet_v2 import GhostNetV2
from ghostnet_tf.models.ghostnet_v3 import GhostNetV3, reparameterize
from ghostnet_tf.models.imagenet import decode_predictions, imagenet_classes, preprocess_input
from ghostnet_tf.networks import NETWORKS

BUILDERS = {name: globals()[network.builder] for name, network in NETWORKS.items()}


def list_models() -> list[str]:
    """Names of the networks: what the commands take as `--model`, and the keys of `BUILDERS`."""
    return list(BUILDERS)


__all__ = [
    "BUILDERS",
    "EfficientNetB0",
    "GGhostNet",
    "GGhostRegNetX",
    "GhostNet",
    "GhostNetV2",
    "GhostNetV3",
    "GhostResNet50",
    "GhostResNet56",
    "GhostVGG16",
    "MobileNetV2",
    "MobileNetV3Large",
    "MobileNetV3Small",
    "RegNetX",
    "compound_scale",
    "decode_predictions",
    "feature_extractor",
    "imagenet_classes",
    "list_models",
    "preprocess_input",
    "reparameterize",
]
