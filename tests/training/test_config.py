import dataclasses

import pytest

from ghostnet_tf.commands import BadInput
from ghostnet_tf.training.config import RunConfig
from ghostnet_tf.training.runs import check_output, load_run, read_config, run_folder


def write(path, text):
    path.write_text(text, encoding="utf-8")
    return path


def test_what_is_saved_can_be_given_back(tmp_path):
    config = RunConfig(data="cifar10", width=0.5, weight_decay=1e-4).resolved(size=32, flip=True, photos=False)
    config.save(tmp_path / "config.toml")
    assert RunConfig(**read_config(tmp_path / "config.toml")) == config
    assert load_run(tmp_path) == config


def test_the_data_set_decides_what_was_left_open():
    photos = RunConfig(batch_size=64).resolved(size=224, flip=True, photos=True)
    assert (photos.size, photos.augment, photos.learning_rate) == (224, "photo", pytest.approx(0.1))
    digits = RunConfig(weights="imagenet").resolved(size=32, flip=False, photos=False)
    assert (digits.augment, digits.learning_rate) == ("shift", pytest.approx(0.02))
    assert RunConfig(augment="none", learning_rate=0.3).resolved(size=32, flip=True, photos=False).augment == "none"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("wdith = 1.0\n", "Received: 'wdith'. Did you mean 'width'"),
        ('epochs = "ten"\n', "expected `epochs` as int. Received: 'ten'"),
        ("epochs = true\n", "expected `epochs` as int. Received: True"),
        ("epochs = \n", "not readable as TOML"),
    ],
)
def test_a_faulty_file_is_explained(tmp_path, text, message):
    with pytest.raises(BadInput, match=message):
        read_config(write(tmp_path / "config.toml", text))


def test_a_missing_file_is_explained(tmp_path):
    with pytest.raises(BadInput, match=r"none\.toml, which does not exist"):
        read_config(tmp_path / "none.toml")
    with pytest.raises(BadInput, match="expected a run folder"):
        load_run(tmp_path)


def test_differences_are_listed():
    config = RunConfig()
    assert config.differences(dataclasses.replace(config, width=0.5, seed=3)) == ["width: 1.0 -> 0.5", "seed: 0 -> 3"]


def test_the_run_of_a_file_inside_it_is_found(tmp_path):
    write(tmp_path / "config.toml", "")
    (tmp_path / "tflite").mkdir()
    inside = write(tmp_path / "tflite" / "model.tflite", "")
    assert run_folder(inside) == run_folder(tmp_path) == tmp_path.resolve()
    assert run_folder(tmp_path.parent) is None


def test_only_a_run_is_replaced(tmp_path):
    run, photos, empty = tmp_path / "run", tmp_path / "photos", tmp_path / "empty"
    for folder in (run, photos, empty):
        folder.mkdir()
    RunConfig().save(run / "config.toml")
    write(photos / "cat.jpg", "")
    check_output(tmp_path / "new", "digits")
    check_output(empty, "digits")
    check_output(run, "digits", overwrite=True)
    with pytest.raises(BadInput, match=r"--resume .* continues it, --overwrite replaces it"):
        check_output(run, "digits")
    for overwrite in (False, True):
        with pytest.raises(BadInput, match="holds no run, so it is not replaced"):
            check_output(photos, "digits", overwrite)
        with pytest.raises(BadInput, match="expected --output to be a folder"):
            check_output(photos / "cat.jpg", "digits", overwrite)
    write(photos / "config.toml", "baseURL = 'https://example.org'\n")  # somebody else's configuration
    with pytest.raises(BadInput, match=r"holds no run.*baseURL"):
        check_output(photos, "digits", overwrite=True)
    (run / "photos").mkdir()
    with pytest.raises(BadInput, match="which --overwrite would remove"):
        check_output(run, str(run / "photos"), overwrite=True)
