"""The pictures and numbers of the page that `explain` writes."""

import io
from datetime import UTC, datetime

import numpy as np

from ghostnet_tf import __version__
from ghostnet_tf.analysis.complexity import aligned
from ghostnet_tf.analysis.feature_maps import Ghosts, Inside, Stage
from ghostnet_tf.analysis.redundancy import (
    SIZES,
    Pair,
    chance,
    cosine_similarity,
    enough_pixels,
    linear_similarity,
    map_errors,
    similar_pairs,
)
from ghostnet_tf.commands import BadInput, choose
from ghostnet_tf.tflite import charts, predictions

WINDOW = 3  # of the linear maps between maps of one layer or stage: d of the published networks


def content(
    inside: Inside,
    photo: np.ndarray,
    *,
    layer: str | None,
    module: str | None,
    stage: str | None,
    most: int,
    pairs: int,
    steps: int,
) -> dict[str, object]:
    """What `explain.html` needs.

    Args:
        inside: The network.
        photo: uint8 RGB `(size, size, 3)`, of the network's size.
        layer, module, stage: Names of what to look at; `None` for the default of each.
        most: Maps to draw at most.
        pairs: Similar pairs to mark.
        steps: Of training for table 2; 0 leaves it out.

    Raises:
        BadInput: If a name is wrong, or what it names has no maps.
    """
    ghosts, ends = _ghosts(inside, module), _stage(inside, stage)
    try:
        layer = layer or inside.first_group()
        names = [layer, *([ghosts.concat] if ghosts else []), *([ends.blocks[0], ends.blocks[-1]] if ends else [])]
        maps = inside.maps(photo, names)
    except ValueError as error:
        raise BadInput(str(error)) from error
    marked = similar_pairs(cosine_similarity(maps[layer], maps[layer]), pairs)
    return {
        "title": f"Inside {inside.model.name}",
        "photo": predictions.picture(photo),
        "size": len(photo),
        "scale": picture(np.linspace(0, 1, 256)[None]),
        "layer": layer_section(layer, maps[layer], marked, most),
        "ghosts": ghosts_section(ghosts, maps[ghosts.concat], most) if ghosts else None,
        "stage": stage_section(ends, maps[ends.blocks[0]], maps[ends.blocks[-1]]) if ends else None,
        "table2": table2(maps[layer], marked, steps) if steps else None,
        "steps": steps,
        "window": WINDOW,
        "stages": inside.stages(),
        "modules": [row.name for row in inside.ghosts()],
        "rendering": "pixelated",
        "version": __version__,
        "date": datetime.now(UTC).isoformat(" ", "minutes"),
        "percent": lambda share: "" if share is None else f"{100 * share:.0f} %",
    }


def _ghosts(inside: Inside, name: str | None) -> Ghosts | None:
    modules = {row.name: row for row in inside.ghosts()}
    if name is not None and not modules:
        raise BadInput(f"expected a network with ghost modules for --module. Received: {inside.model.name}")
    return modules[choose("ghost module", name, modules)] if name else next(iter(modules.values()), None)


def _stage(inside: Inside, name: str | None) -> Stage | None:
    """The stage with a block of this name, or the longest of those with enough pixels; `None` if there is none."""
    stages = [stage for stage in inside.stages() if len(stage.blocks) > 1]
    if name is None:
        return max(stages, key=lambda stage: (enough_pixels(stage.shape, WINDOW), len(stage.blocks)), default=None)
    if not stages:
        raise BadInput(f"expected a network with stages of several blocks for --stage. Received: {inside.model.name}")
    by_block = {block: stage for stage in stages for block in stage.blocks}
    return by_block[choose("block of a stage", name, by_block)]


def layer_section(name: str, maps: np.ndarray, marked: list[Pair], most: int) -> dict[str, object]:
    """Figure 1: the maps of a layer, similar pairs marked."""
    letters = {index: chr(ord("A") + number) for number, pair in enumerate(marked) for index in pair[:2]}
    # The marked ones are always drawn; the others in their order, as many as fit.
    shown = sorted([*letters, *[index for index in range(maps.shape[-1]) if index not in letters]][:most])
    shares = _shares(maps, maps, WINDOW)
    return {
        "name": name,
        "shape": maps.shape,
        "chance": chance(maps.shape, WINDOW),
        "maps": [{"number": i, "picture": picture(maps[..., i]), "letter": letters.get(i)} for i in shown],
        "pairs": [
            {
                "letter": letters[pair.first],
                "pair": pair,
                "pictures": [picture(maps[..., pair.first]), picture(maps[..., pair.second])],
                "share1": pair.similarity**2,
                "share": None if shares is None else shares[pair.first, pair.second],
            }
            for pair in marked
        ],
    }


