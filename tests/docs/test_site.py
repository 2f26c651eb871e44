"""The built site: every page is in it and in the search, and nothing in it comes from another host."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path

LOADED = {
    "script": "src",
    "img": "src",
    "iframe": "src",
    "source": "src",
    "embed": "src",
    "object": "data",
    "link": "href",
}


class Resources(HTMLParser):
    """What a browser loads to show a page."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.styles: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        if values.get("rel") in ("canonical", "next", "prev", "edit"):
            return
        if tag in LOADED and values.get(LOADED[tag]):
            self.found.append(str(values[LOADED[tag]]))
        if values.get("srcset"):
            self.found += [part.split()[0] for part in str(values["srcset"]).split(",")]
        if values.get("style"):
            self.styles.append(str(values["style"]))


def pages(site: Path) -> list[Path]:
    return [path for path in sorted(site.rglob("*.html")) if path.name != "404.html"]


def test_pages_load_nothing_from_elsewhere(site: Path) -> None:
    loaded = 0
    for page in pages(site):
        reader = Resources()
        reader.feed(page.read_text(encoding="utf-8"))
        loaded += len(reader.found)
        for url in reader.found:
            assert not re.match(r"(https?:)?//", url), f"{page.relative_to(site)} loads {url}"
            if not url.startswith("data:"):
                assert (page.parent / url.partition("?")[0].partition("#")[0]).exists(), f"{page}: {url}"
        assert not re.search(r"url\(['\"]?(https?:)?//", " ".join(reader.styles))
    assert loaded > 100
    for style in site.rglob("*.css"):
        assert not re.search(r"(url\(|@import )['\"]?(https?:)?//", style.read_text(encoding="utf-8")), style


def test_every_page_is_in_the_search(site: Path) -> None:
    text = (site / "search" / "search_index.js").read_text(encoding="utf-8").removeprefix("var __index = ")
    found = {entry["location"].partition("#")[0] for entry in json.loads(text)["docs"]}
    assert found == {page.relative_to(site).as_posix() for page in pages(site)}


def test_what_is_made_from_the_code_is_there(site: Path) -> None:
    for page, words in {
        "reference/command-line.html": ["hsi scene new", "--label-smoothing"],
        "reference/file-formats.html": ["Kennedy Space Center", "dase"],
        "explanation/blocks.html": ["2504.15155", "spectralformer"],
        "reference/api.html": ["hsi.train", "hsi.models.KANConv3d"],
        "experiments/RESULTS.html": ["figures/real_small.svg"],
        "notebooks/1_first_map.html": ["hsi.load_scene", ".png"],
    }.items():
        text = (site / page).read_text(encoding="utf-8")
        assert "from the code:" not in text, page
        for word in words:
            assert word in text, f"{page} lacks {word}"


def test_outputs_of_notebooks_have_no_terminal_codes(site: Path) -> None:
    for page in (site / "notebooks").glob("*.html"):
        text = page.read_text(encoding="utf-8")
        assert "\x1b" not in text
        assert "[1m" not in text


WIDTHS = (1400, 390)
# A script of the theme puts each table into a box that scrolls.
SETTLED = """() => [...document.querySelectorAll(".md-typeset table:not([class])")]
  .every(table => table.closest(".md-typeset__table"))"""


def test_pages_and_search_work_from_disk(site: Path, chromium) -> None:
    """No request leaves the folder, no script fails, no page is wider than the screen, and search finds."""
    tab = chromium.new_page()
    requests, errors = [], []
    tab.on("request", lambda request: requests.append(request.url))
    tab.on("pageerror", lambda error: errors.append(str(error)))
    for page in pages(site):
        tab.goto(page.as_uri())
        tab.wait_for_function(SETTLED)
        for width in WIDTHS:
            tab.set_viewport_size({"width": width, "height": 900})
            shown = tab.evaluate("document.querySelector('.md-main').scrollWidth")
            assert shown <= width, f"{page.relative_to(site)} is {shown} px wide on a screen of {width}"
    for width in WIDTHS:
        tab.set_viewport_size({"width": width, "height": 900})
        tab.goto((site / "index.html").as_uri())
        tab.click("input[name=query]" if width > 960 else "label[for=__search] >> visible=true")
        tab.keyboard.type("leakage")
        tab.wait_for_selector(".md-search-result__link")
        links = tab.eval_on_selector_all(".md-search-result__link", "found => found.map(one => one.href)")
        assert any("explanation/leakage.html" in link for link in links)
    tab.close()
    assert errors == []
    assert [url for url in requests if not url.startswith(("file:", "data:", "blob:", "about:"))] == []
