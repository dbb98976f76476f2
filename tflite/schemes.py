"""The schemes of conversion, and `convert`, from a Keras model to the bytes of a `.tflite` file."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ghostnet_tf.tflite.tensorflow_converter import converted

if TYPE_CHECKING:
    import keras
    import numpy as np

    from ghostnet_tf.tflite.quantize import Calibration

IO_TYPES = ("uint8", "int8", "float32")
CALIBRATION_METHODS = {
    "minmax": "all that occurs in the calibration images",
    "percentile": "without the outermost 0.01 % of the values at each end",
    "mse": "of least mean square error of rounding and clipping",
}
GRAPHS = {
    "arm": "the fastest on ARM; in fp32, 1x1 convolutions have the form for which XNNPACK has its fast kernel",
    "late": "the fastest on x86. Both concatenate the halves of a ghost module behind a depthwise convolution with a "
    "stride, or one below the other before a 1x1 convolution, and normalize in the first convolution",
    "plain": "they concatenate at once, as in Keras; LiteRT can then resize the input, to several images too",
    "optimized": "the halves stay apart where that is exact; fp32 and int8 only",
}
GRAPH = "arm"  # where the processors differ, the files are for phones: see docs/benchmarks.md
REWRITTEN = {"optimized": ("fp32", "int8")}  # schemes of the graphs that are not for all
CALIBRATION_METHOD = "mse"  # the best of them by measurement, see docs/quantization.md


@dataclass(frozen=True)
class Scheme:
    """One way to store and compute a network.

    Attributes:
        name: Flag and suffix of the file's name.
        summary: What it is.
        bytes_per_weight: About the size of the file, divided by the number of weights.
        top1: Agreement to expect from trained weights on photos: share of images with the float model's top class.
        cosine: Agreement to expect where there are no meaningful classes: cosine between logits and the float model's.
        needs_images: Whether it is calibrated with images.
        input_type, output_type: Defaults.
    """

    name: str
    summary: str
    bytes_per_weight: float
    top1: float
    cosine: float
    needs_images: bool = False
    input_type: str = "float32"
    output_type: str = "float32"


SCHEMES = {
    row.name: row
    for row in (
        Scheme("fp32", "32-bit floats, equal to the Keras model", 4, top1=0.99, cosine=0.99999),
        Scheme("fp16", "16-bit float weights, half the size", 2, top1=0.98, cosine=0.9999),
        Scheme("hybrid", "32-bit floats, int8 weights behind pooling (head, SE)", 1.7, top1=0.98, cosine=0.999),
        Scheme("dynamic", "int8 weights, float activations quantized on the fly", 1, top1=0.95, cosine=0.99),
        Scheme(
            "int8",
            "integers throughout, calibrated with images: smallest and fastest on phones",
            1,
            top1=0.9,
            cosine=0.95,
            needs_images=True,
            input_type="uint8",
        ),
    )
}
# What --int8 makes of a run with quantization-aware training.
QAT = Scheme(
    "int8_qat",
    "integers throughout, in the ranges that quantization-aware training learned",
    1,
    top1=0.9,
    cosine=0.95,
    input_type="uint8",
)
# What --int8 makes with --keep-float or --auto-mixed.
MIXED = Scheme(
    "int8_mixed",
    "integers, but for the layers that were left in float",
    1,
    top1=0.9,
    cosine=0.95,
    needs_images=True,
    input_type="uint8",
)
FILES = SCHEMES | {row.name: row for row in (MIXED, QAT)}  # all that a file can be


def convert(
    model: "keras.Model",
    scheme: str = "int8",
    *,
    representative_dataset: "Iterable[np.ndarray] | None" = None,
    input_type: str | None = None,
    output_type: str | None = None,
    calibration_method: str = CALIBRATION_METHOD,
    bias_correction: bool = True,
    equalization: bool = False,
    graph: str = GRAPH,
    float_layers: Iterable[str] = (),
) -> bytes:
    """Converts a Keras model to a `.tflite` file with a batch of 1 and built-in operations only.

    Args:
        model: A built Keras 3 model with one input of known size, on the TensorFlow backend.
        scheme: A key of `SCHEMES`.
        representative_dataset: For int8: images `(height, width, channels)` in the values that the model takes, at
            best a few hundred of those it was trained on. With uint8 images (RGB 0-255, for models that normalize
            inside) the file's uint8 input takes bytes as they are: scale 1, zero point 0.
        input_type, output_type: `"uint8"`, `"int8"` or `"float32"`; by default those of the scheme. Only int8 has a
            choice.
        calibration_method: For int8: the range that an activation gets, a key of `CALIBRATION_METHODS`.
        bias_correction: For int8: whether biases make up for what rounding the weights does to the mean of each
            channel.
        equalization: For int8: whether channels of one activation are brought to like ranges, where the network
            stays the same by that.
        graph: A key of `GRAPHS`, see docs/benchmarks.md. Most of what is rearranged needs weights in 32 bits: fp16
            files differ in GhostNetV2's gates alone, dynamic ones also where the converter left weights in floats.
        float_layers: For int8: layers to leave in float, by their names in Keras; a block's name means all of it.

    Returns:
        The file's content. Nothing is written but temporary files.

    Raises:
        ValueError: On arguments that cannot be used, with what was expected and received.
        ConversionError: If the converter refuses the model.
    """
    row = _check(model, scheme, representative_dataset)
    input_type, output_type = input_type or row.input_type, output_type or row.output_type
    for name, value in (("input_type", input_type), ("output_type", output_type)):
        allowed = IO_TYPES if row.needs_images else ("float32",)
        if value not in allowed:
            raise ValueError(f"Expected `{name}` of {scheme} to be one of {', '.join(allowed)}. Received: {value!r}")
    if calibration_method not in CALIBRATION_METHODS:
        allowed = ", ".join(CALIBRATION_METHODS)
        raise ValueError(f"Expected `calibration_method` to be one of {allowed}. Received: {calibration_method!r}")
    graphs = [name for name in GRAPHS if scheme in REWRITTEN.get(name, SCHEMES)]
    if graph not in graphs:
        allowed = ", ".join(graphs)
        raise ValueError(f"Expected `graph` of {scheme} to be one of {allowed}. Received: {graph!r}")

    wanted = form(graph, scheme)
    if not row.needs_images:
        return rearranged(converted(model, row), wanted)
    content = full_integer(
        to_quantize(model, graph),
        representative_dataset,
        input_type,
        output_type,
        calibration_method=calibration_method,
        bias_correction=bias_correction,
        equalization=equalization,
        float_layers=float_layers,
    )
    return rearranged_at_last(content, wanted)


@dataclass(frozen=True)
class Form:
    """What the graph of a file is rearranged into; all of it but `hybrid_products` is exact.

    Attributes:
        first_normalizes: Whether the first convolution normalizes the image, rather than one of its own. It then reads
            two columns of the image as one, where it can.
        concatenations: Of ghost modules: `"plain"`, `"late"` or `"none"`.
        broadcast_gates: Whether GhostNetV2's gates are multiplied by rows, rather than brought to full size.
        stacked_halves: Whether the halves of a ghost module lie one below the other before a 1x1 convolution.
        tanh_gates: Whether GhostNetV2's sigmoids are tanh.
        wide_kernels: Whether 1x1 convolutions keep XNNPACK's wide kernel on ARM.
        hybrid_products: Whether weights that multiply one pixel are int8.
        interleaved_halves: Whether upper and lower half of the largest maps are channels of one: of int8 files once
            they are integers, so that every value keeps its range.
        cast_in_xnnpack: Whether bytes become int8 by way of floats.
    """

    first_normalizes: bool
    concatenations: str
    broadcast_gates: bool
    stacked_halves: bool
    tanh_gates: bool
    wide_kernels: bool
    hybrid_products: bool
    interleaved_halves: bool
    cast_in_xnnpack: bool


def form(graph: str, scheme: str) -> Form:
    """The form that `graph`, a key of `GRAPHS`, means for `scheme`, a key of `FILES`.

    Of int8 it is that of the float file that is quantized: wide kernels are for floats, and would be reshapes for
    nothing; tanh would round more often. Quantization-aware training rounds the normalized image, so its files
    have a tensor of that.
    """
    late, floats = graph in ("late", "arm"), scheme in ("fp32", "hybrid")
    integers = scheme in ("int8", MIXED.name, QAT.name)
    return Form(
        first_normalizes=late and scheme != QAT.name,
        concatenations="late" if late else {"plain": "plain", "optimized": "none"}[graph],
        broadcast_gates=late,
        stacked_halves=late,
        tanh_gates=late and floats,
        wide_kernels=graph == "arm" and floats,
        hybrid_products=scheme == "hybrid",
        interleaved_halves=(late and integers) or (graph == "late" and floats),
        cast_in_xnnpack=late and integers,
    )


def rearranged(content: bytes, wanted: Form) -> bytes:
    """What `converted` gives, with the normalization in a convolution and in another form."""
    return rearranged_at_last(rearranged_to_quantize(content, wanted), wanted)


def rearranged_at_last(content: bytes, wanted: Form) -> bytes:
    """What `full_integer` or `of_calibration` gives, in all of its form."""
    from ghostnet_tf.tflite.input_cast import with_input_cast_in_xnnpack
    from ghostnet_tf.tflite.interleaved_halves import with_interleaved_halves

    content = with_interleaved_halves(content) if wanted.interleaved_halves else content
    return with_input_cast_in_xnnpack(content) if wanted.cast_in_xnnpack else content


def rearranged_to_quantize(content: bytes, wanted: Form) -> bytes:
    """`rearranged`, but for what int8 files get once they are integers."""
    from ghostnet_tf.tflite import gates, paired_columns, rewrite
    from ghostnet_tf.tflite.hybrid import with_hybrid_products
    from ghostnet_tf.tflite.normalization import normalized_by_convolution
    from ghostnet_tf.tflite.stacked_halves import with_stacked_halves
    from ghostnet_tf.tflite.wide_kernels import with_wide_kernels

    content = normalized_by_convolution(content, by_first=wanted.first_normalizes)
    concatenated = {"late": rewrite.with_late_concatenations, "none": rewrite.without_concatenations}
    steps = (
        wanted.first_normalizes and paired_columns.with_paired_columns,
        concatenated.get(wanted.concatenations),
        wanted.broadcast_gates and gates.with_broadcast_gates,
        wanted.stacked_halves and with_stacked_halves,
        wanted.tanh_gates and gates.with_tanh_gates,
        wanted.wide_kernels and with_wide_kernels,
        wanted.hybrid_products and with_hybrid_products,
    )
    for step in filter(None, steps):
        content = step(content)
    return content


def to_quantize(model: "keras.Model", graph: str = GRAPH) -> bytes:
    """The float file of which `convert` makes int8, for `full_integer` and `of_calibration`: not that of fp32.

    Args:
        model: As for `convert`.
        graph: A key of `GRAPHS`.
    """
    return rearranged_to_quantize(converted(model, SCHEMES["fp32"]), form(graph, "int8"))


def full_integer(
    content: bytes,
    images: "Iterable[np.ndarray]",
    input_type: str,
    output_type: str,
    *,
    calibration_method: str = CALIBRATION_METHOD,
    bias_correction: bool = True,
    equalization: bool = False,
    float_layers: Iterable[str] = (),
) -> bytes:
    """The int8 file of a float one, see `to_quantize`; arguments as those of `convert`.

    Raises:
        ValueError: If there are no images, one has another shape, an activation is not finite, or there is no such
            layer.
    """
    from ghostnet_tf.tflite.equalize import equalized
    from ghostnet_tf.tflite.quantize import calibrated

    if equalization:
        images = list(images)
        content = equalized(content, calibrated(content, images, count=False))
    calibration = calibrated(content, images, count=calibration_method != "minmax")
    return of_calibration(
        content,
        calibration,
        input_type,
        output_type,
        calibration_method=calibration_method,
        bias_correction=bias_correction,
        float_layers=float_layers,
    )


def of_calibration(
    content: bytes,
    calibration: "Calibration",
    input_type: str,
    output_type: str,
    *,
    calibration_method: str = CALIBRATION_METHOD,
    bias_correction: bool = True,
    float_layers: Iterable[str] = (),
) -> bytes:
    """The int8 file of a float one whose activations are known; arguments as those of `convert`."""
    from ghostnet_tf.tflite.bias_correction import with_corrected_biases
    from ghostnet_tf.tflite.quantize import quantized, with_ranges

    ranged = with_ranges(content, calibration, calibration_method)
    result = quantized(ranged, input_type, output_type, float_layers)
    return with_corrected_biases(result, content, calibration) if bias_correction else result


def _check(model, scheme: str, images) -> Scheme:
    import keras

    if scheme not in SCHEMES:
        raise ValueError(f"Expected `scheme` to be one of {', '.join(SCHEMES)}. Received: scheme={scheme!r}")
    if not isinstance(model, keras.Model):
        raise ValueError(f"Expected `model` to be a keras.Model. Received: model={model!r}")
    if keras.backend.backend() != "tensorflow":
        raise ValueError(f"Expected Keras on the TensorFlow backend. Received: {keras.backend.backend()!r}")
    shapes = [tensor.shape for tensor in model.inputs]
    if len(shapes) != 1 or None in shapes[0][1:]:
        raise ValueError(f"Expected `model` to have one input of known size. Received: inputs of shape {shapes}")
    if SCHEMES[scheme].needs_images and images is None:
        raise ValueError(f"Expected `representative_dataset` for {scheme}. Received: representative_dataset=None")
    return SCHEMES[scheme]
