"""Pages from templates: one file each, with style and scripts inside."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from xdseg.reporting.text import ARROW

TEMPLATES = Path(__file__).parent / "templates"
LIMIT = 50  # rows that a table shows until all are asked for; the scripts have the same number


def render(template: str, *, scripts: Sequence[str], **parts: Any) -> str:
    """A page. `scripts` name files of the templates, which it holds in their order; texts in `parts` are escaped."""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"inline": inline, "coded": coded}
    return environment.get_template(template).render(
        arrow=ARROW,
        limit=LIMIT,
        css=Markup((TEMPLATES / "page.css").read_text()),
        script=Markup("\n".join((TEMPLATES / f"{name}.js").read_text() for name in scripts)),
        **parts,
    )


def inline(contents: Any) -> Markup:
    """JSON that cannot end the script element that holds it."""
    text = json.dumps(contents, separators=(",", ":"), sort_keys=True, allow_nan=False)
    return Markup(text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026"))


def coded(text: str) -> Markup:
    """Text whose names in backticks are code; all of it is escaped."""
    parts = text.split("`")
    if len(parts) % 2 == 0:  # one without its partner is a backtick
        return escape(text)
    return Markup().join(Markup("<code>{}</code>").format(part) if at % 2 else part for at, part in enumerate(parts))
