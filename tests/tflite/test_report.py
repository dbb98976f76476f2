"""The page about a run, from a run folder made here: real data and files, an untrained network, known numbers."""

import csv
import hashlib
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import keras
import numpy as np
import pytest

from ghostnet_tf import commands
from ghostnet_tf.tflite import charts, predictions, report, report_content
from ghostnet_tf.tflite.run_folder import METRICS, ModelFile, read_run
from ghostnet_tf.training.config import RunConfig

HOSTILE = "<script>alert(1)</script>"
SCHEMES = {"fp32": 0.975, "fp16": 0.9722, "dynamic": 0.9694, "int8": 0.9667}  # scheme: top-1


@pytest.fixture(scope="session")
def tiny_tflite(tmp_path_factory) -> bytes:
    """A network of ten classes on 32-pixel images that answers by brightness."""
    import tensorflow as tf

    keras.utils.set_random_seed(0)
    folder = tmp_path_factory.mktemp("report")
    image = keras.Input((32, 32, 3))
    x = keras.layers.Dense(10, activation="softmax")(keras.layers.GlobalAveragePooling2D()(image))
    signature = [keras.InputSpec(shape=(1, 32, 32, 3), dtype="float32")]
    keras.Model(image, x).export(folder / "model", verbose=False, input_signature=signature)
    return tf.lite.TFLiteConverter.from_saved_model(str(folder / "model")).convert()


@pytest.fixture
def run(tmp_path, tiny_tflite) -> Path:
    """A complete run folder. The files of all schemes have the same content: the report reads their records."""
    folder = tmp_path / "demo"
    (folder / "exports").mkdir(parents=True)
    RunConfig(data="digits", width=0.5, size=32, epochs=3).save(folder / "config.toml")
    (folder / "labels.txt").write_text("\n".join([*"012", HOSTILE, *"456789"]) + "\n")
    rows = [(1, 2.0, 0.4, 2.1, "", 61.0), (2, 1.0, 0.8, 1.1, 0.79, 30.0), (3, 0.6, 0.97, 0.7, 0.9722, 30.4)]
    with (folder / "metrics.csv").open("w", newline="") as file:
        csv.writer(file).writerows([METRICS, *rows])
    environment = {"command": "python x", "processor": "Abacus 3000", "keras": "3.15.1"}
    (folder / "environment.json").write_text(json.dumps(environment))
    (folder / "model.keras").write_bytes(bytes(900_000))
    evaluation = [{"model": "model.keras", "scheme": "keras", "top1": 0.975, "top5": 1.0, "images": 360}]
    results = []
    for number, (scheme, top1) in enumerate(SCHEMES.items()):
        name = f"ghostnet_050_32_digits_{scheme}.tflite"
        (folder / "exports" / name).write_bytes(tiny_tflite)
        record = {
            "scheme": scheme,
            "agreement": {"top1": 0.99 - number / 100, "cosine": 0.9991, "max_difference": 0.0123},
            "graph": {
                "inputs": [{"dtype": "uint8" if scheme == "int8" else "float32"}],
                "outputs": [{"dtype": "float32"}],
                "partitions": [3, 1] if scheme == "dynamic" else [5],
                "outside": {"MINIMUM": 7} if scheme == "dynamic" else {},
            },
        }
        (folder / "exports" / f"{Path(name).stem}.json").write_text(json.dumps(record))
        evaluation.append({"model": name, "scheme": scheme, "top1": top1, "top5": 1.0, "images": 360})
        times = {"median_ms": 4.0 + number, "p5_ms": 3.9, "p95_ms": 12.0, "peak_memory_mb": 61.2, "ratio": 1.0}
        results.append({"file": name, "sha256": hashlib.sha256(tiny_tflite).hexdigest(), **times})
    (folder / "evaluation.json").write_text(json.dumps(evaluation))
    head = {"date": "2026-01-02T03:04:05+00:00", "clock": "wall", "num_threads": 1, "num_runs": 50}
    (folder / "benchmark.json").write_text(json.dumps({**head, "machine": {"cpu": "Abacus 3000"}, "results": results}))
    (folder / "confusion_model.png").write_bytes(b"\x89PNG the matrix")
    return folder


