"""The page about studies of training: for each its curves, a table, and what the numbers say."""

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ghostnet_tf.commands import write_text

if TYPE_CHECKING:
    from benchmarks.study import Study

CLEAR = 2  # standard errors from which a difference counts

HEAD = """\
# Training results

What training reaches here, at lengths that two processor cores can afford: studies of runs that differ in one setting.

```sh
python benchmarks/study.py --data-dir DIR            # all of it, for hours; the same command goes on after any end
python benchmarks/study.py --only fashion            # one study
python benchmarks/study.py --page-only               # this page again, from results/
```

made this page, sentences about numbers included. Each run is one of `training/train.py`, with the settings in
`benchmarks/studies/`; its row with its command is in [training.csv](../results/training.csv), its counts and its
curve in `results/studies.csv`. Accuracy is that of the last epoch on the data set's test images. The
curves are of the same images, by which no epoch was chosen.

**How sure it is.** Each number is of one run with one seed. N test images alone leave a standard error of
sqrt(p (1 - p) / N); a difference of two runs counts as clear from twice its own on, as if they had been measured on
different images. What another seed would change comes on top of it and was not measured. The shortest run, trained
again and compared: `python benchmarks/reproduce.py --data-dir DIR`.
"""


@dataclass(frozen=True)
class Result:
    """What a run reached.

    Attributes:
        parameters, multiply_adds: Of its network.
        epochs, minutes: Of its training.
        top1: Share of the `images` that it got right.
        curve: The accuracy on held-out images after each epoch, NaN where they were not evaluated.
    """

    parameters: int
    multiply_adds: int
    epochs: int
    minutes: float
    top1: float
    images: int
    curve: Sequence[float]

    @classmethod
    def of(cls, row: Mapping[str, str]) -> "Result":
        """From a row of the table."""
        whole = {name: int(row[name]) for name in ("parameters", "multiply_adds", "epochs", "images")}
        curve = tuple(map(float, row["curve"].split()))
        return cls(minutes=float(row["minutes"]), top1=float(row["top1"]), curve=curve, **whole)

    @property
    def variance(self) -> float:
        """See `variance`."""
        return variance(self.top1, self.images)


def variance(top1: float, images: int) -> float:
    """Of an accuracy in points, as far as the number of images goes; `top1` is a share."""
    return 100**2 * top1 * (1 - top1) / images


def clear(*variances: float) -> float:
    """Points from which what the variances add up to counts."""
    return CLEAR * math.sqrt(sum(variances))


def write_page(path: Path, studies: Iterable["Study"], found: Mapping[str, Mapping[str, Result]]) -> None:
    """Writes the page about all studies, and beside it a picture of each that has begun.

    Args:
        path: Of the page, Markdown.
        studies: In the order of the page.
        found: Study -> member -> what its run reached; those that are not finished are not in it.
    """
    sections = [HEAD]
    for study in studies:
        results = found[study.name]
        parts = [f"## {study.title}", study.about, f"`benchmarks/studies/{study.name}.toml`"]
        if results:
            picture = path.parent / f"training_{study.name}.svg"
            draw(picture, study.title, results)
            parts.append(f"![Accuracy on held-out images by epoch: {', '.join(results)}]({picture.name})")
            parts += [table(study, results), says(study, results)]
        else:
            parts.append("Not run yet" + (f": about {study.hours:g} hours on two cores." if study.hours else "."))
        sections.append("\n\n".join(filter(None, parts)) + "\n")
    write_text(path, "\n".join(sections))


def draw(path: Path, title: str, results: Mapping[str, Result]) -> None:
    """The learning curves of a study."""
    from matplotlib.ticker import MaxNLocator

    from ghostnet_tf.tflite import charts

    with charts.picture(path, (6.5, 3.6)) as figure:
        axes = figure.add_subplot(title=title, xlabel="epoch", ylabel="accuracy on held-out images, %")
        for name, result in results.items():
            axes.plot(range(1, result.epochs + 1), [100 * share for share in result.curve], marker=".", label=name)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(alpha=0.3)
        axes.legend()


def table(study: "Study", results: Mapping[str, Result]) -> str:
    """The members in Markdown, those that have not run included."""
    lines = ["| run | parameters | multiply-adds | epochs | minutes | top-1 % |" + " paper |" * bool(study.paper)]
    lines.append("| --- |" + " ---: |" * (5 + bool(study.paper)))
    for name in study.members:
        cells = ["", "", "", "", "not run yet"]
        if name in results:
            result = results[name]
            cells = [f"{result.parameters:,}", f"{result.multiply_adds:,}", f"{result.epochs}"]
            cells += [f"{result.minutes:.1f}", f"{100 * result.top1:.2f}"]
        if study.paper:
            cells.append(f"{study.paper[name]:.1f}" if name in study.paper else "")
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def says(study: "Study", results: Mapping[str, Result]) -> str:
    """What the numbers say of the expected order, in a few sentences."""
    if not study.order:
        return " ".join(
            f"{name}: {100 * result.top1:.2f} %, of which {result.images:,} test images leave "
            f"{clear(result.variance):.2f} points open either way."
            for name, result in results.items()
        )
    if missing := [name for name in study.order if name not in results]:
        return f"Nothing is said about the order before all have run: {', '.join(missing)}."
    pairs = {kind: [] for kind in ("clear", "open", "reversed")}
    bounds = []
    for first, second in itertools.combinations(study.order, 2):
        one, other = results[first], results[second]
        difference = 100 * (one.top1 - other.top1)
        bounds.append(clear(one.variance, other.variance))
        kind = "open" if abs(difference) < bounds[-1] else "clear" if difference > 0 else "reversed"
        pairs[kind].append(f"{first} {'above' if difference >= 0 else 'below'} {second} by {abs(difference):.2f}")
    if pairs["reversed"]:
        text = "The expected order is not reproduced."
    elif pairs["open"]:
        text = "The expected order is neither reproduced nor contradicted."
    else:
        text = "The expected order is reproduced."
    kinds = {"clear": "In it", "open": "Too close to tell", "reversed": "Clearly against it"}
    text += "".join(f" {kinds[kind]}: {', '.join(each)} points." for kind, each in pairs.items() if each)
    text += f" A difference is clear from {min(bounds):.2f}"
    text += f" to {max(bounds):.2f} points on." if len(bounds) > 1 else " points on."
    best, least = study.order[0], study.order[-1]
    if best in study.paper and least in study.paper:
        text += f" From {best} to {least} it is {100 * (results[best].top1 - results[least].top1):.2f} points here, "
        text += f"{study.paper[best] - study.paper[least]:.1f} in the paper."
    return text
