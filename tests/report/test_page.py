"""The page as text: what is in it, what cannot be, and that only its own script may run."""

import base64
import hashlib
import html
import json
import re
import shutil

import numpy as np
import pytest

import hsi
from hsi.comparison import compare
from hsi.report.page import write_report


def inside(page, tag):
    """What stands inside each element of a kind, as it is written."""
    return re.findall(rf"<{tag}(?: [^>]*)?>(.*?)</{tag}>", page, flags=re.DOTALL)


@pytest.fixture(scope="module")
def alone(runs, written, tmp_path_factory):
    """The page of the first run."""
    path = tmp_path_factory.mktemp("alone") / "page.html"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("hsi.report.page.save_run_figures", lambda *_: [])
        write_report([[runs[0]]], path, device="cpu")
    return path.read_text(encoding="utf-8")


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
    *rows, without, difference = inside(table, "tr")[1:]
    unsmoothed = runs[1].metrics["smoothing"]["unsmoothed"]["test"]
    shown = [f"{100 * unsmoothed[score]:.2f}" for score in ("oa", "aa", "kappa", "mean_precision")]
    assert inside(without, "td")[1:5] == shown
    assert "knn, not smoothed" in without
    for run, row in zip(runs, rows, strict=True):
        metrics = run.metrics
        cells = [metrics["counts"]["test"]]  # below a thousand, so without a space
        cells += [f"{100 * metrics['test'][score]:.2f}" for score in ("oa", "aa", "kappa", "mean_precision")]
        cells += [f"{100 * metrics['leakage'][figure]:.2f}" for figure in ("centre", "overlap")]
        assert inside(row, "td") == [str(cell) for cell in cells]
    first, second = (run.metrics["test"] for run in runs)
    assert inside(difference, "td")[1] == f"{100 * (second['oa'] - first['oa']):+.2f}"
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
        assert re.search(rf'Grass</th><td class="shade-\d+ right">{share}</td>', text)
        assert "1 Grass" not in text


def test_one_run_has_its_scores_as_tiles(alone, runs):
    metrics = runs[0].metrics
    tiles = html.unescape(inside(alone, "dl")[0])
    for shown in (
        f"{100 * metrics['test']['oa']:.2f} %",
        f"{100 * metrics['test']['aa']:.2f} %",
        f"{100 * metrics['test']['kappa']:.2f}",
        f"{100 * metrics['leakage']['centre']:.2f} %",
        f"{100 * metrics['leakage']['overlap']:.2f} % of patches share a pixel with training",
    ):
        assert f">{shown}</dd>" in tiles
    assert inside(alone, "h1") == [f"densenet3d on {metrics['dataset']}, random split"]


def test_the_title_names_all_runs_and_the_footer_the_size(page, written):
    (title,) = inside(page, "h1")
    assert title.startswith("densenet3d and knn on ")
    assert title.endswith(", random and disjoint splits")
    assert f"One file of {written.page.stat().st_size / 1e6:.1f} MB that needs no other" in page


def test_runs_that_cannot_be_compared_get_no_verdict_but_the_reason(page):
    assert "No verdict: " in page
    assert "have no run on the same train and test pixels" in page


def test_two_runs_on_one_split_get_the_verdict_of_compare(runs, tmp_path, monkeypatch):
    monkeypatch.setattr("hsi.report.page.save_run_figures", lambda *_: [])
    other = hsi.train("logistic", dataset=runs[1].config.dataset, scheme="disjoint", train=0.2, val=0.2,
                      device="cpu", patch=7, out=tmp_path / "other")  # fmt: skip
    write_report([[runs[1]], [other]], tmp_path / "page.html", device="cpu")
    page = html.unescape((tmp_path / "page.html").read_text(encoding="utf-8"))
    (pair,) = compare(runs[1].path, other.path).pairs
    said = next(said for said in re.findall(r'<p class="verdict">(.*?)</p>', page) if "points of OA" in said)
    assert f"{100 * abs(pair.differences['oa']):.2f} points of OA" in said
    assert ("no difference is shown" in said) == (pair.verdict == "no difference shown")
    ahead = runs[1].path.name if pair.differences["oa"] > 0 else "other"
    assert said.startswith(f"{ahead} is ")


def test_classes_without_names_are_explained_and_codes_are_those_of_the_file(
    small_scene, tmp_path, monkeypatch
):
    monkeypatch.setattr("hsi.report.page.save_run_figures", lambda *_: [])
    small_scene.unlink()
    labels = np.load(tmp_path / "labels.npy")
    np.save(tmp_path / "labels.npy", np.array([0, 2, 5, 9], np.uint8)[labels])
    shared = {"scheme": "random", "train": 0.2, "val": 0.2, "device": "cpu", "out": tmp_path / "run"}
    run = hsi.train("knn", dataset=str(tmp_path / "cube.npy"), labels=str(tmp_path / "labels.npy"), **shared)
    write_report([[run]], tmp_path / "page.html", device="cpu")
    page = html.unescape((tmp_path / "page.html").read_text(encoding="utf-8"))
    assert "Classes without a name have neutral colours that mean nothing" in page
    assert "hsi scene new CUBE LABELS" in page
    classes = inside(page, "table")[1]
    head, *rows = inside(classes, "tr")
    assert inside(head, "th")[1] == "label in the file"
    assert [inside(row, "td")[0] for row in rows] == ["2", "5", "9"]
    assert [re.sub("<.*?>", "", name) for row in rows for name in inside(row, "th")] == [
        "code 2", "code 5", "code 9",
    ]  # fmt: skip
    assert not re.search(r"class (\d) \d|\d class (\d)", page)


def test_named_classes_need_no_explanation(page):
    assert "without a name" not in page
    assert "label in the file" not in page


def test_each_run_has_its_pictures(written, runs):
    shared = {"confusion", "false_color", "labels", "spectra", "prediction", "errors"}
    shared |= {"confidence", "reliability"}
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


def test_confidence_is_drawn_and_stands_in_a_table(page, runs):
    text = html.unescape(page)
    for run in runs:
        bins = run.metrics["calibration"]["bins"]["after"]
        error = sum(one["pixels"] * abs(one["accuracy"] - one["confidence"]) for one in bins if one["pixels"])
        error /= run.metrics["counts"]["test"]
        assert f"{100 * error:.2f} after. It is the mean gap" in text
        drawn = re.search(
            rf'<svg role="img" aria-label="[^"]*{100 * error:.2f} after[^"]*".*?</svg>', text, re.S
        )
        assert drawn.group(0).count("<circle") == sum(one["pixels"] > 0 for one in bins)
    assert text.count("The diagram as a table") == 2
    assert "Smoothings that were tried on the validation pixels" in text
    assert "Smoothed by mean " in text


def test_runs_of_older_versions_have_a_page_without_it(runs, tmp_path, monkeypatch):
    monkeypatch.setattr("hsi.report.page.save_run_figures", lambda *_: [])
    old = tmp_path / "old"
    shutil.copytree(runs[1].path, old)
    for name in ("postprocessing.npz", "classified.npz"):
        (old / name).unlink()
    metrics = json.loads((old / "metrics.json").read_text())
    del metrics["smoothing"], metrics["calibration"]
    (old / "metrics.json").write_text(json.dumps(metrics))
    config = (old / "config.toml").read_text()
    (old / "config.toml").write_text(re.sub("(?m)^smooth = .*\n", "", config))
    write_report([[hsi.open_run(old)]], tmp_path / "page.html", device="cpu")
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "Confidence is the largest share of the softmax" in page
    for word in ("calibration error", "The diagram as a table", "Smoothed", "not smoothed"):
        assert word not in page