class Page(HTMLParser):
    """Collects what a test asks of a page: tags, addresses that a browser would fetch, words, table rows."""

    def __init__(self, text: str):
        super().__init__()
        self.tags, self.addresses, self.identifiers, self.rows, self.words = [], [], [], [], []
        self.in_cell = False
        self.feed(text)
        self.text = " ".join(" ".join(self.words).split())

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.addresses += [v for k, v in attributes if k in ("src", "href", "xlink:href", "srcset", "data", "action")]
        self.identifiers += [v for k, v in attributes if k == "id"]
        if tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.rows[-1].append("")
            self.in_cell = True

    def handle_endtag(self, tag):
        if tag in ("td", "th"):
            self.in_cell = False

    def handle_data(self, data):
        if self.tags[-1:] == ["style"]:
            return
        self.words.append(data)
        if self.in_cell:
            self.rows[-1][-1] = " ".join(f"{self.rows[-1][-1]} {data}".split())


def built(run: Path) -> tuple[str, Page]:
    text = report.build_report(run, run / "report.html").read_text(encoding="utf-8")
    return text, Page(text)


def test_page_has_a_row_for_every_scheme(run):
    _, page = built(run)
    main = [row for row in page.rows if row[0] in ("keras", *SCHEMES)]
    assert [row[0] for row in main] == ["keras", *SCHEMES]
    size = f"{(run / 'exports/ghostnet_050_32_digits_int8.tflite').stat().st_size / 1e6:.3f}"
    assert main[0][:4] == ["keras", "0.900", "97.5 %", "reference"]
    assert main[1] == ["fp32", size, "97.5 %", "99.0 %", "4.00 3.90 to 12.0"]
    assert main[4] == ["int8", size, "96.7 %", "96.0 %", "7.00 3.90 to 12.0"]
    files = {row[0].split()[0]: row for row in page.rows if ".tflite" in row[0]}
    assert files["int8"][1:3] == ["uint8, float32", "1"]
    assert files["fp32"][1] == "float32, float32"
    assert files["dynamic"][2] == "2 outside: 7 MINIMUM"
    assert files["int8"][3:] == ["cosine 0.99910 greatest difference 0.012", "61.2 MB"]


def test_page_tells_of_the_training_and_the_next_commands(run):
    _, page = built(run)
    for words in (
        "ghostnet_050 on digits",
        "3 epochs in 2 min 1 s",
        "Abacus 3000",
        "keras 3.15.1",
        "is right on 96.7 % of the test images against 97.5 % (−0.8 points)",
        "takes 1.75 times as long here",
        "on 360 images",
        f"python training/train.py --config {run}/config.toml --output {run}-again",
        f"python tflite/report.py --run {run}-again",
        "python tflite/convert.py --int8",
    ):
        assert words in page.text
    assert page.tags.count("svg") == 2
    assert "epochs = 3" in page.text
    assert "not measured" not in page.text.lower()


def test_page_stands_alone(run):
    text, page = built(run)
    assert page.addresses and all(address.startswith(("data:image/png;base64,", "#")) for address in page.addresses)
    assert not re.search(r"https?:|@import|url\((?!#)", text)
    assert not {"script", "link", "iframe", "object"} & set(page.tags)
    assert 'name="viewport"' in text and "prefers-color-scheme: dark" in text and "@media print" in text
    assert len(page.identifiers) == len(set(page.identifiers)), "two charts in one page share no identifier"


def test_page_escapes_what_the_run_folder_says(run):
    text, page = built(run)
    assert HOSTILE not in text
    assert HOSTILE in page.text, "shown as text"


