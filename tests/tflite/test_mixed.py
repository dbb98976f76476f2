"""Layers left in float: exactly those asked for, chosen by what they add, and the file says so later."""

import json

import keras
import numpy as np
import pytest

from ghostnet_tf import commands
from ghostnet_tf.tflite import convert, mixture
from ghostnet_tf.tflite.bias_correction import WEIGHTED
from ghostnet_tf.tflite.flatbuffer import op_name, paired, unpack, values
from ghostnet_tf.tflite.graph import read_graph
from ghostnet_tf.tflite.layer_report import LayerError
from ghostnet_tf.tflite.mixed import check_layers, misplaced, operations_of
from ghostnet_tf.tflite.run_folder import read_run
from ghostnet_tf.tflite.schemes import full_integer
from ghostnet_tf.tflite.tensorflow_converter import ConversionError
from ghostnet_tf.tflite.verify import agreement, reference

LAYERS = ("border", "blocks_2", "blocks_5_ghost1_concat", "classifier")


@pytest.fixture(scope="module")
def mixed_file(small_to_quantize, small_images) -> bytes:
    """The small GhostNet with the first operations, the last, a whole block and a concatenation in float."""
    return full_integer(small_to_quantize, small_images.calibration, "uint8", "float32", float_layers=LAYERS)


def test_float_are_the_layers_asked_for_and_no_others(small_files, small_to_quantize, mixed_file):
    model = unpack(mixed_file)
    assert misplaced(model, LAYERS) == []
    kept = operations_of(model, LAYERS)
    kinds = {op_name(model, operator) for operator in kept}
    assert kinds >= {"CONV_2D", "DEPTHWISE_CONV_2D", "CONCATENATION", "ADD", "FULLY_CONNECTED"}
    before = unpack(small_to_quantize)
    weighted = 0
    for operator, other in paired(before, model):
        if any(other is one for one in kept) and op_name(model, other) in WEIGHTED:
            for position in (1, 2):  # weights as they were, and no corrected bias
                expected, found = (
                    values(file, file.subgraphs[0].tensors[each.inputs[position]])
                    for file, each in ((before, operator), (model, other))
                )
                np.testing.assert_array_equal(found, expected)
            weighted += 1
    assert weighted == 5  # four of the block, and the classifier
    assert len(small_files["int8"]) < len(mixed_file) < len(small_files["fp32"])
    # Casts do not break the graph: the mixed file runs in as few pieces as the int8 one, and the softmax with them.
    assert len(read_graph(mixed_file).partitions) <= len(read_graph(small_files["int8"]).partitions)


def test_what_is_on_the_wrong_side_is_named(small_files, mixed_file):
    model = unpack(mixed_file)
    (concatenation,) = operations_of(model, LAYERS[2:3])
    name = model.subgraphs[0].tensors[concatenation.outputs[0]].name.decode()
    without = [layer for layer in LAYERS if layer != LAYERS[2]]
    assert f"CONCATENATION ({name})" in misplaced(model, without)
    assert all(
        found.split(" ")[0] in ("CONCATENATION", "QUANTIZE", "DEQUANTIZE") for found in misplaced(model, without)
    )
    assert {found.split(" ")[0] for found in misplaced(model, [*LAYERS, "stem"])} >= {"CONV_2D"}
    with pytest.raises(ConversionError, match="operations are not in float and int8 as asked for: CONV_2D "):
        check_layers(unpack(small_files["int8"]), ["stem"])
    check_layers(unpack(small_files["int8"]), [])
    assert len(misplaced(unpack(small_files["fp32"]), [])) == sum(read_graph(small_files["fp32"]).ops.values())
    assert len(misplaced(unpack(small_files["dynamic"]), ["stem"])) > 100


def test_layers_in_float_bring_the_results_nearer(small_model, small_files, small_to_quantize, small_images):
    layers = ["border", "stem", *(f"blocks_{number}" for number in range(8))]
    options = {"input_type": "uint8", "output_type": "float32", "float_layers": layers}
    content = full_integer(small_to_quantize, small_images.calibration, **options)
    expected = reference(small_model, small_images.held_out, False)
    before, after = (agreement(each, expected, "int8").snr_db for each in (small_files["int8"], content))
    # Measured: 19.0 and 23.4 dB. The half of the network that is left in int8 adds what remains.
    assert before + 3 < after < 40


def test_an_unknown_layer_has_a_nearest_one(small_to_quantize, small_images):
    with pytest.raises(ValueError, match=r"Received: 'block_3'\. Did you mean 'blocks_3'\?"):
        full_integer(small_to_quantize, small_images.calibration[:1], "uint8", "float32", float_layers=["block_3"])


def test_the_worst_layer_adds_the_most_noise():
    def row(layer, before, after):
        return LayerError(layer, "CONV_2D", "1x1x1", after, before - after, 0, 1)

    rows = [
        row("late", 20, 19),
        row("mending", 18, 30),
        row("first", 60, 40),
        row("twice", 50, 49),
        row("twice", 40, 35),
    ]
    assert mixture.worst_first(rows) == ["first", "twice", "late", "mending"]


@pytest.fixture
def accuracies(monkeypatch):
    """`accuracies(found)` gives each file, named by its layers in float, the accuracy of their number."""

    def give(found: list[float]):
        monkeypatch.setattr(mixture, "_top1", lambda content, images: found[int(content)] if content != b"f" else 0.9)
        rows = [LayerError(f"layer{number}", "CONV_2D", "1", 20 + number, 1, 0, 1) for number in range(6)]
        monkeypatch.setattr(mixture, "unpack", lambda content: content)
        monkeypatch.setattr(mixture, "layer_errors", lambda *_: rows)

    return give


