"""int8 for the convert command: with layers left in float where that is asked, what it brings and what it costs."""

import dataclasses
from argparse import Namespace
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ghostnet_tf.commands import BadInput, CommandError, log, progress
from ghostnet_tf.quiet import quiet
from ghostnet_tf.runtime import TFLiteModel
from ghostnet_tf.tflite import summary, timing
from ghostnet_tf.tflite.flatbuffer import unpack
from ghostnet_tf.tflite.graph import read_graph
from ghostnet_tf.tflite.layer_report import IMAGES, LayerError, layer_errors
from ghostnet_tf.tflite.mixed import check_layers, operations_of
from ghostnet_tf.tflite.schemes import CALIBRATION_METHOD, MIXED, of_calibration
from ghostnet_tf.tflite.verify import Reference, agreement
from ghostnet_tf.training.metrics import accuracy
from ghostnet_tf.training.predict import Predictor
from ghostnet_tf.training.runs import load_run_data
from ghostnet_tf.training.splits import Split

STEPS = (1, 2, 4, 8, 16, 32)  # how many of the worst layers --auto-mixed leaves in float, one after the other
ROUNDS = 100  # of latency, both files interleaved


@dataclass(frozen=True)
class Mixture:
    """A file with layers in float, and the int8 file without.

    Attributes:
        layers: In float, worst first; none where int8 keeps the promise.
        content: The file.
        int8: The file without layers in float.
        top1: Accuracy of `float`, `int8` and `mixed` on labelled held-out images, 0 to 1; `None` where not measured.
        labelled: The number of these images.
    """

    layers: tuple[str, ...]
    content: bytes
    int8: bytes
    top1: dict[str, float] | None = None
    labelled: int = 0


def integers(fp32: bytes, images: np.ndarray, run: Path | None, args: Namespace) -> tuple[bytes, Mixture | None]:
    """The int8 file of an fp32 one and, where layers stay in float, what is known about that.

    Args:
        fp32: The float file, see `schemes.to_quantize`.
        images: To calibrate with.
        run: The run folder whose labelled images `--auto-mixed` measures on.
        args: Of the command.

    Raises:
        BadInput: If `--keep-float` names no layer.
        CommandError: If `--auto-mixed` cannot be kept, or an activation is not finite.
    """
    from ghostnet_tf.tflite.quantize import calibrated

    method = args.calibration_method or CALIBRATION_METHOD
    if args.keep_float is not None:
        try:
            operations_of(unpack(fp32), args.keep_float)
        except ValueError as error:
            raise BadInput(f"--keep-float: {error}") from error
    try:
        calibration = calibrated(fp32, progress(images, "calibrating"), count=method != "minmax")
    except ValueError as error:
        raise CommandError(f"the model cannot be calibrated: {error}") from error

    def make(layers: Sequence[str]) -> bytes:
        types = args.input_type or MIXED.input_type, args.output_type or MIXED.output_type
        return of_calibration(fp32, calibration, *types, calibration_method=method, float_layers=layers)

    int8 = make(())
    if args.keep_float is not None:
        layers = tuple(dict.fromkeys(args.keep_float))
        mixture = Mixture(layers, make(layers), int8)
    elif args.auto_mixed is not None:
        mixture = chosen(make, fp32, int8, load_run_data(run).val, args.auto_mixed)
    else:
        return int8, None
    check_layers(unpack(mixture.content), mixture.layers)
    return mixture.content, mixture


