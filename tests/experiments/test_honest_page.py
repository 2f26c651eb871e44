"""The chapter on maps of unseen land: its numbers beside NumPy and SciPy, its sentences in each case."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.multitest import multipletests

from experiments import tables
from experiments.pages import honest, results
from experiments.pages.recipes import JOINED_COLUMNS
from hsi.sweep.results import COLUMNS

SCENES = ("hill", "plain", "shore", "wood")
SEEDS = (7, 8, 9)
NETWORKS = ("kanet", "wcnet")
TRAIN, TEST = 120, 300
SIZE = (len(SCENES), len(SEEDS))

Scores = dict[str, dict[str, np.ndarray]]  # label -> column -> (scenes, seeds)


@pytest.fixture
def root(tmp_path, monkeypatch) -> Path:
    (tmp_path / "results").mkdir()
    monkeypatch.setattr(tables, "ROOT", tmp_path)
    return tmp_path


def made(seed: int = 0, gain: float = 0.02, **better: float) -> Scores:
    """Return scores of models around 0.8: smoothing adds about `gain`, or what `better` says for a label."""
    random = np.random.default_rng(seed)
    scores = {}
    for label in ("svm", "svm-spatial", "densenet3d", *NETWORKS, "svm+kanet"):
        name = label.replace("-", "_").replace("+", "_")
        alone = random.uniform(0.75, 0.85, SIZE)
        smoothed = alone + random.uniform(0.5, 1.5, SIZE) * better.get(name, gain)
        before = random.uniform(0.1, 0.2, SIZE)
        scores[label] = {
            "oa_unsmoothed": alone,
            "oa": smoothed,
            "aa_unsmoothed": alone - 0.05,
            "aa": smoothed - random.uniform(0.04, 0.06, SIZE),
            "calibration_error_before": before,
            "calibration_error": before / 4,
        }
        scores[label] = {column: values.round(6) for column, values in scores[label].items()}
    return scores


def write(root: Path, scores: Scores, *, scenes: int = len(SCENES), seeds: int = len(SEEDS)) -> None:
    rows: dict[str, list[dict[str, object]]] = {"": [], "joined-": []}
    for label, columns in scores.items():
        kind = "network" if label in ("densenet3d", *NETWORKS) else "classical"
        for i, scene in enumerate(SCENES[:scenes]):
            for j, seed in enumerate(SEEDS[:seeds]):
                facts = {"scene": scene, "protocol": "disjoint", "label": label, "model": label.split("-")[0]}
                facts |= {
                    "scheme": "disjoint",
                    "guard": "mask",
                    "kind": kind,
                    "device": "cpu",
                    "cpu": "a CPU",
                }
                facts |= {"smoothing": "mean 7 x 7 + edges 7 x 7 (tolerance 2)", "train_seconds": 9}
                facts |= {"train_pixels": TRAIN, "test_pixels": TEST, "seed": seed, "test_seconds": 1}
                facts |= {"leakage_centre": "0.000000", "leakage_overlap": "0.000000"}
                facts |= {
                    column: f"{values[i, j]:.6f}" for column, values in columns.items() if values[i, j] >= 0
                }
                if "oa" in facts:
                    rows["joined-" if "+" in label else ""].append(facts)
    for start, own in rows.items():
        columns = list(COLUMNS if not start else JOINED_COLUMNS)
        with (root / "results" / f"{start}honest.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, columns, restval="", extrasaction="ignore")
            writer.writeheader()
            writer.writerows(own)


def page_of(root: Path) -> str:
    page = honest.chapter(root)
    assert "nan" not in page
    return page


def table_of(page: str, title: str) -> dict[str, list[str]]:
    """Return the rows of the table under a heading, by their first cell without stars."""
    lines = page.split(f"### {title}")[1].split("\n### ")[0].splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")]
    return {row[0].strip("*"): row[1:] for row in rows[2:]}


class Same(str):
    """A cell of a table that equals one with the same words, and numbers that differ by rounding only."""

    __hash__ = str.__hash__

    def __eq__(self, other: object) -> bool:
        number = r"[+-]?\d+\.(\d+)"
        if not isinstance(other, str) or re.sub(number, "", self) != re.sub(number, "", other):
            return False
        pairs = zip(re.finditer(number, self), re.finditer(number, other), strict=True)
        return all(abs(float(a[0]) - float(b[0])) < 1.01 * 10.0 ** -len(a[1]) for a, b in pairs)


def holm(p_values: list[float]) -> list[float]:
    return list(multipletests(p_values, method="holm")[1])


def shown(difference: float, p: float) -> str:
    return Same(f"{100 * difference:+.2f} (p {'< 0.001' if p < 0.001 else f'{p:.3f}'})")


def ways(scores: Scores, score: str) -> dict[str, np.ndarray]:
    """Return a score (scenes, seeds) of each line of the tables, by name."""
    alone = {label: columns[f"{score}_unsmoothed"] for label, columns in scores.items()}
    return alone | {f"{label}, smoothed": columns[score] for label, columns in scores.items()}


def test_without_results_there_is_no_chapter(root):
    write(root, made())
    (root / "results" / "honest.csv").unlink()
    assert honest.chapter(root) == ""
    assert tables.main([]) == 0  # nor one of the joined runs alone
    assert "Nothing has been measured yet" in (root / "RESULTS.md").read_text()


def test_the_chapter_comes_once_in_the_page(root):
    (root / "honest.toml").write_text('title = "Land"\n[models.svm-spatial]\nmodel = "svm"\n')
    write(root, made())
    page = next(iter(results.outputs(root))).text
    assert page_of(root) in page
    assert page.count("## Land") == 1
    assert "- model `svm-spatial`: `svm`" in page
    assert tables.main([]) == 0
    assert tables.main(["--check"]) == 0


@pytest.mark.parametrize("score", ["oa", "aa"])
def test_scores_and_differences_to_the_reference(root, score):
    scores = made()
    write(root, scores)
    found = table_of(page_of(root), f"{score.upper()} alone")
    expected = ways(scores, score)
    assert set(found) == set(expected)
    others = [name for name in expected if name != "svm-spatial"]
    gaps = {name: (expected[name] - expected["svm-spatial"]).mean(axis=1) for name in others}
    p_values = holm([stats.ttest_1samp(gaps[name], 0).pvalue for name in others])
    for name, values in expected.items():
        runs, *cells, mean, versus = found[name]
        assert runs == str(values.size)
        assert cells == [Same(f"{100 * own.mean():.2f} ± {100 * own.std(ddof=1):.2f}") for own in values]
        assert mean == Same(f"{100 * values.mean():.2f}")
        if name == "svm-spatial":
            assert versus == "–"
        else:
            assert versus == shown(gaps[name].mean(), p_values[others.index(name)])
    assert list(found) == sorted(found, key=lambda name: -expected[name].mean())


def test_what_smoothing_changes(root):
    scores = made(1)
    write(root, scores)
    found = table_of(page_of(root), "What smoothing changes")
    gains = {
        score: np.array([columns[score] - columns[f"{score}_unsmoothed"] for columns in scores.values()])
        for score in ("oa", "aa")
    }
    labels = list(scores)
    assert list(found) == labels
    for i in range(len(SCENES)):
        own = gains["oa"][:, i]
        errors = own.std(axis=1, ddof=1) * np.sqrt(1 / len(SEEDS) + TEST / TRAIN)  # Nadeau and Bengio 2003
        p_values = holm(list(2 * stats.t.sf(np.abs(own.mean(axis=1)) / errors, len(SEEDS) - 1)))
        for label, mean, p in zip(labels, own.mean(axis=1), p_values, strict=True):
            assert found[label][i] == shown(mean, p)
    for column, score in ((-2, "oa"), (-1, "aa")):
        means = gains[score].mean(axis=2)
        p_values = holm([stats.ttest_1samp(own, 0).pvalue for own in means])
        for label, own, p in zip(labels, means, p_values, strict=True):
            assert found[label][column] == shown(own.mean(), p)


def test_calibration_errors(root):
    scores = made(2)
    scores["svm"]["calibration_error"] = np.full(SIZE, 0.0712)
    write(root, scores)
    page = page_of(root)
    found = table_of(page, "Expected calibration error")
    for label, columns in scores.items():
        after, before = columns["calibration_error"], columns["calibration_error_before"]
        joined = label == "svm+kanet"
        cells = [
            f"{100 * late.mean():.2f}" if joined else f"{100 * early.mean():.2f}, {100 * late.mean():.2f}"
            for early, late in zip(before, after, strict=True)
        ]
        means = ["" if joined else f"{100 * before.mean():.2f}", f"{100 * after.mean():.2f}"]
        assert found[label] == [Same(cell) for cell in (*cells, *means)]
    of_models = [
        columns["calibration_error_before"].mean() for label, columns in scores.items() if "+" not in label
    ]
    least = min(columns["calibration_error"].mean() for columns in scores.values())
    assert (
        f"is {100 * min(of_models):.2f} to {100 * max(of_models):.2f} points before and {100 * least:.2f} to "
        "7.12 points after"
    ) in page
    assert "at most 5 points is met by 5 of 6; not by svm 7.12." in page


def test_an_aim_that_is_reached(root):
    scores = made(3, svm_kanet=0.12)
    write(root, scores)
    page = page_of(root)
    oa = ways(scores, "oa")
    best, rival = oa["svm+kanet, smoothed"], oa["svm-spatial"]
    gap = (best - rival).mean()
    assert gap > 0.05
    assert (
        f"Best: **svm+kanet, smoothed**, mean OA {100 * best.mean():.2f}, {100 * gap:.2f} points over plain "
        f"svm-spatial ({100 * rival.mean():.2f}), higher on 4 of 4 scenes. The aim of 5 points is reached."
    ) in page
    p = table_of(page, "OA alone")["svm+kanet, smoothed"][-1].split("p ")[1].rstrip(")")
    said = "it is better" if float(p.removeprefix("< ")) <= 0.05 else "no difference is shown"
    assert f"By the test over scenes {said} (p {p})" in page
    assert "It is the best of 12 by these very scores" in page
    aa = ways(scores, "aa")
    of_ours, of_theirs = aa["svm+kanet, smoothed"].mean(), aa["svm-spatial"].mean()
    assert (
        f"Its AA is not lower than that of plain svm-spatial: {100 * of_ours:.2f} against "
        f"{100 * of_theirs:.2f} ({100 * (of_ours - of_theirs):+.2f})."
    ) in page
    assert "None of 2 networks on the backbone loses mean OA by smoothing" in page
    assert "Nor does one on a single scene." in page
    assert "for none of 6 models" in page
    assert "Leakage, centre and overlap, is 0 in every run" in page
    assert f"chose: mean + edges {6 * len(SCENES) * len(SEEDS)}." in page


def test_an_aim_that_is_missed_and_what_smoothing_costs(root):
    scores = made(4, wcnet=-0.02)
    scores["kanet"]["oa"][1] = scores["kanet"]["oa_unsmoothed"][1] - [0.009, 0.010, 0.011]
    scores["svm"]["oa"] += 0.01
    scores["svm"]["aa"] = scores["svm"]["aa_unsmoothed"] - [[0.3], [0.1], [0.2], [0.2]]
    write(root, scores)
    page = page_of(root)
    oa = ways(scores, "oa")
    best = max(oa, key=lambda name: oa[name].mean())
    gap = (oa[best] - oa["svm-spatial"]).mean()
    assert 0 < gap < 0.05
    assert f"Best: **{best}**," in page
    assert f"The aim of 5 points is missed by {100 * (0.05 - gap):.2f} points." in page
    lost = (oa["wcnet, smoothed"] - oa["wcnet"]).mean()
    assert (
        f"Of 2 networks on the backbone, 1 loses mean OA by smoothing: wcnet {100 * lost:+.2f}; the" in page
    )
    _, p = table_of(page, "What smoothing changes")["wcnet"][-2].split(" (p ")
    certain = 1 if float(p.strip("< )")) <= 0.05 else "none"
    assert f"the test over scenes shows {certain} of them." in page
    assert "in 5 of 8 pairs of network and scene (" in page
    assert "kanet on plain -1.00" in page
    assert re.search(r"Mean AA is lower with smoothing for \d of 6 models: svm -20\.00", page)


def test_a_best_with_a_lower_aa(root):
    scores = made(5, svm=0.1)
    scores["svm"]["aa"] -= 0.2
    write(root, scores)
    page = page_of(root)
    assert "Best: **svm, smoothed**" in page
    assert "Its AA is lower than that of plain svm-spatial" in page


def test_nothing_is_better(root):
    scores = made(6)
    scores["svm-spatial"]["oa_unsmoothed"] = np.full(SIZE, 0.99)
    write(root, scores)
    assert (
        "No other has a higher mean OA than plain svm-spatial, 99.00: the aim of 5 points over it is missed."
        in page_of(root)
    )


def test_the_test_on_splits_counts_scenes(root):
    scores = made(7)
    reference = scores["svm-spatial"]["oa_unsmoothed"]
    gaps = np.array([[0.1, 0.1001, 0.0999], [-0.01, -0.010001, -0.009999], [0.2, 0.0, 0.3], [0.1, 0.4, 0.0]])
    scores["svm"]["oa"] = reference + gaps
    write(root, scores)
    page = page_of(root)
    assert "Best: **svm, smoothed**" in page
    assert "higher on 3 of 4 scenes" in page
    assert "better on 1 scenes, worse on 1, and no difference is shown on 2." in page


def test_missing_runs_are_named_and_in_no_mean(root):
    (root / "honest.toml").write_text(
        'title = "Land"\nseeds = [7, 8, 9]\n[scenes]\nhill = {}\nplain = {}\nshore = {}\nwood = {}\n'
        "[protocols.disjoint]\n[models]\nsvm = {}\nsvm-spatial = {}\ndensenet3d = {}\nkanet = {}\n"
        "wcnet = {}\n"
    )
    scores = made(8, kanet=0.2, svm_kanet=0.2)
    write(root, scores)
    assert "asks for" not in page_of(root)
    for column in scores["kanet"]:
        scores["kanet"][column][0, 0] = np.nan  # one run less
        scores["svm+kanet"][column][2] = np.nan  # a scene less
    write(root, scores)
    page = page_of(root)
    assert "Of 60 runs that `honest.toml` asks for, 59 are here." in page
    assert "Not in the means over scenes, for want of runs: kanet, svm+kanet." in page
    assert "None of 1 networks" in page
    lines = table_of(page, "OA alone")
    assert lines["kanet, smoothed"][0] == "11"
    assert lines["svm+kanet, smoothed"][3] == ""
    assert lines["kanet, smoothed"][-2:] == lines["svm+kanet, smoothed"][-2:] == ["", ""]
    assert not re.search(r"Best: \*\*.*kanet", page)
    changes = table_of(page, "What smoothing changes")
    gain = (scores["kanet"]["oa"] - scores["kanet"]["oa_unsmoothed"])[0, 1:].mean()
    assert changes["kanet"][0].startswith(f"{100 * gain:+.2f}")
    assert changes["kanet"][-2:] == ["", ""]
    assert table_of(page, "Expected calibration error")["kanet"][-2:] == ["", ""]

    del scores["svm-spatial"]
    write(root, scores)
    page = page_of(root)
    assert "Without all runs of svm-spatial, nothing can be compared with it." in page
    assert "vs plain" not in page


def test_one_split_is_no_spread_and_one_scene_no_test(root):
    scores = made(9)
    write(root, scores, seeds=1)
    page = page_of(root)
    assert "There is one split of each scene, so no spread and no test on splits." in page
    assert "±" not in page
    assert "By the test over scenes" in page  # scenes are the observations
    assert "by the test on splits" not in page

    write(root, scores, scenes=1)
    page = page_of(root)
    assert "There are too few scenes for a test over them; by the test on splits it is better on" in page
    write(root, scores, scenes=1, seeds=1)
    assert "There are too few scenes for a test over them. It is the best of 12" in page_of(root)


def test_runs_that_were_not_smoothed_are_left_out(root):
    scores = made(10)
    write(root, scores)
    (root / "results" / "joined-honest.csv").unlink()
    for column in ("oa_unsmoothed", "aa_unsmoothed"):
        scores["wcnet"][column] = np.full(SIZE, np.nan)
    write(root, {label: columns for label, columns in scores.items() if "+" not in label})
    page = page_of(root)
    assert "| wcnet" not in page
    assert "| kanet, smoothed |" in page


def test_a_table_of_something_else_is_one_sentence(root, capsys):
    write(root, made())
    (root / "results" / "joined-honest.csv").write_text("a,b\n1,2\n")
    assert tables.main([]) == 2
    assert "lacks the column 'scene'; write it anew with 'experiments.joined'" in capsys.readouterr().err
