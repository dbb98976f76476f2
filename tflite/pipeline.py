"""From a source to verified files: what the convert command does once its arguments are read."""

import functools
import hashlib
import importlib.metadata
import platform
import time
from argparse import Namespace
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import keras

from ghostnet_tf import __version__, commands
from ghostnet_tf.litert.metadata import read_metadata
from ghostnet_tf.models.ghostnet_v3 import branched_layers, reparameterize
from ghostnet_tf.tflite import artefacts, calibrate, mixture, qat, sources
from ghostnet_tf.tflite.flatbuffer import unpack
from ghostnet_tf.tflite.gpu import IMAGES as GPU_IMAGES
from ghostnet_tf.tflite.gpu import GpuCheck, check_on_gpu
from ghostnet_tf.tflite.graph import Graph, read_graph
from ghostnet_tf.tflite.hybrid import FEWEST, has_hybrid_products
from ghostnet_tf.tflite.layer_report import IMAGES as LAYER_IMAGES
from ghostnet_tf.tflite.layer_report import layer_errors, write_report
from ghostnet_tf.tflite.metadata import with_metadata
from ghostnet_tf.tflite.model_card import describe
from ghostnet_tf.tflite.schemes import (
    CALIBRATION_METHOD,
    FILES,
    QAT,
    SCHEMES,
    convert,
    form,
    rearranged,
    rearranged_at_last,
    rearranged_to_quantize,
)
from ghostnet_tf.tflite.tensorflow_converter import SHRUNK, ConversionError, converted
from ghostnet_tf.tflite.verify import Agreement, agreement, check_name, reference

PACKAGES = ("tensorflow", "keras", "ai-edge-litert", "numpy")


def run(args: Namespace, source: sources.Source, paths: dict[str, Path]) -> None:
    """Converts a source to the scheme of each path; a file appears once it is verified, results on stdout."""
    model = source.load()
    calibrated = any(FILES[scheme].needs_images for scheme in paths)
    images = choose_images(args, source, model.inputs[0].shape[1:], calibrated)
    to_calibrate = f"{len(images.calibration)} to calibrate, " if calibrated else ""
    print(f"images: {to_calibrate}{len(images.held_out)} held out to verify; {images.name}", flush=True)
    images.warn_if_unfit()
    expected = reference(model, images.held_out, images.natural and source.trained_on != sources.UNTRAINED)
    to_run = form_to_run(model)

    of_tensorflow = functools.cache(lambda: converted(to_run, SCHEMES["fp32"]))  # once, for fp32, hybrid and int8
    made = {}
    for scheme, path in paths.items():
        started = time.monotonic()
        file = _convert(to_run, of_tensorflow, source, scheme, images, args)
        content, graph, mixed = file.content, file.graph, file.mixture
        agrees = agreement(content, expected, scheme)
        _judge(agrees, scheme, args.min_agreement)
        on_gpu = _check_gpu(content, scheme, images) if args.check_gpu else None
        record = sidecar(source, scheme, path, content, graph, agrees, images)
        if record["calibration"] is not None:
            record["calibration"]["method"] = args.calibration_method or CALIBRATION_METHOD
        record["gpu"] = None if on_gpu is None else on_gpu.as_dict()
        if mixed is not None:
            record["mixed"] = mixture.cost(mixed, expected)
        if scheme == QAT.name:
            record["fake_quantized_snr_db"] = qat.snr_to_training(content, to_run, source.run, images.held_out)
        _save(path, content, record, args.overwrite)
        seconds = time.monotonic() - started
        print(f"{scheme}: saved as {path} ({len(content) / 1e6:.1f} MB) in {seconds:.0f} s")
        lines = [*describe_agreement(agrees), *describe_graph(graph)]
        if mixed is not None:
            lines += mixture.describe(record["mixed"])
        if args.per_layer_report is not None and FILES[scheme].needs_images:
            lines += report_layers(args, model.name, scheme, file.before_and_after, images)
        print("\n".join(f"  {line}" for line in lines), flush=True)
        if scheme == QAT.name:
            print(f"  SNR to the fake-quantized model that was trained {record['fake_quantized_snr_db']:.1f} dB")
        if on_gpu is not None:
            print(f"  GPU accelerator on {on_gpu}", flush=True)
        made[scheme] = record
    for scheme, path in paths.items():
        for kind in ("inputs", "outputs"):
            for tensor in made[scheme]["graph"][kind]:
                print(f"{path.name} {kind[:-1]}: {tensor_line(tensor)}")
    scheme, path = list(paths.items())[-1]
    print(f"\n{snippet(path, made[scheme]['graph'])}")
    if args.json is not None:
        commands.write_json(args.json, {"files": list(made.values())}, args.overwrite)


