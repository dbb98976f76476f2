"""What `benchmarks/faults.py` disturbs: training, conversion, a report, a download, each after earlier ones."""

import csv
import hashlib
import json
import random
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.fault_runs import Ending, processor_time, run, serve
from ghostnet_tf import commands

if TYPE_CHECKING:
    import keras

EPOCHS = 2
TRAIN = ["--data=digits", "--size=32", "--batch-size=256", "--warmup-epochs=1", f"--epochs={EPOCHS}"]
CONVERT = ["--int8", "--overwrite", "--calibration-images=8", "--verification-images=8"]


def network(*, input_shape: tuple, classes: int, classifier_activation: str | None, **_) -> "keras.Model":
    """A Ghost module and a classifier, which is all that faults need and quick to compile."""
    import keras

    from ghostnet_tf.layers import GhostModule

    inputs = keras.Input(input_shape)
    x = keras.layers.AveragePooling2D(2)(keras.layers.Rescaling(1 / 127.5, -1)(inputs))
    x = keras.layers.GlobalAveragePooling2D()(GhostModule(16, 3)(x))
    return keras.Model(inputs, keras.layers.Dense(classes, activation=classifier_activation)(x))


class Job:
    """A command to disturb, in a folder of its own that `prepare` fills.

    Attributes:
        name: In the table.
        sound: The folder `before` of what is there before.
        writes: A folder with what the command writes, for its size.
    """

    name: str
    sound: Path
    writes: Path

    def prepare(self, work: Path) -> None:
        shutil.copytree(self.sound, work / "before", symlinks=True)

    def words(self, work: Path) -> list[str]:
        raise NotImplementedError

    def again(self, work: Path) -> list[str]:
        """What a user gives next."""
        return self.words(work)

    def point(self, choice: random.Random, whole: Ending, work: Path) -> tuple[Callable[[int], bool], str]:
        """When to kill the command, besides changes of the file system; and what the table says of it."""
        seconds = choice.uniform(0, whole.cpu)
        return (
            lambda process: processor_time(process) >= seconds,
            f"{seconds:.2f} of {whole.cpu:.2f} s of processor time",
        )

    def left(self, work: Path) -> str:
        """What is there; BROKEN if something whole in name is not."""
        raise NotImplementedError

    def same_end(self, work: Path) -> bool:
        """Whether the end is that of an undisturbed command."""
        raise NotImplementedError


class Train(Job):
    """A run into a new folder, beside a finished one."""

    name = "train"

    def __init__(self, sound: Path):
        self.sound = self.writes = sound

    def main(self, words: list[str]) -> int:
        from ghostnet_tf.training import train

        return train.main(words)

    def words(self, work: Path) -> list[str]:
        return [*TRAIN, "--output", str(work / "run")]

    def again(self, work: Path) -> list[str]:
        there = (work / "run" / "config.toml").exists()  # before that, there is nothing to resume and none of it counts
        return ["--resume", str(work / "run")] if there else self.words(work)

    def left(self, work: Path) -> str:
        """The last epoch of a checkpoint, if each is as in the undisturbed run."""
        found = sorted((work / "run").glob("checkpoints/epoch_*"))
        if any(
            path.stat().st_size != (self.sound / "checkpoints" / path.name).stat().st_size
            for path in found
            if (self.sound / "checkpoints" / path.name).exists()
        ):
            return "BROKEN checkpoint"
        ended = " and model" if (work / "run" / "model.keras").exists() else ""
        return (f"epoch {int(found[-1].name[6:10])}" if found else "no checkpoint") + ended

    def same_end(self, work: Path) -> bool:
        return _metrics(work / "run") == _metrics(self.sound)


def _metrics(run_folder: Path) -> list[dict]:
    """The table of a run without its times."""
    times = ("seconds", "images_per_second")
    with (run_folder / "metrics.csv").open(newline="") as file:
        return [{key: row[key] for key in row if key not in times} for row in csv.DictReader(file)]


class Convert(Job):
    """A conversion that replaces an earlier one of the same model."""

    name = "convert"
    file = "model_int8.tflite"

    def __init__(self, sound: Path, old: Path, new: Path):
        self.sound, self.old, self.new, self.writes = sound, old, new, new

    def main(self, words: list[str]) -> int:
        from ghostnet_tf.tflite import convert

        return convert.main(words)

    def prepare(self, work: Path) -> None:
        super().prepare(work)
        shutil.copytree(self.old, work / "exports")

    def words(self, work: Path) -> list[str]:
        return [*CONVERT, "--model", str(work / "before"), "--output", str(work / "exports" / self.file)]

    def left(self, work: Path) -> str:
        path = work / "exports" / self.file
        content = path.read_bytes()
        states = {(folder / self.file).read_bytes(): name for folder, name in ((self.old, "old"), (self.new, "new"))}
        stated = json.loads(path.with_suffix(".json").read_text())["sha256"]
        if content not in states:
            return "BROKEN file"
        matches = stated == hashlib.sha256(content).hexdigest()
        return f"{states[content]} file" + ("" if matches else ", sidecar of the other: sha256 tells")

    def same_end(self, work: Path) -> bool:
        return self.left(work) == "new file"


