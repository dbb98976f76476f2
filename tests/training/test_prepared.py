"""Data sets that TensorFlow Datasets knows, without a network: archives fetched by hand, idx files, faulty labels."""

import gzip
import io
import tarfile

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds
from PIL import Image

from ghostnet_tf.commands import BAD_INPUT, MISSING, OK, BadInput
from ghostnet_tf.training import evaluate, identity, records, train
from ghostnet_tf.training.data import load_data
from ghostnet_tf.training.images import read_image
from ghostnet_tf.training.splits import stratified

SMALL = ["--size", "32", "--batch-size", "2", "--epochs", "1", "--warmup-epochs", "0"]


def jpeg(colour: tuple[int, int, int]) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (50, 40), colour).save(file, "jpeg")
    return file.getvalue()


def add(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = len(content)
    archive.addfile(entry, io.BytesIO(content))


def write_imagenet(folder, photos: int) -> None:
    """The two archives as image-net.org has them, with `photos` in each of two classes and as many to validate."""
    folder.mkdir(parents=True)
    with tarfile.open(folder / "ILSVRC2012_img_train.tar", "w") as train_archive:
        for number, wnid in enumerate(("n01440764", "n01443537")):
            inner = io.BytesIO()
            with tarfile.open(fileobj=inner, mode="w") as archive:
                for photo in range(photos):
                    add(archive, f"{wnid}_{photo}.JPEG", jpeg((200 * number, 10 * photo, 0)))
            add(train_archive, f"{wnid}.tar", inner.getvalue())
    with tarfile.open(folder / "ILSVRC2012_img_val.tar", "w") as archive:
        for photo in range(photos):
            add(archive, f"ILSVRC2012_val_{photo + 1:08d}.JPEG", jpeg((0, 0, 10 * photo)))


def imagenet(folder):
    return ["--data", "imagenet2012", "--data-dir", str(folder), "--output", str(folder / "run"), *SMALL]


@pytest.mark.parametrize("case", ["nothing", "one archive", "a broken archive"])
def test_a_missing_imagenet_explains_itself(tmp_path, case, capsys):
    manual = tmp_path / "downloads" / "manual"
    if case != "nothing":
        write_imagenet(manual, 1)
        archive = manual / "ILSVRC2012_img_val.tar"
        archive.unlink() if case == "one archive" else archive.write_bytes(b"half of an archive")
    assert train.main(imagenet(tmp_path)) == MISSING
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("error: imagenet2012 is not prepared in ")
    assert f"by hand, into {manual}: manual_dir should contain two files: ILSVRC2012_img_train.tar" in error
    assert "--data FOLDER, with train/ and val/" in error
    assert not (tmp_path / "run").exists()


@pytest.mark.usefixtures("tiny_network")
def test_imagenet_from_its_archives_to_a_measured_model(tmp_path, capsys):
    write_imagenet(tmp_path / "downloads" / "manual", 3)
    assert train.main(imagenet(tmp_path)) == OK
    assert evaluate.main(["--model", str(tmp_path / "run")]) == OK
    assert "3 test images" in capsys.readouterr().err
    data = load_data("imagenet2012", data_dir=tmp_path)
    assert (len(data.train), len(data.val), len(data.labels), data.train.size) == (6, 3, 1000, 224)
    assert isinstance(data.train.items, records.Records)
    for index, label in enumerate(data.train.labels):  # n01440764 is class 0 and black or green, n01443537 1 and red
        pixels = read_image(data.train.items[index])
        assert pixels.shape == (40, 50, 3)
        assert (pixels[..., 0].mean() > 100) == (label == 1)
    assert data.train.images().shape == (6, 224, 224, 3)


def stored(folder, labels, names):
    """A data set of photos, prepared here, in the place of a registered one."""
    rng = np.random.default_rng(0)
    photos = [rng.integers(0, 256, (300, 300, 3), dtype=np.uint8) for _ in labels]
    features = tfds.features.FeaturesDict(
        {"image": tfds.features.Image(shape=(300, 300, 3)), "label": tfds.features.ClassLabel(names=names)}
    )
    examples = tf.data.Dataset.from_tensor_slices({"image": photos, "label": np.array(labels, np.int64)})
    tfds.dataset_builders.store_as_tfds_dataset(
        name="horses_or_humans", version="3.0.0", features=features, data_dir=folder, split_datasets={"train": examples}
    )
    return photos


def test_photos_are_read_from_their_records_one_by_one(tmp_path):
    labels = [0, 1, 1, 0, 1, 0, 0, 1, 0, 1]
    photos = stored(tmp_path, labels, ["horse", "human"])
    data = load_data("horses_or_humans", size=300, data_dir=tmp_path)
    parts = [zip(part.images(), part.labels, strict=True) for part in (data.train, data.val)]
    found = [(image.tobytes(), label) for part in parts for image, label in part]
    assert (len(data.train), len(data.val)) == (8, 2)
    assert sorted(found) == sorted((photo.tobytes(), label) for photo, label in zip(photos, labels, strict=True))
    summary = identity._summary(data.train)
    assert summary == identity._summary(load_data("horses_or_humans", size=300, data_dir=tmp_path).train)
    assert summary != identity._summary(load_data("horses_or_humans", size=300, data_dir=tmp_path, seed=1).train)


def test_labels_beyond_the_classes_stop_the_command(tmp_path, capsys):
    stored(tmp_path, [0, 1, 2] * 5, ["horse", "human", "centaur"])
    names = tmp_path / "horses_or_humans" / "3.0.0" / "label.labels.txt"
    names.write_text("horse\nhuman\n")
    assert train.main(["--data", "horses_or_humans", "--data-dir", str(tmp_path), *SMALL]) == BAD_INPUT
    assert "expected labels of 0 to 1, 2 classes. Received: 2 of train image" in capsys.readouterr().err
    with pytest.raises(BadInput, match="2 images cannot be split"):
        stratified(np.array([0, 1]), seed=0, held_out=0.2)


def write_idx(file, array):
    header = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">i4").tobytes()
    file.write_bytes(gzip.compress(header + array.astype(np.uint8).tobytes()))


