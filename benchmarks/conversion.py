"""What a conversion to int8 costs and gives: seconds and memory of the command, signal to noise of the logits.

`--photos` has the second: a network with seeded weights, whose normalization statistics are those of the photos to
calibrate with, quantized in every way, and each file's logits on as many other photos against the Keras model's.
"""

import sys
from pathlib import Path

GHOSTNET_TF_COMMAND = True  # see ghostnet_tf/__init__.py: argument parsing does not wait for TensorFlow
ROOT = Path(__file__).resolve().parents[1]
sys.path[0] = str(ROOT)

import json  # noqa: E402
import os  # noqa: E402
import subprocess  # noqa: E402
import tempfile  # noqa: E402
import time  # noqa: E402
from collections.abc import Iterator  # noqa: E402

from ghostnet_tf import commands, results  # noqa: E402
from ghostnet_tf.networks import NETWORKS  # noqa: E402
from ghostnet_tf.tflite.schemes import CALIBRATION_METHODS  # noqa: E402

EXAMPLES = """\
  python benchmarks/conversion.py --csv results/conversion.csv
  python benchmarks/conversion.py --photos ../shared/data/photos --csv results/conversion_snr.csv"""

COST_COLUMNS = ("date", "network", "size", "calibration_images", "verification_images", "seconds", "cpu_seconds")
COST_COLUMNS += ("peak_memory_mb", "cores", "load", "cpu", "command")
SNR_COLUMNS = ("date", "network", "size", "photos", "calibration_images", "verification_images", "file", "snr_db")
SNR_COLUMNS += ("varying_snr_db", "cosine", "top1_agreement", "command")


def parser() -> commands.ArgumentParser:
    """The command's arguments."""
    arguments = commands.ArgumentParser(prog="conversion", description=__doc__, examples=EXAMPLES)
    arguments.add_argument("--network", choices=NETWORKS, default="ghostnet", help="which")
    arguments.add_argument("--width", type=commands.positive_float, help="of it, by default 1")
    arguments.add_argument("--size", type=commands.positive_int, default=224, help="pixels a side")
    arguments.add_argument("--calibration-images", type=commands.positive_int, help="by default 200, 100 of --photos")
    arguments.add_argument("--photos", type=Path, metavar="DIR", help="measure the signal to noise ratio with these")
    arguments.add_argument("--seed", type=int, default=0, help="of weights and of the choice of photos")
    arguments.add_argument("--csv", type=Path, metavar="FILE", help="append the rows to a table of results")
    return arguments


def command(argv: list[str] | None = None) -> int:
    """Parses, measures, prints."""
    args = parser().parse_args(argv)
    columns = COST_COLUMNS if args.photos is None else SNR_COLUMNS
    if args.csv:
        results.check_results_file(args.csv, columns)
    shared = {"network": args.network, "size": args.size}
    shared["command"] = results.command_line("benchmarks/conversion.py", argv)
    for row in [cost(args)] if args.photos is None else signal_to_noise(args):
        if args.csv:
            row |= shared | {"date": results.now()}
            results.append_rows(args.csv, columns, [row])
    return commands.OK


def cost(args) -> dict:
    """Seconds and memory of `tflite/convert.py --int8` in a process of its own, verification included."""
    from ghostnet_tf.training.metrics import processor

    count = args.calibration_images or 200
    words = [sys.executable, str(ROOT / "tflite/convert.py"), "--int8", "--weights", "none", "--model", args.network]
    words += ["--size", args.size, "--calibration-images", count, "--seed", args.seed]
    words += [] if args.width is None else ["--width", args.width]
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        words += ["--output", folder, "--json", report]
        started = time.monotonic()
        with tempfile.TemporaryFile() as log:
            child = subprocess.Popen([str(word) for word in words], stdout=log, stderr=subprocess.STDOUT)
            _, status, used = os.wait4(child.pid, 0)  # the memory of this process alone
            child.returncode = os.waitstatus_to_exitcode(status)
            seconds = time.monotonic() - started
            log.seek(0)
            if child.returncode:
                raise commands.CommandError(f"the conversion failed: {log.read().decode().strip()[-500:]}")
        (made,) = json.loads(report.read_text(encoding="utf-8"))["files"]
    row = {
        "calibration_images": made["calibration"]["images"],
        "verification_images": made["agreement"]["images"],
        "seconds": round(seconds, 1),
        "cpu_seconds": round(used.ru_utime + used.ru_stime, 1),
        "peak_memory_mb": round(used.ru_maxrss * 1024 / 1e6),
        "cores": len(os.sched_getaffinity(0)),
        "load": round(load, 2),
        "cpu": processor(),
    }
    print(
        f"{args.network} at {args.size} px to int8 with {row['calibration_images']} calibration and "
        f"{row['verification_images']} verification images: {row['seconds']} s ({row['cpu_seconds']} s of processor), "
        f"{row['peak_memory_mb']} MB at most; load {row['load']} before"
    )
    return row


