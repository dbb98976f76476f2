"""Run folders, read back: settings, split and data, and what may take the place of one."""

import dataclasses
import json
import tomllib
from pathlib import Path

from ghostnet_tf.commands import BadInput, choose
from ghostnet_tf.training.config import RunConfig
from ghostnet_tf.untrusted import first_line

# Types of settings, and of the elements of lists -> what a TOML file may give
KINDS = {"int": (int,), "float": (float, int), "str": (str,), "bool": (bool,)}


def read_config(path: Path) -> dict:
    """The settings in a TOML file, checked against `RunConfig`.

    Raises:
        BadInput: If the file is missing or no TOML, or has an unknown key or a value of the wrong type.
    """
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise BadInput(f"expected a configuration file. Received: {path}, which does not exist") from None
    except (ValueError, RecursionError, IsADirectoryError) as error:
        raise BadInput(f"{path} is not readable as TOML: {first_line(error)}") from error
    fields = {field.name: field for field in dataclasses.fields(RunConfig)}
    for key, value in values.items():
        choose(f"setting in {path}", key, fields)
        expected = _types(fields[key].type)
        names = " or ".join(kind.__name__ for kind in expected)
        if not _is(value, expected):
            raise BadInput(f"{path}: expected `{key}` as {names}. Received: {value!r}")
        if isinstance(value, list) and not all(_is(each, _elements(fields[key].type)) for each in value):
            kinds = " or ".join(kind.__name__ for kind in _elements(fields[key].type))
            raise BadInput(f"{path}: expected `{key}` as {names} of {kinds}. Received: {value!r}")
    return values


def _is(value, expected: tuple[type, ...]) -> bool:
    return isinstance(value, expected) and (not isinstance(value, bool) or bool in expected)


def _types(annotation) -> tuple[type, ...]:
    name = str(getattr(annotation, "__name__", annotation)).split(" ")[0]
    return (list,) if name.startswith("list[") else KINDS[name]


def _elements(annotation) -> tuple[type, ...]:
    return KINDS[str(annotation).split(" ")[0].removeprefix("list[").removesuffix("]")]


def run_folder(path: Path | str) -> Path | None:
    """The run folder that `path` is, or lies in (at most two levels down), or `None`."""
    path = Path(path).resolve()
    candidates = [path, *path.parents[:2]]
    return next((folder for folder in candidates if (folder / "config.toml").is_file()), None)


def load_run(folder: Path | str) -> RunConfig:
    """The settings of a run folder.

    Raises:
        BadInput: If `folder` is not a run folder.
    """
    path = Path(folder) / "config.toml"
    if not path.is_file():
        raise BadInput(f"expected a run folder, with config.toml inside. Received: {folder}")
    return RunConfig(**read_config(path))


def check_output(folder: Path, data: str, overwrite: bool = False) -> None:
    """Refuses a run folder that would take the place of anything but an earlier run.

    Args:
        folder: Where a new run is to go: a new or empty folder, or with `overwrite` a run folder.
        data: The data set of the new run, which must not lie in a folder that is replaced.
        overwrite: Whether an earlier run may be replaced.

    Raises:
        BadInput: With the way out.
    """
    if not folder.is_dir():
        if folder.exists() or folder.is_symlink():
            raise BadInput(f"expected --output to be a folder. Received: {folder}, which is none")
        return
    if all(path.name.startswith(".config.toml-") for path in folder.iterdir()):  # of a run that was cut off at once
        return
    try:
        load_run(folder)
    except BadInput as error:
        raise BadInput(
            f"{folder} is not empty and holds no run, so it is not replaced; give another --output ({error})"
        ) from error
    if not overwrite:
        raise BadInput(f"{folder} exists; --resume {folder} continues it, --overwrite replaces it")
    if Path(data).is_dir() and Path(data).resolve().is_relative_to(folder.resolve()):
        raise BadInput(f"{data} lies in {folder}, which --overwrite would remove; give another --output")


def recorded_split(folder: Path | str) -> dict[str, list[str]] | None:
    """The photos of each part in a run that was trained on a folder of them, else `None`; for `data.load_data`."""
    record = Path(folder) / "split.json"
    return json.loads(record.read_text(encoding="utf-8")) if record.is_file() else None


def load_run_data(folder: Path | str):
    """The data set of a run, `data.Data`, in the very split that the run was trained with."""
    from ghostnet_tf.training.data import load_data

    config = load_run(folder)
    return load_data(
        config.data, data_dir=config.data_dir, size=config.size, seed=config.seed, split=recorded_split(folder)
    )
