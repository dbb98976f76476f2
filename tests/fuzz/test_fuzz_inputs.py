"""The fuzzer's seeds and findings again, without the fuzzer: what broke a reader once does not do so twice."""

import importlib.util
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

import ghostnet_tf.weights.load

HERE = Path(__file__).resolve().parent
INPUTS = sorted(path for path in (*HERE.glob("seeds/*/*"), *HERE.glob("findings/*/*")))


@pytest.fixture(scope="module")
def target(tmp_path_factory) -> Callable:
    """`target(name)` is what the fuzzer calls, made once."""
    spec = importlib.util.spec_from_file_location("fuzz_targets", HERE / "targets.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    made = {}

    def get(name: str) -> Callable[[bytes], None]:
        if name not in made:
            made[name] = module.TARGETS[name](tmp_path_factory.mktemp(name))
        return made[name]

    return get


def test_there_are_seeds_of_every_target():
    assert {path.parent.name for path in INPUTS} == {"names", "metadata", "config"}


@pytest.mark.parametrize("path", INPUTS, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_no_input_breaks_a_reader(path, target):
    target(path.parent.name)(path.read_bytes())


def test_the_targets_notice_what_is_not_promised(target, monkeypatch):
    """Another error than the promised one, a message of two lines, and a model that was half loaded."""

    def stop(*arguments):
        raise ZeroDivisionError

    def two_lines(*arguments):
        raise ValueError("Expected one line\nand another")

    def half(path, model, names):
        model.weights[0].assign(model.weights[0] + 1)
        raise ValueError("Expected something else")

    monkeypatch.setattr(tomllib, "loads", stop)
    with pytest.raises(ZeroDivisionError):
        target("config")(b"")
    monkeypatch.setattr(ghostnet_tf.weights.load, "read", half)
    with pytest.raises(AssertionError):
        target("names")(b"")
    monkeypatch.setattr(ghostnet_tf.weights.load, "read", two_lines)
    with pytest.raises(AssertionError):
        target("names")(b"")
