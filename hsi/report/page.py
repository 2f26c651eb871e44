"""The page from its template: styles and scripts inside, nothing fetched, nothing else allowed to run."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from hsi.plain_text import plain

STYLES, SCRIPTS = ("page.css",), ("spectrum.js", "map.js")


def render(content: Mapping[str, Any]) -> str:
    """Fill the template; every text is escaped, and the browser is told to run our script alone."""
    style, script = (
        "\n".join((files("hsi.report") / name).read_text(encoding="utf-8") for name in names)
        for names in (STYLES, SCRIPTS)
    )
    policy = (
        f"default-src 'none'; img-src data:; style-src {_hash(style)}; script-src {_hash(script)}; "
        "base-uri 'none'; form-action 'none'"
    )
    environment = Environment(
        loader=PackageLoader("hsi", "report"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_plain,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    template = environment.get_template("page.html")
    return template.render(**content, policy=policy, style=Markup(style), script=Markup(script))


def _plain(value: Any) -> Any:
    """Return text without characters that steer how a page is shown; see `hsi.plain_text`."""
    return plain(value) if type(value) is str else value


def _hash(text: str) -> str:
    """Return the name under which a content security policy allows exactly this text."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode('ascii')}'"
