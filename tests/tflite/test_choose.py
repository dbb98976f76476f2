"""How time grows with width and size: the fit, files at other sizes, and what the choose command proposes from it."""

import json

import keras
import numpy as np
import pytest

from ghostnet_tf import commands
from ghostnet_tf.analysis import Complexity, LayerComplexity
from ghostnet_tf.runtime import TFLiteModel
from ghostnet_tf.tflite import choose, scaling
from ghostnet_tf.tflite.schemes import convert

WIDTHS, SIZES = np.meshgrid([0.25, 0.5, 1.0, 2.0], [96, 224, 512])
WIDTHS, SIZES = WIDTHS.ravel(), SIZES.ravel()


@pytest.fixture(scope="module")
def network() -> keras.Model:
    """Of any size, as small as can be timed."""
    keras.utils.set_random_seed(0)
    image = keras.Input((32, 32, 3))
    x = keras.layers.Conv2D(8, 3, strides=2, padding="same", activation="relu")(image)
    x = keras.layers.DepthwiseConv2D(5, padding="same")(x)
    return keras.Model(image, keras.layers.Dense(4)(keras.layers.GlobalAveragePooling2D()(x)))


@pytest.fixture(scope="module")
def content(network) -> bytes:
    return convert(network, "fp32")


def test_the_fit_finds_what_the_numbers_were_made_of():
    factors = (0.4, 0.3, 0.7, 2.0, 5.0)
    found = scaling.fit(WIDTHS, SIZES, scaling.terms(WIDTHS, SIZES) @ factors)
    np.testing.assert_allclose(found.factors, factors, rtol=1e-9)  # float64 least squares of exact numbers
    assert found.worst < 1e-9
    by_hand = 0.4 + 0.3 * 1.3**2 + (0.7 + 2.0 * 1.3 + 5.0 * 1.3**2) * (320 / 224) ** 2
    assert found(1.3, 320) == pytest.approx(by_hand, rel=1e-9)
    assert str(found) == "0.4 + 0.3·w² + 0.7·a + 2·w·a + 5·w²·a"


def test_errors_of_the_fit_are_relative_and_its_factors_not_negative():
    exact = scaling.terms(WIDTHS, SIZES) @ (0.0, 0.0, 0.0, 1.0, 3.0)
    noise = np.random.default_rng(0).uniform(0.9, 1.1, len(exact))
    found = scaling.fit(WIDTHS, SIZES, exact * noise)
    assert min(found.factors) >= 0
    # Values span a factor of 500: with absolute errors the small ones would be missed by far.
    assert 0 < found.typical <= found.worst < 0.2
    recomputed = [value / found(w, s) - 1 for w, s, value in zip(WIDTHS, SIZES, exact * noise, strict=True)]
    np.testing.assert_allclose(found.errors, recomputed)


@pytest.mark.parametrize("values", [[1.0, 2.0, 3.0, 4.0], [1.0, 2.0, 0.0, 3.0, 4.0]])
def test_too_few_measurements_or_none_above_zero(values):
    with pytest.raises(ValueError, match="Expected at least 5 values above 0"):
        scaling.fit(WIDTHS[: len(values)], SIZES[: len(values)], values)


def test_a_file_at_another_size_computes_what_the_network_does_there(network, content):
    image = np.random.default_rng(0).uniform(0, 255, (2, 48, 64, 3)).astype(np.float32)
    model = TFLiteModel(content, input_shape=(1, 48, 64, 3))
    larger = keras.models.clone_model(
        network, input_tensors=keras.Input((48, 64, 3)), clone_function=lambda layer: layer
    )
    # Sums in another order: float32 has 24 bits, and the outputs are below 1000.
    np.testing.assert_allclose(model.predict(image), larger(image), rtol=1e-4, atol=1e-3)


def test_multiply_adds_at_any_size_come_from_one_count(monkeypatch):
    """Of a network of a convolution with stride 32, one on a single pixel, and a classifier."""

    def counted(model):
        rows = [("conv", (7, 7, 8), 49 * 100), ("conv", (1, 1, 16), 30), ("dense", (1000,), 7)]
        return Complexity(tuple(LayerComplexity(kind, kind, shape, 0, 0, macs, 0) for kind, shape, macs in rows))

    monkeypatch.setattr("ghostnet_tf.models.GhostNet", lambda *_, **__: None)
    monkeypatch.setattr("ghostnet_tf.analysis.complexity", counted)
    width = 0.1234  # which nothing else counts: what was counted is kept
    assert scaling.multiply_adds(width, 224) == 49 * 100 + 37
    assert scaling.multiply_adds(width, 96) == 9 * 100 + 37
    assert scaling.multiply_adds(width, 512) == 256 * 100 + 37


def test_published_networks_are_in_proportion_and_extremes_are_not():
    for width in (0.5, 1.0, 1.3):
        assert choose.proportionate(width, 224)
    assert not choose.proportionate(2.0, 96)
    assert not choose.proportionate(0.25, 512)
    for width in choose.WIDTHS:
        assert any(choose.proportionate(width, size) for size in choose.SIZES)
    assert all(width in choose.WIDTHS for width in choose.POINTS)
    assert choose.SMALLEST[1] in choose.POINTS[choose.SMALLEST[0]]


