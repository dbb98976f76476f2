"""Running `.tflite` files with Keras's verb."""

from pathlib import Path

import numpy as np


class TFLiteModel:
    """A `.tflite` file behind `predict`, run by the LiteRT interpreter (XNNPACK on the CPU).

    Args:
        model: Path of the file, or its bytes.
        num_threads: CPU threads of the interpreter.

    Attributes:
        interpreter: The allocated `ai_edge_litert` interpreter.
        input, output: Details of the first input and output as the interpreter gives them (`dtype`, `shape`,
            `quantization` = (scale, zero point)).
    """

    def __init__(self, model: Path | str | bytes, num_threads: int = 1):
        from ai_edge_litert.interpreter import Interpreter

        source = {"model_content": model} if isinstance(model, bytes) else {"model_path": str(model)}
        self.interpreter = Interpreter(**source, num_threads=num_threads)
        self.interpreter.allocate_tensors()
        self.input = self.interpreter.get_input_details()[0]
        self.output = self.interpreter.get_output_details()[0]

    def quantize(self, images: np.ndarray) -> np.ndarray:
        """`images` (real values, e.g. RGB 0-255) in the dtype, scale and zero point of the input."""
        dtype, (scale, zero_point) = self.input["dtype"], self.input["quantization"]
        if not np.issubdtype(dtype, np.integer):
            return np.asarray(images, dtype)
        info = np.iinfo(dtype)
        return np.clip(np.round(np.asarray(images, np.float32) / scale + zero_point), info.min, info.max).astype(dtype)

    def dequantize(self, outputs: np.ndarray) -> np.ndarray:
        """Raw outputs as float32."""
        scale, zero_point = self.output["quantization"]
        if not np.issubdtype(self.output["dtype"], np.integer):
            return outputs.astype(np.float32)
        return (outputs.astype(np.float32) - zero_point) * np.float32(scale)

    def predict(self, images: np.ndarray) -> np.ndarray:
        """Outputs as float32 `(n, classes)` for images `(n, height, width, channels)` of real values, one by one."""
        batch = self.quantize(images)
        outputs = np.empty((len(batch), *self.output["shape"][1:]), np.float32)
        for index in range(len(batch)):
            self.interpreter.set_tensor(self.input["index"], batch[index : index + 1])
            self.interpreter.invoke()
            outputs[index] = self.dequantize(self.interpreter.get_tensor(self.output["index"]))[0]
        return outputs
