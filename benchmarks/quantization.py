"""What each way to a `.tflite` file costs a trained model in accuracy: all of its test images, through every file.

Ours in every scheme; of int8 every calibration method, with and without bias correction and equalization, and what
quantization-aware training made of the model (`--qat`); and for comparison the plain recipe of TensorFlow's guide and
litert-quantizer, calibrated with the same images.
"""

import sys
from pathlib import Path

GHOSTNET_TF_COMMAND = True  # see ghostnet_tf/__init__.py: argument parsing does not wait for TensorFlow
sys.path[0] = str(Path(__file__).resolve().parents[1])

import contextlib  # noqa: E402
import importlib.util  # noqa: E402
import io  # noqa: E402
import itertools  # noqa: E402
import tempfile  # noqa: E402
import warnings  # noqa: E402

from ghostnet_tf import commands, results  # noqa: E402
from ghostnet_tf.quiet import quiet, start_tensorflow  # noqa: E402
from ghostnet_tf.tflite.schemes import CALIBRATION_METHODS, QAT  # noqa: E402
from ghostnet_tf.training.qat_settings import FILE  # noqa: E402
from ghostnet_tf.training.runs import load_run, recorded_split  # noqa: E402

EXAMPLES = """\
  python benchmarks/quantization.py --model runs/cifar10 --csv results/quantization.csv
  python benchmarks/quantization.py --model runs/cifar10 --methods "float" "TensorFlow guide" --test-images 1000
  python benchmarks/quantization.py --model runs/cifar10 --qat runs/cifar10_int8 --methods float mse --data-dir DATA"""

COLUMNS = ("date", "model", "scheme", "method", "test_images", "top1", "float_top1", "points_lost", "snr_db", "bytes")
COLUMNS += ("percent_of_fp32", "partitions", "float_ops", "median_ms", "ratio", "ratio_low", "ratio_high", "cpu")
COLUMNS += ("command",)
SNR_IMAGES = 500  # for the logits' signal to noise ratio, which settles sooner than accuracy
ROUNDS = 100  # of latency, all files interleaved
VARIANTS = {
    "": {},
    " + bias correction": {"bias_correction": True},
    " + equalization": {"equalization": True},
    " + equalization + bias correction": {"equalization": True, "bias_correction": True},
}
OURS = {
    f"{method}{name}": {"calibration_method": method, "bias_correction": False, "equalization": False, **options}
    for method in CALIBRATION_METHODS
    for name, options in VARIANTS.items()
}
QAT_METHOD, GUIDE, LITERT = "ours, quantization-aware training", "TensorFlow guide", "litert-quantizer"
METHODS = ("float", *OURS, GUIDE, LITERT)


def parser() -> commands.ArgumentParser:
    """The command's arguments."""
    arguments = commands.ArgumentParser(description=__doc__, examples=EXAMPLES)
    arguments.add_argument("--model", type=Path, nargs="+", required=True, metavar="RUN", help="finished run folders")
    arguments.add_argument(
        "--qat", type=Path, nargs="+", default=[], metavar="RUN", help="a run of train.py --qat from each --model"
    )
    arguments.add_argument("--data-dir", help="where TensorFlow Datasets keeps its prepared data, by default the run's")
    arguments.add_argument(
        "--methods", nargs="+", choices=METHODS, default=METHODS, metavar="METHOD", help=f"of {', '.join(METHODS)}"
    )
    arguments.add_argument("--calibration-images", type=commands.positive_int, default=200, help="of the training part")
    arguments.add_argument("--test-images", type=commands.positive_int, help="how many, by default all")
    arguments.add_argument("--seed", type=int, default=0, help="of the choice of calibration images")
    arguments.add_argument("--csv", type=Path, help="append a row for each file to a table of results")
    return arguments


