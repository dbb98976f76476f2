"""Every shell block of README and docs runs, line by line, in a copy of the checkout, on few images and small nets."""

import functools
import os
import re
import shutil
import subprocess
import sys
import venv
import webbrowser
from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image

import ghostnet_tf
from ghostnet_tf.models import ghost_resnet, ghostnet
from ghostnet_tf.tflite import local_page, scaling
from ghostnet_tf.training import callbacks, data, fit
from ghostnet_tf.weights import WeightsUnavailable

pytestmark = pytest.mark.filterwarnings("default:.*the classifier starts anew")  # which training reports

ROOT = Path(__file__).resolve().parents[2]
BLOCKS = [
    pytest.param(block, id=f"{page.stem}-{number}")
    for page in sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")])
    for number, block in enumerate(re.findall(r"^```sh\n(.*?)^```$", page.read_text("utf-8"), re.MULTILINE | re.DOTALL))
]
NOT_COPIED = (".*", "__pycache__", "*.egg-info", "build", "dist", "exports", "runs", "site", "tests")
PHOTOS = "ghostnet_100_224_photos"  # a run's files, as the pages call them
STUDY = """\
title = "A few photos"
settings = {data = "photos", model = "ghostnet", width = 0.1, size = 32, epochs = 1, warmup_epochs = 0, batch_size = 4}
members = {"GhostNet 0.1" = {}}
"""
ADB = """#!/bin/sh
case "$*" in
push*) shift; for file; do case "$file" in /data/*) ;; *) test -f "$file" || exit 1 ;; esac; done ;;
logcat) echo "I tflite  : Created TensorFlow Lite XNNPACK delegate for CPU." ;;
devices*) printf 'List of devices attached\\n8A1\\tdevice\\n' ;;
*'ls '*) echo /data/local/tmp/ghostnet-tf/benchmark_model ;;
*benchmark_model*) echo "INFO: count=50 first=11 curr=12 min=10 max=15 avg=12.5 std=1"
  echo "INFO: Inference timings in us: Init: 100, First inference: 20, Warmup (avg): 20, Inference (avg): 12.5" ;;
esac
"""


@pytest.fixture(scope="module")
def small():
    """Few blocks in each network, digits for CIFAR-10, and no hub."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ghostnet, "ROWS", tuple(ghostnet.ROWS[index] for index in (0, 1, 3)))
        patch.setattr(ghost_resnet, "RESNET56", tuple((row[0], 2, row[2]) for row in ghost_resnet.RESNET56))
        patch.setattr(callbacks, "draw_curves", lambda *_: None)
        patch.setattr(fit, "images_per_second", lambda *_: float("inf"))  # of the pipeline alone
        patch.setattr(data, "load_prepared", lambda name, data_dir, size, *_: digits(size))

        def no_hub(tag: str, timeout: float | None = None) -> Path:
            raise WeightsUnavailable(f"{tag}: there is no hub in a test")

        patch.setattr(scaling, "converted", functools.cache(scaling.converted))  # pages ask for the same
        patch.setattr("ghostnet_tf.weights.load.fetch", no_hub)
        patch.setattr("ghostnet_tf.weights.fetch", no_hub)
        yield patch


def digits(size: int | None):
    """Forty of scikit-learn's, as a prepared data set."""
    found = data.load_data("digits", size=size)
    few = found.train.subset(np.arange(20)), found.test.subset(np.arange(20))
    return type(found)(few[0], few[1], few[1], found.labels, flip=False)


