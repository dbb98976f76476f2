"""The optimizer and its learning-rate schedule."""

import keras

from ghostnet_tf.training.config import RunConfig


def learning_rate(config: RunConfig, steps_per_epoch: int) -> keras.optimizers.schedules.LearningRateSchedule:
    """Linear warm-up from 0, then cosine decay to 0, over the batches of a run."""
    warmup = round(config.warmup_epochs * steps_per_epoch)
    return keras.optimizers.schedules.CosineDecay(
        0.0 if warmup else config.learning_rate,
        decay_steps=max(1, config.epochs * steps_per_epoch - warmup),
        warmup_target=config.learning_rate if warmup else None,
        warmup_steps=warmup,
    )


def optimizer(
    config: RunConfig, schedule: keras.optimizers.schedules.LearningRateSchedule
) -> keras.optimizers.Optimizer:
    """SGD with Nesterov momentum, weight decay on kernels only, and what the settings add to it.

    Keras decays weights directly, by `learning_rate * weight_decay` a step; the papers' L2 gradient passes through
    the momentum, which multiplies its effect by `1 / (1 - momentum)`. Dividing here makes both equal in the long run.
    """
    accumulated = config.gradient_accumulation_steps
    sgd = keras.optimizers.SGD(
        schedule,
        momentum=config.momentum,
        nesterov=True,
        weight_decay=config.weight_decay / (1 - config.momentum) or None,
        clipnorm=config.clipnorm,
        global_clipnorm=config.global_clipnorm,
        use_ema=config.ema > 0,
        ema_momentum=config.ema ** (1 / accumulated),  # Keras averages after every batch, updates or not
        gradient_accumulation_steps=accumulated if accumulated > 1 else None,
    )
    if config.weight_decay:
        sgd.exclude_from_weight_decay(var_names=["beta", "bias", "gamma"])
    return sgd