def command(argv: list[str] | None = None) -> int:
    """Parses, converts, measures, prints the table."""
    arguments = parser().parse_args(argv)
    for run in (*arguments.model, *arguments.qat):
        load_run(run)
        if not (run / "model.keras").is_file():
            raise commands.BadInput(f"{run} has no model.keras: the training did not finish")
    if arguments.qat:
        check_starts(arguments.model, arguments.qat)
    if arguments.csv:
        results.check_results_file(arguments.csv, COLUMNS)
    start_tensorflow()
    for run, trained_further in itertools.zip_longest(arguments.model, arguments.qat):
        rows = measure(run, trained_further, arguments)
        if arguments.csv:
            shared = {"date": results.now()}
            shared["command"] = results.command_line("benchmarks/quantization.py", argv)
            results.append_rows(arguments.csv, COLUMNS, [row | shared for row in rows])
    return commands.OK


def check_starts(models: list[Path], trained_further: list[Path]) -> None:
    """Refuses runs of quantization-aware training that did not start from these models, each from its own."""
    starts = []
    for run in trained_further:
        if not (run / FILE).is_file():
            raise commands.BadInput(f"expected a run of train.py --qat. Received: {run}, without {FILE}")
        starts.append(Path(load_run(run).weights).parent)
    if [start.name for start in starts] != [run.name for run in models]:
        raise commands.BadInput(
            "expected --qat with a run for each --model, in their order, that started from it. Received: "
            f"{', '.join(map(str, models))} and runs that started from {', '.join(map(str, starts))}"
        )


def measure(run: Path, trained_further: Path | None, arguments) -> list[dict]:
    """A row for each file of a run, and for that of its quantization-aware training."""
    import numpy as np

    from ghostnet_tf.runtime import TFLiteModel
    from ghostnet_tf.tflite import summary, timing, verify
    from ghostnet_tf.tflite.graph import read_graph
    from ghostnet_tf.tflite.pipeline import form_to_run
    from ghostnet_tf.training.data import load_data
    from ghostnet_tf.training.metrics import accuracy, processor
    from ghostnet_tf.training.predict import Predictor, load_predictor

    config = load_run(run)
    data = load_data(
        config.data,
        data_dir=arguments.data_dir or config.data_dir,
        size=config.size,
        seed=config.seed,
        split=recorded_split(run),
    )
    keras_model = load_predictor(run / "model.keras")
    images = data.train.images(arguments.calibration_images, arguments.seed)
    test = data.test.subset(np.arange(min(arguments.test_images or len(data.test), len(data.test))))
    float_top1 = accuracy(keras_model.predict(test), test.labels)["top1"]
    reference = verify.reference(keras_model.model, test.images(SNR_IMAGES), classified=True)
    print(f"{run}: top-1 {float_top1:.2%} in Keras on {len(test)} test images of {config.data}", flush=True)

    rows, runners = [], []
    fp32_bytes = None
    made = files(form_to_run(keras_model.model), images, arguments.methods)
    for scheme, method, content in itertools.chain(made, of_qat(trained_further)):
        fp32_bytes = fp32_bytes or len(content)
        with quiet():
            runner = TFLiteModel(content)
        scores = Predictor(runner, keras_model.size, keras_model.classes, scheme).predict(test)
        top1, graph = accuracy(scores, test.labels)["top1"], read_graph(content)
        rows.append(
            {
                "model": f"{run.name}/model.keras",
                "scheme": scheme,
                "method": method,
                "test_images": len(test),
                "top1": round(top1, 5),
                "float_top1": round(float_top1, 5),
                "points_lost": round(100 * (float_top1 - top1), 3),
                "snr_db": round(verify.agreement(content, reference, scheme).snr_db, 2),
                "bytes": len(content),
                "percent_of_fp32": round(100 * len(content) / fp32_bytes, 2),
                "partitions": " + ".join(map(str, graph.partitions)) or "none",
                "float_ops": len(graph.float_ops),
                "cpu": processor(),
            }
        )
        runners.append(runner)
        row = rows[-1]
        print(
            f"{scheme:8}{method:45}top-1 {row['top1']:.2%}, lost {row['points_lost']:6.3f}, SNR {row['snr_db']:.2f} dB"
            f", {row['percent_of_fp32']:.1f} % of fp32, float operations {row['float_ops']}",
            flush=True,
        )
    for runner in runners:
        timing.fill_inputs(runner, seed=0)
    times = timing.measure(runners, num_runs=ROUNDS)
    for row, runs in zip(rows, times, strict=True):
        measured = summary.summarize(runs) | summary.ratio(runs, times[0])
        row |= {name: round(measured[name], 4) for name in ("median_ms", "ratio", "ratio_low", "ratio_high")}
    return rows


