"""The page as text: what is in it, what cannot be, and that only its own script may run."""

import base64
import hashlib
import html
import json
import re

from hsi.report.page import write_report


def inside(page, tag):
    """What stands inside each element of a kind, as it is written."""
    return re.findall(rf"<{tag}(?: [^>]*)?>(.*?)</{tag}>", page, flags=re.DOTALL)


def test_names_of_classes_are_text_and_never_markup(page):
    assert "<b>clay" not in page
    assert "Soil &amp; &lt;b&gt;clay&lt;/b&gt;&lt;/script&gt;" in page
    data, _ = inside(page, "script")
    assert json.loads(data)["scenes"][0]["names"][1] == "Soil & <b>clay</b></script>"


def test_text_that_turns_its_direction_is_shown_as_an_escape(page):
    assert "\u202e" not in page
    assert "Water\\u202e $x_{$ \\u200b" in page
    data, _ = inside(page, "script")
    assert json.loads(data)["scenes"][0]["names"][2] == "Water\\u202e $x_{$ \\u200b"


def test_the_browser_is_told_to_run_nothing_else(page):
    policy = html.unescape(re.search(r'Content-Security-Policy" content="([^"]*)"', page).group(1))
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules["default-src"] == "'none'"
    _, script = inside(page, "script")
    (style,) = inside(page, "style")
    for rule, text in (("script-src", script), ("style-src", style)):
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert rules[rule] == f"'sha256-{digest}'"


def test_nothing_is_fetched(page):
    for address in re.findall(r'(?:src|href)="([^"]*)"', page):
        assert address.startswith("data:")
    assert not re.search(r"@import|url\(", page)


def test_the_scores_are_those_of_the_metrics(page, runs):
    table = inside(page, "table")[0]
    rows = inside(table, "tr")[1:]
    for run, row in zip(runs, rows, strict=True):
        metrics = run.metrics
        cells = [metrics["counts"]["test"]]
        cells += [f"{100 * metrics['test'][score]:.2f}" for score in ("oa", "aa", "kappa", "mean_precision")]
        cells += [f"{100 * metrics['leakage'][figure]:.2f}" for figure in ("centre", "overlap")]
        assert inside(row, "td") == [str(cell) for cell in cells]
    text = html.unescape(page)
    assert f"{100 * runs[0].metrics['leakage']['centre']:.2f} % of the test pixels lie in a training" in text
    assert "No leakage: " in text


def test_settings_and_confusion_are_there(page, runs):
    text = html.unescape(page)
    for run in runs:
        assert f"<dt>train</dt><dd>{run.config.train}</dd>" in text
        assert f"<dd>{run.config.scheme}</dd>" in text
        (first, *_), support = run.metrics["test"]["confusion"], run.metrics["test"]["support"]
        share = f"{100 * first[0] / support[0]:.0f}"
        assert re.search(rf'1 Grass</th><td class="shade-\d+ right">{share}</td>', text)


def test_each_run_has_its_pictures(written, runs):
    shared = {"confusion", "false_color", "labels", "spectra", "prediction", "errors", "confidence"}
    for run, names in zip(runs, (shared | {"curves"}, shared), strict=True):
        folder = run.path / "figures"
        assert {path.stem for path in folder.glob("*.png")} == names
        assert {path.stem for path in folder.glob("*.pdf")} == names
        assert all(path in written.figures for path in folder.iterdir())


def test_a_group_has_its_mean_and_the_page_is_the_same_each_time(runs, tmp_path, monkeypatch):
    monkeypatch.setattr("hsi.report.page.save_run_figures", lambda *_: [])  # seen above
    pages = []
    for name in ("a.html", "b.html"):
        write_report([[runs[0], runs[0]]], tmp_path / name, device="cpu")
        pages.append((tmp_path / name).read_text(encoding="utf-8"))
    assert pages[0] == pages[1]
    mean = inside(inside(pages[0], "table")[0], "tr")[3]
    assert "Mean of 2" in mean
    assert f"{100 * runs[0].metrics['test']['oa']:.2f} ± 0.00" in inside(mean, "td")