class Report(Job):
    """A page about a run with a converted file, in place of an earlier page."""

    name = "report"
    old = "<html>an earlier page</html>\n"

    def __init__(self, sound: Path, page: Path):
        self.sound, self.page, self.writes = sound, page, page.parent

    def main(self, words: list[str]) -> int:
        from ghostnet_tf.tflite import report

        return report.main(words)

    def prepare(self, work: Path) -> None:
        super().prepare(work)
        (work / "page").mkdir()
        (work / "page" / "report.html").write_text(self.old)

    def words(self, work: Path) -> list[str]:
        return ["--run", str(work / "before"), "--output", str(work / "page" / "report.html")]

    def left(self, work: Path) -> str:
        text = (work / "page" / "report.html").read_text()
        if text == self.old:
            return "old page"
        return "new page" if self.same_end(work) else "BROKEN page"

    def same_end(self, work: Path) -> bool:
        return self._undated(work / "page" / "report.html") == self._undated(self.page)

    @staticmethod
    def _undated(page: Path) -> str:
        """A page without its minute and the folder that it is in."""
        return re.sub(r"20\d\d-\d\d-\d\d \d\d:\d\d\+00:00", "", page.read_text().replace(str(page.parents[1]), ""))


class Download(Job):
    """Published weights from a server that sends 16 MB a second, into a cache with other weights."""

    name = "download"
    tags = ("ghostnetv2_100.in1k", "ghostnet_100.in1k")  # there before, asked for
    content = random.Random(0).randbytes(1 << 20)

    def __init__(self, folder: Path):
        self.sound, self.url = folder / "before", serve(self.content)
        self.writes = folder / "whole" / "before" / f"models--timm--{self.tags[1]}"

    def main(self, words: list[str]) -> int:
        from huggingface_hub import constants

        from ghostnet_tf.weights import WeightsUnavailable, fetch

        # As HF_ENDPOINT, HF_HUB_CACHE and HF_HUB_DISABLE_TELEMETRY, which are read at import only.
        template = constants.HUGGINGFACE_CO_URL_TEMPLATE.replace(constants.ENDPOINT, self.url)
        constants.ENDPOINT, constants.HUGGINGFACE_CO_URL_TEMPLATE = self.url, template
        constants.HF_HUB_CACHE, constants.HF_HUB_DISABLE_TELEMETRY = words[1], True

        def command(words: list[str]) -> int:
            try:
                fetch(words[0])
            except WeightsUnavailable as error:
                raise commands.MissingResource(str(error)) from error
            return commands.OK

        return commands.run(command, words)

    def words(self, work: Path) -> list[str]:
        return [self.tags[1], str(work / "before")]

    def point(self, choice: random.Random, whole: Ending, work: Path) -> tuple[Callable[[int], bool], str]:
        size = choice.randrange(len(self.content))
        blobs = work / "before" / f"models--timm--{self.tags[1]}" / "blobs"

        def there(_: int) -> bool:
            return any(path.stat().st_size >= size for path in blobs.glob("*"))

        return there, f"{size / 1e6:.2f} of {len(self.content) / 1e6:.2f} MB"

    def left(self, work: Path) -> str:
        repository = work / "before" / f"models--timm--{self.tags[1]}"
        for path in (*repository.glob("snapshots/*/*"), *repository.glob("blobs/*")):
            if not path.name.endswith(".incomplete"):
                return "weights" if path.read_bytes() == self.content else "BROKEN weights"
        parts = [path.stat().st_size for path in repository.glob("blobs/*")]
        return f"{parts[0] / 1e6:.2f} MB" if parts else "nothing"

    def same_end(self, work: Path) -> bool:
        return len(list((work / "before").glob("*/snapshots/*/*"))) == 2 and self.left(work) == "weights"


def undisturbed(folder: Path, names: list[str]) -> list[tuple[Job, Ending]]:
    """The jobs called `names`, and how each ends when nothing happens to it."""

    def sound(job: Job, words: list[str]) -> tuple[Job, Ending]:
        ending = run(job.main, words, folder)
        if ending.code:
            raise commands.CommandError(f"the undisturbed {job.name} ended with {ending.word}: {ending.log[-500:]}")
        return job, ending

    found = []
    if "download" in names:
        job = Download(folder)
        sound(job, [job.tags[0], str(job.sound)])
        job.prepare(folder / "whole")
        found.append(sound(job, job.words(folder / "whole")))
    if set(names) - {"download"}:
        train = Train(folder / "run")
        found.append(sound(train, [*TRAIN, "--output", str(train.sound)]))
    if {"convert", "report"} & set(names):
        convert = Convert(train.sound, folder / "old", folder / "new")
        for target, extra in ((convert.old, ["--input-type=float32"]), (convert.new, [])):
            ending = sound(
                convert, [*CONVERT, *extra, "--model", str(train.sound), "--output", str(target / convert.file)]
            )
        found.append(ending)
    if "report" in names:
        about = folder / "about" / "before"
        shutil.copytree(train.sound, about)
        shutil.copytree(convert.new, about / "exports")
        report = Report(about, folder / "about" / "page" / "report.html")
        found.append(sound(report, report.words(folder / "about")))
    return [(job, ending) for job, ending in found if job.name in names]