@pytest.fixture(scope="module")
def prepared(small, terminal_in, tiny_file, tmp_path_factory) -> Path:
    """A copy of the checkout with all that the pages take for granted: photos, runs, files of other tools."""
    checkout = tmp_path_factory.mktemp("pages") / "checkout"
    shutil.copytree(ROOT, checkout, ignore=shutil.ignore_patterns(*NOT_COPIED))
    shutil.rmtree(checkout / "benchmarks/studies")
    (checkout / "benchmarks/studies").mkdir()
    (checkout / "benchmarks/studies/fashion.toml").write_text(STUDY)
    recipe = checkout / "training/recipes/finetune.toml"
    recipe.write_text(
        recipe.read_text()
        .replace('"imagenet"', f'"{terminal_in.imagenet}"')
        .replace("freeze_epochs = 5", "freeze_epochs = 1")
    )
    venv.create(checkout / ".venv")
    programs = checkout / "bin"
    programs.mkdir()
    (programs / "adb").write_text(ADB)
    (programs / "model-explorer").write_text("#!/bin/sh\ntest -f $1\n")
    for program in programs.iterdir():
        program.chmod(0o755)
    subprocess.run(
        "git init --quiet && git add Makefile docs && git -c user.name=a -c user.email=a@b commit --quiet -m a",
        shell=True,
        cwd=checkout,
        check=True,
    )
    rng = np.random.default_rng(0)
    for name, brightness in (("cat", 60), ("dog", 180)):
        (checkout / "photos" / name).mkdir(parents=True)
        for number in range(1, 7):
            pixels = np.clip(rng.normal(brightness, 30, (60, 80, 3)), 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(checkout / "photos" / name / f"{number}.jpg")
    shutil.copy(checkout / "photos/cat/1.jpg", checkout / "photo.jpg")
    Image.open(checkout / "photo.jpg").save(checkout / "photo.png")
    keras.utils.set_random_seed(0)
    ghostnet_tf.GhostNet(input_shape=(224, 224, 3)).save_weights(checkout / terminal_in.imagenet)

    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(checkout)
        terminal_in(checkout, patch).run(
            f"""
            python training/train.py --data photos/ --weights {terminal_in.imagenet} --output runs/photos
            python training/train.py --data cifar10 --model ghostnet --size 32 --output runs/cifar10
            python training/train.py --data cifar10 --model ghost_resnet56 --ratio 1 --size 32 \\
              --output runs/studies/cifar10_ghost_resnet56_s1_20
            python tflite/convert.py --model runs/photos --fp32 --fp16 --int8
            python tflite/convert.py --model runs/cifar10 --fp32 --int8
            """
        )
    shutil.copytree(checkout / "runs/cifar10", checkout / "runs/flowers")
    exports = checkout / "runs/photos/exports"
    assets = checkout / "app/src/main/assets"
    assets.mkdir(parents=True)
    for folder in (assets, checkout):
        for scheme in ("int8", "fp16"):
            shutil.copy(exports / f"{PHOTOS}_{scheme}.tflite", folder)
    shutil.copytree(checkout / "runs/cifar10", checkout / "runs/demo")
    demo = checkout / "runs/demo/exports"
    (demo / "ghostnet_100_32_cifar10_int8.tflite").rename(demo / "ghostnet_050_32_digits_int8.tflite")
    for name in ("FILE", "FILE_int8", "model", "runs/photos/exports/FILE"):
        for suffix in (".tflite", ".json"):
            shutil.copy(exports / f"{PHOTOS}_int8{suffix}", checkout / f"{name}{suffix}")
    for name in ("benchmark_model", "android_aarch64_benchmark_model"):
        (checkout / name).write_bytes(b"\x7fELF")

    folders = [checkout / name for name in ("exports/peers", "exports/routes", "../shared/peers")]
    for folder in folders:
        folder.mkdir(parents=True)
        for network in ("ghostnet_100", "ghostnetv2_100", "mobilenetv2_100"):
            for scheme in ("fp32", "int8"):
                ours = f"{network}_224_untrained_{scheme}.tflite"
                name = ours if folder is folders[0] else f"timm_{network}_{scheme}.tflite"
                (folder / name).write_bytes(tiny_file)
    return checkout


@pytest.fixture
def terminal(prepared, terminal_in, tmp_path, monkeypatch):
    """In a copy of `prepared`."""
    folder = tmp_path / "work" / "checkout"
    shutil.copytree(prepared.parent / "shared", tmp_path / "work" / "shared")
    shutil.copytree(prepared, folder, symlinks=True)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("PATH", f"{folder / 'bin'}:{os.environ['PATH']}")
    monkeypatch.setattr(sys, "path", list(sys.path))
    opened = terminal_in(folder, monkeypatch)
    monkeypatch.setattr(local_page.Server, "__exit__", lambda *_: None)
    monkeypatch.setattr(local_page.Server, "serve_forever", lambda server: opened.serve(server))
    yield opened
    for name in [name for name in sys.modules if name.split(".")[0] == "benchmarks"]:
        del sys.modules[name]  # those of this copy


@pytest.mark.parametrize("block", BLOCKS)
def test_a_block_runs(block, terminal, monkeypatch):
    if "docs/browser.py" in block and terminal.loaded("docs/browser.py").find() is None:
        pytest.skip("takes a picture of a page: needs Chromium")
    monkeypatch.setattr(webbrowser, "open", terminal.opened.append)
    terminal.run(block)
