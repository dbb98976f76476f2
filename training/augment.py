"""Training images made from others, by seeds that follow from the run's seed and the image's number alone.

Colours, RandAugment, erasing and mixing are Keras's preprocessing layers. Such a layer counts its draws in a variable,
so what an image gets would depend on how many came before and on which thread is first; `Seeds` takes the counter's
place and makes the layers repeatable. Crops and flips are `tf.image`'s stateless operations.
"""

from collections.abc import Callable

import keras
import tensorflow as tf

from ghostnet_tf.training.config import RunConfig

MEAN_COLOUR = (124, 116, 104)  # of ImageNet, RGB 0-255: what erased parts get
ERASED_AREA = (0.02, 0.33)  # share of the sides' squares, as published
COLOURS, RAND_AUGMENT, ERASING, MIXING = range(1, 5)  # each draws from a seed of its own


class Seeds(keras.random.SeedGenerator):
    """Seeds for a Keras layer that follow from a given one: `start(seed)`, then one more each time the layer draws."""

    def start(self, seed: tf.Tensor) -> None:
        """Begins anew from `seed`, a pair of integers."""
        self.pair, self.draws = seed, 0

    def next(self, ordered=True):
        self.draws += 1
        return tf.random.fold_in(self.pair, self.draws)


class Solarization(keras.layers.Solarization):
    """`keras.layers.Solarization`, inverting what is brighter than a threshold that falls from 255 with the strength.

    Keras's threshold rises from 0: it inverts the more of an image the weaker it is.
    """

    def get_random_transformation(self, data, training=True, seed=None):
        drawn = super().get_random_transformation(data, training, seed)
        return {**drawn, "thresholds": 255 - drawn["thresholds"]}


class RandAugment(keras.layers.RandAugment):
    """`keras.layers.RandAugment` in the published ranges and in a tenth of the time.

    Keras's turns up to a full circle, posterizes, solarizes and blurs the more the weaker it is (one bit of a colour is
    left below a strength of 0.375), and computes all eleven operations, twice: 116 ms of processor time for an image of
    224 pixels, against 10 here, where only the two drawn are computed.

    Args:
        strength: 0 to 1, where 1 is level 10 of the published code: up to 30 degrees, 45 % of a side, a shear of 0.3,
            90 % of colour and contrast, 4 bits. Each magnitude is drawn up to it.
    """

    def __init__(self, strength: float):
        super().__init__(factor=strength)
        gray = {"fill_mode": "constant", "fill_value": 128}
        shear, shift, turn, change = 0.3 * strength, 0.45 * strength, 30 / 360 * strength, 0.9 * strength
        self.random_shear = keras.layers.RandomShear((0.0, shear), (0.0, shear), **gray)
        self.random_translation = keras.layers.RandomTranslation((-shift, shift), (-shift, shift), **gray)
        self.random_rotation = keras.layers.RandomRotation((-turn, turn), **gray)
        self.random_brightness = keras.layers.RandomBrightness((-change / 2, change / 2))
        self.random_color_degeneration = keras.layers.RandomColorDegeneration((0.0, change))
        self.random_contrast = keras.layers.RandomContrast((change, change))
        self.random_sharpness = keras.layers.RandomSharpness((0.5 - change / 2, 0.5 + change / 2))
        self.random_posterization = keras.layers.RandomPosterization((8 - round(4 * strength), 8))
        self.solarization = Solarization(threshold_factor=strength)

    def transform_images(self, images, transformation, training=True):
        if not training:
            return images
        transforms = transformation["transforms"].items()
        for number in range(self.num_ops):
            branches = [
                lambda name=name, values=values, images=images: tf.ensure_shape(
                    getattr(self, name).transform_images(images, values), images.shape
                )
                for name, values in transforms
            ]
            images = tf.switch_case(transformation["layer_idxes"][number], branches)
        return images