def files(model, images, methods):
    """Scheme, method and content of each file, the fp32 one first."""
    from ghostnet_tf.tflite.schemes import GRAPH, SCHEMES, convert, form, full_integer, rearranged_at_last, to_quantize

    floats = [name for name, row in SCHEMES.items() if not row.needs_images]
    for scheme in floats if "float" in methods else ["fp32"]:
        yield scheme, "ours", convert(model, scheme)
    before = to_quantize(model)
    for name, options in OURS.items():
        if name in methods:
            content = full_integer(before, images, "uint8", "float32", **options)
            yield "int8", f"ours, {name}", rearranged_at_last(content, form(GRAPH, "int8"))
    if GUIDE in methods:
        yield "int8", GUIDE, of_guide(model, images)
    if LITERT in methods and importlib.util.find_spec("litert_quantizer") is None:
        commands.log(f"{LITERT} is left out: it is not installed (pip install litert-quantizer)")
    elif LITERT in methods:
        yield "int8", LITERT, of_litert(convert(model, "fp32", graph="plain"), images)


def of_qat(run: Path | None):
    """Scheme, method and content of the file that quantization-aware training made; nothing without such a run."""
    from ghostnet_tf.tflite.qat import converted, learned_ranges
    from ghostnet_tf.training.predict import load_predictor

    if run is not None:
        model = load_predictor(run / "model.keras").model
        yield QAT.name, QAT_METHOD, converted(model, learned_ranges(run), QAT.input_type, QAT.output_type)


def of_guide(model, images) -> bytes:
    """Full-integer quantization as https://ai.google.dev/edge/litert/models/post_training_integer_quant has it."""
    import numpy as np
    import tensorflow as tf

    def representative_data_gen():
        for image in images:
            yield [image[None].astype(np.float32)]

    # The converter prints the model's signature, and warns that it works from ranges alone.
    with quiet(), contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings(action="ignore"):
        converter = tf.lite.TFLiteConverter.from_keras_model(model)
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = representative_data_gen
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = converter.inference_output_type = tf.uint8
        return converter.convert()


def of_litert(fp32: bytes, images) -> bytes:
    """litert-quantizer's recipe for int8 weights and activations, on our plain fp32 file.

    A first convolution that normalizes wants its bias corrected, which this recipe does not do.
    """
    import numpy as np
    from litert_quantizer import quantizer, recipe

    from ghostnet_tf.runtime import TFLiteModel

    name = next(iter(TFLiteModel(fp32).interpreter.get_signature_runner().get_input_details()))
    with tempfile.TemporaryDirectory() as folder, quiet(), warnings.catch_warnings(action="ignore"):
        source, target = Path(folder) / "fp32.tflite", Path(folder) / "int8.tflite"
        source.write_bytes(fp32)
        quantize = quantizer.Quantizer(str(source))
        quantize.load_quantization_recipe(recipe.static_wi8_ai8())
        batches = [{name: image[None].astype(np.float32)} for image in images]
        calibration = quantize.calibrate({"serving_default": batches}, num_threads=1)
        quantize.quantize(calibration, enable_progress_report=False).export_model(str(target), overwrite=True)
        return target.read_bytes()


def main(argv: list[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    return commands.run(command, argv)


if __name__ == "__main__":
    raise SystemExit(main())
