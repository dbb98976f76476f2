"""Checkpoints of a run: weights and optimizer after an epoch, complete or not there."""

import math
import shutil
from pathlib import Path

import keras

from ghostnet_tf.commands import CommandError, written_whole

OVERHEAD = 4096  # bytes that HDF5 may take for a variable, beside its values


def checkpoint(folder: Path, epoch: int) -> Path:
    """Where the state after `epoch` epochs is kept."""
    return folder / "checkpoints" / f"epoch_{epoch:04d}.weights.h5"


def save_checkpoint(model: keras.Model, folder: Path, epoch: int, best: int) -> None:
    """Saves the state after `epoch` epochs and removes all older ones but the `best` epoch's.

    Raises:
        CommandError: If there is no room. HDF5 would fail too, but with a hundred lines and the disk kept full.
    """
    kept = {checkpoint(folder, epoch), checkpoint(folder, best)}
    variables = [*model.weights, *model.optimizer.variables]
    needed = sum(4 * math.prod(variable.shape) + OVERHEAD for variable in variables)  # nearly all are float32
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise CommandError(
            f"no room for the checkpoint of epoch {epoch}: about {needed / 1e6:.1f} MB in {folder}, where "
            f"{free / 1e6:.1f} are free. The last one is {latest_checkpoint(folder) or 'none'}; "
            f"make room and continue with: python training/train.py --resume {folder}"
        )
    with written_whole(checkpoint(folder, epoch)) as temporary:
        model.save_weights(temporary)
    for old in (folder / "checkpoints").glob("epoch_*.weights.h5"):
        if old not in kept:
            old.unlink()


def latest_checkpoint(folder: Path) -> Path | None:
    """The newest checkpoint of a run folder, or `None`."""
    return max((folder / "checkpoints").glob("epoch_*.weights.h5"), default=None)


def checkpoint_epoch(path: Path) -> int:
    """How many epochs lie behind a checkpoint."""
    return int(path.name.removeprefix("epoch_").split(".")[0])
