"""Every network through the same commands."""

import json
from pathlib import Path

import keras
import pytest

from ghostnet_tf.commands import OK
from ghostnet_tf.models import ghostnet, ghostnet_v2
from ghostnet_tf.networks import NETWORKS
from ghostnet_tf.tflite import benchmark, convert
from ghostnet_tf.training import evaluate, train
from ghostnet_tf.training.config import RunConfig
from ghostnet_tf.training.fit import build
from ghostnet_tf.training.runs import load_run

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


def converted(run: Path) -> dict[str, dict]:
    """Scheme -> what the convert command says of the file that it makes of a run."""
    few = ["--calibration-images", "100", "--verification-images", "20"]
    assert convert.main(["--model", str(run), "--fp32", "--int8", *few]) == OK
    records = [json.loads(file.read_text()) for file in (run / "exports").glob("*.json")]
    for record in records:
        assert record["file"] == f"{load_run(run).network}_32_digits_{record['scheme']}.tflite"
        assert len(record["graph"]["partitions"]) <= 2  # the network, and behind the softmax the cast of the output
    return {record["scheme"]: record for record in records}


def test_ghostnet_v3_from_images_to_milliseconds(tmp_path, monkeypatch, capsys):
    # One block, with all there is: branches, strides, attention, squeeze and excitation.
    monkeypatch.setattr(ghostnet, "ROWS", ghostnet.ROWS[3:4])
    monkeypatch.setattr(ghostnet_v2, "FIRST_WITH_ATTENTION", 0)
    run = tmp_path / "run"
    settings = ["--width", "0.1", "--size", "32", "--epochs", "1", "--warmup-epochs", "0.5", "--batch-size", "256"]
    assert train.main(["--data", "digits", "--model", "ghostnetv3", *settings, "--output", str(run)]) == OK
    capsys.readouterr()
    assert converted(run)["fp32"]["agreement"]["cosine"] > 0.99999  # with the training form
    assert "layers of parallel branches became one convolution each" in capsys.readouterr().err
    files = [str(file) for file in sorted((run / "exports").glob("*.tflite"))]
    assert evaluate.main(["--model", str(run), *files]) == OK
    measured = {entry["scheme"]: entry["top1"] for entry in json.loads((run / "evaluation.json").read_text())}
    assert set(measured) == {"keras", "fp32", "int8"}
    assert measured["fp32"] == measured["keras"]
    assert benchmark.main([*files, "--num-runs", "2", "--warmup-runs", "1"]) == OK
    printed = capsys.readouterr().out
    assert all(Path(file).name in printed for file in files)
