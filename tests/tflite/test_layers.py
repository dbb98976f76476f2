"""The page about a file's layers: its sums are those of the other commands, and what is missing is said."""

import html
import json
import os
import re
import shutil
import subprocess

import keras
import pytest

from ghostnet_tf import commands
from ghostnet_tf.analysis import complexity
from ghostnet_tf.tflite import layer_costs, layer_page, layers, op_profile, pages
from ghostnet_tf.tflite.flatbuffer import op_name, pack, unpack
from ghostnet_tf.tflite.layer_report import layer_errors
from ghostnet_tf.tflite.schemes import GRAPH

SHARED = "blocks_3/blocks_3_se"  # the file has one name for both convolutions of a squeeze-and-excitation


@pytest.fixture(scope="module")
def profiles(small_files, tmp_path_factory) -> dict[str, dict]:
    """Of the int8 and the fp16 file, whose weights stand behind casts."""
    folder, found = tmp_path_factory.mktemp("layers"), {}
    for scheme in ("int8", "fp16"):
        (folder / f"{scheme}.tflite").write_bytes(small_files[scheme])
        found[scheme] = op_profile.profile(folder / f"{scheme}.tflite", num_runs=2, warmup_runs=1)
    return found


@pytest.fixture(scope="module")
def costs(small_model, small_files, small_to_quantize, small_images, profiles) -> layer_costs.Costs:
    before, after = unpack(small_to_quantize), unpack(small_files["int8"])
    errors, size = layer_errors(before, after, small_images.held_out[:2]), len(small_files["int8"])
    return layer_costs.layer_costs(after, size, profiles["int8"], complexity(small_model), errors)


def test_the_sums_are_those_of_the_other_commands(costs, small_model, small_files, profiles):
    counted, total = complexity(small_model), costs.total
    assert (total.macs, total.params) == (counted.macs, counted.params)
    assert total.bytes == len(small_files["int8"])
    assert total.ms == pytest.approx(sum(row["ms"] for row in profiles["int8"]["operators"]))
    assert total.share == pytest.approx(1)
    for name in ("macs", "params", "bytes", "operations"):
        assert sum(getattr(block, name) for block in costs.blocks) == getattr(total, name)
    assert [block.path for block in costs.blocks][:3] == ["border", "stem", "blocks_0"]
    assert costs.layers[-1].path == costs.blocks[-1].path == layer_costs.REST


def test_each_layer_has_its_own(costs, small_model, small_files):
    rows = {row.path: row for row in costs.layers}
    counted = {row.name: row for row in complexity(small_model).rows}
    parts = [counted[f"blocks_3_se_{role}"] for role in ("reduce", "expand")]
    assert rows[SHARED].macs == sum(part.macs for part in parts) > 0
    primary = rows["blocks_0/blocks_0_ghost1/blocks_0_ghost1_primary"]
    convolution, norm = (counted[f"blocks_0_ghost1_primary_{role}"] for role in ("conv", "bn"))
    assert (primary.macs, primary.params) == (convolution.macs, convolution.params + norm.params)
    # In the file: a byte a weight and four a bias; the normalization is inside them.
    assert primary.bytes == convolution.params + 4 * convolution.output_shape[-1]
    assert costs.unnamed == []
    rest = costs.layers[-1]
    assert rest.macs == rest.params == 0
    assert 0 < rest.bytes < len(small_files["int8"]) / 2
    assert "SOFTMAX" in costs.untold and "QUANTIZE" in costs.untold
    assert primary.sqnr_db > 10 and rows["blocks_0/blocks_0_add"].macs == 0
    assert all(row.sqnr_db is not None for row in costs.layers if row.operations and row.path != layer_costs.REST)


def test_weights_behind_casts_belong_to_the_operation_that_reads_them(small_files, profiles):
    model = unpack(small_files["fp16"])
    found = layer_costs.layer_costs(model, len(small_files["fp16"]), profiles["fp16"])
    names = [op_name(model, operator) for operator in model.subgraphs[0].operators]
    assert found.total.operations == len(names) - names.count("DEQUANTIZE") > 100
    assert found.total.bytes == len(small_files["fp16"])
    assert found.layers[-1].bytes < len(small_files["fp16"]) / 2
    assert found.total.macs is found.total.params is found.total.sqnr_db is None


def test_a_normalization_of_another_name_goes_with_the_layer_before_it():
    image = keras.Input((8, 8, 3))
    x = keras.layers.Conv2D(4, 3, use_bias=False, name="first")(image)
    x = keras.layers.BatchNormalization(name="bn_of_it")(x)
    x = keras.layers.Conv2D(4, 1, name="last")(keras.layers.ReLU()(x))
    counted = complexity(keras.Model(image, x))
    owners = layer_costs._owners(counted, ["stage/first"])
    assert owners["first"] == owners["bn_of_it"] == "stage/first"
    assert owners["last"] is None, "multiply-adds never go with another layer"


