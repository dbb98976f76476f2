"""Runs .tflite files on images, on whatever processor this Python is for: RESULTS.npz IMAGES.npy FILE…

Alone on purpose: the emulated processor has numpy and LiteRT only. The results are named `FILE NUMBER`, for each output
of a file in the file's order.
"""

import sys

import numpy as np
from ai_edge_litert.interpreter import Interpreter


def outputs(file: str, images: np.ndarray) -> list[np.ndarray]:
    """The outputs of a file, raw, for uint8 images one by one; its input takes them as they are or as floats."""
    interpreter = Interpreter(file, num_threads=1)
    interpreter.allocate_tensors()
    (source,) = interpreter.get_input_details()
    results = []
    for image in images:
        interpreter.set_tensor(source["index"], image[None].astype(source["dtype"]))
        interpreter.invoke()
        results.append([interpreter.get_tensor(row["index"]) for row in interpreter.get_output_details()])
    return [np.concatenate(values) for values in zip(*results, strict=True)]


if __name__ == "__main__":
    results, images, *files = sys.argv[1:]
    images = np.load(images)
    named = {f"{file} {number}": values for file in files for number, values in enumerate(outputs(file, images))}
    np.savez(results, **named)
