"""GhostNet for Keras 3 and LiteRT: models, layers, weights and analysis.

Training lives in `ghostnet_tf.training`, conversion and benchmarks in `ghostnet_tf.tflite`.
"""

import importlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from ghostnet_tf._version import __version__

# A checkout keeps tflite/ and training/ beside this folder, a wheel inside it.
_checkout = Path(__file__).resolve().parent.parent
if (_checkout / "training" / "train.py").is_file() and (_checkout / "pyproject.toml").is_file():
    __path__.append(str(_checkout))

_PUBLIC = {
    "GGhostNet": "models",
    "GGhostRegNetX": "models",
    "GGhostStage": "layers",
    "GhostBottleneck": "layers",
    "GhostModule": "layers",
    "GhostNet": "models",
    "GhostNetV2": "models",
    "GhostNetV3": "models",
    "GhostResNet50": "models",
    "GhostResNet56": "models",
    "GhostVGG16": "models",
    "RegNetX": "models",
    "SqueezeExcite": "layers",
    "compound_scale": "models",
    "decode_predictions": "models",
    "feature_extractor": "models",
    "flatten": "flattening",
    "list_models": "models",
    "list_weights": "weights",
    "preprocess_input": "models",
    "reparameterize": "models",
}
__all__ = ["__version__", *_PUBLIC]

if TYPE_CHECKING:  # what `__getattr__` gives, for type checkers and editors
    from ghostnet_tf.flattening import flatten as flatten
    from ghostnet_tf.layers import GGhostStage as GGhostStage
    from ghostnet_tf.layers import GhostBottleneck as GhostBottleneck
    from ghostnet_tf.layers import GhostModule as GhostModule
    from ghostnet_tf.layers import SqueezeExcite as SqueezeExcite
    from ghostnet_tf.models import GGhostNet as GGhostNet
    from ghostnet_tf.models import GGhostRegNetX as GGhostRegNetX
    from ghostnet_tf.models import GhostNet as GhostNet
    from ghostnet_tf.models import GhostNetV2 as GhostNetV2
    from ghostnet_tf.models import GhostNetV3 as GhostNetV3
    from ghostnet_tf.models import GhostResNet50 as GhostResNet50
    from ghostnet_tf.models import GhostResNet56 as GhostResNet56
    from ghostnet_tf.models import GhostVGG16 as GhostVGG16
    from ghostnet_tf.models import RegNetX as RegNetX
    from ghostnet_tf.models import compound_scale as compound_scale
    from ghostnet_tf.models import decode_predictions as decode_predictions
    from ghostnet_tf.models import feature_extractor as feature_extractor
    from ghostnet_tf.models import list_models as list_models
    from ghostnet_tf.models import preprocess_input as preprocess_input
    from ghostnet_tf.models import reparameterize as reparameterize
    from ghostnet_tf.weights import list_weights as list_weights


def __getattr__(name: str):
    if name not in _PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_PUBLIC[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *_PUBLIC])


def _runs_a_command() -> bool:
    """Whether this import is the start of one of our commands (a script, `python -m`, the console script)."""
    main = sys.modules.get("__main__")
    return sys.argv[:1] == ["-m"] or Path(sys.argv[0]).stem == "ghostnet-tf" or hasattr(main, "GHOSTNET_TF_COMMAND")


# `keras.models.load_model` finds our layers only once they are registered, so importing the package imports them.
# A command does that after it has read its arguments: `--help` need not wait for TensorFlow.
if not _runs_a_command():
    for _name in _PUBLIC:
        __getattr__(_name)
