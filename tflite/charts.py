"""Charts: as inline SVG that takes the colours of the page it stands in, and as files."""

import contextlib
import io
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FOREGROUND = "#010203"  # stands for the page's own text colour until the SVG is finished
COLOURS = ("#2f81d6", "#d9730d")  # legible on white and on black


def lines(x: Sequence[float], series: Mapping[str, Sequence[float]], *, title: str, x_label: str) -> str:
    """A line chart as an `<svg>` element without any reference to the outside.

    Args:
        x: Shared by all series.
        series: Name to values, NaN for a gap; at most as many as there are `COLOURS`.
        title: Above the chart, and its name for those who do not see it.
        x_label: Below it.
    """
    import matplotlib
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    style = {
        "svg.fonttype": "none",  # text stays text, in the page's font
        "svg.hashsalt": "ghostnet-tf",  # the same chart gives the same bytes
        "font.size": 10,
        **dict.fromkeys(("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color"), FOREGROUND),
    }
    with matplotlib.rc_context(style):
        figure = Figure(figsize=(4.2, 2.8), layout="constrained")
        axes = figure.add_subplot()
        for (name, values), colour in zip(series.items(), COLOURS, strict=False):
            axes.plot(x, values, color=colour, label=name, marker="o" if len(x) < 3 else None)
        axes.set_title(title, fontsize=11)
        axes.set_xlabel(x_label)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False)
        file = io.StringIO()
        figure.savefig(file, format="svg", transparent=True, metadata={"Date": None})
    return _inline(file.getvalue(), title)


@contextlib.contextmanager
def picture(path: Path, figsize: tuple[float, float]) -> "Iterator[Figure]":
    """A figure to draw on, in one style, which is saved at `path` when the block ends well.

    Args:
        path: Of the picture, `.svg` or `.png`, replaced if it exists.
        figsize: Width and height in inches.
    """
    import matplotlib
    from matplotlib.figure import Figure

    from ghostnet_tf.commands import written_whole

    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "ghostnet-tf", "font.size": 9}):
        figure = Figure(figsize=figsize, layout="constrained")
        yield figure
        with written_whole(path) as temporary:
            figure.savefig(temporary, dpi=150, metadata={"Date": None} if path.suffix == ".svg" else None)


def profiles(path: Path, found: Sequence[dict], title: str) -> None:
    """Draws where the time of files goes, a row of two bar charts each: by operation, and by layer in order.

    Args:
        path: Of the picture, `.svg` or `.png`, replaced if it exists.
        found: Of `op_profile.profile`.
        title: Above all.
    """
    tallest = [max(len(row["by_operator"]), len(row["by_layer"])) for row in found]
    with picture(path, (11, 0.6 + sum(1.2 + 0.2 * bars for bars in tallest))) as figure:
        figure.suptitle(title)
        grid = figure.subplots(len(found), 2, squeeze=False, height_ratios=tallest)
        for row, axes in zip(found, grid, strict=True):
            for plot, key, colour in zip(axes, ("by_operator", "by_layer"), COLOURS, strict=True):
                names = [part["name"] or "(not told)" for part in row[key]]
                bars = plot.barh(names, [part["ms"] for part in row[key]], color=colour)
                plot.bar_label(bars, [f"{part['share']:.0%}" for part in row[key]], padding=2, fontsize=8)
                plot.invert_yaxis()
                plot.set_xlabel("ms")
                plot.margins(x=0.12, y=0.02)
                plot.spines[["top", "right"]].set_visible(False)
            axes[0].set_title(row["file"], loc="left", fontsize=10)


def scaling(path: Path, rows: Sequence[dict], fits: Mapping[tuple[str, str], Callable[[float, float], float]]) -> None:
    """Draws time and peak memory against the size of the images: measured as points, fitted as lines, by width.

    Args:
        path: Of the picture, `.svg` or `.png`, replaced if it exists.
        rows: With `scheme`, `width`, `size`, `ratio` and `peak_memory_mb`; the last may be `None`.
        fits: By scheme and name, of width and size.
    """
    import matplotlib
    import numpy as np
    from matplotlib.ticker import LogLocator

    units = {"ratio": "time, in that of the scheme's width 1.0 at 224", "peak_memory_mb": "peak memory, MB"}
    units = {name: label for name, label in units.items() if any(row[name] is not None for row in rows)}
    groups = dict.fromkeys((row["scheme"], row["width"]) for row in rows)
    widths = sorted({width for _, width in groups})
    colours = dict(zip(widths, matplotlib.colormaps["viridis"](np.linspace(0, 0.85, len(widths))), strict=True))
    sizes = sorted({row["size"] for row in rows})
    smooth = np.geomspace(sizes[0], sizes[-1], 50)
    with picture(path, (11, 4.6)) as figure:
        for axes, (name, label) in zip(figure.subplots(1, len(units), squeeze=False)[0], units.items(), strict=True):
            for scheme, width in groups:
                same = [row for row in rows if (row["scheme"], row["width"]) == (scheme, width)]
                style = {"color": colours[width], "label": f"{scheme}, width {width:g}"}
                whole = scheme == "fp32"
                values = [np.nan if row[name] is None else row[name] for row in same]
                axes.plot(
                    [row["size"] for row in same], values, "o" if whole else "s", mfc=None if whole else "none", **style
                )
                if (scheme, name) in fits:
                    fitted = [fits[scheme, name](width, size) for size in smooth]
                    axes.plot(smooth, fitted, "-" if whole else ":", color=colours[width], linewidth=1)
            axes.set(xscale="log", yscale="log", xlabel="pixels a side", title=label, xticks=sizes, xticklabels=sizes)
            axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axes.yaxis.set_major_formatter("{x:g}")
            axes.minorticks_off()
            axes.grid(alpha=0.25)
            axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))


def _inline(svg: str, title: str) -> str:
    """An SVG file's text as an element of an HTML page."""
    from markupsafe import escape

    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>", "", svg, flags=re.DOTALL)
    svg = re.sub(r' xmlns(:\w+)?="[^"]*"', "", svg)  # HTML knows them
    # Identifiers are unique in a file, and several stand in one page.
    prefix = re.sub(r"\W+", "-", title.lower())
    svg = re.sub(r'(\bid="|url\(#|href="#)', rf"\g<1>{prefix}-", svg)
    svg = re.sub(r"<svg [^>]*?(viewBox=\"[^\"]*\")[^>]*>", rf'<svg role="img" aria-label="{escape(title)}" \1>', svg)
    svg = re.sub(r"font: ([\d.]+px) [^;\"]*", r"font-size: \1", svg)  # Matplotlib before 3.10
    return re.sub(r"font-family: [^;\"]*;", "", svg).replace(FOREGROUND, "currentColor")
