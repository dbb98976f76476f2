"""GhostNetV2: counts of every published width, small images, published weights."""

import numpy as np
import pytest

import ghostnet_tf
from ghostnet_tf.models import ghostnet


@pytest.mark.parametrize(
    ("width", "params", "macs"),
    [(1.0, 6_156_908, 167_048_288), (1.3, 8_960_404, 269_322_976), (1.6, 12_392_698, 398_607_224)],
)
def test_counts(width, params, macs, zoo):
    row = zoo[f"GhostNetV2 {width}"]
    assert (int(row["params"]), int(row["macs"])) == (params, macs)


@pytest.mark.parametrize("builder", ["GhostNetV2", "GhostNetV3"])  # which has the same attention
@pytest.mark.parametrize("side", [32, 47, 97])
def test_small_and_odd_images(builder, side, monkeypatch):
    monkeypatch.setattr(ghostnet, "ROWS", ghostnet.ROWS[:6])
    model = getattr(ghostnet_tf, builder)(0.25, input_shape=(side, side + 1, 3), include_top=False)
    image = np.random.default_rng(0).uniform(0, 255, (1, side, side + 1, 3)).astype("float32")
    maps = np.asarray(model(image))
    assert maps.shape[1:] == model.output_shape[1:] and np.isfinite(maps).all()


def test_tags_build_what_they_name():
    tags = ghostnet_tf.list_weights()
    assert {row.family for row in tags.values()} <= set(ghostnet_tf.list_models())
    with pytest.raises(ValueError, match=r"for ghostnetv2: 1, 1.3, 1.6\). Received: width=0.5"):
        ghostnet_tf.GhostNetV2(0.5, weights="imagenet")
