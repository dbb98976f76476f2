import csv
import re

import keras
import numpy as np
import pytest
from PIL import Image

from ghostnet_tf.commands import BAD_INPUT, OK
from ghostnet_tf.layers import ConvBN, GhostBottleneck
from ghostnet_tf.tflite import explain, explain_content


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A small network with a stage of two blocks, and a photo of another size."""
    folder = tmp_path_factory.mktemp("explain")
    keras.utils.set_random_seed(0)
    inputs = keras.Input((24, 24, 3))
    x = ConvBN(8, 3, name="stem")(inputs)
    for index in range(2):
        x = GhostBottleneck(16, 8, name=f"blocks_{index}")(x)
    x = keras.layers.GlobalAveragePooling2D(name="pool")(x)
    keras.Model(inputs, keras.layers.Dense(2)(x), name="small").save(folder / "small.keras")
    pixels = np.random.default_rng(0).integers(0, 255, (30, 40, 3), np.uint8)
    Image.fromarray(pixels).save(folder / "photo.png")
    return folder


@pytest.fixture
def run(files, tmp_path):
    def explained(*words) -> tuple[int, str | None]:
        page = tmp_path / "page.html"
        model, photo = (str(files / name) for name in ("small.keras", "photo.png"))
        code = explain.main(["--model", model, "--image", photo, "--output", str(page), *words])
        return code, page.read_text(encoding="utf-8") if page.is_file() else None

    return explained


def test_the_page_shows_maps_ghosts_stage_and_table(run, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(explain, "TRAINING_STEPS", 20)
    code, page = run("--pairs", "2", "--table2", "--csv", str(tmp_path / "table2.csv"))
    assert code == OK
    for heading in ("blocks_1</h2>", "blocks_0_ghost1</h2>", "blocks_0 to blocks_1</h2>", "table 2</h2>"):
        assert heading in page
    assert page.count('alt="map ') == 8 + 4  # the grid, and the pairs again
    assert [page.count(f'<figure class="pair-{letter}"') for letter in "ABC"] == [2, 2, 0]
    assert page.count('alt="intrinsic map') == page.count('alt="ghost ') == 8
    assert page.count("best one of the first") == 2
    assert "untrained" not in page
    sources = re.findall(r'(?:src|href)="([^"]{12})', page)  # nothing outside, links within the charts apart
    assert all(source.startswith(("data:image/p", "#")) for source in sources)
    table = capsys.readouterr().out.splitlines()
    assert [line.split()[2] for line in table[1:9]] == ["1", "3", "5", "7"] * 2
    with (tmp_path / "table2.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [f"{float(row['solved']):.4g}" for row in rows] == [line.split()[3] for line in table[1:9]]
    assert {(row["model"], row["layer"], row["image"]) for row in rows} == {("small", "blocks_1", "photo.png")}


def test_one_may_look_elsewhere_and_replace_a_page_if_told(run, tmp_path, capsys):
    (tmp_path / "page.html").write_text("kept")
    assert run() == (BAD_INPUT, "kept")
    assert "--overwrite" in capsys.readouterr().err
    code, page = run(
        "--overwrite", "--layer", "stem", "--module", "blocks_1_ghost2", "--stage", "blocks_1", "--maps", "5"
    )
    assert code == OK
    assert "stem</h2>" in page
    assert "blocks_1_ghost2</h2>" in page
    assert "5 of 8 maps" in " ".join(page.split())


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--layer", "blocks_l"], "Did you mean"),
        (["--layer", "pool"], "feature maps"),
        (["--module", "blocks_0_ghost3"], "unknown ghost module"),
        (["--stage", "stem"], "unknown block of a stage"),
        (["--image", "nothing.png"], "expected a photo for --image. Received: nothing.png"),
        (["--model", "nothing.keras"], "not found"),
        (["--csv", "table2.csv"], "expected --table2 with --csv"),
        (["--output", "."], "expected a file for --output"),
    ],
)
def test_mistakes_are_one_line_and_no_page(run, capsys, words, message):
    assert run(*words) == (BAD_INPUT, None)
    errors = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1
    assert message in errors[0]


def test_a_picture_is_dark_at_its_least_and_light_at_its_greatest_value():
    import base64
    import io

    uri = explain_content.picture(np.array([[2.0, 3.0], [4.0, 2.0]]))
    image = Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))).convert("RGB")
    assert image.getpixel((0, 0)) == image.getpixel((1, 1)) == (68, 1, 84)  # both ends of viridis
    assert image.getpixel((0, 1)) == (253, 231, 36)
    assert explain_content.picture(np.zeros((2, 2))) != uri
