"""What a training run is made of; `training/runs.py` reads it back."""

import dataclasses
import itertools
import math
from dataclasses import dataclass
from pathlib import Path

from ghostnet_tf.commands import BadInput, write_text
from ghostnet_tf.networks import NETWORKS, OPTIONS, full_name

# --augment NAME -> what it does
AUGMENTATIONS = {
    "none": "the images as evaluation sees them",
    "shift": "shifted by up to an eighth",
    "crop-flip": "shifted by up to an eighth, mirrored half of the time",
    "photo": "a random part of at least --crop-area, mirrored half of the time",
}

# --optimizer NAME -> what it is, and its learning rate for batches of 128 from random weights
OPTIMIZERS = {
    "sgd": ("gradient descent with momentum, the papers' choice", 0.2),
    "muon": ("orthogonal updates for convolutions, Adam for the rest; ahead in short runs", 0.02),
}

# --strategy NAME -> what it trains on
STRATEGIES = {
    "mirrored": "all GPUs of this machine",
    "multiworker": "several processes or machines, which the environment variable TF_CONFIG names",
    "tpu": "a TPU",
}

SMALLEST = 8  # pixels a side of images in training


@dataclass
class RunConfig:
    """Settings of a run; `None` means that the data set decides (`resolved` fills these in).

    The options of the model that are not given get its defaults at once; those that it does not have stay `None`.

    Attributes:
        data, data_dir: Data set name or folder, and where TensorFlow Datasets keeps it (or idx files lie).
        model: A key of `networks.NETWORKS`.
        width, variant, depth, ratio, dw_size, dialect, ghost_ratio, mix: Its options, see `networks.OPTIONS`.
        dropout_rate: Before its classifier.
        weights: Starting weights: `None`, `"imagenet"`, a file, or the tag of weights in the package.
        freeze_epochs: First epochs, in which only the classifier trains, see `freezing`; 0 for none.
        teacher: A `.keras` file to learn from beside the labels, or several with commas between them, see
            `distillation`.
        temperature: Of the softmax in which teacher and student are compared.
        distillation_weight: Share of that comparison in the loss; the labels have the rest.
        size: Pixels a side.
        progressive_sizes: Smaller sizes to begin with, in order, for faster first epochs (Tan and Le, "EfficientNetV2",
            2021, section 4.2); held-out images keep `size`.
        progressive_epochs: Epochs after which the next of these, in the end `size`, is taken.
        augment: A key of `AUGMENTATIONS`.
        crop_area: Smallest share of a photo's area that `"photo"` keeps (0.08 in the papers).
        color_jitter: Brightness, contrast and saturation change by up to this share (0.4 in the papers); 0 for none.
        rand_augment: Strength of `augment.RandAugment`, two operations an image: 1 is the published level 10, 0 none.
        random_erasing: Share of the images of which a rectangle is erased.
        mixup, cutmix: Of `keras.layers.MixUp` (its `alpha`) and `CutMix` (the same of its distribution); with both,
            each batch gets one of them; 0 for none.
        epochs, batch_size: Of the training.
        zero_init_residual: Whether residual blocks begin as their shortcuts; not with starting weights.
        optimizer: A key of `OPTIMIZERS`.
        learning_rate: Peak of the schedule; linear warm-up over `warmup_epochs`, then cosine to 0.
        decay_epochs: Epochs after which the learning rate falls to a tenth, in place of the cosine.
        momentum: With Nesterov's correction.
        weight_decay: On kernels only; with SGD as in PyTorch (an L2 gradient), with Muon as in AdamW (decoupled).
        label_smoothing: Share of the target spread over all classes.
        class_weights: `"balanced"`: an image counts by the inverse of its class's frequency, 1 on average.
        clipnorm, global_clipnorm: Longest gradient of a variable, or of all together; at most one of both.
        gradient_accumulation_steps: Batches whose mean gradient makes one update.
        ema: Momentum, by update, of a moving average of the trained weights, which is what is evaluated and saved
            (statistics of normalization are averages as they are); 0 for none.
        mixed_precision: `"float16"` or `"bfloat16"`, see `precision`.
        early_stopping: Epochs without a better held-out accuracy after which the run ends.
        validation_freq: Epochs from one evaluation on the held-out images to the next; the last is always evaluated.
        keep: Which weights become `model.keras`: `"last"`, or `"best"` on the held-out images.
        tensorboard: Whether to write logs for TensorBoard into the run folder.
        steps_per_execution: Steps that TensorFlow runs without returning to Python; divides the steps of an epoch.
        towers: Equal parts of a batch that are computed side by side, see `towers`.
        strategy: A key of `STRATEGIES`, see `strategy`; `None` for one device.
        synchronized_batch_norm: Whether batch normalization in training sees the batches of all replicas.
        seed: Of initialization, order, augmentation and of splits made here.
    """

    data: str = "digits"
    data_dir: str | None = None
    model: str = "ghostnet"
    width: float | None = None
    variant: str | None = None
    depth: float | None = None
    ratio: int | None = None
    dw_size: int | None = None
    dialect: str | None = None
    ghost_ratio: float | None = None
    mix: bool | None = None
    dropout_rate: float | None = None
    weights: str | None = None
    freeze_epochs: int = 0
    teacher: str | None = None
    temperature: float = 4.0
    distillation_weight: float = 0.5
    size: int | None = None
    progressive_sizes: list[int] | None = None
    progressive_epochs: list[int] | None = None
    augment: str | None = None
    crop_area: float = 0.25
    color_jitter: float = 0.0
    rand_augment: float = 0.0
    random_erasing: float = 0.0
    mixup: float = 0.0
    cutmix: float = 0.0
    epochs: int = 20
    batch_size: int = 128
    zero_init_residual: bool = False
    optimizer: str = "sgd"
    learning_rate: float | None = None
    warmup_epochs: float = 1.0
    decay_epochs: list[float] | None = None
    momentum: float = 0.9
    weight_decay: float = 5e-4
    label_smoothing: float = 0.1
    class_weights: str | None = None
    clipnorm: float | None = None
    global_clipnorm: float | None = None
    gradient_accumulation_steps: int = 1
    ema: float = 0.0
    mixed_precision: str | None = None
    early_stopping: int | None = None
    validation_freq: int = 1
    keep: str | None = None
    tensorboard: bool = False
    steps_per_execution: int = 1
    towers: int = 1
    strategy: str | None = None
    synchronized_batch_norm: bool = False
    seed: int = 0

    def __post_init__(self):
        network = NETWORKS.get(self.model)
        if network is not None:
            for name, default in {**network.options, "dropout_rate": network.dropout_rate}.items():
                if getattr(self, name) is None:
                    setattr(self, name, default)

    @property
    def options(self) -> dict:
        """The options that are set, by name."""
        return {name: value for name in OPTIONS if (value := getattr(self, name)) is not None}

    @property
    def teachers(self) -> list[str]:
        """The files of `teacher`."""
        return self.teacher.split(",") if self.teacher is not None else []

    @property
    def network(self) -> str:
        """The full name of the network, such as `ghostnet_050`."""
        return full_name(self.model, self.options)

    def phases(self, done: int = 0) -> list[tuple[int, int, int]]:
        """The sizes that images have in training, each with its first epoch (after `done`) and the one behind its last.

        `size` must be set.
        """
        sizes = [*(self.progressive_sizes or []), self.size]
        bounds = itertools.pairwise([0, *(self.progressive_epochs or []), self.epochs])
        return [
            (size, max(first, done), last) for size, (first, last) in zip(sizes, bounds, strict=True) if last > done
        ]

    @property
    def evaluated_epochs(self) -> list[int]:
        """The epochs, from 1, after which the held-out images are evaluated."""
        return [*range(self.validation_freq, self.epochs, self.validation_freq), self.epochs]

    def resolved(self, *, size: int, flip: bool, photos: bool) -> "RunConfig":
        """A copy in which the data set's properties have filled in what was `None`."""
        small = "crop-flip" if flip else "shift"
        scratch = OPTIMIZERS[self.optimizer][1] * self.batch_size * self.gradient_accumulation_steps / 128
        return dataclasses.replace(
            self,
            size=size,
            augment=self.augment or ("photo" if photos else small),
            learning_rate=self.learning_rate or (scratch if self.weights is None else scratch / 10),
            keep=self.keep or ("last" if self.early_stopping is None else "best"),
        )

    def save(self, path: Path) -> None:
        """Writes the settings that are not `None` as TOML."""
        import tomli_w

        values = {key: value for key, value in dataclasses.asdict(self).items() if value is not None}
        write_text(path, tomli_w.dumps(values))

    def differences(self, other: "RunConfig") -> list[str]:
        """Settings in which two runs differ, as `name: mine -> other's`."""
        mine, theirs = dataclasses.asdict(self), dataclasses.asdict(other)
        return [f"{key}: {mine[key]} -> {theirs[key]}" for key in mine if mine[key] != theirs[key]]


