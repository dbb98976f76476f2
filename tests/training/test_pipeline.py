import numpy as np
import pytest

from ghostnet_tf.training import pipeline, splits
from ghostnet_tf.training.config import AUGMENTATIONS, RunConfig
from ghostnet_tf.training.data import load_data
from ghostnet_tf.training.images import read_image
from ghostnet_tf.training.pipeline import Share, evaluation_batches, training_batches
from ghostnet_tf.training.splits import Split


@pytest.fixture
def split():
    rng = np.random.default_rng(0)
    return Split(rng.integers(0, 256, (10, 32, 32, 3), dtype=np.uint8), np.arange(10) % 3, 32)


def batches(split, first_epoch=0, epochs=2, seed=0, augment="crop-flip", **settings):
    config = RunConfig(batch_size=4, augment=augment, seed=seed, epochs=epochs, **settings)
    dataset = training_batches(split, 3, config, first_epoch=first_epoch)
    return [(images.numpy(), targets.numpy()) for images, targets in dataset]


def test_an_epoch_is_a_permutation_in_whole_batches(split):
    found = batches(split, epochs=1, augment="none")
    assert [images.shape for images, _ in found] == [(4, 32, 32, 3)] * 2
    originals = {
        image.tobytes(): label for image, label in zip(split.items.astype("float32"), split.labels, strict=True)
    }
    images = np.concatenate([images for images, _ in found])
    targets = np.concatenate([targets for _, targets in found])
    labels = [originals[image.tobytes()] for image in images]
    assert len({image.tobytes() for image in images}) == 8
    np.testing.assert_array_equal(targets, np.eye(3)[labels])


def test_a_later_epoch_can_be_made_alone(split):
    both, second = batches(split), batches(split, first_epoch=1)
    for (images, targets), (images_again, targets_again) in zip(both[2:], second, strict=True):
        np.testing.assert_array_equal(images, images_again)
        np.testing.assert_array_equal(targets, targets_again)


def test_epochs_and_seeds_differ(split):
    first, second = batches(split)[0][0], batches(split)[2][0]
    assert not np.array_equal(first, second)
    assert not np.array_equal(first, batches(split, seed=1)[0][0])


@pytest.mark.parametrize("augment", AUGMENTATIONS)
def test_augmented_images_keep_shape_and_range(split, augment):
    images = batches(split, epochs=1, augment=augment)[0][0]
    assert images.shape == (4, 32, 32, 3)
    assert images.dtype == np.float32
    assert images.min() >= 0
    assert images.max() <= 255


def test_shifts_are_small_and_do_not_mirror():
    ramp = np.tile(np.arange(0, 256, 8, dtype=np.uint8)[None, :, None], (32, 1, 3))
    split = Split(np.stack([ramp] * 8), np.zeros(8, np.int64), 32)
    images = batches(split, epochs=1, augment="shift")[0][0]
    offsets = (images[:, 16, 16, 0] - ramp[16, 16, 0]) / 8
    assert np.abs(offsets).max() <= 4  # an eighth of 32 pixels
    assert len(set(offsets)) > 1
    assert (np.diff(images[:, 16, 8:24, 0], axis=1) > 0).all()  # still rising from left to right


def test_half_of_the_images_are_mirrored():
    ramp = np.tile(np.arange(0, 256, 8, dtype=np.uint8)[None, :, None], (32, 1, 3))
    split = Split(np.stack([ramp] * 200), np.zeros(200, np.int64), 32)
    images = np.concatenate([images for images, _ in batches(split, epochs=1, augment="crop-flip")])
    mirrored = (images[:, 16, 8] > images[:, 16, 24]).all(axis=-1).mean()
    assert 0.35 < mirrored < 0.65  # four standard deviations of 200 fair coins around a half


def test_evaluation_sees_everything_in_order(split):
    found = list(evaluation_batches(split, 3, 4))
    images = np.concatenate([images for images, _ in found])
    np.testing.assert_array_equal(images, split.items.astype("float32"))
    np.testing.assert_array_equal(np.concatenate([t for _, t in found]).argmax(axis=1), split.labels)


def test_shares_make_up_the_batch(split):
    """Two processes with a replica each read what one process reads, image for image."""
    config = RunConfig(batch_size=4, augment="crop-flip", epochs=2, color_jitter=0.4)
    whole = list(training_batches(split, 3, config))
    halves = [list(training_batches(split, 3, config, share=Share(first, 1, 2))) for first in range(2)]
    assert len(whole) == len(halves[0]) == 4
    for (images, targets), *parts in zip(whole, *halves, strict=True):
        np.testing.assert_array_equal(images, np.concatenate([images for images, _ in parts]))
        np.testing.assert_array_equal(targets, np.concatenate([targets for _, targets in parts]))


def test_a_share_of_several_parts_gives_them_one_by_one(split):
    """As a process with two replicas reads them, mixed each by itself, and again from a later epoch on."""
    config = RunConfig(batch_size=4, augment="none", epochs=3, mixup=1.0)
    both = list(training_batches(split, 3, config, share=Share(0, 2, 2)))
    halves = [list(training_batches(split, 3, config, share=Share(first, 1, 2))) for first in range(2)]
    assert len(both) == 12
    for number, (images, _) in enumerate(both):
        assert images.shape == (2, 32, 32, 3)
        np.testing.assert_array_equal(images, halves[number % 2][number // 2][0])
    later = training_batches(split, 3, config, share=Share(1, 1, 2), first_epoch=2)
    np.testing.assert_array_equal(next(iter(later))[0], halves[1][4][0])


def test_held_out_images_come_once_in_all_shares(split):
    parts = [list(evaluation_batches(split, 3, 4, Share(first, 1, 3))) for first in range(3)]
    images = np.concatenate([images for part in parts for images, _ in part])
    assert len(images) == len(split)
    expected = {image.astype("float32").tobytes() for image in split.items}
    assert {image.tobytes() for image in images} == expected


def test_few_held_out_photos_are_decoded_once(photos, monkeypatch):
    reads = []
    monkeypatch.setattr(splits, "read_image", lambda file: reads.append(file) or read_image(file))
    part = load_data(str(photos), size=32).val
    batches = evaluation_batches(part, 3, 4)
    first, second = ([images.numpy() for images, _ in batches] for _ in range(2))
    np.testing.assert_array_equal(np.concatenate(first), part.images())
    assert len(reads) == 2 * len(part)  # by the first round and by `images`
    monkeypatch.setattr(pipeline, "CACHE_BYTES", 0)
    many = evaluation_batches(part, 3, 4)
    for _ in range(2):
        np.testing.assert_array_equal(np.concatenate([images.numpy() for images, _ in many]), part.images())
    assert len(reads) == 6 * len(part)
    np.testing.assert_array_equal(np.concatenate(second), np.concatenate(first))
