"""The training command on a network small enough to train in a second: `worker.py [--devices N | --row N] …`."""

import sys
from pathlib import Path

GHOSTNET_TF_COMMAND = True
sys.path[0] = str(Path(__file__).resolve().parents[2])

import keras  # noqa: E402
import tensorflow as tf  # noqa: E402

from ghostnet_tf.models import ghostnet  # noqa: E402
from ghostnet_tf.training import fit, train  # noqa: E402


def build(*, input_shape, classes, classifier_activation, **_):
    """One convolution, normalization, and a classifier."""
    inputs = keras.Input(input_shape)
    x = keras.layers.Rescaling(1 / 127.5, -1)(inputs)
    x = keras.layers.Conv2D(8, 3, strides=4, use_bias=False)(x)
    x = keras.layers.GlobalAveragePooling2D()(keras.layers.ReLU()(keras.layers.BatchNormalization()(x)))
    return keras.Model(inputs, keras.layers.Dense(classes, activation=classifier_activation)(x))


def main(words: list[str]) -> int:
    """Runs the command, on `N` devices made of one processor, or with row `N` alone of GhostNet's table."""
    if words[:1] == ["--row"]:
        ghostnet.ROWS = ghostnet.ROWS[int(words[1]) :][:1]
        return train.main(words[2:])
    if words[:1] == ["--devices"]:
        processor = tf.config.list_physical_devices("CPU")[0]
        tf.config.set_logical_device_configuration(processor, [tf.config.LogicalDeviceConfiguration()] * int(words[1]))
        words = words[2:]
    fit.BUILDERS["ghostnet"] = build
    return train.main(words)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
