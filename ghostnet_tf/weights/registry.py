"""The published weights: what exists and where it is."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Checkpoint:
    """Published weights of one network, trained on ImageNet-1k.

    Attributes:
        tag: Name of the weights, `<network>.<training>` as in timm.
        family: Name of the builder in `list_models()`.
        width: The builder's `width`.
        top1, top5: Accuracy in percent as timm reports it: 224x224, bicubic, crop 0.875.
        revision: Of the hub repository, where none is asked for: its newest.
    """

    tag: str
    family: str
    width: float
    top1: float
    top5: float
    revision: str = "main"

    @property
    def repository(self) -> str:
        """On the Hugging Face hub; the weights there are under Apache-2.0."""
        return f"timm/{self.tag}"

    @property
    def file(self) -> str:
        """In the repository, under PyTorch's tensor names."""
        return "model.safetensors"


CHECKPOINTS = {
    row.tag: row
    for row in (
        # tag, family, width, top-1, top-5
        Checkpoint("ghostnet_100.in1k", "ghostnet", 1.0, 73.958, 91.542),
        Checkpoint("ghostnetv2_100.in1k", "ghostnetv2", 1.0, 75.186, 92.334),
        Checkpoint("ghostnetv2_130.in1k", "ghostnetv2", 1.3, 76.746, 93.364),
        Checkpoint("ghostnetv2_160.in1k", "ghostnetv2", 1.6, 77.836, 93.948),
        Checkpoint("ghostnetv3_100.in1k", "ghostnetv3", 1.0, 76.936, 93.124),
    )
}


def list_weights() -> dict[str, Checkpoint]:
    """Every published set of weights by its tag, which a builder takes as `weights`."""
    return dict(CHECKPOINTS)


def is_tag(weights: object) -> bool:
    """Whether `weights` names published ones, with or without a revision, see `fetch`."""
    return isinstance(weights, str) and weights.partition("@")[0] in CHECKPOINTS


def named(tag: str) -> tuple[Checkpoint, str]:
    """The entry of `tag` or `tag@revision`, and the revision."""
    tag, _, revision = tag.partition("@")
    row = CHECKPOINTS[tag]
    return row, revision or row.revision


def imagenet_tag(family: str, width: float) -> str:
    """The tag that `weights="imagenet"` means for a network.

    Raises:
        ValueError: If no weights are published for it; the message lists those that are.
    """
    found = {row.width: row.tag for row in CHECKPOINTS.values() if row.family == family}
    if width not in found:
        widths = ", ".join(f"{known:g}" for known in found) or "none"
        raise ValueError(
            f"Expected a width with published ImageNet weights (for {family}: {widths}). Received: width={width:g}. "
            "Take weights=None and train, or give a file."
        )
    return found[width]
