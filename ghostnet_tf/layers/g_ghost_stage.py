"""The stage of G-Ghost networks (Han et al., "GhostNets on Heterogeneous Devices via Cheap Operations", IJCV 2022)."""

import math
from collections.abc import Callable

import keras

from ghostnet_tf.layers.composite import Composite, strided_shape
from ghostnet_tf.layers.convolution import ConvBN
from ghostnet_tf.layers.pointwise import Conv2D

GATHERED = 4  # maps in one concatenation: XNNPACK leaves those of many to the interpreter


@keras.saving.register_keras_serializable(package="ghostnet_tf")
class GGhostStage(Composite):
    """A stage of blocks of which only the first is wide; the ghost part of the output comes cheaply from its output.

    The stage makes `filters` channels: `filters - ghosts` complicated ones from thin blocks, and ghosts from the
    first block's output by a 1x1 convolution with batch normalization. With `mix`, the means over the image of what
    the blocks computed become, through dense layers, an offset a channel that is added to the ghosts before ReLU.

    There are two forms.

    - `"paper"`: the thin blocks and the cheap operation read all of the first block's output; the mix is one dense
      layer with bias on the thin blocks' means; the output is the concatenation of both parts. This is the paper's
      text; it leaves open details, such as normalization after the cheap operation.
    - `"released"`: the official code. The thin blocks read the first channels of the first block's output, the cheap
      operation the rest; the mix is two dense layers without bias, both normalized, on the means of the first
      block's output too; and the last block is wide and follows the concatenation.

    Args:
        filters: Channels of the stage.
        depth: Blocks in all, at least 2, in the released form 3.
        block: Makes a block, called as `block(filters, strides=…, name=…, dtype=…, **options)`: a layer class, or
            any function that returns a layer and is registered with `keras.saving.register_keras_serializable`.
        block_options: Further arguments of the wide blocks.
        thin_options: Arguments that differ for the thin blocks.
        strides: Of the first block.
        ghost_ratio: lambda of the paper, the share of ghosts, above 0 and below 1.
        divisor: The complicated part is rounded down to a multiple of it.
        mix: Whether to mix.
        form: `"paper"` or `"released"`.

    Input `(batch, height, width, channels)`; output `(batch, ceil(height / strides), ceil(width / strides), filters)`.

    Raises:
        ValueError: On values out of range, or where no complicated channel is left.
    """

    def __init__(
        self,
        filters: int,
        depth: int,
        block: Callable[..., keras.layers.Layer],
        block_options: dict | None = None,
        thin_options: dict | None = None,
        strides: int = 1,
        ghost_ratio: float = 0.5,
        divisor: int = 1,
        mix: bool = True,
        form: str = "released",
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.filters = filters
        self.depth = depth
        self.block = block
        self.block_options = dict(block_options or {})
        self.thin_options = dict(thin_options or {})
        self.strides = strides
        self.ghost_ratio = ghost_ratio
        self.divisor = divisor
        self.mix = mix
        self.form = form
        if form not in ("paper", "released"):
            raise ValueError(f'Expected `form` to be "paper" or "released". Received: form={form!r}')
        if depth < (2 if form == "paper" else 3):
            raise ValueError(
                f"Expected `depth` of at least 2, and 3 in the released form. Received: depth={depth}, form={form!r}"
            )
        if not 0 < ghost_ratio < 1:
            raise ValueError(f"Expected `ghost_ratio` between 0 and 1. Received: ghost_ratio={ghost_ratio}")
        # Rounded first: 10 * (1 - 0.4) must not become 5.
        self.complicated = int(round(filters * (1 - ghost_ratio), 6)) // divisor * divisor
        self.ghosts = filters - self.complicated
        if not self.complicated:
            raise ValueError(
                "Expected at least one complicated channel. "
                f"Received: filters={filters}, ghost_ratio={ghost_ratio}, divisor={divisor}"
            )

    def build(self, input_shape):
        def options(role):
            return {"name": self.sublayer_name(role), "dtype": self.dtype_policy}

        def wide(role, strides=1):
            return self.block(self.filters, strides=strides, **self.block_options, **options(role))

        released = self.form == "released"
        thin = {**self.block_options, **self.thin_options}
        self.base = wide("base", self.strides)
        self.thin = [
            self.block(self.complicated, strides=1, **thin, **options(f"thin_{index}"))
            for index in range(self.depth - (2 if released else 1))
        ]
        self.cheap = ConvBN(self.ghosts, activation=None, **options("cheap"))
        if self.mix:
            self.pools = [
                keras.layers.GlobalAveragePooling2D(keepdims=True, **options(f"mix_pool_{index}"))
                for index in range(len(self.thin) + released)
            ]
            self.gather = [
                keras.layers.Concatenate(**options(f"mix_concat_{index}"))
                for index in range(math.ceil((len(self.pools) - 1) / (GATHERED - 1)))
            ]
            if released:
                self.mixing = [
                    ConvBN(self.ghosts, **options("mix_1")),
                    ConvBN(self.ghosts, activation=None, **options("mix_2")),
                ]
            else:
                self.mixing = [Conv2D(self.ghosts, 1, kernel_initializer="he_normal", **options("mix_1"))]
            self.add = keras.layers.Add(**options("mix_add"))
        self.act = keras.layers.ReLU(**options("act"))
        self.concat = keras.layers.Concatenate(**options("concat"))
        self.end = wide("end") if released else None
        super().build(input_shape)

    def call(self, inputs, training=None):
        base = self.base(inputs, training=training)
        x, rest = base, base
        if self.form == "released":
            x, rest = base[..., : self.complicated], base[..., self.complicated :]
        ghosts = self.cheap(rest, training=training)
        blocks = [base] if self.form == "released" else []
        for thin in self.thin:
            x = thin(x, training=training)
            blocks.append(x)
        if self.mix:
            # The mean of a concatenation is the concatenation of means: less to move.
            means = [pool(block) for pool, block in zip(self.pools, blocks, strict=True)]
            for concatenate in self.gather:
                means = [concatenate(means[:GATHERED]), *means[GATHERED:]]
            (offset,) = means
            for layer in self.mixing:
                offset = layer(offset, training=training)
            ghosts = self.add([ghosts, offset])
        x = self.concat([x, self.act(ghosts)])
        return x if self.end is None else self.end(x, training=training)

    def compute_output_shape(self, input_shape):
        return strided_shape(input_shape, self.strides, self.filters)

    def get_config(self):
        return super().get_config() | {
            "filters": self.filters,
            "depth": self.depth,
            "block": keras.saving.get_registered_name(self.block),
            "block_options": self.block_options,
            "thin_options": self.thin_options,
            "strides": self.strides,
            "ghost_ratio": self.ghost_ratio,
            "divisor": self.divisor,
            "mix": self.mix,
            "form": self.form,
        }

    @classmethod
    def from_config(cls, config):
        block = keras.saving.get_registered_object(config["block"])
        if block is None:
            raise ValueError(
                "Expected `block` to be registered with keras.saving.register_keras_serializable. "
                f"Received: block={config['block']!r}"
            )
        return super().from_config(config | {"block": block})