def check_sizes(config: RunConfig) -> None:
    """Refuses progressive sizes that do not rise to the full size, if that is known, or lack their epochs."""
    sizes, epochs = config.progressive_sizes or [], config.progressive_epochs or []
    if len(sizes) != len(epochs):
        raise BadInput(
            "expected an epoch in --progressive-epochs for each size in --progressive-sizes. "
            f"Received: {len(epochs)} and {len(sizes)}"
        )
    if not rising(epochs, config.epochs):
        raise BadInput(
            f"expected --progressive-epochs as rising numbers above 0 and below {config.epochs}. Received: {epochs}"
        )
    if sizes and not (sizes[0] >= SMALLEST and rising(sizes, config.size or math.inf)):
        full = f"--size {config.size}" if config.size else "--size"
        raise BadInput(
            f"expected --progressive-sizes as rising numbers from {SMALLEST} to below {full}. Received: {sizes}"
        )
    if sizes and config.teacher is not None:
        raise BadInput("--progressive-sizes does not go with --teacher, which takes images of one size. Received: both")


def rising(numbers: list, below: float) -> bool:
    """Whether these are numbers that rise from above 0 to below `below`."""
    known = all(isinstance(number, (int, float)) for number in numbers)
    return known and all(low < high for low, high in itertools.pairwise([0, *numbers, below]))
