"""Whether a `.tflite` file is still the one that was verified: checked against the JSON beside it."""

import dataclasses
import hashlib
import json
from argparse import Namespace
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ai_edge_litert.schema_py_generated import ModelT

from ghostnet_tf.commands import FAILED, OK, BadInput, CommandError, MissingResource, choose
from ghostnet_tf.litert.metadata import read_metadata
from ghostnet_tf.litert.normalization import Normalization
from ghostnet_tf.quiet import quiet
from ghostnet_tf.tflite import artefacts, sources
from ghostnet_tf.tflite.flatbuffer import unpack
from ghostnet_tf.tflite.graph import read_graph, structure
from ghostnet_tf.tflite.mixed import check_layers
from ghostnet_tf.tflite.run_folder import need
from ghostnet_tf.tflite.schemes import FILES, MIXED
from ghostnet_tf.untrusted import DAMAGE

# Less agreement than was recorded passes by so much, where the promise was not kept then either: rounding differs
# between processors, and two of 100 images may change sides.
SLACK = 0.02


@dataclass(frozen=True)
class Check:
    """One thing that was looked at.

    Attributes:
        name: What.
        passed: `None` where it could not be looked at.
        said: What was found, or why it fails.
    """

    name: str
    passed: bool | None
    said: str

    def __str__(self) -> str:
        verdict = {True: "ok", False: "FAILED", None: "not checked"}[self.passed]
        return f"{self.name}: {verdict}, {self.said}"


def run(args: Namespace, schemes: list[str]) -> int:
    """Prints a line a check of `--selftest`; the command's exit code.

    Raises:
        BadInput: If there is nothing to check: no file, no sidecar, no `.tflite` file.
        CommandError: If the file is cut off or cannot be read.
    """
    path, beside = args.selftest, artefacts.sidecar(args.selftest)
    if schemes:
        raise BadInput(f"--selftest converts nothing. Received: --{' --'.join(schemes)} with it")
    for file in (path, beside):
        if not file.is_file():
            raise BadInput(f"expected a .tflite file with its .json beside it. Received: {path}, {file} not found")
    record, content = _record(beside), path.read_bytes()
    if content[4:8] != b"TFL3":
        raise BadInput(f"expected a .tflite file. Received: {path}, which is none")
    if len(content) < need(record, "bytes", beside):
        raise CommandError(f"{path} is cut off: {len(content)} of {record['bytes']} bytes. Copy it or make it again")

    checks = []
    for check in _checks(path, content, record, beside, args):
        print(check, flush=True)
        checks.append(check)
    failed = [check for check in checks if check.passed is False]
    looked_at = sum(check.passed is not None for check in checks)
    print(f"{path}: {len(failed)} of {looked_at} checks failed" if failed else f"{path}: all {looked_at} checks passed")
    return FAILED if failed else OK


def _record(beside: Path) -> dict:
    try:
        return json.loads(beside.read_text(encoding="utf-8"))
    except ValueError as error:
        raise BadInput(f"{beside} is damaged: {error}") from error


def _checks(path: Path, content: bytes, record: dict, beside: Path, args: Namespace) -> Iterator[Check]:
    def recorded(key: str):
        return need(record, key, beside)

    digest = hashlib.sha256(content).hexdigest()
    intact = _same("sha256", recorded("sha256"), digest, digest)
    yield intact
    try:
        model = unpack(content, untrusted=True)
        graph = _plain(structure(model))
    except DAMAGE as error:
        raise CommandError(f"{path} is damaged and cannot be read: {error}. Copy it or make it again") from error
    graph["float_ops"] = len(graph["float_ops"])
    kinds = {key: recorded(f"graph.{key}") for key in ("ops", "dtypes", "float_ops")}
    total = f"{sum(graph['ops'].values())} of {len(graph['ops'])} kinds, {graph['float_ops']} of them on floats"
    yield _same("operations", kinds, {key: graph[key] for key in kinds}, total)
    if recorded("scheme") == MIXED.name:
        yield _layers(model, recorded("mixed.layers"))
    for role in ("inputs", "outputs"):
        said = "; ".join(f"{tensor['name']} {tensor['dtype']} {tuple(tensor['shape'])}" for tensor in graph[role])
        yield _same(role, recorded(f"graph.{role}"), graph[role], said)
    yield from _metadata(content, recorded("metadata"), recorded("labels"))

    pieces = {key: recorded(f"graph.{key}") for key in ("partitions", "outside")}
    if not intact.passed:  # native code does not look whether what it reads makes sense
        unsafe = "a file with another checksum is not run"
        yield Check("XNNPACK", None, unsafe)
        yield Check("agreement", None, unsafe)
        return
    found = _plain(read_graph(content).as_dict())
    said = f"{len(found['partitions'])} partitions of {found['partitions']} operations"
    yield _same("XNNPACK", pieces, {key: found[key] for key in pieces}, said)
    if args.check_gpu:
        yield _gpu(content, graph["inputs"][0]["shape"])
    then = {key: recorded(f"agreement.{key}") for key in ("value", "cosine")}
    yield _agreement(path, content, choose(f"scheme in {beside}", recorded("scheme"), FILES), then, args)


