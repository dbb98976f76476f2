"""The other routes to GhostNet's `.tflite` files: what `make_peers.py` makes, with which packages, by which scripts."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).resolve().parent / "routes"
SCHEMES = ("fp32", "int8")
GHOSTNETS = ("ghostnet", "ghostnetv2")
RIVALS = ("mobilenetv2", "mobilenetv3large", "mobilenetv3small", "efficientnetb0")


@dataclass(frozen=True)
class Route:
    """A way from a network to `.tflite` files that is not ours; its script and pins have its name in `FOLDER`.

    Attributes:
        summary: For `--list`.
        packages: Those that it is about, of all that its environment has.
        networks: What it makes files of.
        files: Their names, with `{network}` and `{scheme}`.
        helpers: Modules in `FOLDER` that the script imports.
    """

    summary: str
    packages: tuple[str, ...]
    networks: tuple[str, ...]
    files: str
    helpers: tuple[str, ...]


ROUTES = {
    "keras": Route(
        "keras.applications through TensorFlow's converter",
        ("keras", "tensorflow"),
        RIVALS,
        "keras_{network}_100_{scheme}.tflite",
        ("images.py", "keras_recipe.py"),
    ),
    "kimm": Route(
        "keras-image-models, by its own export",
        ("kimm", "keras", "tensorflow"),
        GHOSTNETS,
        "kimm_{network}_100_{scheme}.tflite",
        ("images.py", "keras_recipe.py"),
    ),
    "kecam": Route(
        "keras-cv-attention-models through TensorFlow's converter",
        ("keras-cv-attention-models", "tf-keras", "tensorflow"),
        GHOSTNETS,
        "kecam_{network}_100_{scheme}.tflite",
        ("images.py", "keras_recipe.py"),
    ),
    "timm": Route(
        "timm through litert-torch, int8 by ai-edge-quantizer; the resizing of V2 corrected",
        ("timm", "torch", "litert-torch", "ai-edge-quantizer"),
        GHOSTNETS,
        "timm_{network}_100_litert-torch_{scheme}.tflite",
        ("images.py", "resizing.py", "timm_networks.py"),
    ),
    "onnx2tf": Route(
        "timm through ONNX and onnx2tf",
        ("onnx2tf", "timm", "torch", "onnx", "tensorflow"),
        GHOSTNETS,
        "onnx2tf_{network}_100_{scheme}.tflite",
        ("images.py", "timm_networks.py"),
    ),
}


def files(name: str, network: str) -> dict[str, str]:
    """Name of a route's file by scheme."""
    return {scheme: ROUTES[name].files.format(network=network, scheme=scheme) for scheme in SCHEMES}


def script(name: str) -> Path:
    """What makes a route's files of a network: `SCRIPT NETWORK FOLDER`."""
    return FOLDER / f"{name}_route.py"


def pins(name: str) -> Path:
    """The versions of a route's environment, as pip reads them."""
    return FOLDER / f"{name}.txt"


def recipe(name: str) -> str:
    """A checksum of all that decides what a route makes: script, helpers, pins."""
    sources = (script(name), *(FOLDER / helper for helper in ROUTES[name].helpers), pins(name))
    return hashlib.sha256(b"".join(source.read_bytes() for source in sources)).hexdigest()
