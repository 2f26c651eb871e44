"""`hsi models`: networks above, baselines below, costs where there are any."""

import json

import pytest

from hsi.commands.app import run

SIZES = ["--bands", "12", "--classes", "3", "--patch", "7"]


@pytest.fixture(autouse=True)
def few_models(monkeypatch, tmp_path):
    """Fewer networks to build, since the classical models are built at once; no speeds known yet."""
    monkeypatch.setattr("hsi.bench.summary.cache_folder", lambda: tmp_path / "cache")
    monkeypatch.setattr("hsi.models.list_models", lambda: ["densenet3d", "svm", "forest", "logistic", "knn"])


def test_baselines_stand_apart(capsys):
    assert run(["models", *SIZES]) == 0
    networks, baselines = capsys.readouterr().out.split("Baselines, at 12 bands, 3 classes, patch 7")
    assert "Networks, at 12 bands, 3 classes, patch 7" in networks
    for name in ("svm", "forest", "logistic", "knn"):
        assert f"{name} " not in networks
        (line,) = [line for line in baselines.splitlines() if line.startswith(f"│ {name} ")]
        assert [cell.strip() for cell in line.split("│")][3:5] == ["-", "-"]
    assert "│ densenet3d" in networks
    assert "│ densenet3d" not in baselines


def test_json_says_what_is_a_baseline_and_what_has_no_cost(capsys):
    assert run(["models", *SIZES, "--json"]) == 0
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)["models"]}
    assert rows["svm"]["baseline"]
    assert rows["svm"]["params"] is None
    assert rows["svm"]["macs"] is None
    assert rows["svm"]["options"] == {"features": "spectrum"}
    assert not rows["densenet3d"]["baseline"]
    assert rows["densenet3d"]["params"] > 0


def test_only_what_trains_step_by_step_is_measured(capsys):
    assert run(["models", *SIZES, "--measure", "--json"]) == 0
    network, svm, *_ = json.loads(capsys.readouterr().out)["models"]
    assert network["training_patches_per_second"] > 0
    assert "training_patches_per_second" not in svm


def test_a_measured_speed_is_shown_until_sizes_change(capsys):
    assert run(["models", *SIZES]) == 0
    first = capsys.readouterr()
    assert "patches/s" not in first.out
    assert "--measure" in first.err
    assert run(["models", *SIZES, "--measure", "--json"]) == 0
    row = json.loads(capsys.readouterr().out)["models"][0]
    measured = row["training_patches_per_second"]
    assert row["inference_patches_per_second"] > 0
    assert row["batch"] == 16
    assert run(["models", *SIZES]) == 0
    assert f"measured here, batch 16, {row['threads']} threads" in capsys.readouterr().out
    assert run(["models", *SIZES, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["models"][0]["training_patches_per_second"] == measured
    assert run(["models", *SIZES[:-1], "9", "--json"]) == 0
    assert "training_patches_per_second" not in json.loads(capsys.readouterr().out)["models"][0]


def test_a_damaged_memory_of_speeds_is_as_none(capsys, tmp_path):
    assert run(["models", *SIZES, "--measure", "--json"]) == 0
    (file,) = (tmp_path / "cache").rglob("*.json")
    for damage in ("", "[]", "<html>"):
        file.write_text(damage)
        capsys.readouterr()
        assert run(["models", *SIZES, "--json"]) == 0
        assert "training_patches_per_second" not in json.loads(capsys.readouterr().out)["models"][0]
