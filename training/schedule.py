"""The optimizer and its learning-rate schedule."""

import keras

from ghostnet_tf.training.config import RunConfig


def optimizer(config: RunConfig, steps_per_epoch: int) -> keras.optimizers.Optimizer:
    """SGD with Nesterov momentum under linear warm-up and cosine decay, weight decay on kernels only.

    Keras decays weights directly, by `learning_rate * weight_decay` a step; the papers' L2 gradient passes through
    the momentum, which multiplies its effect by `1 / (1 - momentum)`. Dividing here makes both equal in the long run.
    """
    warmup = round(config.warmup_epochs * steps_per_epoch)
    schedule = keras.optimizers.schedules.CosineDecay(
        0.0 if warmup else config.learning_rate,
        decay_steps=max(1, config.epochs * steps_per_epoch - warmup),
        warmup_target=config.learning_rate if warmup else None,
        warmup_steps=warmup,
    )
    sgd = keras.optimizers.SGD(
        schedule,
        momentum=config.momentum,
        nesterov=True,
        weight_decay=config.weight_decay / (1 - config.momentum) or None,
    )
    if config.weight_decay:
        sgd.exclude_from_weight_decay(var_names=["beta", "bias", "gamma"])
    return sgd
