"""Batch normalization through TensorFlow's fused kernel."""

import keras


@keras.saving.register_keras_serializable(package="ghostnet_tf")
class BatchNormalization(keras.layers.BatchNormalization):
    """`keras.layers.BatchNormalization`, faster in training: one fused kernel instead of a dozen operations.

    Same arguments, variables, outputs, gradients and moving statistics. The fused kernel serves training on
    the TensorFlow backend for `(batch, height, width, channels)` inputs with `axis=-1`, without a mask,
    renormalization or synchronization, in float32, float16 or bfloat16; everything else, inference included,
    goes through Keras's own implementation.
    """

    def call(self, inputs, training=None, mask=None):
        if not (training and self.trainable and mask is None and self._fusable(inputs)):
            return super().call(inputs, training=training, mask=mask)
        return self._fused_training_call(inputs)

    def _fusable(self, inputs) -> bool:
        return (
            keras.backend.backend() == "tensorflow"
            and not isinstance(inputs, keras.KerasTensor)
            and len(inputs.shape) == 4
            and self.axis in (-1, 3)
            and self.scale
            and self.center
            and not self.renorm
            and not self.synchronized
            and keras.backend.standardize_dtype(inputs.dtype) in ("float32", "float16", "bfloat16")
            and self.compute_dtype == keras.backend.standardize_dtype(inputs.dtype)
            and keras.backend.standardize_dtype(self.moving_mean.dtype) == "float32"
        )

    def _fused_training_call(self, inputs):
        import tensorflow as tf

        outputs, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
            x=inputs,
            scale=tf.convert_to_tensor(self.gamma),
            offset=tf.convert_to_tensor(self.beta),
            mean=tf.constant([], tf.float32),
            variance=tf.constant([], tf.float32),
            epsilon=self.epsilon,
            is_training=True,
        )
        # The kernel returns the unbiased variance; Keras keeps the biased one.
        count = tf.cast(tf.size(inputs) / tf.shape(inputs)[-1], tf.float32)
        variance *= (count - 1) / count
        for moving, batch in ((self.moving_mean, mean), (self.moving_variance, variance)):
            moving.assign(moving * self.momentum + batch * (1.0 - self.momentum))
        return outputs
