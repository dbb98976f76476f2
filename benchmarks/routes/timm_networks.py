"""What the routes from PyTorch share: timm's GhostNets, untrained, with activations of ordinary size."""

import importlib.util
from pathlib import Path

import torch
from images import images

NAMES = {"ghostnet": "ghostnet_100", "ghostnetv2": "ghostnetv2_100"}
# What timm's import of torchvision wants to see; no network here runs them.
OPERATIONS = {
    "nms": "(Tensor boxes, Tensor scores, float threshold) -> Tensor",
    "qnms": "(Tensor boxes, Tensor scores, float threshold) -> Tensor",
}


def declare_torchvision() -> None:
    """Lets torchvision's build for GPUs be imported beside torch's for CPUs, which cannot load its operations."""
    folder = Path(importlib.util.find_spec("torchvision").origin).parent
    try:
        torch.ops.load_library(next(folder.glob("_C*.so")))
    except (OSError, StopIteration):
        for name, schema in OPERATIONS.items():
            torch.library.define(f"torchvision::{name}", schema)


def untrained(network: str) -> torch.nn.Module:
    """The network, its batch normalizations with the statistics of random images, ready to run.

    See `settle` of `keras_recipe.py` for the reason.
    """
    declare_torchvision()
    import timm

    torch.manual_seed(0)
    model = timm.create_model(NAMES[network], pretrained=False).train()
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = 1.0
    with torch.no_grad():
        model(torch.from_numpy(images()).permute(0, 3, 1, 2))
    return model.eval()
