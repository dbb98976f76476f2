"""What quantization-aware training keeps of the run that it starts from."""

from pathlib import Path

from ghostnet_tf.commands import BadInput, flag
from ghostnet_tf.networks import OPTIONS
from ghostnet_tf.training.config import OPTIMIZERS, RunConfig
from ghostnet_tf.training.runs import load_run

FILE = "quantization.json"  # in the run folder: ranges of the activations, where training started, its accuracy
EPOCHS = 3
RATE = 1 / 8000  # share of the rate of training from random weights; 1 / 1000 cost Fashion-MNIST 0.6 points in an epoch
TAUGHT = {"distillation_weight": 0.9, "temperature": 1.0}  # by the float model that training starts from

NETWORK = ("data", "model", *OPTIONS, "size")  # what the weights were made for
# What goes on as in the first run unless a flag says otherwise.
KEPT = (
    *("data_dir", "dropout_rate", "augment", "crop_area", "color_jitter", "rand_augment", "random_erasing"),
    *("mixup", "cutmix", "batch_size", "momentum", "weight_decay", "label_smoothing", "class_weights"),
    *("clipnorm", "global_clipnorm", "seed"),
)
OWN = ("epochs", "learning_rate", "warmup_epochs", "decay_epochs", "distillation_weight")


def qat_settings(given: dict) -> tuple[Path, RunConfig]:
    """The run to start from, and the settings of its quantization-aware training.

    Args:
        given: Settings by name, `model` being the folder of the run.

    Raises:
        BadInput: If there is no such run, it is not finished, or a setting does not apply.
    """
    if given.get("model") is None:
        raise BadInput("expected --model RUN with --qat, the finished run to start from. Received: no --model")
    start = Path(given["model"])
    first = load_run(start)
    if not (start / "model.keras").is_file():
        raise BadInput(f"expected a finished run with --qat. Received: {start}, without model.keras")
    given = {name: value for name, value in given.items() if name != "model"}
    if others := [flag(name) for name in given if name not in (*KEPT, *OWN)]:
        raise BadInput(
            "--qat trains the network of the run on the data of the run, by SGD on one device. "
            f"Received, which does not go with it: {', '.join(others)}"
        )
    kept = {name: getattr(first, name) for name in (*NETWORK, *KEPT)}
    own = {"epochs": EPOCHS, "warmup_epochs": 0.0, "weights": str(start / "model.keras"), **TAUGHT}
    config = RunConfig(**kept | own | given)
    if config.learning_rate is None:
        config.learning_rate = RATE * OPTIMIZERS["sgd"][1] * config.batch_size / 128
    return start, config
