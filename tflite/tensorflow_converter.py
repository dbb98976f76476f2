"""TensorFlow's converter: from a Keras model to what it makes of it, with a batch of 1."""

import contextlib
import re
import tempfile
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import keras

    from ghostnet_tf.tflite.schemes import Scheme


SHRUNK = ("fp16", "dynamic")  # schemes of which TensorFlow's converter makes the weights


class ConversionError(RuntimeError):
    """The model cannot be converted.

    Attributes:
        log: Everything that TensorFlow said, where the message does not explain it.
    """

    def __init__(self, message: str, log: str = ""):
        super().__init__(message)
        self.log = log


def converted(model: "keras.Model", row: "Scheme") -> bytes:
    """What TensorFlow's converter makes of `model`, before it is rearranged or quantized to int8.

    Raises:
        ConversionError: If TensorFlow cannot convert it.
    """
    import tensorflow as tf
    from tensorflow.lite.python.convert_phase import ConverterError

    from ghostnet_tf.quiet import quiet

    with quiet() as written, _frozen(model) as folder:
        converter = tf.lite.TFLiteConverter.from_saved_model(folder)
        if row.name in SHRUNK:
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
        if row.name == "fp16":
            converter.target_spec.supported_types = [tf.float16]
            # Tells XNNPACK that it may compute in 16 bits where the processor does (ARMv8.2 and later).
            converter.target_spec._experimental_supported_accumulation_type = tf.float16
        try:
            return converter.convert()
        except ConverterError as error:
            said = f"{error}\n{written()}"
            known = _unsupported(said)
            reason, log = (said.strip().splitlines()[0], said) if known is None else (known, "")
            raise ConversionError(f"{model.name} cannot be converted to {row.name}: {reason}", log) from error


def _unsupported(said: str) -> str | None:
    """Unsupported operations and the layers that they are in, where that is what the converter says."""
    # Such as: error: loc(… fused["Roll:", "model_1/layer/Roll@…"] …): 'tf.Roll' op is neither a custom op nor a flex op
    line = r'error: .*?fused\["\w+:", "([^"@]+)/[^"/@]+@.*: \'tf\.(\w+)\' op is neither'
    found = dict.fromkeys(f"{op} in {layer}" for layer, op in re.findall(line, said))
    if not found:
        return None
    return f"LiteRT has no operation for {'; '.join(found)}. Write the layer with other operations."


@contextlib.contextmanager
def _frozen(model) -> Iterator[str]:
    """A temporary SavedModel of `model` with a batch of 1 and its weights as constants.

    `model.export` gives the same `.tflite` file but takes 15 seconds instead of 4: it saves the variables one by one.
    """
    import tensorflow as tf
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    (source,) = model.inputs
    signature = tf.function(
        input_signature=[tf.TensorSpec((1, *source.shape[1:]), source.dtype, name=source.name)], autograph=False
    )
    # A list, since the frozen function gives its outputs in the order of this one's.
    traced = signature(lambda inputs: tf.nest.flatten(model(inputs, training=False))).get_concrete_function()
    frozen = convert_variables_to_constants_v2(traced)
    module = tf.Module()
    module.serve = signature(lambda inputs: {f"output_{i}": output for i, output in enumerate(frozen(inputs))})
    with tempfile.TemporaryDirectory(prefix="ghostnet-tf-") as folder:
        # Gradients are of no use here, and those of `tf.nn.silu` do not survive freezing.
        options = tf.saved_model.SaveOptions(experimental_custom_gradients=False)
        tf.saved_model.save(module, folder, signatures=module.serve, options=options)
        yield folder
