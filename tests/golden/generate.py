"""References from the original PyTorch code, without its weights: numbers derived from each tensor's name.

`NAME.json` holds the names and shapes of a model's state_dict, `NAME.npz` the logits that the original code gives
when each tensor is `tensor(name, shape)` and the input is `image()`. The tests fill a checkpoint with the same
numbers, load it and compare; only this script needs PyTorch. See README.md.
"""

import argparse
import hashlib
import importlib.util
import json
from pathlib import Path

import numpy as np

SEED = "golden-v1"
MODELS = ("ghostnet_050", "ghostnet_100", "ghostnet_130", "ghostnetv2_100", "ghostnetv3_100")


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


def original(name: str, g_ghost: Path):
    """timm's model called `name`, or that of the official `g_ghost_regnet.py` at the path `g_ghost`."""
    if not name.startswith("g_ghost"):
        import timm

        return timm.create_model(name, pretrained=False)
    spec = importlib.util.spec_from_file_location("g_ghost_regnet", g_ghost)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return getattr(module, name)()


def reference(name: str, g_ghost: Path) -> tuple[dict[str, list[int]], np.ndarray]:
    """Shapes by tensor name, and logits, of the original model called `name`."""
    import torch

    model = original(name, g_ghost).eval().double()
    shapes = {key: list(value.shape) for key, value in model.state_dict().items()}
    numbers = {key: torch.from_numpy(tensor(key, tuple(shape))) for key, shape in shapes.items()}
    model.load_state_dict(numbers, strict=True)
    with torch.inference_mode():
        return shapes, model(torch.from_numpy(image()).double()).numpy()


def main() -> None:
    """Writes the references beside this file, or elsewhere."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=Path(__file__).parent, help="folder (default: this one)")
    parser.add_argument("names", nargs="*", default=MODELS, metavar="NAME", help="models (default: all of timm's)")
    parser.add_argument("--g-ghost", type=Path, metavar="FILE", help="g_ghost_regnet.py, for g_ghost_regnetx_032")
    args = parser.parse_args()
    for name in args.names:
        shapes, logits = reference(name, args.g_ghost)
        (args.output / f"{name}.json").write_text(json.dumps(shapes))
        np.savez_compressed(args.output / f"{name}.npz", logits=logits.astype(np.float32))


if __name__ == "__main__":
    main()
