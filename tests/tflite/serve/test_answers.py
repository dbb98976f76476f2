"""What files answer for a photo, without the page: which are compared, under which names, and what is refused."""

import pytest

from ghostnet_tf.commands import BAD_INPUT
from ghostnet_tf.tflite import serve
from ghostnet_tf.tflite.answers import Comparison
from ghostnet_tf.tflite.flatbuffer import softmax, unpack, with_outputs


def test_files_that_differ(files, digit, encoded):
    answer = Comparison([files["fp32"], files["contrary"]]).answer(encoded(digit))
    assert answer["agree"] is False
    first, other = (file["guesses"][0]["label"] for file in answer["files"])
    assert answer["verdict"] == f"They differ: fp32 says {first}, {files['contrary'].name} says {other}"
    assert first != other


def test_a_single_file_that_gives_no_probabilities(contents, digit, encoded, tmp_path):
    model = unpack(contents["fp32"])
    path = tmp_path / "logits.tflite"
    path.write_bytes(with_outputs(model, [softmax(model).inputs[0]]))
    answer = Comparison([path]).answer(encoded(digit))
    assert answer["files"][0]["name"] == "logits.tflite"
    assert answer["files"][0]["probabilities"] is False
    assert answer["agree"] is None
    assert answer["verdict"] == "class 7"


def test_the_fp32_file_beside_a_single_one_is_shown(tmp_path):
    int8, other, fp32 = (tmp_path / f"net_{name}.tflite" for name in ("int8_qat", "mine", "fp32"))
    assert serve.shown([int8]) == ([int8], "net_int8_qat.tflite alone: there is no net_fp32.tflite beside it")
    fp32.touch()
    assert serve.shown([int8]) == ([int8, fp32], "net_int8_qat.tflite, and net_fp32.tflite beside it")
    for files in ([fp32], [other], [int8, other]):
        assert serve.shown(files) == (files, None)


def test_class_names_of_a_run(contents, digit, encoded, tmp_path):
    (tmp_path / "config.toml").touch()
    path = tmp_path / "digits_fp32.tflite"
    path.write_bytes(contents["fp32"])
    for names in ("zero one two three four five six seven eight nine", "a b c"):
        (tmp_path / "labels.txt").write_text(names.replace(" ", "\n") + "\n")
        if names.startswith("zero"):
            assert Comparison([path]).answer(encoded(digit))["verdict"].startswith("seven, ")
    assert serve.main([str(path), "--no-browser"]) == BAD_INPUT


@pytest.mark.parametrize("case", ["other names", "no file"])
def test_files_that_cannot_be_compared(contents, files, labels, labelled, tmp_path, capsys, case):
    content, message = {
        "other names": (
            labelled(contents["fp32"], labels[::-1]),
            "expected files with the same classes. Received: other names",
        ),
        "no file": (b"none", "is not a TensorFlow Lite file"),
    }[case]
    path = tmp_path / "other.tflite"
    path.write_bytes(content)
    assert serve.main([str(files["int8"]), str(path), "--no-browser"]) == BAD_INPUT
    said = capsys.readouterr()
    assert message in said.err and said.err.count("\n") == 1
    assert said.out == ""