class Images:
    """Stands for labelled images that nothing looks at."""

    def __len__(self):
        return 1000

    def images(self, n, seed):
        return None


def chosen(points: float) -> mixture.Mixture:
    def make(layers):
        assert layers == tuple(f"layer{number}" for number in range(len(layers)))  # worst first
        return str(len(layers)).encode()

    return mixture.chosen(make, b"f", b"0", Images(), points)


def test_as_few_layers_as_the_promise_needs(accuracies, capsys):
    accuracies([0.88, 0.88, 0.89, None, 0.896, None, 0.9])
    found = chosen(0.5)
    assert (found.layers, found.content, found.int8) == (("layer0", "layer1", "layer2", "layer3"), b"4", b"0")
    assert found.top1 == {"float": 0.9, "int8": 0.88, "mixed": 0.896}
    said = capsys.readouterr().err.splitlines()
    assert said[0] == "0 layers in float: 2.00 points lost on 1000 held-out images"
    assert len(said) == 4
    assert chosen(1.0).layers == ("layer0", "layer1")
    none = chosen(2.0)
    assert (none.layers, none.content, none.top1["mixed"]) == ((), b"0", 0.88)


def test_a_promise_that_cannot_be_kept(accuracies):
    accuracies([0.88, 0.88, 0.89, None, 0.896, None, 0.897])
    said = (
        r"int8 loses 2\.00 points of top-1 accuracy, and 0\.30 with its 6 worst layers in float, above --auto-mixed 0"
    )
    with pytest.raises(commands.CommandError, match=said) as caught:
        chosen(0.1)
    assert caught.value.code == commands.FAILED


def test_the_command_and_what_it_writes(run_folder, capsys):
    asked = ["--model", str(run_folder), "--int8"]
    assert convert.main([*asked, "--keep-float", "classifier"]) == commands.OK
    said = capsys.readouterr().out
    file = run_folder / "exports" / "ghostnet_025_32_digits_int8_mixed.tflite"
    record = json.loads(file.with_suffix(".json").read_text())
    mixed = record["mixed"]
    assert (record["scheme"], mixed["layers"], mixed["top1"]) == ("int8_mixed", ["classifier"], None)
    assert "  in float, 1 operation: classifier" in said
    assert mixed["mixed"]["bytes"] > mixed["int8"]["bytes"]
    assert mixed["mixed"]["median_ms"] > 0 < mixed["int8"]["median_ms"]
    assert mixed["ratio_low"] <= mixed["ratio"] <= mixed["ratio_high"]
    assert (
        f"{mixed['int8']['median_ms']:.3f} to {mixed['mixed']['median_ms']:.3f} ms, {mixed['ratio']:.2f} times" in said
    )
    (converted,) = [found for found in read_run(run_folder).files if found.scheme == "int8_mixed"]
    assert converted.float_layers == ["classifier"]

    assert convert.main(["--selftest", str(file)]) == commands.OK
    assert "layers in float: ok, classifier" in capsys.readouterr().out
    record["mixed"]["layers"] = []
    file.with_suffix(".json").write_text(json.dumps(record))
    assert convert.main(["--selftest", str(file)]) == commands.FAILED
    assert "layers in float: FAILED, " in capsys.readouterr().out


def test_the_command_chooses(run_folder, capsys, monkeypatch):
    asked = ["--model", str(run_folder), "--int8", "--auto-mixed", "5"]
    assert convert.main(asked) == commands.OK
    said = capsys.readouterr().out
    assert "  no layer has to stay in float: this is the int8 file" in said
    file = run_folder / "exports" / "ghostnet_025_32_digits_int8_mixed.tflite"
    record = json.loads(file.with_suffix(".json").read_text())["mixed"]
    assert (record["layers"], record["labelled_images"]) == ([], 360)
    assert min(record["top1"].values()) > 0.85
    assert convert.main(["--selftest", str(file)]) == commands.OK
    assert "layers in float: ok, none" in capsys.readouterr().out

    scores = iter([0.9, *[0.5] * 9])
    monkeypatch.setattr(mixture, "_top1", lambda *_: next(scores))
    elsewhere = file.parent / "elsewhere"
    assert convert.main([*asked, "--output", str(elsewhere)]) == commands.FAILED
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("error: int8 loses 40.00 points of top-1 accuracy, and 40.00 with its ")
    assert "nothing was saved for int8_mixed" in last
    assert not elsewhere.exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--int8", "--keep-float", "clasifier"], "--keep-float: Expected a layer as --per-layer-report names it. "),
        (["--int8", "--keep-float", "clasifier"], "Received: 'clasifier'. Did you mean 'classifier'?"),
        (["--fp32", "--keep-float", "classifier"], "--keep-float belongs to --int8. Received: fp32"),
        (["--fp32", "--auto-mixed", "1"], "--auto-mixed belongs to --int8. Received: fp32"),
    ],
)
def test_bad_input_is_one_clear_line(run_folder, arguments, message, capsys):
    assert convert.main(["--model", str(run_folder), *arguments]) == commands.BAD_INPUT
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line
    assert not (run_folder / "exports").exists()


def test_accuracy_needs_a_run(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Flatten(), keras.layers.Dense(2)]).save("alone.keras")
    assert convert.main(["--model", "alone.keras", "--int8", "--auto-mixed", "1"]) == commands.BAD_INPUT
    assert "on a run's labelled images; give --model RUN. Received: alone.keras" in capsys.readouterr().err
