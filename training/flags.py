"""The settings of a run as flags: their types, their meaning, and which values are refused."""

import argparse
import importlib.util

from ghostnet_tf import commands, networks
from ghostnet_tf.commands import BadInput, MissingResource, flag
from ghostnet_tf.training.config import AUGMENTATIONS, OPTIMIZERS, STRATEGIES, RunConfig, check_sizes, rising
from ghostnet_tf.training.workers import check_strategy


def number_list(text: str) -> list[float]:
    """Argument type: numbers with commas between them."""
    return [float(number) for number in text.split(",")]


def integer_list(text: str) -> list[int]:
    """Argument type: whole numbers with commas between them."""
    return [int(number) for number in text.split(",")]


# Setting -> (type, meaning); defaults are RunConfig's.
FLAGS = {
    "data": (str, "data set name or folder"),
    "data_dir": (str, "where TensorFlow Datasets keeps prepared data, or the idx files of MNIST and its like"),
    "model": (str, f"one of {', '.join(networks.NETWORKS)}"),
    **{name: (option.kind, networks.option_help(name)) for name, option in networks.OPTIONS.items()},
    "dropout_rate": (float, "before the classifier (default: the model's)"),
    "weights": (str, "starting weights: imagenet, a file, or cifar10 of ghost_resnet56, which the package carries"),
    "freeze_epochs": (int, "first epochs, in which only the classifier trains; with --weights"),
    "teacher": (str, "a .keras file, or some with commas between, whose answers are learnt beside the labels"),
    "temperature": (commands.positive_float, "of the softmax in which teachers and student are compared"),
    "distillation_weight": (
        float,
        "share of the teachers in the loss; with --qat of the float model that it begins as, 0.9 by default",
    ),
    "size": (commands.positive_int, "pixels a side (default: 32 for small images, 224 for photos)"),
    "progressive_sizes": (integer_list, "smaller sizes to begin with, such as 24, for faster first epochs"),
    "progressive_epochs": (integer_list, "epochs after which the next of them, in the end the full size, is taken"),
    "augment": (
        str,
        "; ".join(f"{name}: {what}" for name, what in AUGMENTATIONS.items()) + " (default: what suits the data)",
    ),
    "crop_area": (float, "smallest share of a photo that a crop keeps"),
    "color_jitter": (float, "share by which brightness, contrast and saturation change, such as 0.4; 0 for none"),
    "rand_augment": (float, "strength of RandAugment, 1 is the published level 10; 0 for none"),
    "random_erasing": (float, "share of the images that lose a rectangle"),
    "mixup": (float, "alpha of mixup, such as 0.2; 0 for none"),
    "cutmix": (float, "alpha of cutmix, such as 1; 0 for none"),
    "epochs": (commands.positive_int, "passes over the training images"),
    "batch_size": (commands.positive_int, "images a step"),
    "zero_init_residual": (bool, "let residual blocks begin as their shortcuts: a better start of a short run"),
    "optimizer": (str, "; ".join(f"{name}: {what}" for name, (what, _) in OPTIMIZERS.items())),
    "learning_rate": (
        commands.positive_float,
        "peak (default: at batch size 128 "
        + ", ".join(f"{rate} with {name}" for name, (_, rate) in OPTIMIZERS.items())
        + "; a tenth of it with --weights)",
    ),
    "warmup_epochs": (float, "epochs of linear warm-up before the cosine decay to 0"),
    "decay_epochs": (
        number_list,
        "epochs after which the rate falls to a tenth, such as 80,120; not the cosine",
    ),
    "momentum": (float, "of the gradients, with Nesterov's correction"),
    "weight_decay": (float, "on kernels, not on normalization and biases"),
    "label_smoothing": (float, "share of the target spread over all classes"),
    "class_weights": (str, "balanced: rare classes count as much as frequent ones"),
    "clipnorm": (commands.positive_float, "longest gradient of a single variable"),
    "global_clipnorm": (commands.positive_float, "longest gradient of all variables together"),
    "gradient_accumulation_steps": (commands.positive_int, "batches whose gradients make one update"),
    "ema": (float, "momentum of a moving average of the weights, such as 0.999; 0 for none"),
    "mixed_precision": (str, "float16 or bfloat16: compute in it, keep the weights in float32; faster on GPUs only"),
    "early_stopping": (commands.positive_int, "epochs without a better held-out accuracy after which to stop"),
    "validation_freq": (commands.positive_int, "epochs between evaluations on the held-out images; the last has one"),
    "keep": (str, "weights in model.keras: last or best on the held-out images (default: best with early stopping)"),
    "tensorboard": (bool, "write logs for TensorBoard"),
    "steps_per_execution": (commands.positive_int, "steps that TensorFlow runs at once; must divide an epoch's"),
    "towers": (commands.positive_int, "parts of a batch computed side by side; one a processor core trains faster"),
    "strategy": (
        str,
        "train on more than one device: " + "; ".join(f"{name}: {what}" for name, what in STRATEGIES.items()),
    ),
    "synchronized_batch_norm": (bool, "with --strategy: normalize by the whole batch, not by each replica's part"),
    "seed": (int, "of initialization, order, augmentation and split"),
}

