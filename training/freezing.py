"""Fine-tuning in two parts: a new classifier on a backbone that stands still, then everything."""

import keras


class FrozenBackbone(keras.callbacks.Callback):
    """Trains only the last layer that has weights in the first epochs, then all layers.

    Batch normalization that does not train is in inference mode: it uses its moving statistics and keeps them. The
    optimizer knows all variables from the start and is called with those that train; the state of the others waits.
    Everything is trainable again as soon as an epoch's batches are done, since evaluation and the optimizer's moving
    average are of the whole model.

    Args:
        epochs: How many first epochs.
        steps: Batches an epoch.
    """

    def __init__(self, epochs: int, steps: int):
        super().__init__()
        self.epochs, self.steps = epochs, steps
        self.frozen = False  # in the training function that Keras has now

    def on_epoch_begin(self, epoch, logs=None):
        frozen = epoch < self.epochs
        self._set_trainable(not frozen)
        if frozen != self.frozen:
            self.model.make_train_function(force=True)
            self.frozen = frozen

    def on_train_batch_end(self, batch, logs=None):
        if batch + 1 == self.steps:
            self._set_trainable(True)

    def _set_trainable(self, trainable: bool) -> None:
        *backbone, _ = [layer for layer in self.model.layers if layer.weights]
        for layer in backbone:
            layer.trainable = trainable
