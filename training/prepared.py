"""Data sets by their names in TensorFlow Datasets: prepared, downloaded, fetched by hand, or as idx files."""

import difflib
import gzip
import tarfile
import zlib
from pathlib import Path

import numpy as np

from ghostnet_tf.commands import BadInput, MissingResource, log
from ghostnet_tf.training.records import read_records
from ghostnet_tf.training.splits import Data, Split, square_pixels, stratified

NO_FLIP = frozenset({"emnist", "kmnist", "mnist", "svhn_cropped"})  # mirrored characters are other characters

# Split -> images and labels, as MNIST and its like were published and as Debian packages them.
IDX_FILES = {
    "train": ("train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz"),
    "test": ("t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz"),
}


def load_prepared(name: str, data_dir: str | Path | None, size: int | None, seed: int, held_out: float) -> Data:
    """A data set of images and labels that TensorFlow Datasets knows.

    Args:
        name: Its name, such as `"cifar10"`.
        data_dir: Where the prepared data are kept, or the four idx files of MNIST and its like.
        size: Pixels a side; by default 32 for images below 96 pixels, else 224.
        seed: Of the split of a data set that has none of its own.
        held_out: The share that such a split holds out.

    Raises:
        BadInput: If there is no such name, or no images and labels behind it.
        MissingResource: If the data set is not prepared and cannot be; with what to fetch by hand, if that is why.
    """
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
    small = None not in features["image"].shape and max(features["image"].shape) < 96
    size = size or (32 if small else 224)
    grey = features["image"].shape[-1] == 1
    if grey and data_dir is not None and (Path(data_dir) / IDX_FILES["train"][0]).is_file():
        parts = {part: _idx_split(Path(data_dir), *files, size) for part, files in IDX_FILES.items()}
    else:
        if not builder.info.splits:
            _prepare(builder)
        if "train" not in builder.info.splits:
            raise BadInput(f"expected {builder.data_dir} to have training images. Received: {[*builder.info.splits]}")
        read = _pixels if small else _records
        held = [part for part in ("validation", "test") if part in builder.info.splits]
        parts = {part: read(builder, part, size) for part in ("train", *held[:1])}
    train, test = parts.pop("train"), next(iter(parts.values()), None)
    if test is None:
        kept, others = stratified(train.labels, seed, held_out)
        train, test = train.subset(kept), train.subset(others)
    return Data(train, test, test, features["label"].names, flip=name.split(":")[0].split("/")[0] not in NO_FLIP)


def _prepare(builder) -> None:
    """Downloads and prepares a data set, or says why not and what to do."""
    import tensorflow as tf
    import tensorflow_datasets as tfds

    log(f"preparing {builder.name} in {builder.data_dir}")
    folder = Path(builder.data_dir).parents[len(builder.info.full_name.split("/")) - 1]  # of all data sets
    try:
        # Nobody may pass on what has to be fetched by hand, so there is no need to ask Google's storage for it.
        elsewhere = tfds.download.DownloadConfig(try_download_gcs=not builder.MANUAL_DOWNLOAD_INSTRUCTIONS)
        builder.download_and_prepare(download_config=elsewhere)
    except (OSError, AssertionError, tarfile.TarError, tf.errors.OpError, tfds.download.DownloadError) as error:
        reason = f"({type(error).__name__}: {' '.join(str(error).split())[:200]})"
        if builder.MANUAL_DOWNLOAD_INSTRUCTIONS:
            raise MissingResource(
                f"{builder.name} is not prepared in {builder.data_dir} and has to be fetched by hand, into "
                f"{folder / 'downloads' / 'manual'}: {' '.join(builder.MANUAL_DOWNLOAD_INSTRUCTIONS.split())} "
                f"Then run this again {reason}. Photos that are unpacked already can be read as they are: "
                "--data FOLDER, with train/ and val/ and in each one subfolder a class"
            ) from error
        raise MissingResource(
            f"{builder.name} is not prepared in {builder.data_dir} and cannot be downloaded {reason}; "
            "give --data-dir of a prepared copy"
        ) from error


def _pixels(builder, part: str, size: int) -> Split:
    dataset = builder.as_dataset(split=part, batch_size=-1)
    return Split(square_pixels(dataset["image"].numpy(), size), dataset["label"].numpy().astype(np.int64), size)


def _records(builder, part: str, size: int) -> Split:
    info = builder.info
    if info.file_format.value != "tfrecord":
        raise BadInput(f"expected {builder.data_dir} to have TFRecord files. Received: {info.file_format.value}")
    split = info.splits[part]
    return Split(*read_records([str(file) for file in split.filepaths], split.num_examples, f"reading {part}"), size)


def _idx_split(folder: Path, images: str, labels: str, size: int) -> Split:
    """Grey images and their labels from a pair of idx files."""
    pixels, classes = _read_idx(folder / images), _read_idx(folder / labels)
    if pixels.ndim != 3 or classes.shape != pixels.shape[:1]:
        raise BadInput(
            f"expected {folder / images} and {folder / labels} to have as many images as labels. "
            f"Received: shapes {pixels.shape} and {classes.shape}"
        )
    return Split(square_pixels(pixels[..., None], size), classes.astype(np.int64), size)


def _read_idx(file: Path) -> np.ndarray:
    """The bytes in a gzipped idx file: a magic number with the rank, the dimensions (int32, big-endian), the data."""
    try:
        content = gzip.decompress(file.read_bytes())
        shape = np.frombuffer(content, ">i4", content[3], 4)
        return np.frombuffer(content, np.uint8, offset=4 + 4 * len(shape)).reshape(shape)
    except FileNotFoundError:
        raise BadInput(f"expected the four idx files together. Received: {file.parent}, without {file.name}") from None
    except (OSError, EOFError, ValueError, IndexError, zlib.error) as error:
        raise BadInput(f"{file} is no gzipped idx file of bytes: {error}") from error
