"""Batches for `fit`: a data set whose order and augmentation follow from the seed and the epoch alone."""

import time

import numpy as np
import tensorflow as tf

from ghostnet_tf.training.augment import batch_mixer, image_augmenter
from ghostnet_tf.training.config import RunConfig
from ghostnet_tf.training.data import Split
from ghostnet_tf.training.images import read_image


def training_batches(
    split: Split,
    classes: int,
    config: RunConfig,
    *,
    first_epoch: int = 0,
    epochs: int | None = None,
    class_weights: np.ndarray | None = None,
) -> tf.data.Dataset:
    """Batches of epochs `first_epoch` to `epochs` (by default the configuration's), one after the other.

    Each epoch is a permutation of the images; what does not fill a batch is left out and comes in another epoch.
    Any epoch can be made again from the seed and its number, which is what resuming relies on.

    Returns:
        A data set of `(float32 (batch, size, size, 3) of 0-255, float32 (batch, classes))`, targets one-hot but where
        mixed, with `class_weights` followed by what each image counts, float32 `(batch,)`.
    """
    steps = len(split) // config.batch_size
    epochs = config.epochs if epochs is None else epochs
    seed = tf.cast(config.seed, tf.int64)
    labels = tf.constant(split.labels)
    read = _reader(split, whole=config.augment == "photo")
    augmented = image_augmenter(config, split.size)

    def epoch(number):
        order = tf.random.experimental.stateless_shuffle(tf.range(len(split)), seed=[seed, number])
        numbers = number * len(split) + tf.range(len(split), dtype=tf.int64)
        return tf.data.Dataset.from_tensor_slices((order, numbers)).take(steps * config.batch_size)

    def sample(index, number):
        return augmented(read(index), tf.stack([seed, number])), tf.one_hot(labels[index], classes)

    numbers = tf.data.Dataset.range(first_epoch, epochs)
    samples = numbers.flat_map(epoch).map(sample, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
    batches = samples.batch(config.batch_size, drop_remainder=True)
    mixed = batch_mixer(config)
    if mixed is not None:
        numbered = tf.data.Dataset.zip(tf.data.Dataset.range(first_epoch * steps, epochs * steps), batches)
        batches = numbered.map(
            lambda number, batch: mixed(*batch, tf.stack([seed, number])),
            num_parallel_calls=tf.data.AUTOTUNE,
            deterministic=True,
        )
    if class_weights is not None:
        weights = tf.constant(class_weights, tf.float32)
        batches = batches.map(lambda images, targets: (images, targets, tf.linalg.matvec(targets, weights)))
    return batches.prefetch(tf.data.AUTOTUNE)


def images_per_second(batches: tf.data.Dataset, batch_size: int, seconds: float = 0.5) -> float:
    """What the pipeline gives while nothing else runs, measured for `seconds` after the first batch; at least 1 batch.

    Infinite where there is only one batch.
    """
    iterator = iter(batches)
    next(iterator)
    started, count, spent = time.monotonic(), 0, 0.0
    for _ in iterator:
        count, spent = count + 1, time.monotonic() - started
        if spent >= seconds:
            break
    return count * batch_size / spent if count else float("inf")


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