def test_the_command_finds_the_run_and_says_what_is_left_out(run_folder, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    from ghostnet_tf.tflite import convert

    assert convert.main(["--model", str(run_folder), "--int8"]) == commands.OK
    (file,) = (run_folder / "exports").glob("*_int8.tflite")
    capsys.readouterr()
    asked = [str(file), "--num-runs", "2"]
    assert layers.main([*asked, "--json", "rows.json"]) == commands.OK
    printed, page = capsys.readouterr().out, (tmp_path / "layers.html").read_text()
    assert "Most time: " in printed and printed.endswith("layers.html\n")
    rows = json.loads((tmp_path / "rows.json").read_text())["layers"]
    assert sum(row["bytes"] for row in rows) == file.stat().st_size
    assert sum(row["macs"] for row in rows) == 32 * 32 * 3 * 10  # one dense layer on every value of the image
    assert "32 images: digits" in page and "Left out" not in page
    assert page.count("<tbody>") == 2 and page.count("<th data-first") == 4
    assert f"{file.stat().st_size:,} bytes" in page
    sources = re.findall(r'(?:src|href)="([^"]+)"', page)
    assert [source for source in sources if not source.startswith(layer_page.MODEL_EXPLORER)] == []

    assert layers.main(asked) == commands.BAD_INPUT
    assert "layers.html exists" in capsys.readouterr().err
    assert layers.main([*asked, "--model", "none", "--overwrite"]) == commands.OK
    page = (tmp_path / "layers.html").read_text()
    assert "Left out: multiply-adds, parameters, and what int8 does." in page and "multiply-adds, M" not in page


def test_a_file_of_another_model_is_refused(small_files, small_converted, small_floats, small_model, monkeypatch):
    contents = {"fp32": small_converted, "dynamic": small_files["dynamic"]}  # the second, rearranged, stays as it is
    monkeypatch.setattr(layer_page, "converted", lambda model, row: contents[row.name])
    expected = {scheme: small_floats(GRAPH, scheme) for scheme in ("fp32", "int8")}
    expected |= {"fp16": small_floats("plain", "fp32"), "hybrid": expected["fp32"]}
    expected["dynamic"] = small_files["dynamic"]  # of a form of its own: what has int8 weights is not rearranged
    for scheme, content in expected.items():
        found = layer_page.float_file(small_model, unpack(small_files[scheme]), "small")
        assert pack(found) == pack(unpack(content))
    other, wider = unpack(small_files["int8"]), unpack(small_files["int8"])
    other.subgraphs[0].operators.pop(20)
    output = wider.subgraphs[0].tensors[wider.subgraphs[0].operators[20].outputs[0]]
    output.shape = output.shape + 1
    for model in (other, wider):
        with pytest.raises(commands.BadInput, match="expected the model that the file was made from"):
            layer_page.float_file(small_model, model, "small")


def test_mistakes_are_one_line(tmp_path, capsys):
    (tmp_path / "x.tflite").write_bytes(b"\x1c\0\0\0TFL3" + bytes(60))
    for words, message in (
        (["absent.tflite"], "no such file"),
        ([str(tmp_path / "x.tflite"), "--images", "photos/"], "expected --model with --images"),
        ([str(tmp_path / "x.tflite"), "--output", str(tmp_path)], "expected a file for --output"),
    ):
        assert layers.main(words) == commands.BAD_INPUT
        assert message in capsys.readouterr().err


CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
CLICKS = """<script>
const table = document.querySelector("table"), found = [];
for (const column of [1, 1, 3, 0]) {
  table.querySelectorAll("th button")[column].click();
  found.push([...table.tBodies[0].rows].map((row) => row.cells[column].dataset.value));
}
document.title = JSON.stringify(found);
</script></body>"""


@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium: apt install chromium")
def test_a_click_on_a_heading_sorts(costs, profiles, small_files, tmp_path):
    content = layer_page.content(tmp_path / "x.tflite", unpack(small_files["int8"]), profiles["int8"], costs, None)
    page = pages.render("layers.html", content | {"command": "x"})
    assert [name for name, *_ in content["columns"]][:3] == ["ms", "share", "sqnr_db"]
    (tmp_path / "page.html").write_text(page.replace("</body>", CLICKS), encoding="utf-8")
    words = [CHROMIUM, "--headless=new", "--disable-gpu", "--dump-dom", f"--user-data-dir={tmp_path / 'profile'}"]
    words += ["--no-sandbox"] * (os.geteuid() == 0)
    done = subprocess.run([*words, (tmp_path / "page.html").as_uri()], capture_output=True, text=True, check=True)
    title = html.unescape(re.search(r"<title>(.*?)</title>", done.stdout)[1])
    slowest, fastest, noisiest, order = json.loads(title)
    times = [row.ms for row in costs.blocks]
    assert [float(value) for value in slowest] == sorted(times, reverse=True)
    assert [float(value) for value in fastest] == sorted(times)
    known = [row.sqnr_db for row in costs.blocks if row.sqnr_db is not None]
    assert [float(value) for value in noisiest if value] == sorted(known), "what is not known comes last"
    assert [int(value) for value in order] == list(range(1, len(times) + 1))


def test_how_to_open_it_in_model_explorer(tmp_path, monkeypatch):
    found = layer_page.explorer(tmp_path / "a file.tflite")
    assert found["command"] == f"model-explorer '{tmp_path}/a file.tflite'"
    assert found["link"].startswith("http://localhost:8080/?data=%7B%22models%22")
    for spec in (None, object()):
        monkeypatch.setattr(layer_page.importlib.util, "find_spec", lambda name, spec=spec: spec)
        assert layer_page.explorer(tmp_path)["installed"] is (spec is not None)
