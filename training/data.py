"""Data sets: scikit-learn's digits, any TensorFlow Datasets name, or a folder of photos by class."""

import concurrent.futures
import difflib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ghostnet_tf.commands import BadInput, MissingResource, log, progress
from ghostnet_tf.training.images import (
    CROP_FRACTION,
    SMALL_SIZE,
    UnreadableImage,
    evaluation_image,
    list_photos,
    read_image,
)

VAL_FRACTION = 0.2  # of a data set that comes without a split of its own
MAX_UNREADABLE = 0.01  # share of unreadable photos above which a folder is refused


@dataclass
class Split:
    """Labelled images.

    Attributes:
        items: Either uint8 pixels `(n, size, size, 3)`, RGB, or encoded images (paths or bytes), decoded when used.
        labels: Class indices `(n,)`, int64.
        size: Pixels a side of the images handed out.
    """

    items: np.ndarray | Sequence[Path | bytes]
    labels: np.ndarray
    size: int

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def encoded(self) -> bool:
        return not isinstance(self.items, np.ndarray)

    def image(self, index: int) -> np.ndarray:
        """One image as evaluation sees it, uint8 `(size, size, 3)`."""
        return evaluation_image(read_image(self.items[index]), self.size) if self.encoded else self.items[index]

    def preparation(self) -> str:
        """How an image becomes what the model sees, for logs."""
        if self.encoded and self.size >= SMALL_SIZE:
            shorter = round(self.size / CROP_FRACTION)
            return f"shorter side to {shorter} px (bicubic), centre crop of {self.size} px"
        return f"shorter side to {self.size} px (bicubic), centre crop" if self.encoded else f"{self.size} px"

    def indices(self, n: int | None = None, seed: int | None = None) -> np.ndarray:
        """Which `n` images `images` takes: the first, or with a seed a random choice without repetition."""
        order = np.arange(len(self)) if seed is None else np.random.default_rng(seed).permutation(len(self))
        return order[: len(self) if n is None else n]

    def images(self, n: int | None = None, seed: int | None = None) -> np.ndarray:
        """`n` images (all by default) as evaluation sees them, uint8 `(n, size, size, 3)`."""
        chosen = self.indices(n, seed)
        if not self.encoded:
            return self.items[chosen]
        with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
            decoded = pool.map(self.image, chosen)
            return np.stack(list(progress(decoded, "reading images", len(chosen))))


@dataclass
class Data:
    """A data set in splits.

    Attributes:
        train, val, test: The splits; `test` is `val` where there is no other.
        labels: Class names by index.
        flip: Whether a mirrored image keeps its class (False for digits).
    """

    train: Split
    val: Split
    test: Split
    labels: list[str]
    flip: bool = True

    def __post_init__(self):
        for name, part in self.parts.items():
            wrong = np.flatnonzero((part.labels < 0) | (part.labels >= len(self.labels)))
            if len(wrong):
                raise BadInput(
                    f"expected labels of 0 to {len(self.labels) - 1}, {len(self.labels)} classes. Received: "
                    f"{part.labels[wrong[0]]} of {name} image {wrong[0]}, {len(wrong)} such images in all"
                )

    @property
    def parts(self) -> dict[str, Split]:
        """The splits by name, `test` only where it is not `val`."""
        parts = {"train": self.train, "val": self.val}
        return parts if self.test is self.val else {**parts, "test": self.test}


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
        data_dir: Where TensorFlow Datasets keeps its prepared data; its own default if `None`.
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
    return _tfds(name, data_dir, size, seed)


def split_of(data: Data, folder: Path) -> dict[str, list[str]]:
    """The files of a folder data set by split, relative to `folder`, for a record that `load_data` takes back."""
    return {name: [path.relative_to(folder).as_posix() for path in part.items] for name, part in data.parts.items()}


def _digits(size: int, seed: int) -> Data:
    from sklearn.datasets import load_digits

    scans = load_digits()
    gray = np.round(scans.images * (255 / 16)).astype(np.uint8)
    images = _square(gray[..., None], size)
    train, val = _stratified(scans.target, seed)
    held_out = Split(images[val], scans.target[val], size)
    return Data(
        Split(images[train], scans.target[train], size), held_out, held_out, [str(d) for d in range(10)], flip=False
    )


def _square(images: np.ndarray, size: int) -> np.ndarray:
    """uint8 `(n, h, w, 1 or 3)` as RGB `(n, size, size, 3)`."""
    rgb = np.repeat(images, 3, axis=-1) if images.shape[-1] == 1 else images
    if rgb.shape[1:3] == (size, size):
        return rgb
    return np.stack([evaluation_image(image, size) for image in rgb])


