"""The experiment files, and RESULTS.md, which is computed from the tables of results."""

from __future__ import annotations

import csv
import subprocess
import sys
from pathlib import Path

import pytest
from scipy import stats

import hsi
from experiments import missing_scenes, tables
from experiments.pages import tuning
from hsi.sweep.experiment import read_experiment
from hsi.sweep.plan import check_scenes, make_plan
from hsi.sweep.results import COLUMNS
from hsi.training.context import resolve_split

FOLDER = tables.ROOT
NAMES = ("paper_tables", "real_small", "real_full", "small_scenes", "tuning", "regularisation", "honest")


@pytest.mark.parametrize("name", NAMES)
def test_every_experiment_has_a_plan(name):
    experiment = read_experiment(FOLDER / f"{name}.toml")
    plan = make_plan(experiment)
    assert {run.model for run in plan} == set(experiment.models)
    assert {run.scene for run in plan} == set(experiment.scenes)
    assert {run.protocol for run in plan} == set(experiment.protocols)


def test_the_papers_tables_are_the_papers_protocol():
    configs = [run.config for run in make_plan(read_experiment(FOLDER / "paper_tables.toml"))]
    assert len(configs) == 6 * 3 * 5
    chosen = {(c.scheme, c.train, c.val, c.patch, c.epochs, c.batch, c.lr, c.pca) for c in configs}
    assert chosen == {("paper", 0.6, 0.1, 17, 80, 80, 5e-4, 0)}


def test_the_scenes_of_the_small_experiment_load_and_split(real_data):
    plan = make_plan(read_experiment(FOLDER / "real_small.toml"))
    check_scenes(plan, real_data)
    seen = {}
    for run in plan:
        if run.model == "svm" and run.name == "seed0" and run.protocol != "disjoint":
            scene = hsi.load_scene(run.config.dataset, data_root=real_data)
            seen[run.scene, run.protocol] = resolve_split(run.config, scene, real_data).counts
    assert sum(seen["indian-mnf-purdue", "sf"].values()) == 10366
    assert seen["indian-mnf-purdue", "sf"]["test"] == 9671
    assert seen["indian-mnf", "dase"]["test"] == 4721
    assert sum(seen["indian-mnf", "random"].values()) == 10249


