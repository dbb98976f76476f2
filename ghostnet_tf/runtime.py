"""Running `.tflite` files with Keras's verb."""

import re
from pathlib import Path

import numpy as np

from ghostnet_tf.commands import BadInput
from ghostnet_tf.quiet import quiet

WAY_OUT = "make one with `python tflite/convert.py`"  # from what is no sound file


class TFLiteModel:
    """A `.tflite` file behind `predict`, run by the LiteRT interpreter (XNNPACK on the CPU).

    Args:
        model: Path of the file, or its bytes.
        num_threads: CPU threads of the interpreter.
        input_shape: With the batch, instead of the file's own, for the first input. Files without an operation that
            has its shape as a constant, such as GhostNet's of `--graph plain`, then compute what a file converted for
            that shape does; others are refused.

    Attributes:
        interpreter: The allocated `ai_edge_litert` interpreter.
        input: Details of the first input as the interpreter gives them (`dtype`, `shape`, `quantization` = (scale,
            zero point)).
        outputs: The same of all outputs, in the order of the Keras model's; `output` is the first.
        names: Of inputs and outputs in the file's signature, by tensor index; empty for a file without one.
    """

    def __init__(
        self, model: Path | str | bytes, num_threads: int = 1, input_shape: tuple[int, int, int, int] | None = None
    ):
        from ai_edge_litert.interpreter import Interpreter

        source = {"model_content": model} if isinstance(model, bytes) else {"model_path": str(model)}
        self.interpreter = Interpreter(**source, num_threads=num_threads)
        if input_shape is not None:
            self.interpreter.resize_tensor_input(self.interpreter.get_input_details()[0]["index"], input_shape)
        self.interpreter.allocate_tensors()
        self.input = self.interpreter.get_input_details()[0]
        self.names = _signature_names(self.interpreter)
        self.outputs = self.interpreter.get_output_details()
        self.outputs.sort(key=lambda row: output_position(self.names.get(row["index"], "")))
        self.output = self.outputs[0]

    def quantize(self, images: np.ndarray) -> np.ndarray:
        """`images` (real values, e.g. RGB 0-255) in the dtype, scale and zero point of the input."""
        dtype, (scale, zero_point) = self.input["dtype"], _steps(self.input)
        if not np.issubdtype(dtype, np.integer):
            return np.asarray(images, dtype)
        info = np.iinfo(dtype)
        return np.clip(np.round(np.asarray(images, np.float32) / scale + zero_point), info.min, info.max).astype(dtype)

    def held(self) -> tuple[float, float]:
        """The lowest and the highest real value that the input can take; infinite for floats."""
        if not np.issubdtype(self.input["dtype"], np.integer):
            return -np.inf, np.inf
        info, (scale, zero_point) = np.iinfo(self.input["dtype"]), _steps(self.input)
        return (info.min - zero_point) * scale, (info.max - zero_point) * scale

    def dequantize(self, values: np.ndarray, output: int = 0) -> np.ndarray:
        """Raw values of an output as float32."""
        row = self.outputs[output]
        scale, zero_point = _steps(row)
        if not np.issubdtype(row["dtype"], np.integer):
            return values.astype(np.float32)
        return (values.astype(np.float32) - zero_point) * np.float32(scale)

    def predict(self, images: np.ndarray) -> np.ndarray | list[np.ndarray]:
        """Outputs as float32 `(n, classes)` for images `(n, height, width, channels)` of real values, one by one.

        A file with several outputs gives a list of them.
        """
        batch = self.quantize(images)
        outputs = [np.empty((len(batch), *row["shape"][1:]), np.float32) for row in self.outputs]
        for index in range(len(batch)):
            self.interpreter.set_tensor(self.input["index"], batch[index : index + 1])
            self.interpreter.invoke()
            for number, (values, row) in enumerate(zip(outputs, self.outputs, strict=True)):
                values[index] = self.dequantize(self.interpreter.get_tensor(row["index"]), number)[0]
        return outputs[0] if len(outputs) == 1 else outputs


def check_file(path: Path) -> None:
    """Raises `BadInput` unless `path` is a file that begins as a TensorFlow Lite flatbuffer does."""
    if path.is_dir():
        raise BadInput(f"expected a .tflite file. Received: {path}, a folder; {WAY_OUT}")
    if not path.is_file():
        raise BadInput(f"no such file: {path}; {WAY_OUT}")
    if path.stat().st_size == 0:
        raise BadInput(f"{path} is empty; {WAY_OUT}")
    with path.open("rb") as file:
        head = file.read(8)
    if head[4:] == b"TFL3":
        return
    if head.startswith(b"PK"):  # .keras is a zip archive
        raise BadInput(
            f"expected a .tflite file. Received: {path}, a zip archive such as a .keras model; "
            f"convert it first: python tflite/convert.py --model {path}"
        )
    raise BadInput(f"{path} is not a TensorFlow Lite file (no identifier TFL3 at byte 4); {WAY_OUT}")


def open_model(path: Path, num_threads: int = 1, input_shape: tuple[int, int, int, int] | None = None) -> TFLiteModel:
    """The file at `path`, ready to run; `BadInput` if it is none or the interpreter refuses it."""
    check_file(path)
    try:
        with quiet():
            return TFLiteModel(path, num_threads, input_shape)
    except (ValueError, RuntimeError) as error:
        reason = str(error).strip().splitlines()[0]
        raise BadInput(f"the LiteRT interpreter refuses {path}: {reason}") from error


def output_position(name: str) -> int:
    """Of an output among the Keras model's, which converters name `output_0`, `output_1`, …; 0 for other names."""
    numbered = re.fullmatch(r"output_(\d+)", name)
    return int(numbered[1]) if numbered else 0


def _steps(row: dict) -> tuple[float, int]:
    """Scale and zero point of an integer input or output; of one that has none, the numbers are what they say."""
    scale, zero_point = row["quantization"]
    return scale or 1.0, zero_point


def _signature_names(interpreter) -> dict[int, str]:
    keys = list(interpreter.get_signature_list())
    if not keys:
        return {}
    runner = interpreter.get_signature_runner(keys[0])
    details = {**runner.get_input_details(), **runner.get_output_details()}
    return {row["index"]: name for name, row in details.items()}
