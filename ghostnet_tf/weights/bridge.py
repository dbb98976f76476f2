"""Between the dialects of GhostNet: the same function in other numbers.

- The gate `min(max(x, 0), 1)` is the hard sigmoid of `6 x - 3`.
- Batch normalization after the head's convolution folds into its weights and a bias; the other way, a bias is a
  normalization by fixed statistics.
- Squeezed channels that nothing reads may be added, and left out where a file has more than the model.

Padding is not among what weights can express: see `strided_padding`.
"""

import keras
import numpy as np

from ghostnet_tf.layers import BatchNormalization, GhostBottleneck
from ghostnet_tf.layers.convolution import BATCH_NORM, scale_and_shift
from ghostnet_tf.models.ghostnet import DIALECTS

HEAD_BN = tuple(f"head_bn/{kind}" for kind in ("gamma", "beta", "moving_mean", "moving_variance"))
SE = ("reduce/kernel", "reduce/bias", "expand/kernel", "expand/bias")


def clips(model: keras.Model) -> bool:
    """Whether a GhostNet has the clipping gate and the normalized head, as in the paper's dialects."""
    names = [layer.name for layer in model._flatten_layers()]
    return {"head_conv", "head_bn"} <= set(names) or any(name.endswith("_gate_rescale") for name in names)


def values_clip(values: dict[str, np.ndarray], model: keras.Model) -> bool:
    """`clips` of the network that `values`, by "layer/variable", come from; `model` is where they go.

    Without a head in them, squeezed channels tell; where those agree, so do the dialects, as far as can be seen.
    """
    if HEAD_BN[0] in values or "head_conv/bias" in values:
        return HEAD_BN[0] in values
    squeezed = {w.path.split("/")[-2]: w.shape[0] for w in model.weights if w.path.endswith("_se_reduce/bias")}
    same = all(np.shape(values.get(f"{layer}/bias", range(units))) == (units,) for layer, units in squeezed.items())
    return clips(model) == same


def strided_padding(model: keras.Model) -> str | None:
    """Padding of the convolutions with strides, see `ConvBN`; `None` if there are none."""
    for layer in model._flatten_layers():
        convolution = isinstance(layer, (keras.layers.Conv2D, keras.layers.DepthwiseConv2D))
        if convolution and max(layer.strides) > 1 and max(layer.kernel_size) > 1:
            return "same" if layer.padding == "same" else "symmetric"
    return None


def other_dialect(model: keras.Model) -> keras.Model:
    """A new model as `model`, a GhostNet, but with the other gate, squeezed channels and head; padding stays."""
    dialect = DIALECTS["release" if clips(model) else "paper"]

    def make(layer):
        config = layer.get_config()
        if isinstance(layer, GhostBottleneck):
            config |= {"se_divisor": dialect.se_divisor, "se_gate": dialect.se_gate}
        elif layer.name == "head_conv":
            config["use_bias"] = not dialect.head_bn
        return type(layer).from_config(config)

    def call(layer, *args, **kwargs):
        if layer.name == "head_bn":
            return args[0]
        x = layer(*args, **kwargs)
        if layer.name == "head_conv" and dialect.head_bn:
            x = BatchNormalization(name="head_bn", dtype=layer.dtype_policy, **BATCH_NORM)(x)
        return x

    return keras.models.clone_model(model, clone_function=make, call_function=call)


def bridged(values: dict[str, np.ndarray], variables: dict, to_clip: bool) -> dict[str, np.ndarray]:
    """Values of one dialect's network for the variables of the other's, both by "layer/variable".

    Values whose shapes do not go together stay as they are.

    Args:
        to_clip: Whether they go to the clipping gate and the normalized head, or come from there.

    Raises:
        ValueError: If there are more squeezed channels in use than the model has.
    """
    values = dict(values)
    for key in variables:
        if key.endswith("_se_reduce/bias"):
            _bridge_gate(values, variables, key.removesuffix("reduce/bias"), to_clip)
    kernel = values.get("head_conv/kernel")
    if to_clip and "head_conv/bias" in values:
        bias = np.asarray(values.pop("head_conv/bias"), np.float64)
        fixed = (np.ones_like(bias), bias, np.zeros_like(bias), np.full_like(bias, 1 - BATCH_NORM["epsilon"]))
        values |= dict(zip(HEAD_BN, fixed, strict=True))
    elif not to_clip and np.ndim(kernel) == 4 and all(np.shape(values.get(key)) == kernel.shape[3:] for key in HEAD_BN):
        with np.errstate(invalid="ignore", divide="ignore"):  # a variance below 0 gives NaN, which loading refuses
            scale, values["head_conv/bias"] = scale_and_shift(
                *(values.pop(key) for key in HEAD_BN), epsilon=BATCH_NORM["epsilon"]
            )
            values["head_conv/kernel"] = kernel * scale
    return values


def _bridge_gate(values: dict[str, np.ndarray], variables: dict, se: str, to_clip: bool) -> None:
    """The squeeze-and-excitation block whose variables begin with `se`, in place."""
    keys = [f"{se}{part}" for part in SE]
    if not all(key in values for key in keys):
        return
    reduce, reduce_bias, expand, expand_bias = (np.asarray(values[key], np.float64) for key in keys)
    channels, units = variables[keys[2]].shape[-1], variables[keys[1]].shape[0]
    squeezed = reduce_bias.size
    shapes = reduce_bias.shape, reduce.shape, expand.shape
    if shapes != ((squeezed,), (1, 1, channels, squeezed), (1, 1, squeezed, channels)):
        return
    kept = np.arange(squeezed)
    if units < kept.size:
        kept = np.flatnonzero(expand.any(axis=(0, 1, 3)))
    if units < kept.size:
        raise ValueError(
            f"Expected at most {units} squeezed channels in use in {se.rstrip('_')}, as the model has. Received: "
            f"{kept.size}. These weights have no equal in the model's dialect; build the model in theirs."
        )
    more = (0, units - kept.size)
    reduce = np.pad(reduce[..., kept], ((0, 0), (0, 0), (0, 0), more))
    expand = np.pad(expand[:, :, kept], ((0, 0), (0, 0), more, (0, 0)))
    expand, expand_bias = (expand / 6, (expand_bias + 3) / 6) if to_clip else (6 * expand, 6 * expand_bias - 3)
    values |= dict(zip(keys, (reduce, np.pad(reduce_bias[kept], more), expand, expand_bias), strict=True))
