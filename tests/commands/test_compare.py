"""`hsi compare` on real, tiny trainings: tables, JSON, and one sentence for bad input."""

import json
import subprocess
import sys

import numpy as np
import pytest

import hsi
from hsi.commands.app import run

OPTIONS = "--model densenet3d --patch 7 --dataset scene.toml --scheme random --train 0.5 --val 0.1 --batch 32"
NETWORKS = {"thin": ["layers=[1,1,1]", "growth=[4,4,4]"], "wide": ["layers=[1,1,1]", "growth=[8,8,8]"]}


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Two networks, two seeds each, of one epoch, in folders `thin` and `wide`."""
    folder = tmp_path_factory.mktemp("runs")
    random = np.random.default_rng(0)
    labels = np.zeros((20, 18), np.uint8)
    labels[:, 1:5], labels[:, 6:11], labels[:, 12:17] = 1, 2, 3
    labels[9] = 0
    cube = random.uniform(200, 900, (4, 8))[labels] + random.normal(0, 150, (20, 18, 8))
    np.save(folder / "cube.npy", cube.astype(np.uint16))
    np.save(folder / "labels.npy", labels)
    (folder / "scene.toml").write_text(
        'name = "small"\ncube = {file = "cube.npy"}\nlabels = {file = "labels.npy"}\n'
        '[classes]\n1 = "Grass"\n2 = "Soil"\n3 = "Water"\n'
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for name, settings in NETWORKS.items():
            arguments = [word for setting in settings for word in ("--option", setting)]
            for seed in ("0", "1"):
                out = ["--seed", seed, "--epochs", "1", "--device", "cpu", "--out", f"{name}/seed{seed}"]
                assert run(["train", *OPTIONS.split(), *arguments, *out]) == 0
    return folder


@pytest.fixture(autouse=True)
def inside(runs, monkeypatch):
    monkeypatch.chdir(runs)


def test_tables(capsys):
    assert run(["compare", "thin", "wide", "--classes"]) == 0
    shown = capsys.readouterr()
    comparison = hsi.compare("thin", "wide")
    (pair,) = comparison.pairs
    assert (pair.runs, pair.splits, pair.decided_by) == (2, 2, "splits")
    for contestant in comparison.contestants:
        values = [hsi.open_run(result.path).scores["test"].oa for result in contestant.results]
        assert f"{100 * np.mean(values):.2f} ± {100 * np.std(values, ddof=1):.2f}" in shown.out
        assert f"{100 * contestant.leakage('overlap'):.2f}" in shown.out
    for word in (
        "sample standard deviation (n - 1)",
        "A - B",
        f"{100 * pair.differences['kappa']:+.2f}",
        pair.verdict,
    ):
        assert word in shown.out
    for word in ("95 % CI OA", "Nadeau and Bengio 2003", "spatially correlated", "Grass", "recall A %"):
        assert word in shown.out
    assert f"{100 * pair.over_runs.low:+.2f} to {100 * pair.over_runs.high:+.2f}" in shown.out


def test_json_is_one_object_and_the_same_as_in_python(capsys):
    arguments = ["compare", "thin/seed0", "wide", "--metric", "kappa", "--alpha", "0.1", "--json"]
    assert run(arguments) == 0
    shown = capsys.readouterr()
    assert json.loads(shown.out) == hsi.compare("thin/seed0", "wide", metric="kappa", alpha=0.1).as_dict()
    assert "note: A - B: runs without a partner" in shown.err
    assert "two trained networks, not two kinds" in shown.err


def test_another_metric_and_level(capsys):
    assert run(["compare", "thin/seed0", "wide/seed0", "wide/seed0", "--metric", "aa"]) == 2
    assert "given twice" in capsys.readouterr().err
    assert run(["compare", "thin", "wide", "--metric", "aa", "--alpha", "0.01"]) == 0
    shown = capsys.readouterr().out
    assert "99 % CI AA" in shown
    assert "corrected over 1 pair." in shown


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (["thin"], "at least two"),
        ([], "runs is missing"),
        (["thin", "nowhere"], "not a run folder"),
        (["thin", "wide", "--metric", "f1"], "oa, aa, kappa"),
        (["thin", "wide", "--alpha", "1.5"], "alpha"),
        (["thin/seed0", "wide/seed1"], "same train and test pixels"),
        (["thin", "wide", "--beta", "2"], "--beta"),
    ],
)
def test_bad_input_is_one_sentence(arguments, hint, capsys):
    assert run(["compare", *arguments]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert hint.lower() in shown.err.lower()
    assert len(shown.err.splitlines()) == 1
    assert shown.err.startswith("hsi: ")


def test_a_scene_that_is_gone(runs, capsys):
    (runs / "cube.npy").rename(runs / "away.npy")
    try:
        assert run(["compare", "thin", "wide"]) == 2
        assert "cube.npy" in capsys.readouterr().err
    finally:
        (runs / "away.npy").rename(runs / "cube.npy")


def test_help_loads_nothing_heavy():
    code = (
        "import sys; from hsi.commands.app import run; status = run(['compare', '--help'])\n"
        "print([m for m in ('torch', 'numpy', 'scipy') if m in sys.modules], file=sys.stderr)\n"
        "sys.exit(status)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "[]\n")
    assert "hsi compare runs/wcnet runs/kanet" in done.stdout
