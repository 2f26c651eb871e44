"""What the training loop and maps are measured against; never how fast they were."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from hsi.bench import Scale, Setting, pipelines, run_bench
from hsi.bench.pipelines import STEPS, Patches, measure_loop
from hsi.bench.summary import loop_sentence, tables
from hsi.datasets.patches import PatchCutter
from hsi.errors import HsiError
from hsi.training.gradient import BatchGradient

TINY = Scale(bands=12, classes=3, patch=7, batch=4, rounds=2, seconds=0)
ONE = Setting("cpu", 1)


def test_the_loop_is_the_real_one_and_writes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    seen: list[torch.Size] = []
    called = BatchGradient.__call__

    def watch(self: BatchGradient, patches: torch.Tensor, targets: torch.Tensor) -> object:
        seen.append(patches.shape)
        return called(self, patches, targets)

    monkeypatch.setattr(BatchGradient, "__call__", watch)
    row = measure_loop("densenet3d", TINY, ONE)
    assert set(seen) == {torch.Size((4, 12, 7, 7))}
    epochs = 1 + len(row["loop_side"]["seconds"]["samples"])
    assert len(seen) == STEPS * epochs
    for side in ("loop_side", "bare_side"):
        assert row[side]["patches_per_second"] == STEPS * 4 / row[side]["seconds"]["median"]
    speeds = [row[side]["patches_per_second"] for side in ("loop_side", "bare_side")]
    assert row["ratio"] == pytest.approx(speeds[0] / speeds[1])
    assert 0 < row["outside"] < 1
    assert not list(tmp_path.iterdir())


def test_loops_in_a_table_and_a_sentence() -> None:
    side = {"patches_per_second": 20.0, "patches_per_second_min": 10.0, "patches_per_second_max": 40.0}
    rows = [
        {"name": name, "batch": 16, "loop_side": side, "bare_side": side, "ratio": ratio, "outside": outside}
        for name, ratio, outside in (("a", 0.96, 0.011), ("b", 1.003, 0.0004))
    ]
    result = {"comparisons": [], "networks": [], "loops": rows}
    (table,) = tables(result)
    assert [cells[0] for cells in table.cells] == ["a", "b"]
    assert table.cells[0][3:] == ["96 %", "1.1 %"]
    assert loop_sentence(result) == (
        "The whole training loop reaches 96.0 to 100 % of the patches/s of the bare networks; cutting and "
        "augmenting patches takes 1.1 % of it at most."
    )
    assert loop_sentence({"loops": []}) is None


def test_half_precision_on_a_cpu_is_left_out() -> None:
    found = run_bench(dataclasses.replace(ONE, precision="bf16"), TINY, only=["loop"])
    assert found["loops"] == []


TINY_MAP = Scale(bands=12, classes=3, patch=7, batch=2, map_side=9, rounds=1, seconds=0)


def test_the_data_loader_cuts_the_same_patches():
    cube = torch.randn(9, 8, 5)
    ours = PatchCutter(cube, 5)(np.arange(72))
    loop = Patches(cube, 5)
    assert len(loop) == 72
    torch.testing.assert_close(torch.stack([loop[pixel] for pixel in range(72)]), ours, rtol=0, atol=0)


def test_each_network_is_measured_beside_the_data_loader():
    result = run_bench(ONE, TINY_MAP, only=["map"])
    rows = {row["name"]: row for row in result["maps"]}
    assert list(rows) == list(pipelines.MAP_NETWORKS)
    for row in rows.values():
        assert row["ratio"] == row["loop_side"]["seconds"]["median"] / row["ours_side"]["seconds"]["median"]
        assert row["ours_side"]["patches_per_second"] == 81 / row["ours_side"]["seconds"]["median"]
        assert row["difference"] < 1e-5
    assert rows["densenet3d"]["macs"] == rows["densenet3d"]["loop_macs"]
    assert rows["ssrn"]["macs"] < rows["ssrn"]["loop_macs"] / 3
    (table,) = tables(result)
    assert [cells[0] for cells in table.cells] == list(pipelines.MAP_NETWORKS)
    assert all(len(cells) == len(table.columns) for cells in table.cells)


def test_maps_that_differ_are_not_timed(monkeypatch):
    loop = pipelines.loader_loop
    monkeypatch.setattr(pipelines, "loader_loop", lambda *arguments: 1.01 * loop(*arguments))
    with pytest.raises(HsiError, match="cannot be compared"):
        run_bench(ONE, TINY_MAP, only=["map"])