def image_augmenter(config: RunConfig, size: int) -> Callable[[tf.Tensor, tf.Tensor], tf.Tensor]:
    """A function of a uint8 image and a seed (a pair of integers) that gives a float32 `(size, size, 3)` of 0-255."""
    steps = _colour_steps(config)

    def augmented(image: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        seeds = tf.random.split(seed, 2)
        if config.augment == "photo":
            image = _random_part(image, size, config.crop_area, seeds[0])
        elif config.augment in ("shift", "crop-flip"):
            margin = size // 8
            padded = tf.pad(image, ((margin, margin), (margin, margin), (0, 0)), mode="REFLECT")
            image = tf.image.stateless_random_crop(padded, (size, size, 3), seed=seeds[0])
        if config.augment in ("crop-flip", "photo"):
            image = tf.image.stateless_random_flip_left_right(image, seed=seeds[1])
        image = tf.ensure_shape(tf.cast(image, tf.float32), (size, size, 3))
        for number, layer, top in steps:
            image = layer(image[None] * (top / 255), tf.random.fold_in(seed, number))[0] * (255 / top)
        return image

    return augmented


def batch_mixer(config: RunConfig) -> Callable[[tf.Tensor, tf.Tensor, tf.Tensor], tuple[tf.Tensor, tf.Tensor]] | None:
    """A function of images, one-hot targets and a seed that mixes a batch with itself; `None` without mixing.

    With mixup and cutmix, each batch gets one of the two, by a coin.
    """
    mixers = []
    if config.mixup:
        mixers.append(_seeded(keras.layers.MixUp(alpha=config.mixup)))
    if config.cutmix:
        mixers.append(_seeded(keras.layers.CutMix(factor=(config.cutmix, config.cutmix))))
    if not mixers:
        return None

    def mixed(images: tf.Tensor, targets: tf.Tensor, seed: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        seed = tf.random.fold_in(seed, MIXING)
        chosen = tf.random.stateless_uniform((), seed, maxval=len(mixers), dtype=tf.int32)
        batch = {"images": images, "labels": targets}
        outcome = tf.switch_case(chosen, [lambda mixer=mixer: mixer(dict(batch), seed) for mixer in mixers])
        return tf.ensure_shape(outcome["images"], images.shape), tf.ensure_shape(outcome["labels"], targets.shape)

    return mixed


def _colour_steps(config: RunConfig) -> list[tuple[int, Callable, int]]:
    """What follows crop and flip: the number of its seed, a function of a batch and a seed, and its value of white."""
    steps = []
    if config.rand_augment:
        steps.append((RAND_AUGMENT, _seeded(RandAugment(config.rand_augment)), 255))
    if config.color_jitter:
        # torchvision multiplies the brightness; Keras adds, so that half moves a mid grey as far. Keras's contrast with
        # one number only ever grows; its saturation f multiplies by f / (1 - f), and is only clipped right for 0 to 1.
        low, high = 1 - config.color_jitter, 1 + config.color_jitter
        jitter = keras.layers.RandomColorJitter(
            value_range=(0, 1),
            brightness_factor=config.color_jitter / 2,
            contrast_factor=(config.color_jitter, config.color_jitter),
            saturation_factor=(low / (1 + low), high / (1 + high)),
        )
        steps.append((COLOURS, _seeded(jitter), 1))
    if config.random_erasing:
        share = config.random_erasing
        erasing = keras.layers.RandomErasing(factor=(share, share), scale=ERASED_AREA, fill_value=MEAN_COLOUR)
        steps.append((ERASING, _seeded(erasing), 255))
    return steps


def _seeded(layer: keras.Layer) -> Callable:
    """A Keras preprocessing layer as a function of its input and a seed."""
    seeds = Seeds(0)
    layer.generator = seeds

    def call(inputs, seed: tf.Tensor):
        seeds.start(seed)
        return layer(inputs)

    return call


def _random_part(image: tf.Tensor, size: int, least: float, seed: tf.Tensor) -> tf.Tensor:
    begin, extent, _ = tf.image.stateless_sample_distorted_bounding_box(
        tf.shape(image),
        tf.constant([[[0.0, 0.0, 1.0, 1.0]]]),
        seed=seed,
        min_object_covered=0.0,
        area_range=(least, 1.0),
        aspect_ratio_range=(3 / 4, 4 / 3),
        use_image_if_no_bounding_boxes=True,
    )
    return tf.image.resize(tf.slice(image, begin, extent), (size, size), antialias=True)
