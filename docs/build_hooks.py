"""What MkDocs does beside rendering docs/: pages from elsewhere in the repository, and tables from the code.

- experiments/*.md with their figures, and notebooks/*.ipynb with the outputs they hold, become pages.
- A line ``<!-- from the code: NAME -->`` is replaced by the Markdown that `TABLES` makes under that name.
- A link to a file outside docs/ leads to its page here, else to the repository. A file that is not there is a
  warning, which stops a strict build.
"""

from __future__ import annotations

import logging
import posixpath
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
from jinja2 import DictLoader
from make_command_line import command_line
from make_tables import masks, models, scenes
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page
from nbconvert import MarkdownExporter
from nbconvert.filters import strip_ansi

ROOT = Path(__file__).resolve().parent.parent

TABLES: dict[str, Callable[[], str]] = {
    "command line": command_line,
    "models": models,
    "scenes": scenes,
    "masks": masks,
}
TITLES = {
    "experiments/RESULTS.md": "All tables",
    "experiments/GROWTH.md": "Growth",
    "experiments/COST.md": "Cost",
}

# Outputs as blocks of their own class, so that they look different from the code.
_NOTEBOOK = """{% extends 'markdown/index.md.j2' %}
{% macro output_block(text) %}\n~~~{ .text .output }\n{{ text.rstrip() }}\n~~~\n{% endmacro %}
{% block stream %}{{ output_block(output.text) }}{% endblock %}
{% block data_text %}{{ output_block(output.data['text/plain']) }}{% endblock %}
"""

_log = logging.getLogger("mkdocs.hooks")
_LINK = re.compile(r"(?<=\]\()(?![a-z]+:|#|//)([^)\s#]+)")
_MARK = re.compile(r"^<!-- from the code: (.+) -->$", re.MULTILINE)
_FENCE = re.compile(r"^(```|~~~).*?^\1", re.MULTILINE | re.DOTALL)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages and figures that lie outside docs/."""
    for path in sorted(ROOT.glob("experiments/*.md")):
        _add(files, config, f"experiments/{path.name}", path.read_text(encoding="utf-8"))
    for path in sorted(ROOT.glob("experiments/figures/*.svg")):
        _add(files, config, f"experiments/figures/{path.name}", path.read_bytes())
    for path in sorted(ROOT.glob("notebooks/*.ipynb")):
        text, images = notebook(path)
        _add(files, config, f"notebooks/{path.stem}.md", text)
        for name, image in images.items():
            _add(files, config, f"notebooks/{name}", image)
    return files


def _add(files: Files, config: MkDocsConfig, uri: str, content: str | bytes) -> None:
    files.append(File.generated(config, uri, content=content))


def notebook(path: Path) -> tuple[str, dict[str, bytes]]:
    """Return a notebook as Markdown with the outputs that are in it, and its images by name."""
    known = nbformat.read(path, as_version=4)
    for cell in known.cells:
        for output in cell.get("outputs", ()):
            if "text" in output:
                output["text"] = strip_ansi(output["text"])
    exporter = MarkdownExporter(extra_loaders=[DictLoader({"site": _NOTEBOOK})], template_file="site")
    text, resources = exporter.from_notebook_node(
        known, {"unique_key": path.stem, "output_files_dir": f"{path.stem}_files"}
    )
    source = f"*This page is [notebooks/{path.name}]({path.name}) with the outputs of its last run.*"
    title, _, rest = text.strip().partition("\n")
    return f"{title}\n\n{source}\n{rest}\n", resources["outputs"]


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Fill in what is made from the code, and turn links to files outside docs/."""
    source = page.file.src_uri
    if source in TITLES:
        page.meta.setdefault("title", TITLES[source])
    markdown = _MARK.sub(lambda found: TABLES[found[1]](), markdown)
    at = source if page.file.generated_by else f"docs/{source}"

    def turned(found: re.Match[str]) -> str:
        return _turn(found[1], at, source, files, str(config.extra["repository"]))

    pieces, end = [], 0
    for fence in _FENCE.finditer(markdown):  # code is left as it is
        pieces += [_LINK.sub(turned, markdown[end : fence.start()]), fence[0]]
        end = fence.end()
    return "".join(pieces) + _LINK.sub(turned, markdown[end:])


def _turn(link: str, at: str, source: str, files: Files, repository: str) -> str:
    """Return where a relative link of the file `at` in the repository leads from the page `source`."""
    target = posixpath.normpath(posixpath.join(posixpath.dirname(at), link))
    page = target.removeprefix("docs/")
    if target.startswith("notebooks/") and source != page.replace(".ipynb", ".md"):
        page = page.replace(".ipynb", ".md")
    if files.get_file_from_path(page) is not None:
        return posixpath.relpath(page, posixpath.dirname(source) or ".")
    if target.startswith("docs/"):
        return link  # MkDocs tells that it is not there
    path = ROOT / target
    if target.startswith("..") or not path.exists():
        _log.warning("'%s' links to '%s', which is not in the repository.", at, target)
        return link
    kind = "tree" if path.is_dir() else "blob"
    return f"{repository}/{kind}/main/{target}"


def on_post_build(config: MkDocsConfig, **_: Any) -> None:
    """Remove the source maps of the theme: they are half of the site's size, and nobody here reads them."""
    for path in Path(config.site_dir).rglob("*.map"):
        path.unlink()
