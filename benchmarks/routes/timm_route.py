"""A GhostNet of timm through litert-torch, int8 by ai-edge-quantizer: NETWORK FOLDER, see `make_peers.py`."""

import sys
from pathlib import Path

import litert_torch
import torch
from ai_edge_quantizer import quantizer, recipe
from images import images
from resizing import corrected
from timm_networks import untrained

if __name__ == "__main__":
    network, folder = sys.argv[1], Path(sys.argv[2])
    paths = {scheme: folder / f"timm_{network}_100_litert-torch_{scheme}.tflite" for scheme in ("fp32", "int8")}
    model = litert_torch.to_channel_last_io(untrained(network), args=[0]).eval()
    litert_torch.convert(model, (torch.from_numpy(images(1)),)).export(str(paths["fp32"]))
    paths["fp32"].write_bytes(corrected(paths["fp32"].read_bytes()))
    tool = quantizer.Quantizer(str(paths["fp32"]), recipe.static_wi8_ai8())
    ranges = tool.calibrate({"serving_default": [{"args_0": image[None]} for image in images()]})
    tool.quantize(ranges).export_model(str(paths["int8"]))
