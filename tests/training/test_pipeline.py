import numpy as np
import pytest

from ghostnet_tf.training.config import AUGMENTATIONS, RunConfig
from ghostnet_tf.training.data import Split
from ghostnet_tf.training.pipeline import evaluation_batches, training_batches


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
