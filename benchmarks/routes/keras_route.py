"""A network of keras.applications through TensorFlow's converter: NETWORK FOLDER, see `make_peers.py`."""

import sys
from pathlib import Path

import keras
from images import SIZE
from keras_recipe import convert, settle

BUILDERS = {
    "mobilenetv2": keras.applications.MobileNetV2,
    "mobilenetv3large": keras.applications.MobileNetV3Large,
    "mobilenetv3small": keras.applications.MobileNetV3Small,
    "efficientnetb0": keras.applications.EfficientNetB0,
}

if __name__ == "__main__":
    network, folder = sys.argv[1], Path(sys.argv[2])
    keras.utils.set_random_seed(0)
    model = BUILDERS[network](weights=None, input_shape=(SIZE, SIZE, 3), classifier_activation=None)
    settle(model)
    for scheme in ("fp32", "int8"):
        (folder / f"keras_{network}_100_{scheme}.tflite").write_bytes(convert(model, scheme))
