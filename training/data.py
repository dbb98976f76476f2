"""Data sets: scikit-learn's digits, any TensorFlow Datasets name, or a folder of photos by class."""

import os
from multiprocessing.pool import ThreadPool
from pathlib import Path

import numpy as np

from ghostnet_tf.commands import BadInput, log, progress
from ghostnet_tf.training.images import UnreadableImage, list_photos, read_image
from ghostnet_tf.training.prepared import load_prepared
from ghostnet_tf.training.splits import Data, Split, square_pixels, stratified

VAL_FRACTION = 0.2  # of a data set that comes without a split of its own
MAX_UNREADABLE = 0.01  # share of unreadable photos above which a folder is refused


def load_data(
    name: str,
    *,
    data_dir: str | Path | None = None,
    size: int | None = None,
    seed: int = 0,
    split: dict[str, list[str]] | None = None,
) -> Data:
    """Loads a data set.

    Args:
        name: `"digits"`, a folder of photos, or a TensorFlow Datasets name such as `"cifar10"`.
        data_dir: Where TensorFlow Datasets keeps its prepared data (its own default if `None`), or the folder of the
            four idx files of MNIST and its like.
        size: Pixels a side; by default 32 for data sets of small images, 224 for photos.
        seed: Of the split of a data set that has none of its own.
        split: A recorded split of a folder (`split_of`), used instead of making one.

    Raises:
        BadInput: If the name or the folder cannot be used.
        MissingResource: If the data set is not prepared and cannot be downloaded.
    """
    if name == "digits":
        return _digits(size or 32, seed)
    if Path(name).is_dir():
        return _folder(Path(name), size or 224, seed, split)
    if Path(name).exists():
        raise BadInput(f"expected a data set name or a folder with one subfolder a class. Received: {name!r}, a file")
    return load_prepared(name, data_dir, size, seed, VAL_FRACTION)


def split_of(data: Data, folder: Path) -> dict[str, list[str]]:
    """The files of a folder data set by split, relative to `folder`, for a record that `load_data` takes back."""
    return {name: [path.relative_to(folder).as_posix() for path in part.items] for name, part in data.parts.items()}


def _digits(size: int, seed: int) -> Data:
    from sklearn.datasets import load_digits

    scans = load_digits()
    gray = np.round(scans.images * (255 / 16)).astype(np.uint8)
    images = square_pixels(gray[..., None], size)
    train, val = stratified(scans.target, seed, VAL_FRACTION)
    held_out = Split(images[val], scans.target[val], size)
    return Data(
        Split(images[train], scans.target[train], size), held_out, held_out, [str(d) for d in range(10)], flip=False
    )


def _folder(folder: Path, size: int, seed: int, record: dict[str, list[str]] | None) -> Data:
    """`folder/train/CLASS/…` with `val/` (and `test/`), or `folder/CLASS/…`, split here."""
    own_splits = (folder / "train").is_dir() and (folder / "val").is_dir()
    if record is not None:
        missing = [name for names in record.values() for name in names if not (folder / name).is_file()]
        if missing:
            raise BadInput(f"{len(missing)} photos of the recorded split are gone from {folder}, first {missing[0]}")
        files = {part: [folder / name for name in names] for part, names in record.items()}
    elif own_splits:
        files = {part: _class_photos(folder / part) for part in ("train", "val", "test") if (folder / part).is_dir()}
    else:
        files = {"train": _class_photos(folder)}

    def classes(part: str) -> list[str]:
        root = folder / part if own_splits else folder
        return [file.relative_to(root).parts[0] for file in files[part]]

    names = {part: classes(part) for part in files}
    labels = sorted(set(names["train"]))
    if len(labels) < 2:
        found = f"photos of {len(labels)} class" + (f" ({labels[0]})" if labels else "es")
        raise BadInput(f"expected {folder} to have subfolders of photos, one a class, at least two. Received: {found}")
    numbers = {name: number for number, name in enumerate(labels)}
    for part in files:
        unknown = sorted(set(names[part]) - numbers.keys())
        if unknown:
            raise BadInput(f"{folder / part} has classes that the training photos lack: {', '.join(unknown)}")
    splits = {
        part: Split(files[part], np.array([numbers[name] for name in names[part]], np.int64), size) for part in files
    }
    if "val" not in splits:
        counts = np.bincount(splits["train"].labels, minlength=len(labels))
        single = [label for label, count in zip(labels, counts, strict=True) if count < 2]
        if single:
            more = f" and {len(single) - 5} more" if len(single) > 5 else ""
            raise BadInput(
                "expected at least 2 photos a class, to hold some out; add photos or leave such classes out. "
                f"Received: one in {', '.join(single[:5])}{more}"
            )
        kept, held_out = _split_photos(splits["train"].labels, seed)
        splits = {"train": splits["train"].subset(kept), "val": splits["train"].subset(held_out)}
    return Data(splits["train"], splits["val"], splits.get("test", splits["val"]), labels)


def _class_photos(root: Path) -> list[Path]:
    """The readable photos in the subfolders of `root`."""
    folders = [folder for folder in sorted(root.iterdir()) if folder.is_dir()]
    for folder in folders:
        if root.resolve().is_relative_to(folder.resolve()):
            raise BadInput(f"expected a folder of one class. Received: {folder}, a link to what holds all classes")
    files = [file for folder in folders for file in list_photos(folder)]
    return readable(files)


def _split_photos(labels: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """A seeded split that holds out a fifth of every class, at least one photo."""
    rng = np.random.default_rng(seed)
    held_out = []
    for index in np.unique(labels):
        photos = rng.permutation(np.flatnonzero(labels == index))
        held_out.extend(photos[: max(1, round(VAL_FRACTION * len(photos)))])
    held_out = np.sort(np.array(held_out))
    return np.setdiff1d(np.arange(len(labels)), held_out), held_out


def readable(files: list[Path]) -> list[Path]:
    """`files` without those that cannot be decoded, which are named on stderr.

    Raises:
        BadInput: If more than 1 % cannot be decoded.
    """

    def problem(file: Path) -> str | None:
        try:
            read_image(file, sketch=True)
        except UnreadableImage as error:
            return str(error)
        return None

    with ThreadPool(os.cpu_count()) as pool:
        problems = list(progress(pool.imap(problem, files, chunksize=64), "checking photos", len(files)))
    bad = [(file, why) for file, why in zip(files, problems, strict=True) if why]
    for file, why in bad[:10]:
        log(f"skipped {file}: {why}")
    if bad:
        log(f"{len(bad)} of {len(files)} photos cannot be read")
    if len(bad) > MAX_UNREADABLE * len(files):
        raise BadInput(
            f"{len(bad)} of {len(files)} photos cannot be read, more than {MAX_UNREADABLE:.0%}: "
            f"remove or replace them, first {bad[0][0]}"
        )
    return [file for file, why in zip(files, problems, strict=True) if not why]