def _layers(model: ModelT, layers: list[str]) -> Check:
    """Whether the float operations of an int8 file are those of the layers that were left in float."""
    try:
        check_layers(model, layers)
    except DAMAGE as error:  # ConversionError among them
        return Check("layers in float", False, str(error))
    return Check("layers in float", True, ", ".join(layers) or "none")


def _plain(value: dict) -> dict:
    """As it comes back from JSON."""
    return json.loads(json.dumps(value, default=dataclasses.asdict))


def _same(name: str, recorded, found, said: str) -> Check:
    if recorded == found:
        return Check(name, True, said)
    if isinstance(recorded, dict) and isinstance(found, dict):  # only what differs
        keys = [key for key in {**recorded, **found} if recorded.get(key) != found.get(key)]
        recorded, found = ({key: side.get(key) for key in keys} for side in (recorded, found))
    return Check(name, False, f"expected {recorded}. Received: {found}")


def _metadata(content: bytes, recorded: dict, labels: list[str] | None) -> Iterator[Check]:
    try:
        metadata = read_metadata(content)
    except DAMAGE as error:
        yield Check("metadata", False, f"cannot be read: {error}")
        return
    if metadata is None:
        yield Check("metadata", False, "expected metadata in the file. Received: none")
        return
    takes = Normalization(metadata.mean, metadata.std)
    said = f"{metadata.name}, licence {metadata.license or 'not stated'}, takes {takes}"
    yield _same("metadata", recorded, _plain(metadata.as_dict()), said)
    if labels is None or metadata.labels is None or len(labels) != len(metadata.labels):
        counts = [0 if names is None else len(names) for names in (labels, metadata.labels)]
        yield _same("labels", *counts, "none, as recorded")
        return
    differ = {index: pair for index, pair in enumerate(zip(labels, metadata.labels, strict=True)) if pair[0] != pair[1]}
    if not differ:
        yield Check("labels", True, f"{len(labels)}, {labels[0]} to {labels[-1]}")
        return
    index, (expected, found) = next(iter(differ.items()))
    yield Check("labels", False, f"{len(differ)} differ; of class {index} expected {expected!r}. Received: {found!r}")


def _gpu(content: bytes, shape: list[int]) -> Check:
    """With synthetic images: two ways to compute the same are compared, not what it means."""
    from ghostnet_tf.tflite import calibrate, gpu

    try:
        check = gpu.check_on_gpu(content, calibrate.synthetic(tuple(shape[1:]), 0, gpu.IMAGES).held_out)
    except MissingResource:
        raise
    except CommandError as error:
        return Check("GPU", False, str(error))
    return Check("GPU", check.passed, str(check))


def _agreement(path: Path, content: bytes, scheme: str, then: dict[str, float], args: Namespace) -> Check:
    """Runs the file and the model that is given, or else that of the run folder that the file lies in."""
    given = args.model is not None or args.weights is not None
    if not given:
        from ghostnet_tf.training.runs import run_folder

        run = run_folder(path)
        if run is None or not (run / "model.keras").is_file():
            return Check("agreement", None, "no model at hand; --model RUN|FILE compares with one")
        args = Namespace(**{**vars(args), "model": str(run)})
    try:
        return _compared(content, scheme, then, args)
    except (BadInput, MissingResource) as error:
        if given:
            raise
        return Check("agreement", None, f"{error}")


def _compared(content: bytes, scheme: str, then: dict[str, float], args: Namespace) -> Check:
    source = sources.find(args)
    with quiet():  # TensorFlow's import writes to the terminal
        from ghostnet_tf.tflite.pipeline import choose_images
        from ghostnet_tf.tflite.verify import agreement, reference
    model, graph = source.load(), structure(unpack(content))
    shapes = {
        "model": [tuple(tensor.shape[1:]) for tensor in (*model.inputs, *model.outputs)],
        "file": [tensor.shape[1:] for tensor in (*graph["inputs"], *graph["outputs"])],
    }
    if shapes["model"] != shapes["file"]:
        return Check("agreement", False, f"{source.headline}: expected {shapes['model']}. Received: {shapes['file']}")
    images = choose_images(args, source, model.inputs[0].shape[1:], calibrated=False)
    natural = images.natural and source.trained_on != sources.UNTRAINED
    agrees = agreement(content, reference(model, images.held_out, natural), scheme)
    said = (
        f"{agrees.measure} {agrees.value:.4f} and cosine of logits {agrees.cosine:.6f} on {agrees.images} images "
        f"({images.name}); {then['value']:.4f} and {then['cosine']:.6f} when it was made"
    )
    promised = {"value": agrees.expected, "cosine": agrees.expected_cosine}
    least = {key: promise if then[key] >= promise else then[key] - SLACK for key, promise in promised.items()}
    kept = agrees.value >= least["value"] and agrees.cosine >= least["cosine"]
    needed = "" if kept else f"; expected at least {least['value']:.4f} and {least['cosine']:.6f}"
    return Check("agreement", kept, said + needed)
