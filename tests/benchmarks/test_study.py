"""Studies: a run that is killed goes on, what is finished is not run again, and the page says what the numbers say."""

import csv
import os
import re
import shlex
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from ghostnet_tf import commands, results
from ghostnet_tf.training import fit

ROOT = Path(__file__).resolve().parents[2]
STUDY = """
title = "Two networks on a handful of digits"
about = "What it is about."
order = ["s = 4", "s = 5"]
paper = {"s = 4" = 93.0, "s = 5" = 92.9}
settings = {data = DATA, model = "ghost_vgg16", size = 32, epochs = 3, batch_size = 8, towers = 2, warmup_epochs = 0.5}
members = {"s = 5" = {ratio = 5}, "s = 4" = {ratio = 4, decay_epochs = [1, 2], zero_init_residual = false}}
"""


@pytest.fixture(scope="module")
def study(script):
    return script("study")


@pytest.fixture(scope="module")
def page(study):
    from benchmarks import study_page

    return study_page


@pytest.fixture
def places(tmp_path):
    """A study of 50 digits, and the flags that keep it in a folder of its own."""
    scans = load_digits()
    for digit in range(10):
        (tmp_path / "digits" / str(digit)).mkdir(parents=True)
        for number, scan in enumerate(scans.images[scans.target == digit][:5]):
            image = Image.fromarray((scan * 15).astype(np.uint8)).resize((32, 32))
            image.save(tmp_path / "digits" / str(digit) / f"{number}.png")
    (tmp_path / "studies").mkdir()
    (tmp_path / "studies" / "few.toml").write_text(STUDY.replace("DATA", repr(str(tmp_path / "digits"))))
    names = {"studies": "studies", "runs": "runs", "training-csv": "training.csv", "csv": "studies.csv", "page": "p.md"}
    return [word for name, place in names.items() for word in (f"--{name}", str(tmp_path / place))]


def members_of(study, places):
    args = study.parser().parse_args(places)
    return study.read_study(args.studies / "few.toml", args).members


def row(member, top1, **more):
    """A row as of a finished run."""
    counts = {"parameters": 3, "multiply_adds": 4, "epochs": 2, "minutes": 0.5, "images": 10000, "curve": "0.5 0.6"}
    return counts | {"top1": top1, "command": shlex.join(member.command), **more}


