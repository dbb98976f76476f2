"""The convert command: a run folder to verified files, and what a new user gets wrong."""

import dataclasses
import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

from ghostnet_tf import __version__, commands
from ghostnet_tf.litert.metadata import read_metadata
from ghostnet_tf.models import ghostnet
from ghostnet_tf.runtime import TFLiteModel
from ghostnet_tf.tflite import convert, pipeline, schemes, sources
from ghostnet_tf.training.data import load_data
from ghostnet_tf.weights import WeightsUnavailable

ROOT = Path(convert.__file__).resolve().parents[1]


def test_a_run_becomes_verified_files(run_folder, capfd, tmp_path):
    report = tmp_path / "report.json"
    flags = [f"--{name}" for name in schemes.SCHEMES]
    assert convert.main(["--model", str(run_folder), *flags, "--json", str(report)]) == commands.OK
    said, log = capfd.readouterr()
    assert log == ""  # nothing to warn of, and nothing of TensorFlow's

    folder = run_folder / "exports"
    stem = "ghostnet_025_32_digits"
    names = {f"{stem}_{scheme}{suffix}" for scheme in schemes.SCHEMES for suffix in (".tflite", ".json")}
    assert {path.name for path in folder.iterdir()} == names
    records = {record["scheme"]: record for record in json.loads(report.read_text())["files"]}
    data = load_data("digits", size=32)
    for scheme in schemes.SCHEMES:
        path = folder / f"{stem}_{scheme}.tflite"
        record = json.loads(path.with_suffix(".json").read_text())
        assert record == records[scheme]
        assert record["bytes"] == path.stat().st_size
        assert record["source"]["trained_on"] == "digits"
        assert record["labels"] == [str(digit) for digit in range(10)]
        assert record["agreement"]["images"] == 100
        assert record["agreement"]["measure"] == "top-1 agreement"
        assert record["agreement"]["value"] >= record["agreement"]["expected"]
        assert (record["calibration"] or {}).get("images") == (200 if scheme == "int8" else None)
        assert f"{scheme}: saved as {path} ({path.stat().st_size / 1e6:.1f} MB) in " in said
        right = TFLiteModel(path).predict(data.test.images()).argmax(-1) == data.test.labels
        assert right.mean() > 0.85
    assert records["int8"]["graph"]["float_ops"] == 0

    assert said.splitlines()[0] == f"{run_folder / 'model.keras'}, trained on digits"
    assert f"{stem}_int8.tflite input: image uint8 (1, 32, 32, 3), scale 1, zero point 0" in said
    assert f"{stem}_int8.tflite output: output_0 float32 (1, 10), not quantized" in said


def test_the_last_four_lines_run_the_file(run_folder, capsys):
    assert convert.main(["--model", str(run_folder), "--int8"]) == commands.OK
    lines = capsys.readouterr().out.splitlines()[-4:]
    printed = []
    exec("\n".join(lines), {"print": printed.append})
    file = run_folder / "exports" / "ghostnet_025_32_digits_int8.tflite"
    np.testing.assert_array_equal(printed, [TFLiteModel(file).predict(np.zeros((1, 32, 32, 3)))])


def test_files_describe_the_model_and_not_the_machine(run_folder, tmp_path):
    """Two conversions of one model are equal in every byte, wherever it lies and wherever they go."""
    moved = run_folder.rename(tmp_path / "elsewhere")
    contents = []
    for name in ("one", "two"):
        assert convert.main(["--model", str(moved), "--int8", "--output", str(tmp_path / name)]) == commands.OK
        (file,) = (tmp_path / name).glob("*.tflite")
        contents.append(file.read_bytes())
        moved = moved.rename(tmp_path / "again")
    assert contents[0] == contents[1]
    assert str(tmp_path).encode() not in contents[0]
    metadata = read_metadata(contents[0])
    assert metadata.name == "ghostnet_025_32_digits"
    assert metadata.labels == tuple(map(str, range(10)))
    assert metadata.license is None
    assert (metadata.mean, metadata.std) == (0, 1)
    *_, input_line, output_line, calibrated, licence, made = metadata.card.splitlines()
    assert input_line.startswith("- Input `image`: uint8 (1, 32, 32, 3), scale 1, zero point 0. Red, green and blue")
    assert output_line.startswith("- Output `output_0`: float32 (1, 10); probabilities of the classes in labels.txt")
    assert calibrated.startswith("- Calibrated with 200 images: digits, training images")
    assert licence == "- Licence: not stated."
    assert made.startswith(f"- Made by ghostnet-tf {__version__} and compared with its Keras model")


