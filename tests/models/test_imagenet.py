"""What goes in and comes out."""

import numpy as np
import pytest

import ghostnet_tf
from ghostnet_tf.models import BUILDERS, imagenet_classes


def test_classes_are_in_the_order_of_the_wordnet_ids():
    ids = [wnid for wnid, _ in imagenet_classes()]
    assert len(set(ids)) == 1000 and ids == sorted(ids)
    # Positions known from every ImageNet-1k network.
    known = {0: "tench", 1: "goldfish", 207: "golden_retriever", 281: "tabby", 985: "daisy", 999: "toilet_tissue"}
    assert {index: imagenet_classes()[index][1] for index in known} == known


def test_decode_predictions():
    scores = np.zeros((2, 1000))
    scores[0, [207, 281, 985]] = 0.5, 0.3, 0.2
    scores[1, 999] = 1
    first, second = ghostnet_tf.decode_predictions(scores, top=3)
    assert first == [
        ("n02099601", "golden_retriever", 0.5),
        ("n02123045", "tabby", 0.3),
        ("n11939491", "daisy", 0.2),
    ]
    assert second[0] == ("n15075141", "toilet_tissue", 1.0)
    assert len(ghostnet_tf.decode_predictions(scores)[0]) == 5


@pytest.mark.parametrize(
    ("shape", "top", "message"),
    [((1000,), 5, r"shape=\(1000,\)"), ((2, 10), 5, r"shape=\(2, 10\)"), ((1, 1000), 0, "top=0")],
)
def test_impossible_predictions(shape, top, message):
    with pytest.raises(ValueError, match=message):
        ghostnet_tf.decode_predictions(np.zeros(shape), top)


def test_preprocess_input_leaves_it_to_the_model():
    image = np.array([[0, 128, 255]])
    assert ghostnet_tf.preprocess_input(image) is image


def test_list_models():
    assert ghostnet_tf.list_models() == list(BUILDERS) and BUILDERS["ghostnet"] is ghostnet_tf.GhostNet
