"""Runs a `.tflite` file on LiteRT's accelerators: `python -m ghostnet_tf.tflite.accelerators FOLDER WHERE…`.

A process of its own, since drivers may crash and LiteRT writes to stdout. The folder has `model.tflite` and `batch.npy`
(raw inputs, one a row) and gets `results.npz`: for each of WHERE, `WHERE accelerated` (whether no operation was left
to LiteRT's own kernels) and `WHERE INDEX`, the raw output of that tensor index, one a row.
"""

import sys
from pathlib import Path

import numpy as np
from ai_edge_litert.compiled_model import (
    CompiledModel,
    CpuKernelMode,
    CpuOptions,
    GpuOptions,
    HardwareAccelerator,
    Options,
)

OPTIONS = {
    # In 32 bits, where phones would compute in 16: what then differs is more than that rounding.
    "gpu": Options(hardware_accelerators=HardwareAccelerator.GPU, gpu_options=GpuOptions(enforce_f32=True)),
    "xnnpack": Options(
        hardware_accelerators=HardwareAccelerator.CPU,
        cpu_options=CpuOptions(num_threads=1, kernel_mode=CpuKernelMode.XNNPACK),
    ),
    "reference": Options(
        hardware_accelerators=HardwareAccelerator.CPU,
        cpu_options=CpuOptions(num_threads=1, kernel_mode=CpuKernelMode.REFERENCE),
    ),
}


def compute(content: bytes, batch: np.ndarray, where: str) -> dict[str, np.ndarray]:
    """What goes into `results.npz` of one key of `OPTIONS`."""
    model = CompiledModel.from_buffer(content, options=OPTIONS[where])
    name, signature = next(iter(model.get_signature_list().items()))
    details = model.get_output_tensor_details(name)
    rows = [details[output] for output in signature["outputs"]]
    inputs, outputs = model.create_input_buffers(0), model.create_output_buffers(0)
    results = {f"{where} {row['index']}": [] for row in rows}
    for image in batch:
        inputs[0].write(np.ascontiguousarray(image[None]))
        model.run_by_index(0, inputs, outputs)
        for row, buffer in zip(rows, outputs, strict=True):
            values = buffer.read(int(np.prod(row["shape"])), np.dtype(row["dtype"]))
            results[f"{where} {row['index']}"].append(np.reshape(values, row["shape"])[0])
    return {f"{where} accelerated": np.array(model.is_fully_accelerated())} | {
        key: np.stack(values) for key, values in results.items()
    }


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    content, batch = (folder / "model.tflite").read_bytes(), np.load(folder / "batch.npy")
    results = {}
    for where in sys.argv[2:]:
        results |= compute(content, batch, where)
    np.savez(folder / "results.npz", **results)
