"""Maps beside a loop over a DataLoader: what is measured, never how fast it was."""

import numpy as np
import pytest
import torch

from hsi.bench import Scale, Setting, run_bench
from hsi.bench import map as bench_map
from hsi.bench.map import Patches
from hsi.bench.report import tables
from hsi.datasets.patches import PatchCutter
from hsi.errors import HsiError

TINY = Scale(bands=12, classes=3, patch=7, batch=2, map_side=9, rounds=1, seconds=0)
ONE = Setting("cpu", 1)


def test_the_loop_cuts_the_same_patches():
    cube = torch.randn(9, 8, 5)
    ours = PatchCutter(cube, 5)(np.arange(72))
    loop = Patches(cube, 5)
    assert len(loop) == 72
    torch.testing.assert_close(torch.stack([loop[pixel] for pixel in range(72)]), ours, rtol=0, atol=0)


def test_each_network_is_measured_both_ways():
    result = run_bench(ONE, TINY, only=["map"])
    rows = {row["name"]: row for row in result["maps"]}
    assert list(rows) == list(bench_map.NETWORKS)
    for row in rows.values():
        assert row["ratio"] == row["loop_side"]["seconds"]["median"] / row["ours_side"]["seconds"]["median"]
        assert row["ours_side"]["patches_per_second"] == 81 / row["ours_side"]["seconds"]["median"]
        assert row["difference"] < 1e-5
    assert rows["densenet3d"]["macs"] == rows["densenet3d"]["loop_macs"]
    assert rows["ssrn"]["macs"] < rows["ssrn"]["loop_macs"] / 3
    (table,) = tables(result)
    assert [cells[0] for cells in table.cells] == list(bench_map.NETWORKS)
    assert all(len(cells) == len(table.columns) for cells in table.cells)


def test_ways_that_differ_are_not_timed(monkeypatch):
    loop = bench_map.loader_loop
    monkeypatch.setattr(bench_map, "loader_loop", lambda *arguments: 1.01 * loop(*arguments))
    with pytest.raises(HsiError, match="cannot be compared"):
        run_bench(ONE, TINY, only=["map"])
