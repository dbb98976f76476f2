"""A GhostNet of keras-cv-attention-models through TensorFlow's converter: NETWORK FOLDER, see `make_peers.py`."""

import sys
from pathlib import Path

from keras_cv_attention_models import ghostnet  # before TensorFlow's own Keras: it chooses tf_keras
from keras_recipe import convert, settle

BUILDERS = {"ghostnet": ghostnet.GhostNet_100, "ghostnetv2": ghostnet.GhostNetV2_100}

if __name__ == "__main__":
    import tf_keras

    network, folder = sys.argv[1], Path(sys.argv[2])
    tf_keras.utils.set_random_seed(0)
    model = BUILDERS[network](pretrained=None, classifier_activation=None)
    settle(model)
    for scheme in ("fp32", "int8"):
        (folder / f"kecam_{network}_100_{scheme}.tflite").write_bytes(convert(model, scheme))