@pytest.fixture
def idx_files(tmp_path):
    """Six training and four test images as MNIST and its like come."""
    rng = np.random.default_rng(0)
    for name, count in (("train", 6), ("t10k", 4)):
        write_idx(tmp_path / f"{name}-images-idx3-ubyte.gz", rng.integers(0, 256, (count, 28, 28)))
        write_idx(tmp_path / f"{name}-labels-idx1-ubyte.gz", np.arange(count) + 1)
    return tmp_path


def test_idx_files_are_read_as_they_are(idx_files):
    data = load_data("fashion_mnist", data_dir=idx_files)
    assert (len(data.train), len(data.val)) == (6, 4)
    assert data.train.labels.tolist() == [1, 2, 3, 4, 5, 6]
    assert data.labels[:2] == ["T-shirt/top", "Trouser"]
    assert data.flip
    assert not load_data("mnist", data_dir=idx_files).flip
    same = load_data("fashion_mnist", data_dir=idx_files, size=28).train.items
    assert same.shape == (6, 28, 28, 3)
    np.testing.assert_array_equal(same[0, ..., 0], np.random.default_rng(0).integers(0, 256, (6, 28, 28))[0])
    assert data.train.items.shape == (6, 32, 32, 3)
    assert (data.train.items == data.train.items[..., :1]).all()  # grey


def test_faulty_idx_files_are_refused(idx_files):
    labels = idx_files / "train-labels-idx1-ubyte.gz"
    write_idx(labels, np.array([1, 2, 3, 4, 5, 12]))
    with pytest.raises(BadInput, match=r"labels of 0 to 9, 10 classes\. Received: 12 of train image 5"):
        load_data("fashion_mnist", data_dir=idx_files)
    write_idx(labels, np.arange(5))
    with pytest.raises(BadInput, match=r"as many images as labels\. Received: shapes \(6, 28, 28\) and \(5,\)"):
        load_data("fashion_mnist", data_dir=idx_files)
    labels.write_bytes(labels.read_bytes()[:-6])
    with pytest.raises(BadInput, match="is no gzipped idx file"):
        load_data("fashion_mnist", data_dir=idx_files)
    labels.unlink()
    with pytest.raises(BadInput, match=r"without train-labels-idx1-ubyte\.gz"):
        load_data("fashion_mnist", data_dir=idx_files)
