"""A GhostNet of timm through ONNX and onnx2tf: NETWORK FOLDER, see `make_peers.py`."""

import os
import shutil
import sys
import tempfile
from pathlib import Path

import numpy as np
import onnx2tf
import torch
from images import images
from timm_networks import untrained

# Of the file that onnx2tf downloads where it is not in the current folder.
CALIBRATION = "calibration_image_sample_data_20x128x128x3_float32.npy"
MADE = {"fp32": "float32", "int8": "full_integer_quant"}

if __name__ == "__main__":
    network, folder = sys.argv[1], Path(sys.argv[2])
    with tempfile.TemporaryDirectory() as work:
        os.chdir(work)
        np.save(CALIBRATION, images())
        image = torch.from_numpy(images(1)).permute(0, 3, 1, 2)
        torch.onnx.export(
            untrained(network),
            (image,),
            "network.onnx",
            input_names=["image"],
            output_names=["logits"],
            opset_version=17,
            dynamo=False,
        )
        onnx2tf.convert(
            input_onnx_file_path="network.onnx",
            output_folder_path="made",
            output_integer_quantized_tflite=True,
            quant_norm_mean="[[[[0, 0, 0]]]]",
            quant_norm_std="[[[[1, 1, 1]]]]",
            non_verbose=True,
        )
        for scheme, name in MADE.items():
            shutil.move(f"made/network_{name}.tflite", folder / f"onnx2tf_{network}_100_{scheme}.tflite")
        os.chdir(folder)