def ghosts_section(ghosts: Ghosts, maps: np.ndarray, most: int) -> dict[str, object]:
    """Figure 4: each intrinsic map beside its ghosts."""
    intrinsic, made = maps[..., : ghosts.intrinsic], maps[..., ghosts.intrinsic :]
    cosines = cosine_similarity(intrinsic, made)
    shares = _shares(intrinsic, made, ghosts.size)
    own = np.arange(made.shape[-1])
    groups = []
    for source in range(min(ghosts.intrinsic, most)):
        rows = [
            {
                "number": ghosts.intrinsic + ghost,
                "picture": picture(made[..., ghost]),
                "cosine": cosines[source, ghost],
                "share": None if shares is None else shares[source, ghost],
            }
            for ghost in np.flatnonzero(ghosts.sources == source)
        ]
        groups.append({"number": source, "picture": picture(intrinsic[..., source]), "ghosts": rows})
    return {
        "name": ghosts.name,
        "shape": maps.shape,
        "intrinsic": ghosts.intrinsic,
        "window": ghosts.size,
        "groups": groups,
        "cosine": np.median(np.abs(cosines[ghosts.sources, own])),
        "share": None if shares is None else np.median(shares[ghosts.sources, own]),
    }


def stage_section(stage: Stage, first: np.ndarray, last: np.ndarray) -> dict[str, object]:
    """The G-Ghost paper's heat map: every map of the first block against every map of the last."""
    cosines = np.abs(cosine_similarity(first, last))
    shares = _shares(first, last, WINDOW)
    tables = [("Cosine, without its sign", cosines)]
    if shares is not None:
        tables.append((f"Share made by the best {WINDOW}x{WINDOW} kernel", shares))
    return {
        "first": stage.blocks[0],
        "last": stage.blocks[-1],
        "blocks": len(stage.blocks),
        "shape": stage.shape,
        "chance": chance(stage.shape, WINDOW),
        "tables": [
            # Rows are maps of the first block; of each of the last block's, the best counts.
            {"title": title, "picture": picture(table, 0, 1), "median": np.median(table.max(0))}
            for title, table in tables
        ],
    }


def table2(maps: np.ndarray, marked: list[Pair], steps: int) -> list[dict[str, object]]:
    """Table 2: what is left of the second map of each pair, and a chart of it."""
    from markupsafe import Markup

    found = []
    for number, (pair, rows) in enumerate(zip(marked, map_errors(maps, marked, steps), strict=True)):
        letter = chr(ord("A") + number)
        series = {"least squares": [row.solved for row in rows], "trained": [row.trained for row in rows]}
        chart = charts.lines(SIZES, series, title=f"Pair {letter}", x_label="d, window of the kernel")
        found.append({"letter": letter, "pair": pair, "rows": rows, "chart": Markup(chart)})
    return found


def table2_text(found: list[dict[str, object]]) -> str:
    """Table 2 as aligned text."""
    lines = [("pair", "d", "MSE, least squares", "MSE, trained", "of the map's mean square")]
    for entry in found:
        name = f"{entry['letter']} {entry['pair'].first}-{entry['pair'].second}"
        for row in entry["rows"]:
            lines.append(
                (name, str(row.size), f"{row.solved:.4g}", f"{row.trained:.4g}", f"{row.solved / row.energy:.1%}")
            )
    return aligned(lines, left=1)


def _shares(maps: np.ndarray, others: np.ndarray, size: int) -> np.ndarray | None:
    """`linear_similarity`, or `None` where there are too few pixels to tell; the page then says so."""
    return linear_similarity(maps, others, size) if enough_pixels(maps.shape, size) else None


def picture(values: np.ndarray, low: float | None = None, high: float | None = None) -> str:
    """A map `(height, width)` as a PNG data URI in Matplotlib's viridis, dark for the least and light for the greatest.

    Args:
        values: The map.
        low, high: What is darkest and lightest; by default its least and greatest value.
    """
    import matplotlib
    from PIL import Image

    low = values.min() if low is None else low
    span = (values.max() if high is None else high) - low
    levels = np.clip((values - low) / span, 0, 1) if span > 0 else np.zeros_like(values)
    image = Image.fromarray(np.round(255 * levels).astype(np.uint8), "L")
    image.putpalette(matplotlib.colormaps["viridis"](np.arange(256), bytes=True)[:, :3].tobytes())
    file = io.BytesIO()
    image.save(file, "PNG", optimize=True)
    return predictions.data_uri(file.getvalue())