def form_to_run(model: keras.Model) -> keras.Model:
    """`model` with the branches folded that GhostNetV3 needs in training only; any other model as it is."""
    branched = branched_layers(model)
    if not branched:
        return model
    folded = reparameterize(model)
    commands.log(
        f"reparameterized: {len(branched)} layers of parallel branches became one convolution each, "
        f"{model.count_params():,} parameters {folded.count_params():,}; agreement is with the training form"
    )
    return folded


def choose_images(args: Namespace, source: sources.Source, shape: tuple, calibrated: bool) -> calibrate.ImageSet:
    """The images that the command line means, or that suit the source.

    Raises:
        BadInput: Where int8 needs images and none are known.
    """
    height, width, channels = shape
    counts = (args.calibration_images if calibrated else 0, args.verification_images, args.seed)
    natural = args.calibration is not None or source.run is not None
    if not natural and (source.trained_on == sources.UNTRAINED or not calibrated):
        return calibrate.synthetic(shape, *counts)
    if height != width or channels != 3:
        raise commands.BadInput(f"expected a model on square RGB images, for photos. Received: inputs of {shape}")
    if args.calibration is not None:
        if Path(args.calibration).is_dir():
            return calibrate.photos(Path(args.calibration), height, *counts)
        return calibrate.data_set(args.calibration, height, *counts, args.data_dir)
    if source.run is not None:
        return calibrate.of_run(source.run, *counts)
    if source.trained_on == "imagenet":
        return calibrate.imagenet_like(height, *counts, args.data_dir)
    raise commands.BadInput(
        f"int8 is calibrated with images like those that {source.network} was trained on; give a folder of photos or "
        "a data set with --calibration"
    )


@dataclass(frozen=True)
class _File:
    """A file, and what is known about it.

    Attributes:
        content: The file.
        graph: Its structure.
        mixture: Of a file with layers in float.
        before_and_after: Of calibrated quantization, the float file and the integers, operation by operation.
    """

    content: bytes
    graph: Graph
    mixture: mixture.Mixture | None
    before_and_after: tuple[bytes, bytes] | None


def _convert(
    model: keras.Model,
    of_tensorflow: Callable[[], bytes],
    source: sources.Source,
    scheme: str,
    images: calibrate.ImageSet,
    args: Namespace,
) -> _File:
    mixed = before_and_after = None
    wanted = form(args.graph, scheme)
    try:
        if scheme == QAT.name:
            types = args.input_type or QAT.input_type, args.output_type or QAT.output_type
            content = qat.converted(model, qat.learned_ranges(source.run), *types, graph=args.graph)
        elif FILES[scheme].needs_images:
            floats = rearranged_to_quantize(of_tensorflow(), wanted)
            integers, mixed = mixture.integers(floats, images.calibration, source.run, args)
            before_and_after, content = (floats, integers), rearranged_at_last(integers, wanted)
            if mixed is not None:  # what it costs is measured of files as they are saved
                mixed = replace(mixed, content=content, int8=rearranged_at_last(mixed.int8, wanted))
        elif scheme in SHRUNK:
            content = convert(model, scheme, graph=args.graph)
        else:
            content = rearranged(of_tensorflow(), wanted)
        if scheme == "hybrid" and not has_hybrid_products(content):
            commands.log(f"warning: {model.name} has no {FEWEST} weights behind pooling: --fp32 gives the same file")
        content = with_metadata(content, describe(content, source, scheme, images, args.license))
        graph = read_graph(content)
        if mixed is None:
            check_name(scheme, graph)
    except ConversionError as error:
        if error.log:
            commands.log(error.log)
        raise commands.CommandError(str(error)) from error
    return _File(content, graph, mixed, before_and_after)


def report_layers(
    args: Namespace, name: str, scheme: str, before_and_after: tuple[bytes, bytes], images: calibrate.ImageSet
) -> list[str]:
    """Writes --per-layer-report; for people, the three worst layers."""
    shown = images.held_out[:LAYER_IMAGES]
    rows = layer_errors(*map(unpack, before_and_after), commands.progress(shown, "comparing layers"))
    title = f"{name}, {scheme} against fp32 on {len(shown)} held-out images"
    picture = write_report(args.per_layer_report, rows, title, args.overwrite)
    worst = ", ".join(f"{row.layer} {row.sqnr_db:.1f} dB" for row in rows[:3])
    return [f"most noise: {worst}", f"every layer: {args.per_layer_report} and {picture}"]