def signal_to_noise(args) -> Iterator[dict]:
    """A row for each file of the network."""
    from ghostnet_tf.quiet import start_tensorflow

    start_tensorflow()
    import keras
    import numpy as np

    from ghostnet_tf.models import BUILDERS
    from ghostnet_tf.tflite import calibrate, verify

    count = args.calibration_images or 100
    # All of them are decoded; which of them are held out is said here, not by the share that `photos` keeps.
    both = calibrate.photos(args.photos, args.size, 2 * count, 1, args.seed)
    photos = np.concatenate([both.held_out, both.calibration])
    if len(photos) < 2 * count:
        raise commands.BadInput(f"expected {2 * count} photos in {args.photos}. Received: {len(photos)}")
    images, held_out = photos[:count], photos[count : 2 * count]
    keras.utils.set_random_seed(args.seed)
    shape = (args.size, args.size, 3)
    options = {} if args.width is None else {"width": args.width}
    model = BUILDERS[args.network](input_shape=shape, **options)
    calibrate.settle(model, images)
    expected = verify.reference(model, held_out, classified=False)
    mean = expected.logits.mean(axis=0)
    share = np.sum((expected.logits - mean) ** 2) / np.sum(expected.logits**2)
    print(f"{len(images)} photos to calibrate, {len(held_out)} to compare; {share:.1%} of the logits' energy varies")
    for name, content in files(model, images):
        row = compared(content, expected)
        row |= {"file": name, "photos": args.photos.name, "calibration_images": len(images)}
        print(
            f"{name:50}SNR {row['snr_db']:5.1f} dB, {row['varying_snr_db']:5.1f} of what varies, "
            f"cosine {row['cosine']:.5f}, top-1 agreement {row['top1_agreement']:.2f}",
            flush=True,
        )
        yield row | {"verification_images": len(held_out)}


def compared(content: bytes, expected) -> dict:
    """How far a file's logits are from the Keras model's; `varying`: without the mean over the images."""
    import numpy as np

    from ghostnet_tf.quiet import quiet
    from ghostnet_tf.runtime import TFLiteModel
    from ghostnet_tf.tflite.flatbuffer import with_logits
    from ghostnet_tf.tflite.verify import closeness

    with quiet():
        file = TFLiteModel(with_logits(content))
    logits = file.predict(expected.images)
    cosine, snr = closeness(expected.logits, logits)
    mean = expected.logits.mean(axis=0)
    return {
        "snr_db": round(snr, 2),
        "varying_snr_db": round(closeness(expected.logits - mean, logits - mean)[1], 2),
        "cosine": round(cosine, 6),
        "top1_agreement": float(np.mean(expected.logits.argmax(-1) == logits.argmax(-1))),
    }


def files(model, images) -> Iterator[tuple[str, bytes]]:
    """Each scheme, of int8 every way, and a float file with the weights of int8, which shows what they alone cost."""
    from ghostnet_tf.tflite.equalize import equalized
    from ghostnet_tf.tflite.quantize import calibrated
    from ghostnet_tf.tflite.schemes import SCHEMES, convert, of_calibration, to_quantize

    yield from ((scheme, convert(model, scheme)) for scheme, row in SCHEMES.items() if not row.needs_images)
    before = to_quantize(model)
    calibration = calibrated(before, commands.progress(images, "calibrating"))
    for end in ("", ", equalization"):
        if end:
            before = equalized(before, calibration)
            calibration = calibrated(before, commands.progress(images, "calibrating"))
        for method in CALIBRATION_METHODS:
            for middle in ("", ", bias correction"):
                options = {"calibration_method": method, "bias_correction": bool(middle)}
                content = of_calibration(before, calibration, "uint8", "float32", **options)
                yield f"int8, {method}{middle}{end}", content
        yield f"fp32 with the weights of int8{end}", with_weights_of(before, content)


def with_weights_of(before: bytes, int8: bytes) -> bytes:
    """The float file with weights as the int8 file made of it rounds them."""
    from ghostnet_tf.tflite.bias_correction import WEIGHTED, real_weights
    from ghostnet_tf.tflite.flatbuffer import op_name, pack, paired, replace_constant, unpack

    model, rounded = unpack(before), unpack(int8)
    for operator, other in paired(model, rounded):
        if op_name(model, operator) in WEIGHTED:
            tensor = rounded.subgraphs[0].tensors[other.inputs[1]]
            replace_constant(model, operator, 1, real_weights(rounded, tensor))
    return pack(model)


def main(argv: list[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    return commands.run(command, argv)


if __name__ == "__main__":
    raise SystemExit(main())