def test_an_existing_file_is_kept_before_any_work(run_folder, capsys, monkeypatch):
    monkeypatch.setattr(sources, "_load", lambda *_: pytest.fail("loaded the model first"))
    taken = run_folder / "exports" / "ghostnet_025_32_digits_int8.tflite"
    taken.parent.mkdir()
    taken.write_bytes(b"precious")
    assert convert.main(["--model", str(run_folder), "--fp32", "--int8"]) == commands.BAD_INPUT
    assert f"error: {taken} exists already" in capsys.readouterr().err
    assert taken.read_bytes() == b"precious"
    assert list(taken.parent.iterdir()) == [taken]


def test_overwrite_replaces(run_folder):
    file = run_folder / "exports" / "mine.tflite"
    file.parent.mkdir()
    file.write_bytes(b"old")
    assert convert.main(["--model", str(run_folder), "--fp32", "--output", str(file), "--overwrite"]) == commands.OK
    assert len(file.read_bytes()) > 10_000


def test_min_agreement_fails_and_leaves_nothing(run_folder, capsys, monkeypatch):
    true_agreement = pipeline.agreement

    def half(*arguments):
        return dataclasses.replace(true_agreement(*arguments), top1=0.5)

    monkeypatch.setattr(pipeline, "agreement", half)
    arguments = ["--model", str(run_folder), "--int8"]
    assert convert.main([*arguments, "--min-agreement", "0.6"]) == commands.FAILED
    expected = "top-1 agreement of int8 with the Keras model is 0.5000, below --min-agreement 0.6"
    assert expected in capsys.readouterr().err
    assert not (run_folder / "exports").exists()
    assert convert.main(arguments) == commands.OK
    (warning,) = capsys.readouterr().err.splitlines()
    assert warning.startswith("WARNING: top-1 agreement of int8 with the Keras model is 0.5000, cosine of logits ")
    assert "int8 promises 0.9 and 0.95" in warning


def test_hybrid_without_weights_to_round_says_so(run_folder, capsys, monkeypatch):
    monkeypatch.setattr(pipeline, "has_hybrid_products", lambda _: False)
    assert convert.main(["--model", str(run_folder), "--hybrid"]) == commands.OK
    (warning,) = capsys.readouterr().err.splitlines()
    assert warning.endswith("has no 1024 weights behind pooling: --fp32 gives the same file")


