"""What a conversion starts from: a run, a saved model, or a network with published, given or no weights."""

import json
import warnings
from argparse import Namespace
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from ghostnet_tf.commands import BadInput, MissingResource, flag
from ghostnet_tf.networks import NETWORKS, OPTIONS, full_name, settings
from ghostnet_tf.quiet import quiet
from ghostnet_tf.tflite import calibrate
from ghostnet_tf.untrusted import DAMAGE, zip_archive

if TYPE_CHECKING:
    import keras

    from ghostnet_tf.weights import Carried

HUB_TIMEOUT = 5.0  # seconds that the default, ImageNet weights if they can be had, may wait for the hub
UNTRAINED = "untrained"
DEFAULT = "ghostnet"  # of NETWORKS
MODELS = "a run folder, a .keras or a .weights.h5 file"


@dataclass(frozen=True)
class Source:
    """A model to convert, not yet loaded.

    Attributes:
        network: First part of the files' names: family and width times 100, or the name of a model's file.
        size: Height and width of its inputs in pixels.
        trained_on: Data set, `"untrained"`, or `None` where it is not known.
        headline: What it is, in one line.
        load: Builds or loads the model, with inputs of a known size.
        folder: Where the files go by default.
        run: The run folder that the model lies in.
        labels: Class names by index, where they are known.
        license: Of published weights.
    """

    network: str
    size: tuple[int, int]
    trained_on: str | None
    headline: str
    load: "Callable[[], keras.Model]" = field(repr=False)
    folder: Path = Path("exports")
    run: Path | None = None
    labels: list[str] | None = None
    license: str | None = None


def find(args: Namespace) -> Source:
    """The source that a command line means; see the command for the arguments.

    Raises:
        BadInput: On a file that cannot be converted, or arguments that contradict each other.
        MissingResource: If weights were asked for by name and cannot be had.
    """
    if args.model is None or args.model in NETWORKS:
        return _network(args.model or DEFAULT, args)
    path = Path(args.model)
    if not path.exists():
        names = ", ".join(NETWORKS)
        raise BadInput(f"expected --model as {MODELS}, or one of {names}. Received: {path}, not found")
    if path.suffix == ".tflite":
        raise BadInput(f"{path} is converted already; give the run folder or the .keras file that it was made from")
    weights_only = path.name.endswith(".weights.h5")
    for name in ("weights", *(() if weights_only else (*OPTIONS, "classes"))):
        if getattr(args, name) is not None:
            raise BadInput(f"{flag(name)} belongs to networks built here; {path} has its own")
    if weights_only:
        return _network_with(path, DEFAULT, args)
    if path.is_dir() or path.suffix == ".keras":
        return _saved(path, args.size)
    raise BadInput(f"expected --model as {MODELS}. Received: {path}")


def _saved(path: Path, size: int | None) -> Source:
    from ghostnet_tf.training.runs import load_run, run_folder

    run = run_folder(path)
    file = path / "model.keras" if path.is_dir() else path
    if path.is_dir() and run != path.resolve():
        raise BadInput(f"expected a run folder, with config.toml inside. Received: {path}")
    if not file.is_file():
        raise BadInput(f"expected a finished run. Received: {path}, without model.keras")
    found = _input_size(file)
    if size is not None and any(side not in (None, size) for side in found):
        raise BadInput(f"expected --size {found[0]}, the model's own. Received: --size {size} for {file}")
    if size is None and None in found:
        raise BadInput(f"{file} takes images of any size; say which with --size")
    found = tuple(side or size for side in found)

    def load() -> "keras.Model":
        return _load(file, found)

    if run is None:
        return Source(file.stem, found, None, f"{file}", load)
    config = load_run(run)
    data = Path(config.data).resolve().name if Path(config.data).is_dir() else config.data.replace("/", "-")
    labels = run / "labels.txt"
    return Source(
        config.network,
        found,
        data,
        f"{file}, trained on {config.data}",
        load,
        folder=run / "exports",
        run=run,
        labels=labels.read_text(encoding="utf-8").splitlines() if labels.is_file() else None,
    )


def _input_size(file: Path) -> tuple[int | None, int | None]:
    """Height and width of a saved model's input, read without loading it."""
    try:
        with zip_archive(file) as archive:
            shapes = list(_input_shapes(json.loads(archive.read("config.json"))))
    except DAMAGE as error:
        raise BadInput(f"expected a .keras file as Keras saves it. Received: {file} ({error})") from error
    if len(shapes) != 1 or len(shapes[0]) != 4:
        raise BadInput(f"expected a model with one input of images. Received: {file} with input shapes {shapes}")
    return tuple(shapes[0][1:3])


def _input_shapes(config: object) -> Iterator[list]:
    """Shapes of the inputs of the outermost model in Keras's JSON."""
    if isinstance(config, dict):
        layers = config.get("config", {}).get("layers", [])
        for layer in layers:
            if layer.get("class_name") == "InputLayer":
                yield layer["config"]["batch_shape"]


def _load(file: Path, size: tuple[int, int]) -> "keras.Model":
    """The saved model, with inputs of `size` where its own are open."""
    import keras

    from ghostnet_tf.weights.keras_file import load_keras

    try:
        model = load_keras(file)
    except ValueError as error:
        raise BadInput(f"Keras cannot load {file}: {error}") from error
    (source,) = model.inputs
    if None not in source.shape[1:3]:
        return model
    inputs = keras.Input((*size, source.shape[-1]), name=source.name)
    return keras.models.clone_model(model, input_tensors=inputs, clone_function=lambda layer: layer)


