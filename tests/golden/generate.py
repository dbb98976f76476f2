"""References from the original PyTorch code, without its weights: numbers derived from each tensor's name.

`NAME.json` holds the names and shapes of a model's state_dict, `NAME.npz` the logits that the original code gives
when each tensor is `tensor(name, shape)` and the input is `image()`. The tests fill a checkpoint with the same
numbers, load it and compare; only this script needs PyTorch. See README.md.
"""

import argparse
import hashlib
import json
from pathlib import Path

import numpy as np

SEED = "golden-v1"
MODELS = ("ghostnet_050", "ghostnet_100", "ghostnet_130")


def tensor(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """Numbers for one tensor, the same wherever they are drawn: plausible for its role, so that signals survive.

    Weights keep the variance of what passes through them, scales and variances stay near 1, offsets near 0.
    `num_batches_tracked` is an int64 zero.
    """
    digest = hashlib.sha256(f"{SEED}/{name}".encode()).digest()
    rng = np.random.default_rng(int.from_bytes(digest[:8], "little"))
    role = name.rsplit(".", 1)[-1]
    if role == "num_batches_tracked":
        return np.zeros(shape, np.int64)
    if role == "running_var":
        values = rng.uniform(0.6, 1.6, shape)
    elif role in ("running_mean", "bias"):
        values = rng.normal(0, 0.1, shape)
    elif len(shape) == 1:  # a scale; parallel branches of GhostNetV3 are summed, so theirs are smaller
        values = rng.uniform(*((0.15, 0.45) if "_rpr_" in name else (0.7, 1.3)), shape)
    else:
        values = rng.normal(0, 1, shape) * (1.6 / max(int(np.prod(shape[1:])), 1)) ** 0.5
    return values.astype(np.float32)


def image(count: int = 2, size: int = 224) -> np.ndarray:
    """Normalized images `(count, 3, size, size)`: coarse blocks with noise. `size` is a multiple of 7."""
    rng = np.random.default_rng(7)
    blocks = np.kron(rng.normal(size=(count, 3, 7, 7)), np.ones((size // 7, size // 7)))
    return (blocks + 0.3 * rng.normal(size=(count, 3, size, size))).astype(np.float32)


def reference(name: str) -> tuple[dict[str, list[int]], np.ndarray]:
    """Shapes by tensor name, and logits, of timm's model called `name`."""
    import timm
    import torch

    model = timm.create_model(name, pretrained=False).eval()
    shapes = {key: list(value.shape) for key, value in model.state_dict().items()}
    numbers = {key: torch.from_numpy(tensor(key, tuple(shape))) for key, shape in shapes.items()}
    model.load_state_dict(numbers, strict=True)
    with torch.inference_mode():
        return shapes, model(torch.from_numpy(image())).numpy()


def main() -> None:
    """Writes the references beside this file, or elsewhere."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=Path(__file__).parent, help="folder (default: this one)")
    parser.add_argument("names", nargs="*", default=MODELS, metavar="NAME", help="timm's model names (default: all)")
    args = parser.parse_args()
    for name in args.names:
        shapes, logits = reference(name)
        (args.output / f"{name}.json").write_text(json.dumps(shapes))
        np.savez_compressed(args.output / f"{name}.npz", logits=logits)


if __name__ == "__main__":
    main()
