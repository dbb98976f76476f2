import keras
import numpy as np
import pytest
import tensorflow as tf

from ghostnet_tf.training.augment import MEAN_COLOUR, RandAugment, Seeds, batch_mixer, image_augmenter
from ghostnet_tf.training.config import RunConfig
from ghostnet_tf.training.data import Split
from ghostnet_tf.training.pipeline import training_batches

EVERYTHING = RunConfig(
    batch_size=4,
    epochs=2,
    augment="crop-flip",
    color_jitter=0.4,
    rand_augment=0.3,
    random_erasing=0.5,
    mixup=0.2,
    cutmix=1.0,
)


@pytest.fixture
def image():
    """A smooth colourful picture of 32 pixels."""
    ramp = np.arange(32, dtype=np.uint8)
    return np.stack(np.broadcast_arrays(ramp[:, None] * 6 + 20, ramp * 6 + 30, np.uint8(128)), axis=-1)


def seed(number):
    return tf.constant([7, number], tf.int64)


def augmented(image, count, **settings):
    augmenter = tf.function(image_augmenter(RunConfig(augment="none", **settings), 32))
    return np.stack([augmenter(tf.constant(image), seed(number)).numpy() for number in range(count)])


def mixed(images, targets, number, **settings):
    return [value.numpy() for value in batch_mixer(RunConfig(**settings))(images, targets, seed(number))]


def test_a_later_epoch_with_everything_can_be_made_alone(image):
    """From seed and epoch alone, whatever was drawn before: what an exact resume relies on."""
    split = Split(np.stack([np.roll(image, n, axis=0) for n in range(9)]), np.arange(9) % 3, 32)
    both = list(training_batches(split, 3, EVERYTHING))
    again = list(training_batches(split, 3, EVERYTHING, first_epoch=1))
    assert (len(both), len(again)) == (4, 2)
    for (images, targets), (images_again, targets_again) in zip(both[2:], again, strict=True):
        np.testing.assert_array_equal(images, images_again)
        np.testing.assert_array_equal(targets, targets_again)
    assert not np.array_equal(both[0][0], both[2][0])
    for images, targets in both:
        assert images.shape == (4, 32, 32, 3)
        assert 0 <= images.numpy().min() <= images.numpy().max() <= 255.001  # a rounding of 0-1 to 0-255
        np.testing.assert_allclose(targets.numpy().sum(axis=1), 1, rtol=1e-5)


def drawn(layer, image, number):
    """What `layer` draws for an image, which is what `number` decides."""
    seeds = Seeds(0)
    seeds.start(seed(number))
    layer.generator = seeds
    return layer.get_random_transformation(image, training=True, seed=seeds)


def test_rand_augment_is_keras_own_with_the_operations_drawn(image):
    """With the same draws, computing two operations gives what Keras's computing of all gives."""
    image = tf.constant(image[None], tf.float32)
    layer = RandAugment(0.9)
    outcomes = set()
    for number in range(16):
        transformation = drawn(layer, image, number)
        found = layer.transform_images(image, transformation).numpy()
        expected = keras.layers.RandAugment.transform_images(layer, image, transformation)
        np.testing.assert_allclose(found, expected, atol=1e-4)
        outcomes.add(found.tobytes())
    assert len(outcomes) > 12


@pytest.mark.parametrize("name", sorted(set(RandAugment._AUGMENT_LAYERS) - {"auto_contrast", "equalization"}))
def test_weak_operations_change_little_and_strong_ones_much(image, name):
    image = tf.constant(image[None], tf.float32)
    for strength, low, high in ((1e-4, 0, 1), (1.0, 5, 256)):
        layer = getattr(RandAugment(strength), name)
        changes = [
            np.abs(layer.transform_images(image, drawn(layer, image, number)) - image).max() for number in range(8)
        ]
        assert low <= max(changes) <= high


def test_jitter_changes_colours_as_much_as_the_papers(image):
    """Half of the brightness added is the same to a mid grey as multiplying by 0.6 to 1.4; hue and size stay."""
    gray = np.full((32, 32, 3), 128, np.uint8)
    levels = augmented(gray, 60, color_jitter=0.4)
    assert np.ptp(levels.reshape(60, -1), axis=1).max() < 0.1  # a grey stays one grey
    lowest, highest = levels.mean(axis=(1, 2, 3)).min(), levels.mean(axis=(1, 2, 3)).max()
    assert 128 - 51.1 <= lowest < 128 - 35
    assert 128 + 35 < highest <= 128 + 51.1
    ramp = np.repeat(np.arange(112, 144, dtype=np.uint8)[None, :, None], 32, axis=0).repeat(3, axis=2)
    contrast = augmented(ramp, 60, color_jitter=0.4).std(axis=(1, 2, 3)) / ramp.std()
    assert 0.599 < contrast.min() < 0.7
    assert 1.3 < contrast.max() < 1.401
    coloured = augmented(image, 60, color_jitter=0.4)
    saturation = (coloured.max(axis=-1) - coloured.min(axis=-1))[:, 20, 20] / np.ptp(image[20, 20])
    assert saturation.min() < 0.8
    assert saturation.max() > 1.2


def test_erased_parts_get_the_mean_colour(image):
    images = augmented(image, 100, random_erasing=0.5)
    erased = (images == np.array(MEAN_COLOUR, np.float32)).all(axis=-1)
    shares = erased.mean(axis=(1, 2))
    assert 35 <= (shares > 0).sum() <= 65  # three standard deviations of 100 fair coins
    assert shares.max() <= 0.34
    np.testing.assert_array_equal(images[~erased], np.broadcast_to(image, images.shape)[~erased])


def test_mixup_blends_images_as_targets():
    images = tf.reshape(tf.range(4, dtype=tf.float32) * 50, (4, 1, 1, 1)) * tf.ones((1, 8, 8, 3))
    blended, targets = mixed(images, tf.eye(4), 0, mixup=1.0)
    np.testing.assert_allclose(blended[:, 0, 0, 0], targets @ (np.arange(4) * 50), rtol=1e-5)
    assert (targets.max(axis=1) < 0.99).any()


def test_cutmix_pastes_as_much_as_targets_say():
    images = tf.reshape(tf.range(4, dtype=tf.float32), (4, 1, 1, 1)) * tf.ones((1, 64, 64, 3))
    pasted, targets = mixed(images, tf.eye(4), 1, cutmix=1.0)
    assert set(np.unique(pasted)) <= {0, 1, 2, 3}
    for image, target in zip(pasted, targets, strict=True):
        shares = [(image == number).mean() for number in range(4)]
        np.testing.assert_allclose(shares, target, atol=0.05)  # a box ends between pixels: up to 2 x 64 of 4096
    assert (targets.max(axis=1) < 0.99).any()


def test_a_batch_gets_one_of_both_mixtures():
    images = tf.reshape(tf.range(4, dtype=tf.float32), (4, 1, 1, 1)) * tf.ones((1, 16, 16, 3))
    mixer = tf.function(batch_mixer(RunConfig(mixup=1.0, cutmix=1.0)))
    blended = [not set(np.unique(mixer(images, tf.eye(4), seed(n))[0])) <= {0, 1, 2, 3} for n in range(40)]
    assert 8 <= sum(blended) <= 32  # four standard deviations of 40 fair coins
    assert batch_mixer(RunConfig()) is None
