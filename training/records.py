"""Encoded images of a prepared TensorFlow data set, read from its files when they are used.

A TFRecord file is made to be read from its beginning to its end; here it is, once, and after that any image by its
number. So no more than a place and a label an image is in memory, and each epoch can have an order of its own.
"""

from collections.abc import Sequence

import numpy as np

from ghostnet_tf.commands import progress

HEADER = 12  # bytes before a record: its length and a checksum of that
FOOTER = 4  # bytes after it: its checksum


class Records(Sequence):
    """Encoded images, `bytes`, by number.

    Args:
        files: TFRecord files of `tf.train.Example`s with a feature `image`.
        places: int64 `(n, 3)`, of each image the number of its file and the record's offset and length in bytes.
    """

    def __init__(self, files: list[str], places: np.ndarray):
        self.files, self.places = files, places

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, index: int) -> bytes:
        import tensorflow as tf

        file, offset, length = self.places[index].tolist()
        with tf.io.gfile.GFile(self.files[file], "rb") as opened:
            opened.seek(offset)
            example = tf.train.Example.FromString(opened.read(length))
        return example.features.feature["image"].bytes_list.value[0]

    def subset(self, chosen: np.ndarray) -> "Records":
        """The images of these indices."""
        return Records(self.files, self.places[chosen])


def read_records(files: list[str], count: int, description: str) -> tuple[Records, np.ndarray]:
    """Reads through TFRecord files for where the images are and which labels they have.

    Args:
        files: Of `tf.train.Example`s with features `image` and `label`.
        count: How many records they have, for the progress bar.
        description: Of the progress bar.

    Returns:
        The images, and their labels, int64 `(n,)`.
    """
    import tensorflow as tf

    def records():
        for number, file in enumerate(files):
            offset = HEADER
            for record in tf.data.TFRecordDataset(file).as_numpy_iterator():
                label = tf.train.Example.FromString(record).features.feature["label"].int64_list.value[0]
                yield number, offset, len(record), label
                offset += len(record) + FOOTER + HEADER

    table = np.array(list(progress(records(), description, count)), np.int64).reshape(-1, 4)
    return Records(files, table[:, :3]), table[:, 3]
