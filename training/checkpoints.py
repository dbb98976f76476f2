"""Checkpoints of a run: weights and optimizer after an epoch, complete or not there."""

from pathlib import Path

import keras

from ghostnet_tf.commands import written_whole


def checkpoint(folder: Path, epoch: int) -> Path:
    """Where the state after `epoch` epochs is kept."""
    return folder / "checkpoints" / f"epoch_{epoch:04d}.weights.h5"


def save_checkpoint(model: keras.Model, folder: Path, epoch: int, best: int) -> None:
    """Saves the state after `epoch` epochs and removes all older ones but the `best` epoch's."""
    kept = {checkpoint(folder, epoch), checkpoint(folder, best)}
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
