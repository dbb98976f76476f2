"""Fine-tuning in two parts: a new classifier on a backbone that stands still, then everything."""

import keras


class FrozenBackbone(keras.callbacks.Callback):
    """Trains only the last layer that has weights in the first epochs, then all layers.

    Batch normalization that does not train is in inference mode: it uses its moving statistics and keeps them. The
    optimizer knows all variables from the start; those that stand still get no update, so that momentum and averages
    of a resumed run are those of a whole one. Between epochs everything is trainable, as the optimizer expects it.

    Args:
        epochs: How many first epochs.
    """

    def __init__(self, epochs: int):
        super().__init__()
        self.epochs = epochs
        self.frozen = False  # in the training function that Keras has now

    def on_epoch_begin(self, epoch, logs=None):
        frozen = epoch < self.epochs
        self._set_trainable(not frozen)
        if frozen != self.frozen:
            self.model.make_train_function(force=True)
            self.frozen = frozen

    def on_epoch_end(self, epoch, logs=None):
        self._set_trainable(True)

    def _set_trainable(self, trainable: bool) -> None:
        *backbone, _ = [layer for layer in self.model.layers if layer.weights]
        for layer in backbone:
            layer.trainable = trainable
