"""Maps of several resolutions from one network, for detection and segmentation heads."""

from collections.abc import Sequence

import keras

from ghostnet_tf.layers import GGhostStage, GhostBottleneck, ResidualBottleneck

BLOCKS = (GhostBottleneck, GGhostStage, ResidualBottleneck)


def feature_extractor(model: keras.Model, levels: Sequence[int] = (4, 8, 16, 32)) -> keras.Model:
    """A model with the same input and weights whose outputs are the last maps at each of `levels`.

    For GhostNet these are the outputs of its bottlenecks 3, 5, 11 and 16 at 1/4, 1/8, 1/16 and 1/32 of the input's
    size, with 24, 40, 112 and 160 channels times width: what its author takes for detection. At 1/2 there are 16.

    Args:
        model: A network of this package made of bottlenecks or stages: GhostNet, Ghost-ResNet-50, RegNetX and the
            G-Ghost networks, with or without top.
        levels: Reductions of the input's size: 2, 4, 8, 16 or 32. Networks for inputs below 96 pixels lack some.

    Returns:
        A Functional model with a list of outputs `(batch, height / level, width / level, channels)` in the order of
        `levels`; it shares its layers with `model`, saves and converts by itself.

    Raises:
        ValueError: If the network has no maps at a level; the message lists those it has.
    """
    taps, reduction = {}, 1
    for layer in model.layers:
        strides = getattr(layer, "strides", 1)
        reduction *= strides if isinstance(strides, int) else strides[0]
        if isinstance(layer, BLOCKS) or layer.name == "stem":
            taps[reduction] = layer.output
    if not levels or any(level not in taps for level in levels):
        known = ", ".join(map(str, taps)) or "none: it has no bottlenecks"
        raise ValueError(f"Expected `levels` among those of {model.name} ({known}). Received: levels={levels!r}")
    return keras.Model(model.input, [taps[level] for level in levels], name=f"{model.name}_features")