def _judge(agrees: Agreement, scheme: str, least: float | None) -> None:
    found = f"{agrees.measure} of {scheme} with the Keras model is {agrees.value:.4f}"
    if least is not None and agrees.value < least:
        raise commands.CommandError(f"{found}, below --min-agreement {least:g}: nothing was saved for {scheme}")
    if not agrees.kept:
        row = FILES[scheme]
        commands.log(
            f"WARNING: {found}, cosine of logits {agrees.cosine:.4f}; {scheme} promises {row.top1:g} and "
            f"{row.cosine:g}: check it before use"
        )


def _check_gpu(content: bytes, scheme: str, images: calibrate.ImageSet) -> GpuCheck:
    try:
        check = check_on_gpu(content, images.held_out[:GPU_IMAGES])
    except commands.CommandError as error:
        raise type(error)(f"{scheme} was not saved: {error}") from error
    if not check.passed:
        raise commands.CommandError(f"{scheme} was not saved: GPU accelerator on {check}")
    return check


def _save(path: Path, content: bytes, record: dict, overwrite: bool) -> None:
    """Both files or neither."""
    with (
        commands.written_whole(artefacts.sidecar(path), overwrite) as beside,
        commands.written_whole(path, overwrite) as file,
    ):
        file.write_bytes(content)
        commands.write_json(beside, record)


def sidecar(
    source: sources.Source,
    scheme: str,
    path: Path,
    content: bytes,
    graph: Graph,
    agrees: Agreement,
    images: calibrate.ImageSet,
) -> dict:
    """What is known about a file, for the JSON beside it."""
    calibrated = FILES[scheme].needs_images
    metadata = read_metadata(content)
    return {
        "file": path.name,
        "scheme": scheme,
        "bytes": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
        "source": {
            "network": source.network,
            "size": source.size,
            "trained_on": source.trained_on,
            "description": source.headline,
        },
        "labels": None if metadata.labels is None else list(metadata.labels),
        "metadata": metadata.as_dict(),
        "calibration": {"images": len(images.calibration), "set": images.name} if calibrated else None,
        "agreement": agrees.as_dict() | {"set": images.name},
        "graph": graph.as_dict() | {"float_ops": len(graph.float_ops)},
        "versions": {"ghostnet-tf": __version__, "python": platform.python_version()}
        | {name: importlib.metadata.version(name) for name in PACKAGES},
    }


def describe_agreement(agrees: Agreement) -> list[str]:
    """For people."""
    top1 = "not meaningful here" if agrees.top1 is None else f"{agrees.top1:.1%}"
    return [
        f"agreement on {agrees.images} held-out images: top-1 {top1}, cosine of logits {agrees.cosine:.6f}, "
        f"SNR {agrees.snr_db:.1f} dB",
        f"outputs differ by at most {agrees.max_difference:.2g}, {agrees.mean_difference:.2g} on average; "
        f"{agrees.measure} {agrees.value:.4f}, promised {agrees.expected:g}",
    ]


def describe_graph(graph: Graph) -> list[str]:
    """For people."""
    ops = ", ".join(f"{count} {name}" for name, count in graph.ops.items())
    pieces = " + ".join(map(str, graph.partitions)) or "none"
    outside = ", ".join(f"{count} {name}" for name, count in graph.outside.items()) or "nothing"
    total = sum(graph.ops.values())
    floats = len(graph.float_ops)
    return [
        f"{total} operations: {ops}",
        f"float operations: {'none but the casts of input and output' if floats == 0 else f'{floats} of {total}'}",
        f"XNNPACK runs {pieces} operations in {len(graph.partitions)} partition{'s' * (len(graph.partitions) != 1)}; "
        f"outside: {outside}",
    ]


def tensor_line(tensor: dict) -> str:
    """Such as `image uint8 (1, 224, 224, 3), scale 1, zero point 0`."""
    what = f"{tensor['name']} {tensor['dtype']} {tuple(tensor['shape'])}"
    if not tensor["scale"]:
        return f"{what}, not quantized"
    return f"{what}, scale {tensor['scale']:.8g}, zero point {tensor['zero_point']}"


def snippet(path: Path, graph: dict) -> str:
    """Four lines of Python that run a file."""
    source, output = graph["inputs"][0], graph["outputs"][0]
    return "\n".join(
        [
            "import numpy as np; from ai_edge_litert.interpreter import Interpreter",
            f"image = np.zeros({tuple(source['shape'])}, np.{source['dtype']})  # your pixels, RGB",
            f"run = Interpreter({str(path)!r}).get_signature_runner()",
            f"print(run({source['name']}=image)[{output['name']!r}])",
        ]
    )
