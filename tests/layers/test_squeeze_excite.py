"""Squeeze and excitation with both gates, against its arithmetic."""

import keras
import numpy as np
import pytest

from ghostnet_tf.layers import SqueezeExcite

GATES = {
    "hard_sigmoid": lambda x: np.minimum(np.maximum(x + 3, 0), 6) / 6,
    "clip": lambda x: np.minimum(np.maximum(x, 0), 1),
}


@pytest.mark.parametrize(("gate", "divisor", "units"), [("hard_sigmoid", 4, 20), ("clip", 1, 18)])
def test_equals_its_arithmetic(gate, divisor, units):
    rng = np.random.default_rng(0)
    layer = SqueezeExcite(divisor=divisor, gate=gate)
    layer.build((None, 3, 5, 72))
    assert layer.reduce.kernel.shape == (1, 1, 72, units)
    # Biases over both ends of both gates.
    layer.expand.bias.assign(np.linspace(-4, 4, 72))
    layer.reduce.bias.assign(rng.normal(0, 0.1, units))
    maps = rng.normal(size=(2, 3, 5, 72)).astype("float32")
    means = maps.mean(axis=(1, 2))
    hidden = np.maximum(means @ layer.reduce.kernel.numpy()[0, 0] + layer.reduce.bias.numpy(), 0)
    gates = GATES[gate](hidden @ layer.expand.kernel.numpy()[0, 0] + layer.expand.bias.numpy())
    assert {0.0, 1.0} <= set(gates.ravel()) and ((gates > 0) & (gates < 1)).any()
    # Float32 rounds to about 1e-7 of the largest value, near 4.
    np.testing.assert_allclose(layer(maps), maps * gates[:, None, None], atol=2e-6)
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer))
    assert again.get_config() == layer.get_config()


@pytest.mark.parametrize(("options", "received"), [({"gate": "sigmoid"}, "gate='sigmoid'"), ({"se_ratio": 0}, "se_r")])
def test_impossible_arguments(options, received):
    with pytest.raises(ValueError, match=f"Received: {received}"):
        SqueezeExcite(**options)
