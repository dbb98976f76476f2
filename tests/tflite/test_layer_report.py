"""--per-layer-report: noise is found where it was put."""

import csv

import keras
import numpy as np
import pytest

from ghostnet_tf import commands
from ghostnet_tf.commands import BadInput
from ghostnet_tf.tflite import convert, pipeline
from ghostnet_tf.tflite.flatbuffer import op_name, replace_constant, unpack, values
from ghostnet_tf.tflite.layer_report import layer_errors, layer_name, write_report


def test_a_spoilt_layer_adds_the_most_noise(small_files, small_to_quantize, small_images):
    model = unpack(small_files["int8"])
    graph = model.subgraphs[0]
    convolutions = [operator for operator in graph.operators if op_name(model, operator) == "CONV_2D"]
    spoilt = convolutions[20]
    weights = values(model, graph.tensors[spoilt.inputs[1]])
    replace_constant(model, spoilt, 1, np.roll(weights, 1, axis=0))
    images = small_images.held_out[:4]
    exact = unpack(small_to_quantize)
    honest = layer_errors(exact, unpack(small_files["int8"]), images)
    broken = layer_errors(exact, model, images)

    name = layer_name(graph.tensors[spoilt.outputs[0]].name.decode())
    worst = max(broken, key=lambda row: row.added_db)
    assert worst.layer == name
    assert worst.added_db > 10
    before = {row.layer: row.sqnr_db for row in honest}
    after = {row.layer: row.sqnr_db for row in broken}
    assert after["stem"] == before["stem"]  # nothing before it changes
    assert after["stem"] > 30
    assert after[name] < 5 < before[name]
    assert [row.sqnr_db for row in broken] == sorted(row.sqnr_db for row in broken)


def test_the_report_is_a_table_and_a_picture(small_files, small_to_quantize, small_images, tmp_path):
    rows = layer_errors(unpack(small_to_quantize), unpack(small_files["int8"]), small_images.held_out[:2])
    table = tmp_path / "layers.csv"
    picture = write_report(table, rows, "a net")
    assert picture == tmp_path / "layers.png"
    assert picture.read_bytes().startswith(b"\x89PNG")
    with table.open(newline="") as file:
        read = list(csv.DictReader(file))
    assert len(read) == len(rows) > 150
    assert read[0]["rank"] == "1"
    assert (read[0]["layer"], float(read[0]["sqnr_db"])) == (rows[0].layer, rows[0].sqnr_db)
    with pytest.raises(BadInput, match="exists"):
        write_report(table, rows, "a net")


def test_the_bordered_image_is_as_good_as_bytes_are(small_files, small_to_quantize, small_images):
    """int8 has it exactly; what the first convolution adds is told against the rounding of the photos themselves."""
    photos = small_images.held_out[:4]
    rows = layer_errors(unpack(small_to_quantize), unpack(small_files["int8"]), photos)
    borders = [row for row in rows if row.layer == "border"]
    assert len(borders) == 2
    bytes_db = 10 * np.log10(12 * np.mean(np.square(photos, dtype=np.float64)))
    for row in borders:
        assert row.sqnr_db == pytest.approx(bytes_db, abs=0.5)  # the border has other values than the photos' mean
        assert row.added_db == pytest.approx(0, abs=0.5)
    (stem,) = (row for row in rows if row.layer == "stem")
    assert stem.added_db == pytest.approx(borders[-1].sqnr_db - stem.sqnr_db, abs=0.5)


def test_files_of_different_networks_are_refused(small_files, small_to_quantize):
    other = unpack(small_to_quantize)
    other.subgraphs[0].operators.pop()
    with pytest.raises(ValueError, match="Expected an int8 file of the same operations"):
        layer_errors(other, unpack(small_files["int8"]), [])


@pytest.mark.parametrize(
    ("tensor", "layer"),
    [
        ("ghostnet_050_1/blocks_0_1/blocks_0_ghost1_1/blocks_0_ghost1_concat_1/concat", "blocks_0_ghost1_concat"),
        ("net_1/stem_1/stem_act_1/Relu;net_1/stem_1/stem_bn_1/batchnorm/add_1", "stem"),
        ("net_1/stem_1/stem_bn_1/batchnorm/add_1", "stem_bn"),
        ("net_1/relu_1/Relu;net_1/conv_1/convolution", "conv"),
        ("network/conv/convolution", "conv"),
        ("net_1/conv2d_1_1/BiasAdd", "conv2d_1"),
        ("PartitionedCall:0", "PartitionedCall:0"),
    ],
)
def test_layers_have_their_keras_names(tensor, layer):
    assert layer_name(tensor) == layer


def test_the_command_writes_both(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    keras.utils.set_random_seed(0)
    image = keras.Input((32, 32, 3), name="image")
    x = keras.layers.Conv2D(4, 3, strides=4, activation="relu", name="eyes")(keras.layers.Rescaling(1 / 255)(image))
    x = keras.layers.Dense(10, activation="softmax", name="classifier")(keras.layers.GlobalAveragePooling2D()(x))
    keras.Model(image, x, name="little").save("little.keras")
    asked = ["--model", "little.keras", "--int8", "--calibration", "digits", "--calibration-method", "mse"]
    converted, of_tensorflow = [], pipeline.converted
    monkeypatch.setattr(
        pipeline,
        "converted",
        lambda model, row: converted.append(row.name) or of_tensorflow(model, row),
    )
    assert convert.main([*asked, "--per-layer-report", "layers.csv"]) == commands.OK
    assert converted == ["fp32"]  # once, for the int8 file and to compare with
    said = capsys.readouterr().out
    assert "  most noise: " in said
    assert "  every layer: layers.csv and layers.png" in said
    with (tmp_path / "layers.csv").open(newline="") as file:
        assert {"eyes", "classifier"} <= {row["layer"] for row in csv.DictReader(file)}
    assert (tmp_path / "layers.png").is_file()

    assert convert.main([*asked, "--output", "again", "--per-layer-report", "layers.csv"]) == commands.BAD_INPUT
    assert "layers.csv exists already" in capsys.readouterr().err
    assert not (tmp_path / "again").exists()
    assert convert.main(["--fp32", "--per-layer-report", "x.csv"]) == commands.BAD_INPUT
    assert "--per-layer-report belongs to --int8. Received: fp32" in capsys.readouterr().err
