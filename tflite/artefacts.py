"""Names of the files that a conversion makes, and the JSON that goes beside each."""

import re
from collections.abc import Iterable
from pathlib import Path

from ghostnet_tf.commands import BadInput
from ghostnet_tf.tflite.schemes import FILES


def stem(network: str, size: tuple[int, int], trained_on: str | None) -> str:
    """The name without scheme, such as `ghostnet_100_224_imagenet`.

    Args:
        network: Family and width times 100, or a file's own name.
        size: Height and width in pixels; one number where they are equal.
        trained_on: Data set, `"untrained"`, or `None` where it is not known.
    """
    height, width = size
    side = str(height) if height == width else f"{height}x{width}"
    parts = [network, side, *([trained_on] if trained_on else [])]
    return "_".join(re.sub(r"[^\w.-]+", "-", part) for part in parts)


def paths(output: Path | None, folder: Path, stem: str, schemes: Iterable[str]) -> dict[str, Path]:
    """Where the file of each scheme goes.

    Args:
        output: `--output`: a file (`.tflite`, one scheme only), a folder, or `None` for `folder`.

    Raises:
        BadInput: If `output` is a file for several schemes, or its name claims another scheme.
    """
    schemes = list(schemes)
    if output is None or output.suffix != ".tflite":
        folder = output or folder
        if folder.exists() and not folder.is_dir():
            raise BadInput(f"expected --output as a folder or a name ending in .tflite. Received: {output}")
        return {scheme: folder / f"{stem}_{scheme}.tflite" for scheme in schemes}
    if len(schemes) > 1:
        raise BadInput(f"expected --output as a folder for several schemes ({', '.join(schemes)}). Received: {output}")
    claimed = _claimed(output)
    if claimed and claimed[1] != schemes[0]:
        raise BadInput(f"expected a name that does not claim another scheme than {schemes[0]}. Received: {output}")
    return {schemes[0]: output}


def in_scheme(path: Path, scheme: str) -> Path | None:
    """Where the file of another scheme lies, by the name of one; `None` if that name ends in no scheme."""
    claimed = _claimed(path)
    return path.with_name(f"{path.stem[: claimed.start(1)]}{scheme}{path.suffix}") if claimed else None


def _claimed(path: Path) -> re.Match | None:
    """The scheme at the end of a file's name."""
    return re.search(rf"[_-]({'|'.join(FILES)})$", path.stem)


def sidecar(path: Path) -> Path:
    """The JSON beside a `.tflite` file."""
    return path.with_suffix(".json")


def check_free(paths: Iterable[Path], *reports: Path | None) -> None:
    """Refuses to replace files.

    Raises:
        BadInput: If one of `paths`, a sidecar, or one of `reports` exists.
    """
    files = [file for path in paths for file in (path, sidecar(path))] + list(filter(None, reports))
    taken = [str(file) for file in files if file.exists()]
    if taken:
        raise BadInput(f"{', '.join(taken)} exist{'s' * (len(taken) == 1)} already; give another name, or --overwrite")