def _stratified(labels: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Indices of a train and a held-out part with the same share of each class."""
    from sklearn.model_selection import train_test_split

    parts = train_test_split(np.arange(len(labels)), test_size=VAL_FRACTION, random_state=seed, stratify=labels)
    return np.sort(parts[0]), np.sort(parts[1])


NO_FLIP = frozenset({"emnist", "kmnist", "mnist", "svhn_cropped"})  # mirrored characters are other characters


def _tfds(name: str, data_dir: str | Path | None, size: int | None, seed: int) -> Data:
    import tensorflow_datasets as tfds

    try:
        builder = tfds.builder(name, data_dir=data_dir, try_gcs=False)
    except (tfds.core.registered.DatasetNotFoundError, ValueError) as error:
        near = difflib.get_close_matches(name, ["digits", *tfds.list_builders()], n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise BadInput(
            "expected `digits`, a TensorFlow Datasets name, or a folder with one subfolder of photos a class. "
            f"Received: {name!r}.{hint}"
        ) from error
    features = builder.info.features
    if not {"image", "label"} <= set(features) or not isinstance(features["image"], tfds.features.Image):
        raise BadInput(f"expected a data set with `image` and `label`. Received: {name}, {list(features)}")
    if not builder.info.splits:
        log(f"preparing {name} in {builder.data_dir}")
        try:
            builder.download_and_prepare()
        except (OSError, AssertionError, tfds.download.DownloadError) as error:
            raise MissingResource(
                f"{name} is not prepared in {builder.data_dir} and cannot be downloaded "
                f"({type(error).__name__}: {str(error)[:200]}); give --data-dir of a prepared copy"
            ) from error

    small = None not in features["image"].shape and max(features["image"].shape) < 96
    size = size or (32 if small else 224)
    read = _tfds_pixels if small else _tfds_encoded
    labels = features["label"].names
    names = set(builder.info.splits)
    train = read(builder, "train", size)
    if "validation" in names:
        val = read(builder, "validation", size)
        test = val
    elif "test" in names:
        val = test = read(builder, "test", size)
    else:
        kept, held_out = _stratified(train.labels, seed)
        val = test = _subset(train, held_out)
        train = _subset(train, kept)
    return Data(train, val, test, labels, flip=name.split(":")[0].split("/")[0] not in NO_FLIP)


def _tfds_pixels(builder, split: str, size: int) -> Split:
    dataset = builder.as_dataset(split=split, batch_size=-1)
    return Split(_square(dataset["image"].numpy(), size), dataset["label"].numpy().astype(np.int64), size)


def _tfds_encoded(builder, split: str, size: int) -> Split:
    import tensorflow_datasets as tfds

    dataset = builder.as_dataset(split=split, decoders={"image": tfds.decode.SkipDecoding()})
    examples = list(progress(tfds.as_numpy(dataset), f"reading {split}", builder.info.splits[split].num_examples))
    return Split([e["image"] for e in examples], np.array([e["label"] for e in examples], np.int64), size)


def _subset(split: Split, chosen: np.ndarray) -> Split:
    items = [split.items[i] for i in chosen] if split.encoded else split.items[chosen]
    return Split(items, split.labels[chosen], split.size)


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

    labels = sorted(set(classes("train")))
    if len(labels) < 2:
        found = f"photos of {len(labels)} class" + (f" ({labels[0]})" if labels else "es")
        raise BadInput(f"expected {folder} to have subfolders of photos, one a class, at least two. Received: {found}")
    for part in files:
        unknown = sorted(set(classes(part)) - set(labels))
        if unknown:
            raise BadInput(f"{folder / part} has classes that the training photos lack: {', '.join(unknown)}")
    splits = {
        part: Split(files[part], np.array([labels.index(name) for name in classes(part)], np.int64), size)
        for part in files
    }
    if "val" not in splits:
        single = [label for index, label in enumerate(labels) if np.sum(splits["train"].labels == index) < 2]
        if single:
            raise BadInput(
                f"expected at least 2 photos a class, to hold some out. Received: one in {', '.join(single)}"
            )
        kept, held_out = _split_photos(splits["train"].labels, seed)
        splits = {"train": _subset(splits["train"], kept), "val": _subset(splits["train"], held_out)}
    return Data(splits["train"], splits["val"], splits.get("test", splits["val"]), labels)


def _class_photos(root: Path) -> list[Path]:
    """The readable photos in the subfolders of `root`."""
    files = [file for folder in sorted(root.iterdir()) if folder.is_dir() for file in list_photos(folder)]
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
            read_image(file)
        except UnreadableImage as error:
            return str(error)
        return None

    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        problems = list(progress(pool.map(problem, files), "checking photos", len(files)))
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
