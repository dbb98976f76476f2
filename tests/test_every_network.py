"""Every network through the same commands."""

import json

import keras
import pytest

from ghostnet_tf.commands import OK
from ghostnet_tf.models import BUILDERS, ghostnet
from ghostnet_tf.networks import NETWORKS
from ghostnet_tf.tflite import benchmark, convert
from ghostnet_tf.training import evaluate, train
from ghostnet_tf.training.config import RunConfig
from ghostnet_tf.training.fit import build

SMALLEST = {"width": 0.25, "variant": "002"}  # G-GhostNet has no complicated channel left at 0.1


def smallest(name: str) -> dict:
    return {option: value for option, value in SMALLEST.items() if option in NETWORKS[name].options}


@pytest.mark.parametrize("name", NETWORKS)
def test_a_run_builds_it(name):
    config = RunConfig(model=name, size=32, **smallest(name))
    with keras.StatelessScope(initialize_variables=False):
        model = build(config, 3)
        logits = build(config, 3, classifier_activation=None)
    keras.utils.clear_session()  # or the next scope would initialize what was built here
    assert model.input_shape == (None, 32, 32, 3)
    assert model.output_shape == logits.output_shape == (None, 3)
    # Weights go from the one that was trained to the one that is saved.
    assert [weight.shape for weight in model.weights] == [weight.shape for weight in logits.weights]
    names = ["/".join(weight.path.split("/")[-2:]) for weight in model.weights]
    assert len(set(names)) == len(names)  # what weight files go by


@pytest.mark.parametrize("name", ["ghostnetv3", "mobilenetv2"])
def test_from_images_to_milliseconds(name, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(ghostnet, "ROWS", ghostnet.ROWS[:4])  # a block of each kind
    run = tmp_path / "run"
    settings = ["--width", "0.1", "--size", "32", "--epochs", "1", "--warmup-epochs", "0.5", "--batch-size", "256"]
    assert train.main(["--data", "digits", "--model", name, *settings, "--output", str(run)]) == OK
    capsys.readouterr()
    assert convert.main(["--model", str(run), "--fp32", "--int8", "--verification-images", "20"]) == OK
    log = capsys.readouterr().err
    files = sorted((run / "exports").glob("*.tflite"))
    assert [file.name for file in files] == [f"{name}_010_32_digits_{scheme}.tflite" for scheme in ("fp32", "int8")]
    for file in files:
        record = json.loads(file.with_suffix(".json").read_text())
        assert len(record["graph"]["partitions"]) <= 2  # the network, and behind the softmax the cast of the output
        if record["scheme"] == "fp32":
            assert record["agreement"]["cosine"] > 0.99999
    assert ("layers of parallel branches became one convolution each" in log) == (name == "ghostnetv3")

    assert evaluate.main(["--model", str(run), *map(str, files)]) == OK
    measured = json.loads((run / "evaluation.json").read_text())
    assert {entry["scheme"] for entry in measured} == {"keras", "fp32", "int8"}
    assert len({entry["top1"] for entry in measured if entry["scheme"] != "int8"}) == 1
    assert benchmark.main([*map(str, files), "--num-runs", "2", "--warmup-runs", "1"]) == OK
    printed = capsys.readouterr().out
    assert all(file.name in printed for file in files)


def test_comparisons_are_those_of_keras():
    """Names apart, the same variables and, with the same values, the same outputs for what Keras expects as input."""
    for name, application, options in (
        ("mobilenetv2", "MobileNetV2", {"alpha": 0.35}),
        ("mobilenetv3_small", "MobileNetV3Small", {"alpha": 0.35}),
    ):
        keras.utils.set_random_seed(0)
        ours = BUILDERS[name](options["alpha"], input_shape=(64, 64, 3), classes=7, dropout_rate=0)
        theirs = getattr(keras.applications, application)(input_shape=(64, 64, 3), classes=7, weights=None, **options)
        theirs.set_weights(ours.get_weights())
        images = keras.random.uniform((2, 64, 64, 3), 0, 255, seed=1)
        expected = theirs(images / 127.5 - 1 if name == "mobilenetv2" else images)
        assert keras.ops.max(keras.ops.abs(ours(images) - expected)) < 1e-6
