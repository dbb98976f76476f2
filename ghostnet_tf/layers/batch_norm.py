"""Batch normalization through TensorFlow's fused kernel."""

import math

import keras

VECTOR = 16  # floats


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

        gamma, beta = tf.convert_to_tensor(self.gamma), tf.convert_to_tensor(self.beta)
        fold = _fold(inputs)
        if fold == 1:
            outputs, mean, variance, *_ = _fused(inputs, gamma, beta, self.epsilon)
            variance *= _bias(inputs)
        else:
            outputs, mean, variance = _folded(inputs, gamma, beta, self.epsilon, fold)
        for moving, batch in ((self.moving_mean, mean), (self.moving_variance, variance)):
            moving.assign(moving * self.momentum + batch * (1.0 - self.momentum))
        return outputs


def _fused(inputs, gamma, beta, epsilon: float, statistics=None):
    """The kernel, with the batch's statistics or with a given mean and variance."""
    import tensorflow as tf

    nothing = tf.constant([], tf.float32)
    mean, variance = statistics or (nothing, nothing)
    return tf.raw_ops.FusedBatchNormV3(
        x=inputs,
        scale=gamma,
        offset=beta,
        mean=mean,
        variance=variance,
        epsilon=epsilon,
        is_training=statistics is None,
    )


def _bias(inputs):
    """The kernel returns the unbiased variance; Keras keeps the biased one, which is this times as large."""
    import tensorflow as tf

    count = tf.cast(tf.size(inputs) / tf.shape(inputs)[-1], tf.float32)
    return (count - 1) / count


def _fold(inputs) -> int:
    """How many neighbouring pixels to see as one so that channels come in whole CPU vectors (16 floats); 1: as is.

    The forward kernel takes two to three times as long where channels are no multiple of 16, as most of GhostNet's.
    """
    import tensorflow as tf

    height, width, channels = inputs.shape[1:]
    if inputs.dtype != tf.float32 or None in (height, width, channels) or tf.config.list_physical_devices("GPU"):
        return 1
    fold = VECTOR // math.gcd(VECTOR, channels)
    return fold if channels > VECTOR // 2 and height * width % fold == 0 else 1


def _folded(inputs, gamma, beta, epsilon: float, fold: int):
    """Outputs, mean and biased variance by the same kernels, on a view of `fold` times as many channels."""
    import tensorflow as tf

    shape = tf.shape(inputs)
    pixels, channels = inputs.shape[1] * inputs.shape[2], inputs.shape[3]

    def tiled(values):
        return tf.tile(values, [fold])

    @tf.custom_gradient
    def normalized(x, gamma, beta):
        view = tf.reshape(x, (-1, 1, pixels // fold, fold * channels))
        _, means, variances, *_ = _fused(view, tf.ones(fold * channels), tf.zeros(fold * channels), epsilon)
        means, variances = (tf.reshape(values, (fold, channels)) for values in (means, variances * _bias(view)))
        mean = tf.reduce_mean(means, 0)
        variance = tf.reduce_mean(variances + tf.math.squared_difference(means, mean), 0)
        outputs, *_ = _fused(view, tiled(gamma), tiled(beta), epsilon, (tiled(mean), tiled(variance)))

        def gradient(upstream, *_):
            return tf.raw_ops.FusedBatchNormGradV3(
                y_backprop=upstream,
                x=x,
                scale=gamma,
                reserve_space_1=mean,
                reserve_space_2=variance,
                reserve_space_3=tf.constant([], tf.float32),
                epsilon=epsilon,
                is_training=True,
            )[:3]

        return (tf.reshape(outputs, shape), mean, variance), gradient

    return normalized(inputs, gamma, beta)