def test_the_pages_are_not_stale():
    # In a process of its own: other tests add networks to this one.
    command = [sys.executable, "-m", "experiments.tables", "--check"]
    done = subprocess.run(command, cwd=FOLDER.parent, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of experiments without any."""
    (tmp_path / "results").mkdir()
    monkeypatch.setattr(tables, "ROOT", tmp_path)
    return tmp_path


def write(path: Path, scores: dict[tuple[str, ...], list[float]]) -> None:
    """Write a CSV of runs; keys are protocol, label, kind and, if not "here", scene."""
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        for (protocol, label, kind, *elsewhere), values in scores.items():
            (scene,) = elsewhere or ("here",)
            for seed, oa in enumerate(values):
                row = {
                    **dict.fromkeys(("oa", "aa", "kappa", "val_oa"), oa),
                    **dict.fromkeys(("train_pixels", "val_pixels", "test_pixels"), 100),
                    **dict.fromkeys(
                        ("leakage_centre", "leakage_overlap"), 0.9 if protocol == "random" else 0.0
                    ),
                    "scene": scene,
                    "protocol": protocol,
                    "scheme": protocol,
                    "label": label,
                    "model": label.split("-")[0],
                    "kind": kind,
                    "seed": seed,
                    "patch": 7,
                    "train_seconds": 1790,
                    "test_seconds": 10,
                    "device": "cpu",
                    "cpu": "a CPU",
                }
                writer.writerow({**dict.fromkeys(COLUMNS, ""), **row})


SCORES = {
    ("random", "wcnet", "network"): [0.95, 0.96, 0.97],
    ("random", "kanet", "network"): [0.90, 0.91, 0.92],
    ("random", "svm", "classical"): [0.800, 0.811, 0.819],
    ("disjoint", "wcnet", "network"): [0.6, 0.6, 0.6],
    ("disjoint", "svm", "classical"): [0.7, 0.65, 0.75],
    ("disjoint", "ssrn", "baseline"): [0.5],
}


def test_without_results_the_page_says_so(root):
    assert tables.main([]) == 0
    assert "Nothing has been measured yet" in (root / "RESULTS.md").read_text()
    assert tables.main(["--check"]) == 0


def test_the_page_says_what_the_numbers_say(root):
    write(root / "results" / "x.csv", SCORES)
    (root / "x.toml").write_text('title = "A title"\n')
    assert tables.main([]) == 0
    page = (root / "RESULTS.md").read_text()
    assert "## A title" in page
    assert "Runs: 16, 8.0 hours of training and testing" in page
    assert "higher mean OA than the best baseline in 1 of 2 tables; the test shows it better in 1, " in page
    assert (
        "here: the mean OA of the one network run under all is 96.0 under random (90 % leakage); 60.0 under"
        in page
    )
    assert "| **wcnet** | network | 3 | 96.00 ± 1.00 |" in page
    assert "| kanet | network | 3 | 91.00 ± 1.00 |" in page
    assert "| **svm** | classical | 3 | 70.00 ± 5.00 |" in page
    assert "| ssrn | baseline | 1 | 50.00 |" in page
    assert (
        "Best network wcnet, OA 96.00 ± 1.00; best baseline svm, OA 81.00 ± 0.95. The network is better"
        in page
    )
    assert "No difference is shown" in page
    assert "nan" not in page


def test_scenes_stand_side_by_side_and_models_beside_their_plain_selves(root):
    more = {
        ("disjoint", "svm", "classical", "there"): [0.9, 0.9, 0.9],
        ("disjoint", "wcnet", "network", "there"): [0.8, 0.8, 0.8],
        ("disjoint", "wcnet-plain", "network", "there"): [0.5, 0.6, 0.4],
        ("disjoint", "wcnet+dropout", "network", "there"): [0.7, 0.9, 0.7],
        ("disjoint", "kanet+dropout", "network", "there"): [0.7, 0.9, 0.7],  # beside no kanet
    }
    write(root / "results" / "x.csv", {**SCORES, **more})
    assert tables.main([]) == 0
    page = (root / "RESULTS.md").read_text()
    assert "### Separate regions: OA of all models" in page
    assert "| model | here, disjoint | there, disjoint | mean of all |" in page
    assert "| svm | 70.00 ± 5.00 | 90.00 ± 0.00 | 80.00 |" in page
    assert "| wcnet-plain |  | 50.00 ± 10.00 |  |" in page
    assert (
        "best network wcnet, 70.00; best classical model svm, 80.00; difference -10.00 points, not tested."
        in page
    )
    assert "### Random split" not in page  # on one scene only, so its table below says it all
    assert "| wcnet | there | disjoint | 50.00 ± 10.00 | 80.00 ± 0.00 | +30.00 (p 0.122) |" in page
    assert "| wcnet+dropout | there | disjoint | 80.00 ± 0.00 | 76.67 ± 11.55 | -3.33 (p " in page
    assert "| kanet+dropout | there | disjoint |" not in page
    assert "All scenes together" not in page  # one scene is one observation, however many splits it has


def test_a_scene_counts_once_and_fewer_runs_do_not_win(root):
    gains = {"here": [0.1, 0.3], "there": [0.05, 0.05], "yonder": [0.0, 0.2]}
    scores = {}
    for scene, gain in gains.items():
        scores["disjoint", "wcnet-plain", "network", scene] = [0.5, 0.5]
        scores["disjoint", "wcnet", "network", scene] = [0.5 + more for more in gain]
        scores["disjoint", "svm", "classical", scene] = [0.5, 0.6]
    scores["disjoint", "kanet", "network", "here"] = [0.99]
    write(root / "results" / "x.csv", scores)
    assert tables.main([]) == 0
    page = (root / "RESULTS.md").read_text()
    p = stats.ttest_1samp([0.2, 0.05, 0.1], 0).pvalue
    sentence = f"+11.67 | {p:.3f}"
    assert f"| wcnet | 3 | {sentence} | {sentence} | {sentence} |" in page
    assert "| kanet | network | 1 | 99.00 |" in page  # first in the table, but not called best
    assert "Best network wcnet, OA 70.00" in page


def test_tables_without_a_test_are_not_tables_without_a_difference(root):
    write(
        root / "results" / "x.csv",
        {("random", "a", "network"): [0.9], ("random", "b", "classical"): [0.8]},
    )
    assert tables.main([]) == 0
    sentence = "better in 0, worse in 0, and no difference in 0; 1 have too few runs for a test."
    assert sentence in (root / "RESULTS.md").read_text()


def test_a_broken_table_is_one_sentence(root, capsys):
    (root / "results" / "x.csv").write_text("a,b\n1,2\n")
    assert tables.main([]) == 2
    assert "lacks the column 'scene'" in capsys.readouterr().err


def trials(scores: dict[str, list[float]]) -> dict[tuple[str, ...], list[float]]:
    return {("disjoint", label, "network"): oas for label, oas in scores.items()}


def test_a_learning_rate_is_taken_where_every_split_speaks_for_it(root):
    (root / "tuning.toml").write_text(
        'title = "Rates"\n[defaults]\nlr = 0.001\n[models.kanet]\n[models.kanet-low]\nlr = 0.0005\n'
        "[models.kanet-high]\nlr = 0.002\n[models.wcnet]\n[models.wcnet-low]\nlr = 0.0005\n"
    )
    scores = {
        "kanet": [0.6, 0.5],
        "kanet-low": [0.9, 0.49],
        "kanet-high": [0.61, 0.51],
        "wcnet": [0.6, 0.5],
        "wcnet-low": [0.9, 0.5],
    }
    write(root / "results" / "tuning.csv", trials(scores))
    assert tables.main([]) == 0
    page = (root / "RESULTS.md").read_text()
    assert "learning rates 0.0005, 0.001, 0.002 on 2 splits of here" in page
    assert "| kanet | 90.0, 49.0 | 60.0, 50.0 | 61.0, 51.0 | 0.002 |" in page
    assert "| wcnet | 90.0, 50.0 | 60.0, 50.0 |  | 0.001 |" in page  # as good on one split is not better
    assert not (root / "figures").exists()  # no chapter of test scores


def test_the_small_experiment_takes_the_tuned_learning_rates():
    tried, usual = tuning.read_trials(FOLDER)
    plan = make_plan(read_experiment(FOLDER / "real_small.toml"))
    rates = {model: {run.config.lr for run in plan if run.config.model == model} for model in tried}
    assert rates == {model: {tuning.chosen_rate(of_it, usual)} for model, of_it in tried.items()}


def test_a_changed_result_makes_page_and_figure_stale(root, capsys):
    path = root / "results" / "x.csv"
    write(path, SCORES)
    assert tables.main(["--check"]) == 1
    assert tables.main([]) == 0
    assert tables.main(["--check"]) == 0
    figure = (root / "figures" / "x.svg").read_text()
    write(path, {**SCORES, ("disjoint", "ssrn", "baseline"): [0.51]})
    capsys.readouterr()
    assert tables.main(["--check"]) == 1
    assert "RESULTS.md, x.svg, x-models.svg in experiments/: stale" in capsys.readouterr().err
    assert tables.main([]) == 0
    assert (root / "figures" / "x.svg").read_text() != figure
    page = root / "RESULTS.md"
    page.write_text(page.read_text().replace("51.00", "91.00"))
    assert tables.main(["--check"]) == 1


def test_missing_scenes_are_those_of_the_catalogue(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("HSI_DATA", str(tmp_path))
    monkeypatch.setattr("hsi.datasets.catalogue.locate.cache_folder", lambda: tmp_path)
    assert missing_scenes.main([str(FOLDER / "paper_tables.toml")]) == 0
    assert capsys.readouterr().out.split() == ["IN", "UP", "KSC"]
    assert missing_scenes.main([str(FOLDER / "real_small.toml")]) == 0
    assert capsys.readouterr().out == ""
    assert missing_scenes.main([str(tmp_path / "none.toml")]) == 2