def by_area(width: float, size: int) -> int:
    return round(1e6 * width**2 * (size / 224) ** 2)


def test_candidates_keep_within_the_time_and_are_ordered_by_multiply_adds():
    expected = scaling.Fit((0.0, 0.0, 0.0, 2.0, 8.0), ())
    limit = 10.0 * choose.SLACK
    found = choose.candidates(expected, 10.0, (), by_area)
    assert [row.multiply_adds for row in found] == sorted((row.multiply_adds for row in found), reverse=True)
    for row in found:
        assert row.expected_ms == expected(row.width, row.size) <= limit
        larger = row.size + 32
        assert expected(row.width, larger) > limit or not choose.proportionate(row.width, larger)
    first = found[0]
    rest = choose.candidates(expected, 10.0, {(first.width, first.size)}, by_area)
    assert (first.width, first.size) not in [(row.width, row.size) for row in rest]
    assert choose.candidates(expected, 1e-9, (), by_area) == []


@pytest.fixture
def machine(monkeypatch):
    """`machine(slower)`: one where times are as exact as the fit's, and converted files `slower` times as slow."""
    exact = scaling.Fit((0.1, 0.2, 0.3, 2.0, 8.0), ())

    def set_up(slower=lambda width, size: 1.0):
        points = {(width, size): exact(width, size) for width, sizes in choose.POINTS.items() for size in sizes}
        monkeypatch.setattr(choose, "measured_points", lambda args: points)
        monkeypatch.setattr(scaling, "multiply_adds", by_area)

        def file(width, size, args):
            time = exact(width, size) * slower(width, size)
            return {"median_ms": time, "p95_ms": 1.1 * time, "bytes": 1000}

        monkeypatch.setattr(choose, "measured_file", file)
        return exact

    return set_up


def asked(*words: str):
    return choose.parser().parse_args(["--max-ms", "10", *words])


def test_the_proposal_is_the_first_candidate_whose_file_keeps_within_the_time(machine):
    exact = machine()
    found = choose.proposal(asked())
    ordered = choose.candidates(exact, 10.0, [(row["width"], row["size"]) for row in found["tried"]], by_area)
    first = ordered[0]
    assert (found["width"], found["size"]) == (first.width, first.size)
    assert found["median_ms"] <= 10
    # Up to the slack above the time, files are made and measured too.
    assert all(10 < row["median_ms"] <= 10 * choose.SLACK for row in found["tried"])

    machine(lambda width, size: 2.0 if (width, size) == (first.width, first.size) else 1.0)
    second = choose.proposal(asked())
    assert (first.width, first.size) in [(row["width"], row["size"]) for row in second["tried"]]
    assert second["median_ms"] <= 10 and (second["width"], second["size"]) != (first.width, first.size)


def test_a_time_too_short_for_any_says_what_the_smallest_takes(machine):
    exact = machine()
    smallest = exact(*choose.SMALLEST)
    with pytest.raises(commands.BadInput, match=rf"width 0\.25 at 96 pixels, takes {smallest:.3g} ms"):
        choose.proposal(asked("--max-ms", str(smallest / 2)))
    machine(lambda width, size: 1e6)
    with pytest.raises(commands.BadInput, match="smallest one considered"):
        choose.proposal(asked())


def test_a_long_time_gets_the_largest_and_the_text_says_so(machine):
    machine()
    args = asked("--max-ms", "1e6")
    found = choose.proposal(args)
    assert (found["width"], found["size"]) == (choose.WIDTHS[-1], choose.SIZES[-1])
    shown = choose.text(found, args)
    assert "the time allows more" in shown
    assert "1: 141 M, 73.9 %" in shown and "no accuracy is predicted" in shown


def test_the_command_measures_here(content, monkeypatch, tmp_path, capsys):
    """With a small network in place of GhostNet: its time does not depend on the width, nor much on anything."""
    monkeypatch.setattr(scaling, "converted", lambda width, size, scheme, **_: content)
    monkeypatch.setattr(scaling, "multiply_adds", by_area)
    path = tmp_path / "choice.json"
    assert choose.main(["--max-ms", "1000", "--num-runs", "3", "--clock", "cpu", "--json", str(path)]) == commands.OK
    printed = capsys.readouterr().out
    found = json.loads(path.read_text())
    assert found["asked"]["max_ms"] == 1000 and len(found["points"]) == 8
    assert all(row["median_ms"] > 0 for row in found["points"])
    # 512 pixels have 28 times the elements of 96.
    assert found["points"][-1]["median_ms"] > found["points"][0]["median_ms"]
    assert f"--width {found['width']:g} --size {found['size']}" in printed
    assert choose.main(["--max-ms", "1e-6", "--num-runs", "2"]) == commands.BAD_INPUT
    assert "error: no GhostNet keeps within --max-ms 1e-06" in capsys.readouterr().err
