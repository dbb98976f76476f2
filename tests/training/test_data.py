import shutil

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds

from ghostnet_tf.commands import BadInput, MissingResource
from ghostnet_tf.training.data import load_data, split_of


def test_digits_are_split_evenly_and_reproducibly():
    data = load_data("digits")
    assert (len(data.train), len(data.test)) == (1437, 360)
    assert data.labels == list("0123456789")
    assert np.bincount(data.test.labels).tolist() == [36, 36, 35, 37, 36, 37, 36, 36, 35, 36]
    assert data.train.images(2).shape == (2, 32, 32, 3)
    assert data.train.images(2).dtype == np.uint8
    assert data.train.items.max() == 255
    np.testing.assert_array_equal(data.test.labels, load_data("digits").test.labels)
    assert not np.array_equal(data.test.labels, load_data("digits", seed=1).test.labels)


def test_a_folder_is_split_by_class_and_the_split_can_be_kept(photos, draw_photos):
    data = load_data(str(photos), size=32)
    assert data.labels == ["blue", "green", "red"]
    assert (len(data.train), len(data.val)) == (24, 6)
    assert data.train.images(0).shape == (0, 32, 32, 3)
    assert np.bincount(data.val.labels).tolist() == [2, 2, 2]
    assert set(data.train.items).isdisjoint(data.val.items)
    record = split_of(data, photos)
    draw_photos(photos / "later", 1)  # photos that came after the training
    again = load_data(str(photos), size=32, split=record)
    assert again.val.items == data.val.items
    (photos / record["val"][0]).unlink()
    with pytest.raises(BadInput, match=f"1 photos of the recorded split are gone.*{record['val'][0]}"):
        load_data(str(photos), size=32, split=record)


def test_a_folder_with_its_own_splits_keeps_them(tmp_path, draw_photos):
    draw_photos(tmp_path / "train", 4)
    draw_photos(tmp_path / "val", 2)
    data = load_data(str(tmp_path), size=32)
    assert (len(data.train), len(data.val), len(data.test)) == (12, 6, 6)
    draw_photos(tmp_path / "test", 3)
    assert len(load_data(str(tmp_path), size=32).test) == 9


def test_photos_come_as_evaluation_sees_them(photos):
    data = load_data(str(photos), size=40)
    images = data.val.images()
    assert images.shape == (6, 40, 40, 3)
    assert images[0, ..., 2].mean() > images[0, ..., 0].mean() + 100  # blue
    chosen = data.train.indices(5, seed=3)
    np.testing.assert_array_equal(data.train.images(5, seed=3)[2], data.train.image(chosen[2]))


def test_one_unreadable_photo_in_many_is_named_and_skipped(tmp_path, capsys, draw_photos):
    folder = draw_photos(tmp_path / "photos", 34)
    (folder / "red" / "broken.jpg").write_bytes(b"no image")
    data = load_data(str(folder), size=32)
    assert len(data.train) + len(data.val) == 102
    message = capsys.readouterr().err
    assert "skipped" in message
    assert "broken.jpg" in message
    assert "1 of 103 photos cannot be read" in message


def test_many_unreadable_photos_stop(photos):
    (photos / "red" / "broken.jpg").write_bytes(b"no image")
    with pytest.raises(BadInput, match=r"1 of 31 photos cannot be read, more than 1%.*broken\.jpg"):
        load_data(str(photos), size=32)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda folder, draw_photos: None, "photos of 0 classes"),
        (lambda folder, draw_photos: draw_photos(folder / "only", 3), "photos of 1 class "),
        (lambda folder, draw_photos: draw_photos(folder, 1), "at least 2 photos a class.*blue, green, red"),
    ],
)
def test_folders_without_classes_are_refused(tmp_path, draw_photos, make, message):
    make(tmp_path, draw_photos)
    with pytest.raises(BadInput, match=message):
        load_data(str(tmp_path), size=32)


def test_of_many_classes_with_one_photo_a_few_are_named(tmp_path, draw_photos):
    draw_photos(tmp_path, 1)
    for number in range(10):
        shutil.copytree(tmp_path / "red", tmp_path / f"red {number}")
    with pytest.raises(BadInput, match=r"Received: one in blue, green, red, red 0, red 1 and 8 more$"):
        load_data(str(tmp_path))


def test_classes_that_training_lacks_are_refused(tmp_path, draw_photos):
    draw_photos(tmp_path / "train", 2)
    draw_photos(tmp_path / "val", 2)
    (tmp_path / "train" / "red").rename(tmp_path / "train" / "crimson")
    with pytest.raises(BadInput, match="val has classes that the training photos lack: red"):
        load_data(str(tmp_path), size=32)


@pytest.mark.parametrize("name", ["no/such/folder", "cifar1o"])
def test_unknown_names_get_a_hint(name):
    with pytest.raises(BadInput, match="Received: '" + name):
        load_data(name)


def tfds_data(folder, name, version, shape, splits):
    """A TensorFlow Datasets folder: a registered name, prepared here with noise images of `shape`."""
    rng = np.random.default_rng(0)
    features = tfds.features.FeaturesDict(
        {"image": tfds.features.Image(shape=shape), "label": tfds.features.ClassLabel(names=["a", "b"])}
    )

    def examples(count):
        return tf.data.Dataset.from_tensor_slices(
            {
                "image": rng.integers(0, 256, (count, *shape), dtype=np.uint8),
                "label": np.arange(count, dtype=np.int64) % 2,
            }
        )

    tfds.dataset_builders.store_as_tfds_dataset(
        name=name,
        version=version,
        features=features,
        data_dir=folder,
        split_datasets={name: examples(count) for name, count in splits.items()},
    )
    return folder


def test_prepared_small_grey_images(tmp_path):
    data = load_data("mnist", data_dir=tfds_data(tmp_path, "mnist", "3.0.1", (28, 28, 1), {"train": 6, "test": 4}))
    assert (len(data.train), len(data.val), len(data.test)) == (6, 4, 4)
    assert data.train.images().shape == (6, 32, 32, 3)
    assert data.labels == ["a", "b"]
    assert not data.flip


def test_prepared_photos_stay_encoded(tmp_path):
    folder = tfds_data(tmp_path, "horses_or_humans", "3.0.0", (300, 300, 3), {"train": 10})
    data = load_data("horses_or_humans", size=32, data_dir=folder)
    assert data.train.encoded
    assert (len(data.train), len(data.val)) == (8, 2)
    assert data.val.images().shape == (2, 32, 32, 3)


def test_a_set_that_is_not_prepared_and_not_reachable(tmp_path, monkeypatch):
    def offline(self, **kwargs):
        raise OSError("no route to host")

    monkeypatch.setattr(tfds.core.DatasetBuilder, "download_and_prepare", offline)
    with pytest.raises(MissingResource, match=r"mnist is not prepared.*--data-dir"):
        load_data("mnist", data_dir=tmp_path)
