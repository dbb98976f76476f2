"""Batches for `fit`: a data set whose order and augmentation follow from the seed and the epoch alone."""

import numpy as np
import tensorflow as tf

from ghostnet_tf.training.data import Split
from ghostnet_tf.training.images import read_image

AUGMENTATIONS = {
    "none": "the images as evaluation sees them",
    "shift": "shifted by up to an eighth",
    "crop-flip": "shifted by up to an eighth, mirrored half of the time",
    "photo": "a random part of 25 to 100 % of the area, mirrored half of the time",
}


def training_batches(
    split: Split, classes: int, *, batch_size: int, augment: str, seed: int, first_epoch: int, epochs: int
) -> tf.data.Dataset:
    """Batches of epochs `first_epoch` to `epochs`, one after the other.

    Each epoch is a permutation of the images; what does not fill a batch is left out and comes in another epoch.
    Any epoch can be made again from the seed and its number, which is what
    resuming relies on.

    Returns:
        A data set of `(float32 (batch, size, size, 3) of 0-255, one-hot float32 (batch, classes))`.
    """
    kept = len(split) // batch_size * batch_size
    labels = tf.constant(split.labels)
    read = _reader(split, whole=augment == "photo")

    def epoch(number):
        order = tf.random.experimental.stateless_shuffle(tf.range(len(split)), seed=[tf.cast(seed, tf.int64), number])
        numbers = number * len(split) + tf.range(len(split), dtype=tf.int64)
        return tf.data.Dataset.from_tensor_slices((order, numbers)).take(kept)

    def sample(index, number):
        image = augmented(read(index), split.size, augment, tf.stack([tf.cast(seed, tf.int64), number]))
        return image, tf.one_hot(labels[index], classes)

    numbers = tf.data.Dataset.range(first_epoch, epochs)
    samples = numbers.flat_map(epoch).map(sample, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
    return samples.batch(batch_size, drop_remainder=True).prefetch(tf.data.AUTOTUNE)


def evaluation_batches(split: Split, classes: int, batch_size: int) -> tf.data.Dataset:
    """All images in order as evaluation sees them, batches as `training_batches` gives them."""
    pixels = split.images()
    batches = tf.data.Dataset.from_tensor_slices((pixels, split.labels)).batch(batch_size)
    return batches.map(lambda images, labels: (tf.cast(images, tf.float32), tf.one_hot(labels, classes)))


def _reader(split: Split, whole: bool):
    """A function from index to image: the whole photo where the data set has photos, else as evaluation sees it."""
    if not split.encoded:
        pixels = tf.constant(split.items)
        return lambda index: pixels[index]

    def decode(index: np.ndarray) -> np.ndarray:
        return read_image(split.items[int(index)]) if whole else split.image(int(index))

    def read(index):
        image = tf.numpy_function(decode, [index], tf.uint8, stateful=False)
        return tf.ensure_shape(image, (None, None, 3) if whole else (split.size, split.size, 3))

    return read


def augmented(image: tf.Tensor, size: int, augment: str, seed: tf.Tensor) -> tf.Tensor:
    """One training image, float32 `(size, size, 3)` of 0-255, from a uint8 image; `seed` is a pair of integers."""
    seeds = tf.random.split(seed, 2)
    if augment == "photo":
        image = _random_part(image, size, seeds[0])
    elif augment in ("shift", "crop-flip"):
        margin = size // 8
        padded = tf.pad(image, ((margin, margin), (margin, margin), (0, 0)), mode="REFLECT")
        image = tf.image.stateless_random_crop(padded, (size, size, 3), seed=seeds[0])
    if augment in ("crop-flip", "photo"):
        image = tf.image.stateless_random_flip_left_right(image, seed=seeds[1])
    return tf.ensure_shape(tf.cast(image, tf.float32), (size, size, 3))


def _random_part(image: tf.Tensor, size: int, seed: tf.Tensor) -> tf.Tensor:
    begin, extent, _ = tf.image.stateless_sample_distorted_bounding_box(
        tf.shape(image),
        tf.constant([[[0.0, 0.0, 1.0, 1.0]]]),
        seed=seed,
        min_object_covered=0.0,
        area_range=(0.25, 1.0),
        aspect_ratio_range=(3 / 4, 4 / 3),
        use_image_if_no_bounding_boxes=True,
    )
    return tf.image.resize(tf.slice(image, begin, extent), (size, size), antialias=True)
