"""Making the other routes' files: environments and files made once, failures told, nothing wrong kept. No network:
a script stands for Python, venv and pip.
"""

import ast
import csv
import json
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

from ghostnet_tf import commands
from ghostnet_tf.analysis.complexity import complexity
from ghostnet_tf.runtime import TFLiteModel
from ghostnet_tf.tflite.schemes import convert

# `-m venv` copies it to where the environment's Python is; `-m pip` writes down that it ran and, on demand, fails.
STAND_IN = """\
#!/bin/sh
case "$2" in
  venv) mkdir -p "$3/bin" && cp "$0" "$3/bin/python" ;;
  pip) echo "$@" >> "{folder}/installed"
    if [ -e "{folder}/no-network" ]; then echo "ERROR: no matching distribution"; echo; exit 1; fi ;;
  *) exec "{python}" "$@" ;;
esac
"""
MAKES = """\
import pathlib, sys
network, folder = sys.argv[1:]
for scheme in ("fp32", "int8"):
    content = pathlib.Path({source!r}).read_bytes()
    pathlib.Path(folder, f"some_{{network}}_100_{{scheme}}.tflite").write_bytes(content)
print("to the log")
"""


@pytest.fixture(scope="module")
def make_peers(script):
    return script("make_peers")


@pytest.fixture(scope="module")
def network() -> keras.Model:
    keras.utils.set_random_seed(0)
    image = keras.Input((16, 16, 3))
    x = keras.layers.BatchNormalization()(keras.layers.Conv2D(4, 3, use_bias=False)(image))
    x = keras.layers.BatchNormalization()(keras.layers.DepthwiseConv2D(3, use_bias=False)(keras.layers.ReLU()(x)))
    return keras.Model(image, keras.layers.Dense(10, bias_initializer="ones")(keras.layers.GlobalAveragePooling2D()(x)))


