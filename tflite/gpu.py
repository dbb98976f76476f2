"""Whether a `.tflite` file runs on LiteRT's GPU accelerator, and computes there what it computes on the CPU."""

import dataclasses
import os
import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ghostnet_tf import commands
from ghostnet_tf.child import PACKAGE_ROOT, run_module
from ghostnet_tf.quiet import quiet
from ghostnet_tf.runtime import TFLiteModel
from ghostnet_tf.tflite.flatbuffer import op_name, unpack
from ghostnet_tf.tflite.hybrid import has_hybrid_products, with_float_weights

IMAGES = 4  # that --check-gpu runs
FLOAT_TOLERANCE = 1e-4
TIMEOUT = 600  # seconds, for compiling and running one file
DRIVER_VARIABLES = ("VK_DRIVER_FILES", "VK_ICD_FILENAMES")  # the Vulkan loader's, new and old name
SWIFTSHADER = "vk_swiftshader_icd.json"
FOLDERS = (PACKAGE_ROOT / ".cache" / "swiftshader", Path("/usr/lib/chromium"))
WAYS_OUT = (
    "In a checkout on Debian, `make test-gpu` fetches SwiftShader, which computes on the CPU (as does `apt install "
    "chromium-common`); elsewhere VK_DRIVER_FILES names the JSON file of a driver"
)


@dataclass(frozen=True)
class GpuRun:
    """A file's results on the GPU accelerator.

    Attributes:
        outputs: Of each output in the order of `TFLiteModel.outputs`: `(n, …)`, float32.
        fully_accelerated: Whether no operation was left to the CPU.
        device: As the driver calls it.
    """

    outputs: list[np.ndarray]
    fully_accelerated: bool
    device: str


@dataclass(frozen=True)
class GpuCheck:
    """A file on the GPU accelerator against the same file on the CPU.

    Attributes:
        device: As the driver calls it.
        images: How many were run.
        fully_accelerated: Whether no operation was left to the CPU.
        max_difference: Between outputs, absolute, from XNNPACK's on the CPU.
        tolerance: What it may be: the greatest of 1e-4 (of outputs above 1, of the greatest), one step of a quantized
            output, and twice the difference between XNNPACK and LiteRT's reference kernels on the same images. The
            last is what rounding alone does to the file: every implementation rounds int8 values a little differently,
            and a step less in the first layer grows on its way. Between floats, GPUs take int8 weights for the floats
            that they stand for: there the last is twice the difference between XNNPACK with the ones and the others.
    """

    device: str
    images: int
    fully_accelerated: bool
    max_difference: float
    tolerance: float

    @property
    def passed(self) -> bool:
        """Whether everything ran on the GPU and agrees."""
        return self.fully_accelerated and self.max_difference <= self.tolerance

    def __str__(self) -> str:
        part = "all operations" if self.fully_accelerated else "not all operations"
        return (
            f"{self.device}: {part}; outputs for {self.images} images differ from the CPU's by at most "
            f"{self.max_difference:.2g}, {self.tolerance:.2g} allowed"
        )

    def as_dict(self) -> dict:
        """For JSON."""
        return dataclasses.asdict(self)


def driver() -> dict[str, str]:
    """The environment variables that lead LiteRT to a Vulkan driver; none where it finds one without.

    In this order: a driver named by the user, a GPU of this machine, SwiftShader (fetched by `make test-gpu` or that
    of an installed Chromium).

    Raises:
        MissingResource: If there is none.
    """
    for name in DRIVER_VARIABLES:
        if os.environ.get(name):
            missing = [file for file in os.environ[name].split(os.pathsep) if not Path(file).is_file()]
            if missing:
                raise commands.MissingResource(f"{name} names {missing[0]}, which does not exist. {WAYS_OUT}")
            return {}
    if _has_gpu():
        return {}
    for folder in FOLDERS:
        if (folder / SWIFTSHADER).is_file():
            # Chromium's Vulkan loader lies beside its driver: libvulkan1 need not be installed.
            search = os.pathsep.join(filter(None, [str(folder), os.environ.get("LD_LIBRARY_PATH")]))
            return {"VK_DRIVER_FILES": str(folder / SWIFTSHADER), "LD_LIBRARY_PATH": search}
    raise commands.MissingResource(f"no GPU, and no Vulkan driver that does without one. {WAYS_OUT}")


def run_on_gpu(content: bytes, images: np.ndarray) -> GpuRun:
    """Runs a file on the GPU accelerator alone, in 32-bit floats, in a process of its own.

    Args:
        content: Of a `.tflite` file with one input.
        images: `(n, height, width, channels)` of real values, e.g. RGB 0-255.

    Raises:
        MissingResource: Without a Vulkan driver, or if LiteRT cannot use the one that there is.
        CommandError: If the accelerator refuses the file or fails, with what it said.
    """
    run, _ = _run(content, images, "gpu")
    return run