def chosen(make: Callable[[Sequence[str]], bytes], fp32: bytes, int8: bytes, held_out: Split, points: float) -> Mixture:
    """The mixture with the fewest layers in float, of those that `STEPS` has, that loses at most `points`.

    Args:
        make: Gives the file with layers in float.
        fp32, int8: The files without.
        held_out: Labelled images, to choose with.
        points: Of top-1 accuracy, in percent, below that of `fp32`.

    Raises:
        CommandError: If it cannot be reached.
    """
    top1 = {"float": _top1(fp32, held_out), "int8": _top1(int8, held_out)}
    mixture = Mixture((), int8, int8, top1 | {"mixed": top1["int8"]}, len(held_out))
    ranking = None
    for step in (0, *STEPS):
        if step:
            ranking = ranking or worst_first(layer_errors(unpack(fp32), unpack(int8), held_out.images(IMAGES, seed=0)))
            layers = tuple(ranking[:step])
            content = make(layers)
            mixture = dataclasses.replace(
                mixture, layers=layers, content=content, top1=top1 | {"mixed": _top1(content, held_out)}
            )
        lost = points_lost(mixture.top1, "mixed")
        log(f"{len(mixture.layers)} layers in float: {lost:.2f} points lost on {len(held_out)} held-out images")
        if lost <= points:
            return mixture
        if ranking and step >= len(ranking):
            break
    raise CommandError(
        f"int8 loses {points_lost(top1, 'int8'):.2f} points of top-1 accuracy, and {lost:.2f} with its "
        f"{len(mixture.layers)} worst layers in float, above --auto-mixed {points:g}: nothing was saved for "
        f"{MIXED.name}; train with --qat, or convert to fp16"
    )


def _top1(content: bytes, images: Split) -> float:
    with quiet():
        model = TFLiteModel(content)
    predictor = Predictor(model, images.size, int(model.output["shape"][-1]), MIXED.name)
    return accuracy(predictor.predict(images), images.labels)["top1"]


def points_lost(top1: dict[str, float], scheme: str) -> float:
    """Percentage points of accuracy below float."""
    return round(100 * (top1["float"] - top1[scheme]), 6)


def worst_first(rows: list[LayerError]) -> list[str]:
    """The layers by how much worse each makes the signal to noise ratio.

    Not by the ratio itself, which is worst where the noise of all layers before has added up.
    """
    return list(dict.fromkeys(row.layer for row in sorted(rows, key=lambda row: row.added_db, reverse=True)))


def cost(mixture: Mixture, expected: Reference) -> dict:
    """What the layers in float bring and cost, for the JSON beside the file.

    Args:
        mixture: Both files.
        expected: What the Keras model gives.
    """
    contents = {"int8": mixture.int8, "mixed": mixture.content}
    with quiet():
        runners = [TFLiteModel(content) for content in contents.values()]
    for runner in runners:
        timing.fill_inputs(runner, seed=0)
    times = timing.measure(runners, num_runs=ROUNDS)
    files = {
        name: {
            "bytes": len(content),
            "snr_db": agreement(content, expected, MIXED.name).as_dict()["snr_db"],
            "partitions": list(read_graph(content).partitions),
            "median_ms": summary.summarize(series)["median_ms"],
        }
        for (name, content), series in zip(contents.items(), times, strict=True)
    }
    return {
        "layers": list(mixture.layers),
        "operations": len(operations_of(unpack(mixture.content), mixture.layers)),
        "top1": mixture.top1,
        "labelled_images": mixture.labelled,
        **files,
        **summary.ratio(times[1], times[0]),
    }


def describe(record: dict) -> list[str]:
    """For people, of what `cost` gives."""
    lines = []
    if (top1 := record["top1"]) is not None:
        shares = ", ".join(f"{name} {100 * share:.2f} %" for name, share in top1.items())
        lines.append(f"top-1 on {record['labelled_images']} labelled held-out images: {shares}")
        lines.append(f"points lost: int8 {points_lost(top1, 'int8'):.2f}, mixed {points_lost(top1, 'mixed'):.2f}")
    if not record["layers"]:
        return [*lines, "no layer has to stay in float: this is the int8 file"]
    before, after, count = record["int8"], record["mixed"], record["operations"]
    snr = ["infinite" if side["snr_db"] is None else f"{side['snr_db']:.1f}" for side in (before, after)]
    return [
        *lines,
        f"in float, {count} operation{'s' * (count != 1)}: {', '.join(record['layers'])}",
        f"against int8 alone: {before['bytes'] / 1e6:.2f} to {after['bytes'] / 1e6:.2f} MB, SNR {snr[0]} to {snr[1]} "
        f"dB, partitions {len(before['partitions'])} to {len(after['partitions'])}",
        f"median here {before['median_ms']:.3f} to {after['median_ms']:.3f} ms, {record['ratio']:.2f} times as long "
        f"(95 %: {record['ratio_low']:.2f} to {record['ratio_high']:.2f})",
    ]