@pytest.fixture(scope="module")
def tflite(network, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("network") / "network.tflite"
    path.write_bytes(convert(network, "fp32"))
    return path


@pytest.fixture
def checkout(make_peers, network, tflite, monkeypatch, tmp_path):
    """Two routes to a tiny network, `broken` and `some`, and the words of the command that makes them."""
    routes, counted = make_peers.peer_routes, complexity(network)
    folder = tmp_path / "routes"
    folder.mkdir()
    (folder / "some_route.py").write_text(MAKES.format(source=str(tflite)))
    (folder / "broken_route.py").write_text("raise SystemExit('\\x1b[31mno converter\\x1b[0m')")
    for name in ("some", "broken"):
        (folder / f"{name}.txt").write_text("setuptools==1\n")
    monkeypatch.setattr(routes, "FOLDER", folder)
    table = {
        name: routes.Route(name, ("pytest",), ("ghostnet",), f"{name}_{{network}}_100_{{scheme}}.tflite", ())
        for name in ("broken", "some")
    }
    monkeypatch.setattr(routes, "ROUTES", table)
    merged = (counted.params + counted.params_without_bn) // 2
    monkeypatch.setattr(
        make_peers.peer_files, "expected", lambda network: {"multiply_adds": counted.macs, "parameters": merged}
    )
    program = tmp_path / "python"
    program.write_text(STAND_IN.format(folder=tmp_path, python=sys.executable))
    program.chmod(0o755)
    words = ["--python", str(program), "--output", str(tmp_path / "files"), "--environments", str(tmp_path / "envs")]
    return tmp_path, words


def test_the_routes_are_complete_and_the_race_knows_their_files(make_peers, script, tmp_path):
    routes, peers, every = make_peers.peer_routes, script("peers"), {}
    for name, route in routes.ROUTES.items():
        pins = [line for line in routes.pins(name).read_text().splitlines() if line and not line.startswith("#")]
        assert all("==" in pin for pin in pins)
        assert {pin.split("==")[0] for pin in pins} >= set(route.packages)
        assert local_imports(routes.script(name), routes.FOLDER) == set(route.helpers)
        for network in route.networks:
            assert make_peers.peer_files.expected(network)["multiply_adds"] > 0
            every |= {file: (name, network, scheme) for scheme, file in routes.files(name, network).items()}
    for file in every:
        (tmp_path / file).touch()
    found = {one.path.name: (one.name.split()[0], one.network, one.scheme) for one in peers.peers(tmp_path)}
    assert found == every


def local_imports(path: Path, folder: Path) -> set[str]:
    """Modules of the folder that a script imports, and those that they import."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        names = [node.module] if isinstance(node, ast.ImportFrom) else []
        names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        for name in names:
            if (folder / f"{name}.py").is_file():
                found |= {f"{name}.py"} | local_imports(folder / f"{name}.py", folder)
    return found


def test_what_a_file_must_have(make_peers, network, tflite):
    files, counted = make_peers.peer_files, complexity(network)
    assert files.parameters(tflite.read_bytes()) == (counted.params + counted.params_without_bn) // 2
    # GhostNet 1.0: 5,182,508 parameters, of which 5,160,540 are not of batch normalization, and 141,150,512 products.
    assert files.expected("ghostnet") == {"multiply_adds": 141_150_512, "parameters": 5_171_524}


def test_files_and_environments_are_made_once(make_peers, checkout, tflite, capsys):
    folder, words = checkout
    words += ["some"]
    assert make_peers.main([*words, "--csv", str(folder / "routes.csv")]) == commands.OK
    made = folder / "files/some_ghostnet_100_int8.tflite"
    assert made.read_bytes() == tflite.read_bytes()
    assert "to the log" in (folder / "envs/some.log").read_text()
    manifest = json.loads((folder / "files/manifest.json").read_text())
    known = manifest["files"][made.name]
    assert (known["route"], known["scheme"], known["bytes"]) == ("some", "int8", len(tflite.read_bytes()))
    assert manifest["routes"]["some"]["packages"]["pytest"] == pytest.__version__
    with (folder / "routes.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["file"] for row in rows] == ["some_ghostnet_100_fp32.tflite", made.name]
    assert rows[0]["packages"] == f"pytest {pytest.__version__}" and rows[0]["sha256"] == known["sha256"]
    assert "| some | ghostnet | int8 |" in capsys.readouterr().out

    stamp = made.stat().st_mtime_ns
    assert make_peers.main(words) == commands.OK
    assert "--overwrite makes them anew" in capsys.readouterr().err and made.stat().st_mtime_ns == stamp
    made.write_bytes(b"changed")
    assert make_peers.main(["--list", *words]) == commands.OK
    assert "not made" in capsys.readouterr().out
    assert make_peers.main(words) == commands.OK and made.read_bytes() == tflite.read_bytes()
    assert make_peers.main([*words, "--overwrite"]) == commands.OK
    assert len((folder / "installed").read_text().splitlines()) == 1  # in all four, one environment

    (folder / "routes/some.txt").write_text("setuptools==2\n")
    assert make_peers.main(words) == commands.OK
    assert len((folder / "installed").read_text().splitlines()) == 2


def test_one_failure_does_not_keep_the_others(make_peers, checkout, capsys):
    folder, words = checkout
    assert make_peers.main(words) == commands.FAILED
    assert "failed: broken ghostnet: no converter (" in capsys.readouterr().err
    names = {path.name for path in (folder / "files").iterdir()}
    assert names == {"manifest.json", "some_ghostnet_100_fp32.tflite", "some_ghostnet_100_int8.tflite"}
    assert make_peers.main(["--list", *words]) == commands.OK
    listed = capsys.readouterr().out.split("some: ")
    assert "not made" in listed[0] and "not made" not in listed[1]


def test_packages_that_cannot_be_had(make_peers, checkout, capsys):
    folder, words = checkout
    (folder / "no-network").touch()
    assert make_peers.main([*words, "some"]) == commands.MISSING
    said = capsys.readouterr().err
    assert "failed: some: its environment cannot be made: ERROR: no matching distribution" in said
    (folder / "no-network").unlink()
    assert make_peers.main([*words, "some"]) == commands.OK


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("", "multiply_adds. Received:"),
        ("content = content[:100]", "does not run in LiteRT"),
        ("folder = '.'; network = 'other'", "it made no some_ghostnet_100_fp32.tflite"),
    ],
)
def test_a_file_that_is_not_the_network_is_not_kept(make_peers, checkout, change, said, monkeypatch, capsys):
    folder, words = checkout
    route = folder / "routes/some_route.py"
    text = route.read_text()
    if change:
        before = "    pathlib.Path(folder," if change.startswith("content") else "for scheme in"
        indent = "    " if change.startswith("content") else ""
        route.write_text(text.replace(before, f"{indent}{change}\n{before}"))
    else:
        monkeypatch.setattr(make_peers.peer_files, "expected", lambda network: {"multiply_adds": 1})
    assert make_peers.main([*words, "some"]) == commands.FAILED
    assert said in capsys.readouterr().err
    assert list((folder / "files").iterdir()) == []


def test_bad_input(make_peers, checkout, capsys):
    folder, words = checkout
    assert make_peers.main([*words, "same"]) == commands.BAD_INPUT
    assert "Did you mean 'some'?" in capsys.readouterr().err
    assert make_peers.main([*words, "--python", str(folder / "nothing")]) == commands.BAD_INPUT
    (folder / "files").mkdir()
    (folder / "files/manifest.json").write_text("[]")
    assert make_peers.main([*words, "--list"]) == commands.BAD_INPUT
    assert "delete it" in capsys.readouterr().err


def test_the_resizing_of_litert_torch_becomes_that_of_pytorch(make_peers, monkeypatch):
    monkeypatch.syspath_prepend(str(make_peers.peer_routes.FOLDER))
    from resizing import corrected

    image = keras.Input((3, 1, 1))
    model = keras.Model(image, keras.layers.Resizing(7, 1, "nearest")(image))
    content = convert(model, "fp32")
    rows = np.arange(3, dtype=np.float32).reshape(1, 3, 1, 1)
    assert TFLiteModel(content).predict(rows).ravel().tolist() == [0, 0, 1, 1, 1, 2, 2]  # half-pixel centres
    assert TFLiteModel(corrected(content)).predict(rows).ravel().tolist() == [0, 0, 0, 1, 1, 2, 2]  # PyTorch's
