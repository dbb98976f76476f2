"""Batches for `fit`: a data set whose order and augmentation follow from the seed and the epoch alone."""

import os
import time
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from ghostnet_tf.training.augment import batch_mixer, image_augmenter
from ghostnet_tf.training.config import RunConfig
from ghostnet_tf.training.images import read_image
from ghostnet_tf.training.splits import Split

CACHE_BYTES = 2**31  # of decoded held-out photos; more are decoded anew in each epoch


@dataclass(frozen=True)
class Share:
    """What a process reads of each batch: `count` of its `replicas` equal parts, from `first` on."""

    first: int = 0
    count: int = 1
    replicas: int = 1


def training_batches(
    split: Split,
    classes: int,
    config: RunConfig,
    *,
    first_epoch: int = 0,
    epochs: int | None = None,
    size: int | None = None,
    class_weights: np.ndarray | None = None,
    share: Share = Share(),
) -> tf.data.Dataset:
    """Batches of epochs `first_epoch` to `epochs` (by default the configuration's), one after the other.

    Each epoch is a permutation of the images; what does not fill a batch is left out and comes in another epoch.
    Any epoch can be made again from the seed and its number, which is what resuming relies on. An image is the same
    in whatever share it comes; mixing stays within a share's parts, which come as batches of their own. With `size`,
    what is augmented at the configuration's size comes scaled to that.

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
        return tf.data.Dataset.from_tensor_slices((shared(order), shared(numbers)))

    def shared(values):
        parts = tf.reshape(values[: steps * config.batch_size], (steps, share.replicas, -1))
        return tf.reshape(parts[:, share.first : share.first + share.count], (-1,))

    def parts(step):
        first = step * share.replicas + share.first
        return tf.data.Dataset.range(first, first + share.count)

    def sample(index, number):
        return augmented(read(index), tf.stack([seed, number])), tf.one_hot(labels[index], classes)

    numbers = tf.data.Dataset.range(first_epoch, epochs)
    samples = numbers.flat_map(epoch).map(sample, num_parallel_calls=os.cpu_count(), deterministic=True)
    batches = samples.batch(config.batch_size // share.replicas, drop_remainder=True)
    mixed = batch_mixer(config)
    if mixed is not None:
        numbers = tf.data.Dataset.range(first_epoch * steps, epochs * steps).flat_map(parts)
        batches = tf.data.Dataset.zip(numbers, batches).map(
            lambda number, batch: mixed(*batch, tf.stack([seed, number])),
            num_parallel_calls=os.cpu_count(),
            deterministic=True,
        )
    if class_weights is not None:
        weights = tf.constant(class_weights, tf.float32)
        batches = batches.map(lambda images, targets: (images, targets, tf.linalg.matvec(targets, weights)))
    if size not in (None, config.size):
        batches = batches.map(lambda images, *rest: (tf.image.resize(images, (size, size), antialias=True), *rest))
    return _untuned(batches.prefetch(2))


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


def evaluation_batches(split: Split, classes: int, batch_size: int, share: Share = Share()) -> tf.data.Dataset:
    """All images in order as evaluation sees them, batches as `training_batches` gives them.

    A share's process reads each `replicas / count`-th image; its batches may be fewer than another's.
    """
    read = _reader(split, whole=False)
    chosen = np.arange(len(split))[share.first // share.count :: share.replicas // share.count]
    indices = tf.data.Dataset.from_tensor_slices((chosen, split.labels[chosen]))
    images = indices.map(lambda index, label: (read(index), label), num_parallel_calls=os.cpu_count())
    if split.encoded and 3 * split.size**2 * len(chosen) <= CACHE_BYTES:
        images = images.cache()
    batches = images.batch(batch_size // share.replicas)
    batches = batches.map(lambda images, labels: (tf.cast(images, tf.float32), tf.one_hot(labels, classes)))
    return _untuned(batches.prefetch(1))


def _untuned(batches: tf.data.Dataset) -> tf.data.Dataset:
    """Without tf.data's tuning: TensorFlow 2.21 ends an iterator only when its tuner wakes, up to a minute later."""
    options = tf.data.Options()
    options.autotune.enabled = False
    return batches.with_options(options)


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
