"""A GhostNet of keras-image-models (kimm) by its own export: NETWORK FOLDER, see `make_peers.py`."""

import sys
from pathlib import Path

import keras
import kimm
from images import SIZE
from keras_recipe import calibration, settle

BUILDERS = {"ghostnet": kimm.models.GhostNetW100, "ghostnetv2": kimm.models.GhostNetV2W100}

if __name__ == "__main__":
    network, folder = sys.argv[1], Path(sys.argv[2])
    keras.utils.set_random_seed(0)
    model = BUILDERS[network](weights=None, classifier_activation=None)
    settle(model)
    for scheme, dtype in (("fp32", "float32"), ("int8", "int8")):
        path = folder / f"kimm_{network}_100_{scheme}.tflite"
        dataset = calibration if scheme == "int8" else None
        kimm.export.export_tflite(model, SIZE, str(path), export_dtype=dtype, representative_dataset=dataset)
