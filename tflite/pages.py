"""Pages that stand alone: no file beside them, no network."""

from collections.abc import Mapping
from pathlib import Path


def render(template: str, content: Mapping[str, object]) -> str:
    """The page that a template of this folder makes of `content`, with everything escaped that is not `Markup`.

    Raises:
        jinja2.UndefinedError: If the template names something that `content` lacks.
    """
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.get_template(template).render(content)
