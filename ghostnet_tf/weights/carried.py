"""Trained weights that are part of the package, each with a model card; `benchmarks/carry.py` makes both."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from ghostnet_tf.networks import NETWORKS

FORMAT = "ghostnet_tf"  # in a file's metadata: names and layouts are those of this package, not PyTorch's


@dataclass(frozen=True)
class Carried:
    """Weights of one network.

    Attributes:
        family: A key of `NETWORKS`; the network has its default options.
        tag: The data set, which is what a builder takes as `weights`.
    """

    family: str
    tag: str

    @property
    def path(self) -> Path:
        """The file, `.safetensors`; its metadata has the names of the classes."""
        return Path(__file__).with_name(f"{self.family}_{self.tag}.safetensors")

    @property
    def card(self) -> Path:
        """What it was trained with, what it reaches and where its limits are."""
        return self.path.with_suffix(".md")

    @cached_property
    def labels(self) -> list[str]:
        """Class names by index."""
        from safetensors import safe_open

        with safe_open(self.path, framework="np") as file:
            return file.metadata()["labels"].split("\n")


def carried(family: str, tag: object = None) -> Carried | None:
    """The weights of a network, if the package has some and `tag` names them or is `None`."""
    known = NETWORKS[family].carried
    return Carried(family, known) if known is not None and tag in (None, known) else None