def test_page_shows_test_images_with_the_guesses_of_both_files(run):
    text, page = built(run)
    assert page.tags.count("figcaption") == 12
    assert "12 of 200 test images" in page.text and "they differ on 0" in page.text  # the same file twice
    wrong = re.search(r"fp32 guesses (\d+) wrong, int8 guesses (\d+) wrong", page.text).groups()
    assert wrong[0] == wrong[1] and 150 < int(wrong[0]) < 200, "brightness tells little of a digit"
    assert text.count('<figure class="wrong">') >= 4 and "✗" in page.text and "✓" in page.text


def test_agreement_of_classes_without_meaning_is_the_cosine(run):
    sidecar = run / "exports/ghostnet_050_32_digits_int8.json"
    record = json.loads(sidecar.read_text())
    record["agreement"]["top1"] = None
    sidecar.write_text(json.dumps(record))
    _, page = built(run)
    assert next(row for row in page.rows if row[0] == "int8")[3] == "cosine 0.99910"


def test_what_is_missing_is_said_with_its_command(run):
    for name in ("benchmark.json", "evaluation.json", "confusion_model.png", "metrics.csv", "environment.json"):
        (run / name).unlink()
    _, page = built(run)
    main = [row for row in page.rows if row[0] in SCHEMES]
    assert [row[2] for row in main] == ["not measured"] * 4 and [row[4] for row in main] == ["not measured"] * 4
    fp32 = run / "exports/ghostnet_050_32_digits_fp32.tflite"
    assert f"milliseconds python tflite/benchmark.py {fp32}" in page.text
    assert f"accuracy python training/evaluate.py --model {run}" in page.text
    assert "there is no metrics.csv" in page.text


def test_a_run_without_files_says_how_to_convert(run):
    for path in (run / "exports").iterdir():
        path.unlink()
    _, page = built(run)
    assert f"the .tflite files python tflite/convert.py --model {run}" in page.text
    assert "there is no .tflite file yet" in page.text


def test_a_file_converted_anew_has_no_measured_time(run):
    path = run / "exports/ghostnet_050_32_digits_fp16.tflite"
    path.write_bytes(path.read_bytes() + bytes(4))
    timed = {file.scheme: file.timing for file in read_run(run).files}
    assert timed["fp16"] is None and timed["fp32"]["median_ms"] == 4.0


def test_test_images_that_cannot_be_read_are_said(run, capsys):
    RunConfig(data="gone/photos", size=32).save(run / "config.toml")
    _, page = built(run)
    assert "the test images could not be read" in page.text and "gone/photos" in page.text
    assert "warning: the page shows no test images" in capsys.readouterr().err


def test_command(run, tmp_path, capsys):
    output = tmp_path / "page.html"
    assert report.main(["--run", str(run), "--output", str(output)]) == commands.OK
    assert capsys.readouterr().out == f"{output}\n"
    assert output.read_text(encoding="utf-8").startswith("<!DOCTYPE html>")
    assert report.main(["--run", str(run)]) == commands.OK
    assert (run / "report.html").is_file()


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda run: (run / "config.toml").unlink(), "config.toml"),
        (lambda run: (run / "labels.txt").unlink(), "labels.txt"),
        (lambda run: (run / "evaluation.json").write_text("[{"), "evaluation.json is damaged"),
        (lambda run: (run / "benchmark.json").write_text("{}"), "benchmark.json lacks 'results'"),
        (lambda run: (run / "metrics.csv").write_text("epoch,loss\n1,2\n"), "metrics.csv lacks the column"),
        (lambda run: next((run / "exports").glob("*int8.json")).unlink(), "int8.tflite has no .*int8.json beside it"),
        (
            lambda run: next((run / "exports").glob("*int8.json")).write_text('{"scheme": "int8", "agreement": {}}'),
            "int8.json lacks 'agreement.top1'",
        ),
        (
            lambda run: next((run / "exports").glob("*int8.json")).write_text('{"scheme": "int9"}'),
            "unknown scheme in .*int8.json",
        ),
        (lambda run: (run / "report.html").mkdir(), "expected a file for --output"),
    ],
)
def test_bad_run_folders_are_one_line_and_exit_2(run, capsys, damage, message):
    damage(run)
    assert report.main(["--run", str(run)]) == commands.BAD_INPUT
    printed = capsys.readouterr()
    assert re.search(message, printed.err) and printed.err.count("\n") == 1 and not printed.out
    assert not (run / "report.html").is_file()


