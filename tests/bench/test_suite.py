"""The whole benchmark on tiny shapes: what it measures and reports, never how fast it was."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
import torch

from hsi.bench import Scale, Setting, case_names, make_setting, run_bench
from hsi.bench.networks import measure_network, share
from hsi.bench.setting import file_name
from hsi.bench.summary import conditions, pipeline_sentence, rounded, tables
from hsi.errors import ConfigError, HsiError
from hsi.models import build_model, count_macs, list_models, model_entry

TINY = Scale(bands=12, classes=3, patch=7, batch=2, large_batch=2, small_batch=2, rounds=2, seconds=0)
ONE = Setting("cpu", 1)


@pytest.fixture(scope="module")
def result() -> dict[str, Any]:
    """One operator, one training step, one network, the pipeline."""
    names: list[str] = []
    only = ["pipeline", "densenet3d", "backbone-step", "expert"]
    found = run_bench(ONE, TINY, only=only, progress=names.append)
    assert names == ["expert", "backbone-step", "densenet3d", "pipeline"]
    return found


@pytest.mark.usefixtures("needs_references")
def test_comparisons(result: dict[str, Any]) -> None:
    operator, step = result["comparisons"]
    assert (operator["name"], operator["shape"]) == ("expert", [2, 28, 6, 4, 4])
    assert (step["name"], step["shape"]) == ("backbone-step", [2, 12, 7, 7])
    for row in (operator, step):
        ours, reference = row["ours_side"], row["reference_side"]
        assert set(row["difference"]) == {"float64", "float32"}
        assert len(ours["seconds"]["samples"]) >= 2
        assert row["ratio"] == reference["seconds"]["median"] / ours["seconds"]["median"]
    assert "share" not in operator["ours_side"]
    macs = count_macs(build_model("densenet3d", bands=12, classes=3, patch=7), 12, 7)
    per_second = step["ours_side"]["patches_per_second"]
    assert per_second == 2 / step["ours_side"]["seconds"]["median"]
    rates = [row["patches_per_second"] / row["share"] for row in (step["ours_side"], step["reference_side"])]
    assert rates[0] == pytest.approx(rates[1])  # one rate for both sides
    assert share("training", macs, per_second, 6 * macs * per_second) == pytest.approx(1)
    assert share("inference", macs, per_second, 6 * macs * per_second) == pytest.approx(1 / 3)


@pytest.fixture
def needs_references(result: dict[str, Any]) -> None:
    if not result["references"]:
        pytest.skip("the references are only in a checkout")


def test_network_and_pipeline(result: dict[str, Any]) -> None:
    (network,) = result["networks"]
    assert network["params"] == sum(
        p.numel() for p in build_model("densenet3d", bands=12, classes=3, patch=7).parameters()
    )
    for kind, passes in (("training", 3), ("inference", 1)):
        part = network[kind]
        assert part["patches_per_second_min"] <= part["patches_per_second"] <= part["patches_per_second_max"]
        operations = passes * 2 * network["macs"] * part["patches_per_second"]
        assert part["share"] == pytest.approx(operations / (1e9 * network["product_gflops"]))
    assert network["training"]["peak_memory_mb"] > network["inference"]["peak_memory_mb"] >= 0
    assert result["pipeline"]["patches_per_second"] > 0


def test_result_names_the_machine(result: dict[str, Any]) -> None:
    machine = result["machine"]
    assert (machine["threads"], machine["device"], machine["torch"]) == (1, "cpu", torch.__version__)
    assert file_name(machine).startswith("bench-")
    assert f"1-threads-float32-torch-{torch.__version__.split('+')[0]}" in file_name(machine)
    assert set(file_name(machine)) <= set("abcdefghijklmnopqrstuvwxyz0123456789.-")


def test_busy_machine_gets_a_warning(result: dict[str, Any]) -> None:
    for load, warned in ((None, False), (0.5, False), (0.6, True)):
        machine = {**result["machine"], "load_before": load, "cores": 2}
        assert ("The machine was busy" in conditions({**result, "machine": machine})) == warned


def test_result_is_json_and_makes_tables(result: dict[str, Any]) -> None:
    again = json.loads(json.dumps(result, allow_nan=False))
    assert tables(again) == tables(result)
    for rows in tables(result):
        assert all(len(cells) == len(rows.columns) for cells in rows.cells)
    comparisons, networks = tables(result)
    assert [cells[0] for cells in networks.cells] == ["densenet3d"]
    assert len(comparisons.cells) == 2
    assert "1 threads" in conditions(result)
    assert pipeline_sentence(result) is not None
    assert tables({"comparisons": [], "networks": []}) == []


def test_rounded_to_three_digits() -> None:
    assert [rounded(v) for v in (None, 0.1234, 1.234, 12.34, 123.4, 1234.5)] == [
        "-", "0.12", "1.23", "12.3", "123", "1234",
    ]  # fmt: skip


def test_without_references_only_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hsi.bench.suite.find_references", lambda: None)
    found = run_bench(ONE, TINY, only=["expert"])
    (row,) = found["comparisons"]
    assert not found["references"]
    assert row["reference"] is None
    assert "ratio" not in row
    assert "reference_side" not in row
    assert row["ours_side"]["seconds"]["median"] > 0
    assert tables(found)[0].cells[0][-1] == "not measured"


@pytest.mark.parametrize("name", ["kan", "snake", "wavelet", "transformer", "transformer-fused"])
@pytest.mark.usefixtures("needs_references")
def test_bf16(name: str) -> None:
    (row,) = run_bench(dataclasses.replace(ONE, precision="bf16"), TINY, only=[name])["comparisons"]
    assert set(row["difference"]) == {"float64", "bf16"}
    assert row["difference"]["float64"] < row["difference"]["bf16"]


def test_functions_that_differ_are_not_timed(tmp_path: Path) -> None:
    (tmp_path / "__init__.py").write_text(
        "from torch import nn\n"
        "class Wrong(nn.Module):\n"
        "    def __init__(self, ours):\n"
        "        super().__init__()\n"
        "        self.ours = ours\n"
        "    def forward(self, x):\n"
        "        return 1.01 * self.ours(x)\n"
        "REFERENCES = {'expert': Wrong}\n"
    )
    with pytest.raises(HsiError, match="cannot be compared"):
        run_bench(dataclasses.replace(ONE, references=tmp_path), TINY, only=["expert"])


def test_bad_input(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"Unknown case 'kann'\. Did you mean 'kan'"):
        run_bench(ONE, TINY, only=["kann"])
    with pytest.raises(ConfigError, match="no reference operators"):
        run_bench(dataclasses.replace(ONE, references=tmp_path), TINY, only=["pipeline"])
    with pytest.raises(ConfigError, match="threads must be at least 1"):
        make_setting(threads=0)
    with pytest.raises(ConfigError, match="tf32 needs a CUDA GPU"):
        make_setting(device="cpu", precision="tf32")
    with pytest.raises(ConfigError, match="precision must be one of"):
        make_setting(precision="fp8")


def test_case_names_are_unique() -> None:
    names = case_names()
    assert len(set(names)) == len(names)
    assert {"kan", "kan-3x3x3", "kanet-step", "densenet3d", "sgdscnet", "pipeline"} <= set(names)


def test_baselines_are_left_out() -> None:
    baselines = {name for name in list_models() if model_entry(name).baseline}
    assert baselines >= {"cnn1d", "hybridsn", "ssrn", "spectralformer"}
    assert baselines.isdisjoint(case_names())
    assert set(list_models()) - baselines <= set(case_names())


def test_network_of_fixed_patch_width_can_be_measured() -> None:
    measured = measure_network("hybridsn", TINY, ONE, memory=False)
    for kind in ("training", "inference"):
        assert measured[kind]["patches_per_second"] > 0


def test_threads_default_to_all_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert make_setting(device="cpu").threads == 3
    monkeypatch.delenv("OMP_NUM_THREADS")
    assert make_setting(device="cpu").threads >= 1
    assert make_setting(device="cpu", threads=5).threads == 5