def test_a_full_disk_leaves_nothing(run_folder, capsys, monkeypatch):
    write = Path.write_bytes

    def full(path, content):
        write(path, content[: len(content) // 2])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    monkeypatch.setattr(Path, "write_bytes", full)
    assert convert.main(["--model", str(run_folder), "--fp32"]) == commands.FAILED
    assert "No space left on device. Nothing half-written was left." in capsys.readouterr().err
    assert list((run_folder / "exports").iterdir()) == []


@pytest.fixture
def tiny_disk(tmp_path):
    """A file system of 64 kB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)]
    try:
        mounted = subprocess.run(mount, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        mounted = False
    if not mounted:
        pytest.skip("mounting a small file system is not permitted here")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_really_full_disk_leaves_nothing(run_folder, tiny_disk, capsys):
    assert convert.main(["--model", str(run_folder), "--fp32", "--output", str(tiny_disk)]) == commands.FAILED
    assert "No space left on device" in capsys.readouterr().err
    assert list(tiny_disk.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "expected at least one of --fp32, --fp16, --hybrid, --dynamic, --int8"),
        (["--int8", "--model", "gone"], "Received: gone, not found"),
        (["--int8", "--model", "a.tflite"], "a.tflite is converted already; give the run folder or the .keras file"),
        (["--int8", "--model", "notes.txt"], "expected --model as a run folder, a .keras or a .weights.h5 file"),
        (["--int8", "--model", "empty"], "expected a run folder, with config.toml inside. Received: empty"),
        (["--int8", "--model", "bad.keras"], "expected a .keras file as Keras saves it. Received: bad.keras"),
        (["--int8", "--model", "digits_run", "--width", "0.5"], "--width belongs to networks built here"),
        (["--int8", "--model", "digits_run", "--size", "64"], "expected --size 32, the model's own"),
        (["--int8", "--model", "digits_run", "--weights", "none"], "--weights belongs to networks built here"),
        (
            ["--int8", "--model", "mobilenetv2", "--ratio", "3"],
            "--ratio does not apply to mobilenetv2",
        ),
        (
            ["--int8", "--model", "ghost_vgg16", "--width", "0.5"],
            "of it: --ratio, --dw-size. Received: --width 0.5",
        ),
        (["--int8", "--model", "regnetx", "--weights", "imagenet"], "ghostnetv2, ghostnetv3. Received: regnetx"),
        (
            ["--int8", "--weights", "imagenet", "--ratio", "3"],
            "published network for ImageNet weights. Received: --ratio 3",
        ),
        (["--int8", "--weights", "none", "--model", "regnetx", "--variant", "9"], "Received: variant='9'"),
        (["--int8", "--weights", "gone.h5"], "Received: gone.h5, which is no file"),
        (["--int8", "--weights", "imagenet", "--width", "0.25"], "published ImageNet weights"),
        (["--fp32", "--input-type", "uint8"], "--input-type and --output-type belong to --int8"),
        (["--fp32", "--int8", "--model", "digits_run", "--output", "x.tflite"], "a folder for several schemes"),
        (["--fp32", "--model", "digits_run", "--output", "x_int8.tflite"], "does not claim another scheme than fp32"),
        (["--int8", "--model", "digits_run", "--output", "notes.txt"], "expected --output as a folder"),
        (["--int8", "--model", "digits_run", "--calibration", "empty"], "at least two photos. Received: empty, with 0"),
        (["--int8", "--model", "alone.keras"], "a data set with --calibration"),
    ],
)
def test_bad_input_is_one_clear_line(arguments, message, run_folder, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    for name in ("a.tflite", "notes.txt", "bad.keras"):
        (tmp_path / name).write_text("nothing of the kind")
    (tmp_path / "alone.keras").write_bytes((run_folder / "model.keras").read_bytes())
    before = sorted(tmp_path.rglob("*"))
    assert convert.main(arguments) == commands.BAD_INPUT
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 1
    assert said[0].startswith("error: ")
    assert message in said[0]
    assert sorted(tmp_path.rglob("*")) == before


def test_a_model_that_cannot_become_int8_is_one_clear_line(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    image = keras.Input((32, 32, 3), name="image")
    keras.Model(image, keras.ops.det(keras.layers.Conv2D(3, 30)(image)), name="odd").save("odd.keras")
    model = keras.Model(image, keras.layers.Conv2D(3, 30, name="eyes", kernel_initializer="zeros")(image))
    model.set_weights([np.full_like(weight, np.nan) for weight in model.get_weights()])
    model.save("broken.keras")
    for file, message in (
        ("odd.keras", "LiteRT has no operation for MatrixDeterminant in odd_1. Write the layer with other operations"),
        ("broken.keras", "the model cannot be calibrated: Expected finite activations. Received: nan to nan in "),
    ):
        assert convert.main(["--model", file, "--int8", "--calibration", "digits"]) == commands.FAILED
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith("error: ")
        assert message in line
    assert not (tmp_path / "exports").exists()


def test_a_misspelt_scheme_names_the_nearest(capsys):
    with pytest.raises(SystemExit) as stopped:
        convert.main(["--int4"])
    assert stopped.value.code == commands.BAD_INPUT
    assert "unknown argument '--int4'; did you mean --int8?" in capsys.readouterr().err


def find(*arguments: str) -> sources.Source:
    return sources.find(convert.parser().parse_args(["--int8", *arguments]))


def test_without_the_hub_the_default_is_untrained_and_says_so(monkeypatch):
    def unavailable(tag):
        assert tag == "ghostnet_100.in1k"
        raise WeightsUnavailable("the hub does not answer. Connect to the network.")

    monkeypatch.setattr(sources, "published", unavailable)
    source = find()
    assert (source.network, source.size, source.trained_on) == ("ghostnet_100", (224, 224), "untrained")
    assert source.headline.startswith("ghostnet_100 with UNTRAINED weights (the hub does not answer)")
    with pytest.raises(commands.MissingResource, match="the hub does not answer"):
        find("--weights", "imagenet")


def test_with_the_hub_the_default_is_imagenet(monkeypatch, tmp_path):
    monkeypatch.setattr(sources, "published", lambda tag: tmp_path / "model.safetensors")
    source = find("--size", "192")
    assert (source.network, source.size, source.trained_on) == ("ghostnet_100", (192, 192), "imagenet")
    assert (len(source.labels), source.labels[0], source.license) == (1000, "tench", "Apache-2.0")
    assert find("--width", "0.5").trained_on == "untrained"  # nothing is published for it
    assert find("--weights", "none").trained_on == "untrained"


def test_a_weights_file_of_other_classes_is_no_trained_model(tmp_path, monkeypatch):
    monkeypatch.setattr(ghostnet, "ROWS", ghostnet.ROWS[:2])
    model, weights = ghostnet.GhostNet(0.25, input_shape=(32, 32, 3), classes=5), tmp_path / "flowers.weights.h5"
    model.save_weights(weights)
    shape = ["--width", "0.25", "--size", "32"]
    source = find("--model", str(weights), *shape, "--classes", "5")
    assert (source.network, source.trained_on) == ("ghostnet_025", "flowers")
    image = np.full((1, 32, 32, 3), 100, np.float32)
    np.testing.assert_allclose(source.load()(image), model(image), atol=1e-6)
    with pytest.raises(commands.BadInput, match="5 classes, the model 1000; give their number with --classes"):
        find("--weights", str(weights), *shape).load()


def test_a_model_of_open_size_takes_one(tmp_path):
    keras.utils.set_random_seed(0)
    layers = [keras.layers.Conv2D(4, 3), keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(3)]
    model = keras.Sequential([keras.Input((None, None, 3), name="image"), *layers])
    file = tmp_path / "open.keras"
    model.save(file)
    with pytest.raises(commands.BadInput, match="images of any size; say which with --size"):
        find("--model", str(file))
    fixed = find("--model", str(file), "--size", "40").load()
    assert fixed.inputs[0].shape == (None, 40, 40, 3)
    image = np.random.default_rng(0).random((1, 40, 40, 3), np.float32)
    np.testing.assert_allclose(fixed(image), model(image), atol=1e-6)


def in_a_process(*arguments: str, **options) -> subprocess.CompletedProcess:
    environment = os.environ | {"HF_HUB_OFFLINE": "1"}
    return subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, env=environment, check=False, **options
    )


def test_the_command_itself(tmp_path):
    script = str(ROOT / "tflite" / "convert.py")
    small = ["--weights", "none", "--width", "0.25", "--size", "32", "--classes", "5"]
    few = ["--calibration-images", "20", "--verification-images", "10"]
    done = in_a_process(script, *small, *few, "--int8", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    # The warning is all there is on stderr: none of TensorFlow's words.
    (line,) = done.stderr.splitlines()
    assert line.startswith("warning: only 20 calibration images (synthetic images, seed 0)")
    assert done.stdout.startswith("ghostnet_025 with UNTRAINED weights (as asked): good for latency")
    file = tmp_path / "exports" / "ghostnet_025_32_untrained_int8.tflite"
    record = json.loads(file.with_suffix(".json").read_text())
    assert record["agreement"]["measure"] == "cosine of logits"
    assert record["calibration"] == {"images": 20, "set": "synthetic images, seed 0", "method": "mse"}
    assert TFLiteModel(file).predict(np.zeros((1, 32, 32, 3))).shape == (1, 5)


def test_help_does_not_wait_for_tensorflow(tmp_path):
    done = in_a_process("-X", "importtime", str(ROOT / "tflite" / "convert.py"), "--help", cwd=tmp_path)
    assert done.returncode == 0
    assert all(f"--{name} " in done.stdout for name in schemes.SCHEMES)
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert not imported & {"tensorflow", "keras", "numpy", "ai_edge_litert"}
