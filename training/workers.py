"""Several processes that train one run, as `TF_CONFIG` names them, and what such a run cannot have."""

import contextlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ghostnet_tf.commands import BadInput, flag
from ghostnet_tf.training.config import RunConfig

EXAMPLE = '{"cluster": {"worker": ["host1:2222", "host2:2222"]}, "task": {"type": "worker", "index": 0}}'

# Setting -> its only value with --strategy, and why.
LIMITS = {
    "steps_per_execution": (1, "the loop of --strategy runs single steps"),
    "towers": (1, "its replicas are the parts of a batch"),
    "progressive_sizes": (None, "the loop of --strategy runs images of one size"),
    "clipnorm": (None, "Keras clips each replica's gradients before it adds them up"),
    "global_clipnorm": (None, "Keras clips each replica's gradients before it adds them up"),
}


@dataclass(frozen=True)
class Worker:
    """A process among those that train together: its number, and the addresses of all, `host:port`."""

    index: int = 0
    addresses: tuple[str, ...] = ()

    @property
    def chief(self) -> bool:
        """Whether it is the one that writes the run folder and prints the results."""
        return self.index == 0


def check_strategy(config: RunConfig) -> None:
    """Refuses what `tf.distribute` with Keras would do otherwise than on one device, or not at all.

    Raises:
        BadInput: With the setting and the reason.
    """
    if config.strategy is None:
        if config.synchronized_batch_norm:
            raise BadInput("expected --synchronized-batch-norm with --strategy. Received: it alone")
        return
    for name, (allowed, why) in LIMITS.items():
        if getattr(config, name) != allowed:
            raise BadInput(f"{flag(name)} does not go with --strategy: {why}. Received: {getattr(config, name)}")
    if config.mixed_precision == "float16":
        raise BadInput(
            "--mixed-precision float16 does not go with --strategy: Keras looks at one replica's gradients to choose "
            "the scale of the loss for all; bfloat16 needs none"
        )


def this_worker(config: RunConfig) -> Worker:
    """Which worker this process is, by the environment variable `TF_CONFIG`; alone with no --strategy multiworker.

    Raises:
        BadInput: If `TF_CONFIG` is missing or says something else.
    """
    if config.strategy != "multiworker":
        return Worker()
    text = os.environ.get("TF_CONFIG", "")
    try:
        value = json.loads(text)
        addresses, kind, index = value["cluster"]["worker"], value["task"]["type"], value["task"]["index"]
        sound = [*value["cluster"]] == [kind] == ["worker"] and index in range(len(addresses))
    except (ValueError, KeyError, TypeError):
        sound = False
    if not sound:
        raise BadInput(
            f"expected the environment variable TF_CONFIG as in {EXAMPLE}, the same on all workers but for the index. "
            f"Received: {text or 'none'}"
        )
    return Worker(index, tuple(addresses))


@contextlib.contextmanager
def own_folder(folder: Path, worker: Worker, resume: bool) -> Iterator[Path]:
    """The run folder for the chief; for another worker one of its own, which is thrown away, with what resuming needs.

    All workers have to save: reading a variable that is averaged over them takes all of them.
    """
    if worker.chief:
        yield folder
        return
    with tempfile.TemporaryDirectory(prefix="ghostnet_tf_worker_") as scratch:
        copy = Path(scratch) / "run"
        if resume:
            shutil.copytree(folder, copy, ignore=shutil.ignore_patterns("exports", "tensorboard"))
        yield copy
