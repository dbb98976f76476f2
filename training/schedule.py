"""The optimizer and its learning-rate schedule."""

import keras
from keras import ops

from ghostnet_tf.training.config import RunConfig
from ghostnet_tf.training.muon import Muon

# Adam's share of Muon's learning rate: after an epoch of CIFAR-10, 0.3 of 0.02 and 1.2 of 0.01 did alike.
ADAM_LR_RATIO = 0.3


@keras.saving.register_keras_serializable(package="ghostnet_tf")
class StepDecay(keras.optimizers.schedules.LearningRateSchedule):
    """Linear warm-up from 0 to `peak`, then a tenth from each of `boundaries` on; `warmup` and these in batches."""

    def __init__(self, peak: float, warmup: int, boundaries: list[int]):
        super().__init__()
        self.peak, self.warmup, self.boundaries = peak, warmup, boundaries

    def __call__(self, step):
        step = ops.cast(step, "float32")
        passed = ops.sum(ops.cast(step >= ops.convert_to_tensor(self.boundaries, "float32"), "float32"))
        rate = self.peak * 0.1**passed
        return rate * ops.minimum(step / self.warmup, 1.0) if self.warmup else rate

    def get_config(self):
        return {"peak": self.peak, "warmup": self.warmup, "boundaries": self.boundaries}


def learning_rate(config: RunConfig, steps_per_epoch: int) -> keras.optimizers.schedules.LearningRateSchedule:
    """Linear warm-up from 0, then cosine decay to 0, or steps of a tenth, over the batches of a run."""
    warmup = round(config.warmup_epochs * steps_per_epoch)
    if config.decay_epochs is not None:
        boundaries = [round(epoch * steps_per_epoch) for epoch in config.decay_epochs]
        return StepDecay(config.learning_rate, warmup, boundaries)
    return keras.optimizers.schedules.CosineDecay(
        0.0 if warmup else config.learning_rate,
        decay_steps=max(1, config.epochs * steps_per_epoch - warmup),
        warmup_target=config.learning_rate if warmup else None,
        warmup_steps=warmup,
    )


def optimizer(
    config: RunConfig, schedule: keras.optimizers.schedules.LearningRateSchedule
) -> keras.optimizers.Optimizer:
    """The optimizer of a run, with weight decay on kernels only, and what the settings add to it."""
    accumulated = config.gradient_accumulation_steps
    made = (_muon if config.optimizer == "muon" else _sgd)(
        config,
        learning_rate=schedule,
        clipnorm=config.clipnorm,
        global_clipnorm=config.global_clipnorm,
        use_ema=config.ema > 0,
        ema_momentum=config.ema ** (1 / accumulated),  # Keras averages after every batch, updates or not
        gradient_accumulation_steps=accumulated if accumulated > 1 else None,
    )
    if config.weight_decay:
        made.exclude_from_weight_decay(var_names=["beta", "bias", "gamma"])
    return made


def _sgd(config: RunConfig, **options) -> keras.optimizers.Optimizer:
    """SGD with Nesterov momentum.

    Keras decays weights directly, by `learning_rate * weight_decay` a step; the papers' L2 gradient passes through
    the momentum, which multiplies its effect by `1 / (1 - momentum)`. Dividing here makes both equal in the long run.
    """
    decay = config.weight_decay / (1 - config.momentum) or None
    return keras.optimizers.SGD(momentum=config.momentum, nesterov=True, weight_decay=decay, **options)


def _muon(config: RunConfig, **options) -> keras.optimizers.Optimizer:
    """Muon for convolutions; Adam for the rest, and where orthogonal updates cost more than the convolution."""
    decay = config.weight_decay or None
    return Muon(
        momentum=config.momentum,
        weight_decay=decay,
        adam_weight_decay=decay,
        adam_lr_ratio=ADAM_LR_RATIO,
        exclude_layers=["classifier", "head", "_se_"],
        **options,
    )