def check_on_gpu(content: bytes, images: np.ndarray) -> GpuCheck:
    """Runs a file on the GPU accelerator and twice on the CPU: see `GpuCheck.tolerance`.

    Args and errors as of `run_on_gpu`.
    """
    if has_hybrid_products(content):
        run, outputs = _run(content, images, "gpu", "xnnpack")
        others = TFLiteModel(with_float_weights(content)).predict(images)
        others = others if isinstance(others, list) else [others]
    else:
        run, outputs = _run(content, images, "gpu", "xnnpack", "reference")
        others = outputs["reference"]
    found = []
    for step, gpu, cpu, plain in zip(output_steps(content), run.outputs, outputs["xnnpack"], others, strict=True):
        difference = float(np.nan_to_num(np.abs(gpu - cpu).max(), nan=np.inf))
        floats = FLOAT_TOLERANCE * max(1.0, np.abs(cpu).max())
        # Two dequantized neighbours may lie a rounding more than a step apart.
        found.append((difference, float(max(floats, 1.001 * step, 2 * np.abs(plain - cpu).max()))))
    difference, tolerance = max(found, key=lambda pair: pair[0] / pair[1])
    return GpuCheck(run.device, len(images), run.fully_accelerated, difference, tolerance)


def output_steps(content: bytes) -> list[float]:
    """The scale of each output in the order of `TFLiteModel.outputs`, also of one dequantized last; 0 for floats."""
    model = unpack(content)
    graph = model.subgraphs[0]
    made_by = {output: operator for operator in graph.operators for output in operator.outputs}
    with quiet():
        outputs = [row["index"] for row in TFLiteModel(content).outputs]
    steps = []
    for output in outputs:
        last = made_by.get(output)
        stored = last.inputs[0] if last is not None and op_name(model, last) == "DEQUANTIZE" else output
        quantization = graph.tensors[stored].quantization
        scales = None if quantization is None else quantization.scale
        steps.append(0.0 if scales is None or not len(scales) else float(max(scales)))
    return steps


def _has_gpu() -> bool:
    """Whether to leave the choice to LiteRT. Drivers may be installed without a GPU: Linux has device files for one."""
    return sys.platform != "linux" or any(Path("/dev").glob("dri/renderD*")) or Path("/dev/nvidia0").exists()


def _run(content: bytes, images: np.ndarray, *where: str) -> tuple[GpuRun, dict[str, list[np.ndarray]]]:
    """The GPU's results, and the outputs of all of `where`."""
    variables = driver()
    with quiet():
        model = TFLiteModel(content)
    with tempfile.TemporaryDirectory(prefix="ghostnet-tf-") as name:
        folder = Path(name)
        if not os.environ.get("XDG_RUNTIME_DIR"):
            variables["XDG_RUNTIME_DIR"] = name  # the Vulkan loader complains without
        (folder / "model.tflite").write_bytes(content)
        np.save(folder / "batch.npy", model.quantize(images))
        try:
            done = run_module("tflite.accelerators", [folder, *where], variables, TIMEOUT)
        except subprocess.TimeoutExpired as error:
            raise commands.CommandError(f"LiteRT's GPU accelerator did not answer for {TIMEOUT} seconds") from error
        if done.returncode:
            raise _refusal(done)
        with np.load(folder / "results.npz") as stored:
            results = dict(stored)
    outputs = {
        name: [model.dequantize(results[f"{name} {row['index']}"], number) for number, row in enumerate(model.outputs)]
        for name in where
    }
    adapter = re.search(r"Selected adapter: (.+?), arch", done.stderr)
    run = GpuRun(outputs["gpu"], bool(results["gpu accelerated"]), adapter[1] if adapter else "unknown")
    return run, outputs


def _refusal(done: subprocess.CompletedProcess[str]) -> commands.CommandError:
    """What went wrong, out of a log that is mostly about what went well."""
    noise = r"INFO|WARNING|[IW]\d{4} |\s|Traceback|└ Could not load shared library|=== Source|third_party/"
    said = "\n".join(f"  {line}" for line in done.stderr.splitlines() if line and not re.match(noise, line))
    said = said or f"  nothing; it ended with code {done.returncode}"
    if "Failed to initialize WebGPU environment" in done.stderr:
        return commands.MissingResource(f"LiteRT cannot use the Vulkan driver. {WAYS_OUT}. It said:\n{said}")
    return commands.CommandError(f"LiteRT's GPU accelerator does not run the file. It said:\n{said}")
