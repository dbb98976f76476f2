"""Runs .tflite files on images, on whatever processor this Python is for: RESULTS.npz IMAGES.npy FILE…

Alone on purpose: the emulated processor has numpy and LiteRT only.
"""

import sys

import numpy as np
from ai_edge_litert.interpreter import Interpreter


def outputs(file: str, images: np.ndarray) -> np.ndarray:
    """The first output of a file, raw, for uint8 images one by one; its input takes them as they are or as floats."""
    interpreter = Interpreter(file, num_threads=1)
    interpreter.allocate_tensors()
    source, output = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    results = []
    for image in images:
        interpreter.set_tensor(source["index"], image[None].astype(source["dtype"]))
        interpreter.invoke()
        results.append(interpreter.get_tensor(output["index"])[0])
    return np.stack(results)


if __name__ == "__main__":
    results, images, *files = sys.argv[1:]
    np.savez(results, **{file: outputs(file, np.load(images)) for file in files})