def _network(model: str, args: Namespace) -> Source:
    """A network by name, with the weights that `--weights` means: best available, none, published, a file."""
    name = _name(model, args)
    if args.weights == "none":
        return _untrained(model, args, "as asked")
    own = NETWORKS[model].carried
    if args.weights not in (None, "imagenet", own):
        return _network_with(Path(args.weights), model, args)
    with quiet():  # TensorFlow's import writes to the terminal
        from ghostnet_tf.weights import WeightsUnavailable, carried

    row = carried(model, args.weights)
    if row is not None and (args.weights == own or _default(row, args)):
        return _from_package(row, args)
    try:
        tag = _imagenet_tag(model, args)
    except ValueError as error:
        if args.weights == "imagenet":
            raise BadInput(str(error)) from error
        return _untrained(model, args, "no trained weights are known for these settings")
    try:
        file = published(tag)
    except WeightsUnavailable as error:
        if args.weights == "imagenet":
            raise MissingResource(str(error)) from error
        return _untrained(model, args, str(error).split(". ")[0])
    from ghostnet_tf.models import imagenet_classes

    return Source(
        name,
        _side(model, args),
        "imagenet",
        f"{name} with ImageNet weights, {tag}",
        lambda: _built(model, args, weights=file),
        labels=[name for _, name in imagenet_classes()],
        license="Apache-2.0",
    )


def _default(row: "Carried", args: Namespace) -> bool:
    """Whether the network that the arguments mean is the one with these weights."""
    return settings(row.family, vars(args)) == NETWORKS[row.family].options and args.classes in (None, len(row.labels))


def _from_package(row: "Carried", args: Namespace) -> Source:
    name = _name(row.family, args)
    return Source(
        name,
        _side(row.family, args),
        row.tag,
        f"{name} with the package's weights, trained on {row.tag}",
        lambda: _built(row.family, args, weights=row.tag),
        labels=row.labels,
        license="Apache-2.0",
    )


def _imagenet_tag(model: str, args: Namespace) -> str:
    """The published weights of a network by name.

    Raises:
        ValueError: If there are none for its options.
    """
    from ghostnet_tf.weights import imagenet_tag, list_weights

    families = dict.fromkeys(row.family for row in list_weights().values())
    if model not in families:
        raise ValueError(
            f"Expected a network with published ImageNet weights: {', '.join(families)}. Received: {model}"
        )
    if args.classes not in (None, 1000):
        raise ValueError(f"Expected 1000 classes, those of ImageNet's weights. Received: {args.classes}")
    options, defaults = settings(model, vars(args)), NETWORKS[model].options
    for name, value in options.items():
        if name != "width" and value != defaults[name]:
            raise ValueError(f"Expected the published network for ImageNet weights. Received: {flag(name)} {value}")
    return imagenet_tag(model, options["width"])


def published(tag: str) -> Path:
    """The local file of published weights, waiting at most `HUB_TIMEOUT` for the hub."""
    from ghostnet_tf.weights import fetch

    return fetch(tag, timeout=HUB_TIMEOUT)


def _untrained(model: str, args: Namespace, why: str) -> Source:
    def load() -> "keras.Model":
        network = _built(model, args, weights=None)
        images = calibrate.synthetic(network.inputs[0].shape[1:], calibrate.SETTLING, 0, args.seed + 1)
        calibrate.settle(network, images.calibration)
        return network

    name = _name(model, args)
    headline = f"{name} with UNTRAINED weights ({why}): good for latency and integration, not for predictions"
    return Source(name, _side(model, args), UNTRAINED, headline, load)


def _network_with(weights: Path, model: str, args: Namespace) -> Source:
    if not weights.is_file():
        expected = "imagenet, none, the package's own, or a .safetensors, .weights.h5, .keras, .pth or .index file"
        raise BadInput(f"expected --weights as {expected}. Received: {weights}, which is no file")
    name = _name(model, args)
    kind = next((end for end in (".weights.h5", ".pth.tar") if weights.name.endswith(end)), weights.suffix)
    trained_on = weights.name.removesuffix(kind)

    def load() -> "keras.Model":
        return _built(model, args, weights=weights)

    return Source(name, _side(model, args), trained_on, f"{name} with {weights}", load)


def _name(model: str, args: Namespace) -> str:
    return full_name(model, settings(model, vars(args)))


def _side(model: str, args: Namespace) -> tuple[int, int]:
    size = args.size or NETWORKS[model].size
    return size, size


def _built(model: str, args: Namespace, weights: Path | str | None) -> "keras.Model":
    import keras

    from ghostnet_tf.models import BUILDERS
    from ghostnet_tf.weights import WeightsUnavailable

    keras.utils.set_random_seed(args.seed)
    try:
        with warnings.catch_warnings():
            # A classifier that starts anew would leave an untrained model in a file that is named after its weights.
            warnings.filterwarnings("error", message=".*starts anew")
            return BUILDERS[model](
                input_shape=(*_side(model, args), 3),
                weights=None if weights is None else str(weights),
                **settings(model, vars(args)),
                **({} if args.classes is None else {"classes": args.classes}),
            )
    except UserWarning as warning:
        raise BadInput(f"{str(warning).split(':')[0]}; give their number with --classes") from warning
    except ValueError as error:
        raise BadInput(str(error)) from error
    except WeightsUnavailable as error:  # what reads the file is not installed
        raise MissingResource(str(error)) from error