def test_predictions_mark_right_and_wrong(monkeypatch):
    answers = {"a": np.array([[0.9, 0.1], [0.2, 0.8]]), "b": np.array([[0.6, 0.4], [0.7, 0.3]])}

    class Fake:
        def __init__(self, path):
            self.predict = lambda images: answers[path.name]

    monkeypatch.setattr(predictions, "open_model", Fake)
    files = [ModelFile("fp32", Path("a"), 1), ModelFile("int8", Path("b"), 1)]
    found = predictions.predict(files, np.zeros((2, 8, 8, 3), np.uint8), np.array([0, 1]), ["cat", "dog"])
    first, second = found.examples
    assert not first.wrong and second.wrong and second.truth == "dog"
    assert [(g.scheme, g.label, g.probability, g.right) for g in second.guesses] == [
        ("fp32", "dog", 0.8, True),
        ("int8", "cat", 0.7, False),
    ]
    assert "fp32 guesses 0 wrong, int8 guesses 1 wrong; they differ on 1." in found.note


def test_choice_of_examples():
    wrong = np.zeros(100, bool)
    wrong[[5, 50, 51, 52, 53, 54]] = True
    chosen = predictions.choose(wrong, 12)
    assert chosen.tolist() == [0, 1, 2, 3, 4, 5, 6, 7, 8, 50, 51, 52], "a third wrong, in order"
    assert predictions.choose(np.ones(100, bool), 12).tolist() == list(range(12)), "all wrong"
    assert predictions.choose(np.zeros(100, bool), 12).tolist() == list(range(12)), "none wrong"
    assert predictions.choose(np.array([True, False]), 12).tolist() == [0, 1], "fewer than asked"


def test_picture_is_the_image():
    import base64
    import io

    from PIL import Image

    image = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    encoded = predictions.picture(image).removeprefix("data:image/png;base64,")
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(base64.b64decode(encoded)))), image)
    large = predictions.picture(np.zeros((224, 448, 3), np.uint8)).removeprefix("data:image/png;base64,")
    assert Image.open(io.BytesIO(base64.b64decode(large))).size == (160, 80)


def test_chart_is_inline_svg_in_the_colours_of_the_page():
    svg = charts.lines([1, 2, 3], {"training": [1, 2, 3], "held out": [np.nan, 1, 2]}, title="A <b>", x_label="epoch")
    assert svg.startswith('<svg role="img" aria-label="A &lt;b&gt;" viewBox=')
    assert "currentColor" in svg and charts.FOREGROUND not in svg
    assert "<b>" not in svg and "http" not in svg and "<style" not in svg
    assert svg == charts.lines(
        [1, 2, 3], {"training": [1, 2, 3], "held out": [np.nan, 1, 2]}, title="A <b>", x_label="epoch"
    )


def test_words_for_numbers():
    assert report_content.percent(1) == "100.0 %" and report_content.percent(0.9999) == "99.9 %"
    assert [report_content.duration(s) for s in (59, 61, 3700)] == ["59 s", "1 min 1 s", "1 h 1 min"]
    only_sizes = [ModelFile("fp32", Path("a"), 1000), ModelFile("int8", Path("b"), 250)]
    assert report_content.headline(only_sizes) == "Against fp32, the int8 file is 4.0 times smaller."
    assert report_content.headline(only_sizes[:1]) is None
