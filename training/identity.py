"""What a resumed run must find again: its settings, its data, its network and its teacher."""

import dataclasses
import hashlib
import json
from pathlib import Path

import keras
import numpy as np

from ghostnet_tf.commands import BadInput, log, write_json
from ghostnet_tf.training import distillation
from ghostnet_tf.training.config import RunConfig
from ghostnet_tf.training.records import Records
from ghostnet_tf.training.splits import Data, Split

FILE = "resume.json"


def record(folder: Path, config: RunConfig, data: Data, model: keras.Model) -> None:
    """Notes in a run folder what the run begins with."""
    found = {
        "config": dataclasses.asdict(config),
        "labels": data.labels,
        "data": {name: _summary(split) for name, split in data.parts.items()},
        "variables": [list(variable.shape) for variable in model.weights],
        "teacher": distillation.checksum(config),
    }
    write_json(folder / FILE, found)


def check_same(folder: Path, config: RunConfig, data: Data, model: keras.Model) -> None:
    """Refuses to continue a run with other settings, images, labels or another network than it began with.

    Raises:
        BadInput: With the list of differences.
    """
    path = folder / FILE
    if not path.is_file():
        log(f"{path} is missing, so it is not checked that settings, data and network are those the run began with")
        return
    then = json.loads(path.read_text(encoding="utf-8"))
    differences = [f"setting {line}" for line in RunConfig(**then["config"]).differences(config)]
    if then["labels"] != data.labels:
        differences.append(f"classes {', '.join(then['labels'])} -> {', '.join(data.labels)}")
    for part in sorted(then["data"].keys() | data.parts.keys()):
        differences += _differences(part, then["data"].get(part), data)
    if then.get("teacher") != distillation.checksum(config):
        differences.append(f"teacher {config.teacher}: other contents")
    shapes = [list(variable.shape) for variable in model.weights]
    differences += _variable_differences(then["variables"], shapes, [variable.path for variable in model.weights])
    if differences:
        raise BadInput(
            f"{folder} was begun with something else, and a resumed run goes on with the same: restore it, or start a "
            f"new run. Received (then -> now): {'; '.join(differences)}"
        )


def _summary(split: Split) -> dict:
    """Counts and a checksum of a split; of photos their sizes in bytes, since reading them all takes long."""
    summary = {"images": np.bincount(split.labels).tolist()}
    if split.encoded and isinstance(split.items[0], Path):
        return {**summary, "bytes": [path.stat().st_size for path in split.items]}
    digest = hashlib.sha256(split.labels.tobytes())
    if isinstance(split.items, Records):  # where they are and how long: reading them all takes long
        digest.update(np.ascontiguousarray(split.items.places))
    else:
        for item in split.items if split.encoded else [np.ascontiguousarray(split.items)]:
            digest.update(item)
    return {**summary, "sha256": digest.hexdigest()}


def _differences(part: str, then: dict | None, data: Data) -> list[str]:
    if then is None or part not in data.parts:
        return [f"{part} images: " + ("none -> some" if then is None else "some -> none")]
    now = _summary(data.parts[part])
    if then == now:
        return []
    if then["images"] != now["images"]:
        totals = f"{sum(then['images'])} -> {sum(now['images'])}"
        return [f"{part} images: {totals}, by class {then['images']} -> {now['images']}"]
    if "bytes" not in then or "bytes" not in now:
        return [f"{part} images: as many, but other pixels or labels"]
    changed = [index for index, size in enumerate(now["bytes"]) if size != then["bytes"][index]]
    first = changed[0]
    return [
        f"{part} images: {len(changed)} photos changed, first {data.parts[part].items[first]}, "
        f"{then['bytes'][first]} -> {now['bytes'][first]} bytes"
    ]


def _variable_differences(then: list, now: list, paths: list[str]) -> list[str]:
    if then == now:
        return []
    if len(then) != len(now):
        return [f"{len(then)} -> {len(now)} variables"]
    first = next(index for index, shape in enumerate(now) if shape != then[index])
    return [f"variable {paths[first]} {then[first]} -> {now[first]}"]
