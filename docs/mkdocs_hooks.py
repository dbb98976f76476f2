"""What MkDocs adds to the pages of this folder: README and its neighbours, files that pages link to, the model zoo."""

import csv
import importlib.util
import re
import sys
from pathlib import Path

from mkdocs.structure.files import File

ROOT = Path(__file__).resolve().parents[1]
ROOT_PAGES = {
    "README.md": "index.md",
    "CHANGELOG.md": "CHANGELOG.md",
    "CONTRIBUTING.md": "CONTRIBUTING.md",
    "ghostnet_tf/weights/ghost_resnet56_cifar10.md": "ghost_resnet56_cifar10.md",
}
LINK = re.compile(r"(?<=\]\()(?!https?:|#|mailto:)([^)#\s]+)")  # the path in [text](path#anchor)
UNIT = re.compile(r"(?<=\d) (?=(?:%|MB|dB|ms|min|s) *\|)")  # between a number and its unit at the end of a cell


def on_config(config):
    """Puts pages that mkdocs.yml does not order before those for developers."""
    listed = [page if isinstance(page, str) else next(iter(page.values())) for page in config.nav]
    place = config.nav.index("add_a_family.md")
    config.nav[place:place] = sorted(file.name for file in Path(ROOT, "docs").glob("*.md") if file.name not in listed)
    return config


def on_files(files, config):
    """Adds the generated pages and what any page links to in the repository."""
    pages = {page: Path(ROOT, source).read_text(encoding="utf-8") for source, page in ROOT_PAGES.items()}
    pages["model_zoo.md"] = model_zoo()
    for name, text in pages.items():
        files.append(File.generated(config, name, content=text))
    for file in list(files.documentation_pages()):
        folder = ROOT if file.src_uri in pages else ROOT / "docs"
        for link in LINK.findall(file.content_string):
            target = (folder / link).resolve()
            if target.is_file() and target.suffix != ".md" and not target.is_relative_to(ROOT / "docs"):
                uri = target.relative_to(ROOT).as_posix()
                if files.get_file_from_path(uri) is None:
                    files.append(File.generated(config, uri, abs_src_path=str(target)))
    return files


def on_page_markdown(markdown, page, config, files):
    """Turns links as they are in the repository into links of the site, which has all pages in one folder.

    Numbers in tables keep their units on a phone's narrow columns.
    """

    def moved(link: re.Match) -> str:
        path = link[1].removeprefix("../").removeprefix("docs/")
        return ROOT_PAGES.get(path, path)

    lines = (UNIT.sub("\u00a0", line) if line.startswith("|") else line for line in markdown.splitlines())
    return LINK.sub(moved, "\n".join(lines))


def model_zoo() -> str:
    """The page about every network, from `results/zoo.csv` and the register of published weights."""
    with Path(ROOT, "results", "zoo.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    notes = list(dict.fromkeys(row["note"] for row in rows if row["note"]))
    networks = [
        (
            row["model"] + (f" [{notes.index(row['note']) + 1}]" if row["note"] else ""),
            row["input"].removesuffix("x3"),
            *(f"{int(row[name]) / 1e6:.2f}" for name in ("params", "macs", "activations")),
            _printed([row[f"paper_{name}"] for name in ("params_m", "macs_m", "top1")]),
        )
        for row in rows
    ]
    weights = [
        (f"`{row.tag}`", row.family, f"{row.width:g}", f"{row.top1:.2f}", f"{row.top5:.2f}", "Apache-2.0")
        for row in _published().values()
    ]
    return "\n".join(
        [
            "# Model zoo",
            "",
            "Exact counts of this package, in millions, beside what the papers print: parameters / multiply-adds /",
            f"top-1. Made by `{rows[0]['command']}`; the file with all columns: [zoo.csv](results/zoo.csv).",
            "",
            _table(("network", "input", "params M", "MACs M", "activations M", "paper"), networks),
            "",
            *(f"{number}. {note}" for number, note in enumerate(notes, 1)),
            "",
            "## Published weights",
            "",
            "`weights=TAG` of a builder downloads them once, from timm's repository of that name on the Hugging Face",
            "hub, and verifies them. Accuracy on ImageNet-1k is as timm reports it, at 224 pixels.",
            "",
            _table(("weights", "network", "width", "top-1", "top-5", "licence"), weights),
            "",
            "The images of ImageNet-1k are given out for non-commercial research; whether that binds weights trained",
            "on them is for you to judge.",
            "",
            "Ghost-ResNet-56 for CIFAR-10 needs no download: the package [has weights](ghost_resnet56_cifar10.md).",
            "",
        ]
    )


def _printed(numbers: list[str]) -> str:
    return " / ".join(number or "-" for number in numbers) if any(numbers) else ""


def _table(head, rows) -> str:
    lines = [head, ["---"] * 2 + ["--:"] * (len(head) - 2), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _published() -> dict:
    """The register, without importing the package and TensorFlow with it."""
    spec = importlib.util.spec_from_file_location("registry", ROOT / "ghostnet_tf" / "weights" / "registry.py")
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.list_weights()