def test_a_killed_study_goes_on(study, places, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(ROOT)
    members = members_of(study, places)
    results.append_rows(tmp_path / "studies.csv", study.COLUMNS, [row(members["s = 4"], 0.5)])
    words = [sys.executable, "benchmarks/study.py", *places]
    killed = subprocess.Popen(words, cwd=ROOT, stderr=subprocess.PIPE, text=True, start_new_session=True)
    for line in killed.stderr:
        if line.startswith("epoch 1/3"):
            os.killpg(killed.pid, signal.SIGKILL)
            break
    killed.communicate()
    assert not (tmp_path / "p.md").exists() and not (tmp_path / "training.csv").exists()

    assert study.main(places) == commands.OK
    said = capfd.readouterr().err
    assert "few 1/2, s = 5: python training/train.py --resume" in said
    assert re.search("continuing after epoch [12]", said)
    assert "few 2/2, s = 4: finished before" in said
    (trained,) = csv.DictReader((tmp_path / "training.csv").read_text().splitlines())
    assert shlex.split(trained["command"]) == list(members["s = 5"].command)
    _, found = csv.DictReader((tmp_path / "studies.csv").read_text().splitlines())
    assert {name: found[name] for name in ("top1", "images", "command")} == {
        name: trained[name] for name in ("top1", "images", "command")
    }
    # The printed row of the paper is 3.3 M and 65 M: its convolutions alone, without 512 * 512 + 512 * 10.
    assert (int(found["parameters"]), int(found["multiply_adds"])) == (3_270_721, 65_398_032 + 267_264)
    assert len(found["curve"].split()) == 3
    text = (tmp_path / "p.md").read_text()
    assert "| s = 5 | 3,270,721 | 65,665,296 | 3 |" in text
    picture = (tmp_path / "training_few.svg").read_text()
    assert all(f">{name}<" in picture for name in members)

    monkeypatch.setattr(subprocess, "run", lambda *_, **__: pytest.fail("all runs are finished"))
    assert study.main(places) == commands.OK
    assert (tmp_path / "p.md").read_text() == text
    assert capfd.readouterr().err.count("finished before") == 2


def test_every_member_of_every_study_has_a_network(study, monkeypatch):
    """Each network once and without values; with a setting that has no effect, two would have as many parameters."""
    monkeypatch.chdir(ROOT)
    args = study.parser().parse_args([])
    studies = [study.read_study(path, args) for path in sorted(args.studies.glob("*.toml"))]
    configs = {
        each.config.network: replace(each.config, weights=None) for one in studies for each in one.members.values()
    }
    with keras.StatelessScope(initialize_variables=False):
        parameters = {name: fit.build(config, 10).count_params() for name, config in configs.items()}
    keras.utils.clear_session()  # or the next scope would initialize what was built here
    assert len(studies) >= 5 and min(parameters.values()) > 0
    assert len(set(parameters.values())) == len(parameters), parameters


def test_a_command_is_the_settings_of_a_member(study, places, tmp_path):
    one, other = members_of(study, places).values()
    words = shlex.join(other.command)
    assert "--decay-epochs 1,2 --no-zero-init-residual --output" in words and words.startswith("python training/train")
    assert other.folder == tmp_path / "runs" / "digits_ghost_vgg16_s4_3"
    moved = [*one.command, "--data-dir", "elsewhere/"]
    assert study.essence(moved) == study.essence(one.command) != study.essence(other.command)
    first, *flags = one.command
    turned = [word for pair in reversed(list(zip(flags[1::2], flags[2::2], strict=False))) for word in pair]
    assert study.essence([first, flags[0], *turned]) == study.essence([first, *flags[: len(turned) + 1]])


def test_a_run_with_other_settings_is_not_overwritten(study, places):
    args = study.parser().parse_args(places)
    member = members_of(study, places)["s = 5"]
    (member.folder / "checkpoints").mkdir(parents=True)
    (member.folder / "checkpoints" / "epoch_0001.weights.h5").touch()
    environment = member.folder / "environment.json"
    commands.write_json(environment, {"command": shlex.join([*member.command, "--batch-size", "4"])})
    with pytest.raises(commands.BadInput, match=r"other settings, python .* --batch-size 4; move it"):
        study.next_command(member, args)
    commands.write_json(environment, {"command": shlex.join(member.command)})
    assert study.next_command(member, args)[:2] == ["training/train.py", "--resume"]
    (member.folder / "checkpoints" / "epoch_0001.weights.h5").unlink()
    assert study.next_command(member, args) == list(member.command[1:])


def test_a_run_that_fails_ends_the_study_with_its_code(study, places, monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(subprocess, "run", lambda words, **_: subprocess.CompletedProcess(words, 3))
    assert study.main(places) == commands.FAILED
    assert "the training of s = 5 in the study few ended with exit code 3" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("top1", "says"),
    [
        # Two standard errors of 10,000 images: 1.09 to 1.24 points here.
        (
            (0.80, 0.78, 0.76),
            "The expected order is reproduced. In it: a above b by 2.00, a above c by 4.00, b above c",
        ),
        ((0.80, 0.795, 0.76), "is neither reproduced nor contradicted. In it: a above c by 4.00, b above c by 3.50 "),
        ((0.80, 0.795, 0.76), "Too close to tell: a above b by 0.50 points."),
        ((0.78, 0.80, 0.76), "is not reproduced. In it: a above c by 2.00, b above c by 4.00 points. Clearly against "),
        ((0.78, 0.80, 0.76), "Clearly against it: a below b by 2.00 points. A difference is clear from 1.15 to 1.19 "),
        ((0.80, 0.78, 0.76), "From a to c it is 4.00 points here, 0.8 in the paper."),
        ((0.80, 0.78, None), "Nothing is said about the order before all have run: c."),
    ],
)
def test_what_the_page_says_follows_from_the_numbers(page, study, places, top1, says):
    members = members_of(study, places)
    found = dict(zip("abc", top1, strict=True))
    found = {
        name: page.Result.of({key: str(value) for key, value in row(members["s = 4"], share).items()})
        for name, share in found.items()
        if share is not None
    }
    args = study.parser().parse_args(places)
    few = study.read_study(args.studies / "few.toml", args)
    assert says in page.says(replace(few, order=("a", "b", "c"), paper={"a": 93.7, "c": 92.9}), found)


def test_the_noise_of_a_run_alone(page, study, places):
    args = study.parser().parse_args(places)
    few = replace(study.read_study(args.studies / "few.toml", args), order=())
    result = page.Result(1, 2, 3, 0.5, top1=0.9, images=10000, curve=(0.9,))
    # sqrt(0.9 * 0.1 / 10,000) is 0.003.
    assert page.says(few, {"s = 5": result}) == (
        "s = 5: 90.00 %, of which 10,000 test images leave 0.60 points open either way."
    )


def test_the_committed_page_is_that_of_the_committed_table(study, tmp_path, monkeypatch):
    """Every study of the repository is sound, too: its settings are checked."""
    monkeypatch.chdir(ROOT)
    assert study.main(["--page-only", "--page", str(tmp_path / "training.md")]) == commands.OK
    assert (tmp_path / "training.md").read_text() == (ROOT / "docs" / "training.md").read_text()
    pictures = {file.name for file in (ROOT / "docs").glob("training_*.svg")}
    assert {file.name for file in tmp_path.glob("*.svg")} == pictures


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("about =", "abuot =", "Did you mean 'about'?"),
        ('order = ["s = 4"', 'order = ["s = 3"', "expected one of s = 5, s = 4. Received: 's = 3'"),
        ("title =", "#", "to have title. Received: about, order"),
        ("{ratio = 5}", "5", "expected 's = 5' in"),
        ("epochs = 3", "epochs = 1", "expected --decay-epochs as rising numbers above 0 and below 1"),
        ("title =", "title", "is not readable as TOML"),
    ],
)
def test_mistakes_are_one_line(study, places, tmp_path, monkeypatch, capsys, old, new, message):
    monkeypatch.chdir(ROOT)
    file = tmp_path / "studies" / "few.toml"
    file.write_text(file.read_text().replace(old, new))
    assert study.main(places) == commands.BAD_INPUT
    assert message in capsys.readouterr().err


def test_where_it_starts_and_what_it_is_asked_for(study, places, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert study.main(places) == commands.BAD_INPUT
    assert "at the top of the checkout" in capsys.readouterr().err
    monkeypatch.chdir(ROOT)
    assert study.main([*places, "--only", "fwe"]) == commands.BAD_INPUT
    assert "Did you mean 'few'?" in capsys.readouterr().err