CHOICES = {
    "augment": AUGMENTATIONS,
    "optimizer": OPTIMIZERS,
    "class_weights": ("balanced",),
    "mixed_precision": ("float16", "bfloat16"),
    "keep": ("best", "last"),
    "strategy": STRATEGIES,
}

# Lowest value, and the one that all values stay below.
RANGES = {
    "color_jitter": (0, 1),
    "dropout_rate": (0, 1),
    "momentum": (0, 1),
    "label_smoothing": (0, 1),
    "weight_decay": (0, float("inf")),
    "ema": (0, 1),
}

# Lowest and highest value, and whether 0 is one too. Below an alpha of 0.2, Keras's mixing can be 0 / 0 in float32.
SHARES = {
    "crop_area": (0.01, 1, False),
    "rand_augment": (0, 1, True),
    "random_erasing": (0, 1, True),
    "mixup": (0.2, 1, True),
    "cutmix": (0.2, 1, True),
    "distillation_weight": (0, 1, True),
}


def add_flags(arguments: argparse.ArgumentParser) -> None:
    """Adds a flag for every setting; one that is not given is `None`."""
    for name, (kind, meaning) in FLAGS.items():
        default = getattr(RunConfig, name)
        shown = "" if default is None or default is False else f" (default: {default})"
        how = {"action": argparse.BooleanOptionalAction} if kind is bool else {"type": kind, "metavar": name.upper()}
        arguments.add_argument(flag(name), default=None, help=meaning + shown, **how)


def check(config: RunConfig) -> None:
    """Refuses settings outside their range.

    Raises:
        BadInput: With the flag, what was expected and what was received.
        MissingResource: If a setting needs a package that is not installed.
    """
    networks.settings(config.model, config.options)
    for name, allowed in CHOICES.items():
        if getattr(config, name) is not None:
            commands.choose(flag(name), getattr(config, name), allowed)
    if config.size is not None and config.size < 32:
        raise BadInput(f"expected --size of at least 32 pixels. Received: {config.size}")
    epochs = (0, config.epochs)
    for name, (low, high) in {**RANGES, "warmup_epochs": epochs, "freeze_epochs": epochs}.items():
        value = getattr(config, name)
        if not low <= value < high:
            raise BadInput(f"expected {flag(name)} from {low} to below {high}. Received: {value}")
    for name, (low, high, zero) in SHARES.items():
        value = getattr(config, name)
        if not (low <= value <= high or (zero and value == 0)):
            also = "0, or " if zero and low else ""
            raise BadInput(f"expected {flag(name)} as {also}{low} to {high}. Received: {value}")
    for name, (kind, _) in FLAGS.items():
        if kind in (commands.positive_int, commands.positive_float) and getattr(config, name) is not None:
            try:
                kind(str(getattr(config, name)))
            except (argparse.ArgumentTypeError, ValueError) as error:
                raise BadInput(f"{flag(name)}: {error}") from error
    if not rising(config.decay_epochs or [], config.epochs):
        raise BadInput(
            f"expected --decay-epochs as rising numbers above 0 and below {config.epochs}. "
            f"Received: {config.decay_epochs}"
        )
    if config.freeze_epochs and config.weights is None:
        raise BadInput(
            "expected --weights with --freeze-epochs, since an untrained network has nothing to keep. "
            f"Received: --freeze-epochs {config.freeze_epochs} alone"
        )
    if not all(file.endswith(".keras") for file in config.teachers):
        raise BadInput(f"expected --teacher as .keras files with commas between them. Received: {config.teacher}")
    if config.clipnorm is not None and config.global_clipnorm is not None:
        raise BadInput(
            "expected --clipnorm or --global-clipnorm, not both. "
            f"Received: {config.clipnorm} and {config.global_clipnorm}"
        )
    check_sizes(config)
    if config.batch_size % config.towers:
        raise BadInput(
            f"expected --batch-size as a multiple of --towers. Received: {config.batch_size} and {config.towers}"
        )
    check_strategy(config)
    if config.zero_init_residual and config.weights is not None:
        raise BadInput("expected --zero-init-residual without --weights, which it would change. Received: both")
    if config.tensorboard and importlib.util.find_spec("tensorboard") is None:
        raise MissingResource("--tensorboard needs the package tensorboard: pip install 'ghostnet-tf[tensorboard]'")
