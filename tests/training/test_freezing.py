"""Fine-tuning: the backbone stands still in the first epochs, then moves."""

import dataclasses

import keras
import numpy as np
import pytest

from ghostnet_tf.training import callbacks, fit
from ghostnet_tf.training.config import RunConfig
from ghostnet_tf.training.pipeline import training_batches
from ghostnet_tf.training.schedule import learning_rate

# Of digits: 5 steps an epoch. `tiny_network` is the same with or without starting weights.
FINE = RunConfig(
    batch_size=256,
    epochs=3,
    warmup_epochs=0.5,
    freeze_epochs=2,
    weights="any.keras",
    learning_rate=0.1,
    dropout_rate=0.0,
)
CLASSIFIER = 2  # variables: kernel and bias

pytestmark = pytest.mark.usefixtures("tiny_network")


@pytest.fixture
def states(monkeypatch):
    """Weights and optimizer variables by epoch, 0 for the beginning."""
    found = []

    def recording(method):
        def recorded(self, *given):
            found.append((self.model.get_weights(), [variable.numpy() for variable in self.model.optimizer.momentums]))
            method(self, *given)

        return recorded

    for name in ("on_train_begin", "on_epoch_end"):
        monkeypatch.setattr(callbacks.RunRecorder, name, recording(getattr(callbacks.RunRecorder, name)))
    return found


def test_the_backbone_stands_still_then_moves(tmp_path, states):
    fit.train(FINE, tmp_path / "run")
    (start, _), *epochs = states
    for number, (weights, momentums) in enumerate(epochs, 1):
        moved = [not np.array_equal(one, other) for one, other in zip(start, weights, strict=True)]
        frozen = number <= FINE.freeze_epochs
        # Moving statistics are among them: batch normalization is in inference mode as long.
        assert moved == [not frozen] * (len(start) - CLASSIFIER) + [True] * CLASSIFIER
        assert [momentum.any() for momentum in momentums] == [not frozen] * 3 + [True] * CLASSIFIER
    assert len(epochs) == 3


def test_the_classifier_learns_what_keras_teaches_it_alone(tmp_path, states):
    """The reference: layers that were not trainable when the model was compiled."""
    fit.train(FINE, tmp_path / "run")
    data, config = fit.prepare(FINE)
    keras.utils.set_random_seed(config.seed)
    model = fit.build(config, 10, classifier_activation=None)
    for layer in model.layers[:-1]:
        layer.trainable = False
    fit.compile_model(model, config, learning_rate(config, 5))
    model.fit(training_batches(data.train, 10, config), epochs=2, steps_per_epoch=5, shuffle=False, verbose=0)
    for one, other in zip(states[2][0], model.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-6)


@pytest.mark.parametrize("epochs", [1, 2])
def test_a_resumed_run_ends_the_same(resumed_after, epochs):
    """Resumed in the frozen part and at its end, with all that the optimizer can keep."""
    options = {"ema": 0.9, "gradient_accumulation_steps": 2, "global_clipnorm": 1.0, "mixed_precision": "float16"}
    config = dataclasses.replace(FINE, optimizer="muon", learning_rate=0.02, **options)
    expected, found = (
        keras.models.load_model(folder / "model.keras").get_weights() for folder in resumed_after(config, epochs)
    )
    for one, other in zip(expected, found, strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-6)  # threads add in any order
