"""The pages on growth and cost: what they say is what the data say."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import hsi
from benchmarks.growth.points import MACHINE_COLUMNS, GrowthFile, Point, points_csv
from experiments import tables
from experiments.pages import archive, cost, growth, results
from hsi.bench import Scale, Setting
from hsi.bench.pipelines import _macs_of_map
from hsi.errors import ConfigError
from hsi.inference.tiles import SceneBlocks
from hsi.io.text import read_toml
from hsi.models.registry import count_macs

FOLDER = tables.ROOT

MACHINE = {
    **dict.fromkeys(MACHINE_COLUMNS, "x"),
    "processor": "some CPU",
    "device": "cpu",
    "cores": 2,
    "threads": 2,
    "load_before": 0.0,
    "date": "2026-01-02T03:04:05+00:00",
}
HOW = {"scenes": 10, "rows": 100, "cols": 50, "bands": 12, "bytes_a_value": 2, "patch": 7, "classes": 3} | {
    "gpu_peak": 100, "gpu_share": (0.01, 0.1), "gpu_hour": (2, 4), "cpu_core_hour": (0.01, 0.05),
    "read_price": (0, 0.1), "request_price": 0.4, "request_size": 8, "store_price": 0.02, "store_months": 12,
    "network": 1, "disk": 0.5, "cores": 64, "gpus": 8,
}  # fmt: skip


@pytest.fixture
def root(tmp_path):
    lines = []
    for name, given in HOW.items():
        low, high = given if isinstance(given, tuple) else (given, given)
        lines += [f"[{name}]", f"low = {low}", f"high = {high}", 'unit = "u"', 'from = "a guess"']
    (tmp_path / "archive_cost.toml").write_text("\n".join(lines))
    (tmp_path / "results").mkdir()
    return tmp_path


def bench(path: Path, device: str, rate: float, date: str = "2026-01-02", macs: int = 1_000_000) -> None:
    networks = [{"name": "wcnet", "macs": macs, "inference": {"patches_per_second": rate}}]
    machine = {**MACHINE, "device": device, "date": date}
    result = {"machine": machine, "networks": networks, "quick": False, "bands": 10, "patch": 7}
    path.write_text(json.dumps({**result, "maps": [{"name": "ssrn", "ratio": 12.3}]}))


def line_of(text: str, start: str) -> list[str]:
    (found,) = [line for line in text.splitlines() if line.startswith(f"| {start} |")]
    return [cell.strip() for cell in found.strip("|").split("|")]


def test_core_hours_and_money_are_worked_out_by_hand(root):
    bench(root / "results" / "bench-a.json", "cpu", 1.0, date="2025-01-01")
    bench(root / "results" / "bench-b.json", "cpu", 40.0)  # the newer one counts
    (page,) = cost.outputs(root)
    text = page.text
    macs = count_macs(hsi.build_model("wcnet", bands=12, classes=3, patch=7), 12, 7)
    patches = 10 * 100 * 50
    hours = patches / (40.0 / 2 * 1_000_000 / macs) / 3600
    gpu = [patches * 2 * macs / (100e12 * share) / 3600 for share in (0.1, 0.01)]
    gigabytes = patches * 12 * 2 / 1e9
    requests = gigabytes * 1e9 / 8e6 * 0.4 / 1e6
    keeping = patches / 1e9 * 0.02 * 12
    low, high = (
        hours * price + gigabytes * read + requests + keeping for price, read in ((0.01, 0.0), (0.05, 0.1))
    )
    cells = [
        line.split("|") for line in text.splitlines() if line.startswith("| wcnet |") and "estimated" in line
    ]
    ((_, name, per_patch, total, core_hours, on_cpu, gpu_hours, _, kind, _),) = cells
    assert [name.strip(), kind.strip()] == ["wcnet", "estimated"]
    assert float(per_patch) == pytest.approx(macs / 1e6, abs=0.05)
    assert float(total) == pytest.approx(macs * patches, rel=0.1)
    assert float(core_hours) == pytest.approx(hours, rel=0.06)
    assert [float(x) for x in on_cpu.split(" to ")] == pytest.approx([low, high], rel=0.06)
    assert [float(x) for x in gpu_hours.split(" to ")] == pytest.approx(gpu, rel=0.06)
    assert "estimated, not measured" in text
    assert "| densenet3d |" in text
    assert f"{patches * 12 * 2 / 1e12:,.0f} TB" in text
    assert line_of(text, "ssrn")[-1] == "12.3x"
    assert line_of(text, "hybridsn")[-1] == "not measured"
    assert "nan" not in text


def test_a_measured_gpu_takes_the_place_of_the_estimate(root):
    bench(root / "results" / "bench-gpu.json", "cuda (Some GPU)", 5000.0)
    (page,) = cost.outputs(root)
    macs = count_macs(hsi.build_model("wcnet", bands=12, classes=3, patch=7), 12, 7)
    (row,) = [
        line for line in page.text.splitlines() if line.startswith("| wcnet |") and "measured |" in line
    ]
    hours = 10 * 100 * 50 / (5000.0 * 1_000_000 / macs) / 3600
    assert float(row.split("|")[6]) == pytest.approx(hours, rel=0.06)
    assert row.split("|")[4].strip() == "-"  # no CPU was measured
    assert "CPU: not measured" in page.text
    assert "GPU: measured, cuda (Some GPU)" in page.text


def test_the_slowest_part_is_the_bottleneck(root):
    here = archive.Archive(archive.read_assumptions(root / "archive_cost.toml"))
    job = archive.MappingJob(here, "wcnet", 1000, None, archive.Range(1, 1), False)
    reading, writing = 5000 * 24 / 1e9, 5000 / 0.5e9
    assert job.seconds_a_scene(5000.0) == pytest.approx(
        {"computing": 1.0, "reading": reading, "writing": writing}
    )
    assert job.bottleneck(5000.0) == ("computing", pytest.approx(1 / reading))
    assert job.bottleneck(1e12) == ("reading", pytest.approx(reading / writing))


class Recorder:
    """A cube that counts the pixels that are read of it."""

    def __init__(self, shape):
        self.shape, self.ndim, self.dtype, self.pixels = shape, 3, np.dtype(np.uint16), 0

    def __getitem__(self, box):
        rows, cols = (range(*part.indices(size)) for part, size in zip(box, self.shape, strict=False))
        self.pixels += len(rows) * len(cols)
        return np.zeros((len(rows), len(cols), self.shape[2]), self.dtype)


def test_margins_that_are_read_again_are_those_of_a_real_reading(root):
    text = (root / "archive_cost.toml").read_text()
    for name, value in (("rows", 300), ("cols", 400), ("bands", 100)):
        old = HOW[name]
        text = text.replace(
            f"[{name}]\nlow = {old}\nhigh = {old}", f"[{name}]\nlow = {value}\nhigh = {value}"
        )
    (root / "archive_cost.toml").write_text(text)
    here = archive.Archive(archive.read_assumptions(root / "archive_cost.toml"))
    cube = Recorder(here.shape)
    blocks = SceneBlocks(cube, lambda read: read.astype(np.float32), 100, 7)
    for tile in blocks.tiles(3):
        blocks.read(tile)
    assert cube.pixels > 300 * 400
    assert here.read_twice == pytest.approx(cube.pixels / (300 * 400) - 1)


@pytest.mark.parametrize("name", ["ssrn", "hybridsn"])
def test_shared_work_is_that_of_a_map_of_one_cell(name):
    model = hsi.build_model(name, bands=20, classes=3, patch=11).eval()
    cube = np.random.default_rng(0).standard_normal((32, 32, 20), np.float32)
    expected = _macs_of_map(model, cube, Scale(bands=20, classes=3, patch=11), Setting("cpu", 1))
    assert cost._shared_macs(model, 20, 11) == expected


@pytest.mark.parametrize(
    ("old", "new"),
    [("low = 10\n", "low = -1\n"), ("high = 10\n", "high = 9\n"), ('unit = "u"\n', ""), ("low = 10\n", "")],
)
def test_an_assumption_says_what_it_is(old, new, root):
    path = root / "archive_cost.toml"
    path.write_text(path.read_text().replace(old, new, 1))
    with pytest.raises(ConfigError, match=r"'scenes' in archive_cost\.toml needs"):
        archive.read_assumptions(path)


def test_the_assumptions_of_the_project_are_marked_and_shown():
    table = read_toml(FOLDER / "archive_cost.toml")
    assert table["scenes"]["value"] == 10**5
    assert [table[name]["value"] for name in ("rows", "cols", "bands")] == [1000, 1000, 230]
    text = (FOLDER / "COST.md").read_text(encoding="utf-8")
    assert all(entry["from"] in text for entry in table.values())


def write_growth(path: Path, slope: float) -> None:
    points = [
        Point(axis, name, n, float(n), "pixels", n**slope, n**slope, 3, 50.0)
        for axis, name in (("scene area", "hsi map of a .npy cube, cnn1d"), ("bands", "wcnet, training"))
        for n in (10, 100, 1000)
    ]
    path.write_text(points_csv(GrowthFile(tuple(points), MACHINE, False)))


def test_the_growth_page_says_what_the_points_say(root):
    assert "Nothing has been measured yet" in growth.outputs(root)[0].text
    write_growth(root / "results" / "growth-here.csv", 1.5)
    page, figure = growth.outputs(root)
    assert "## some CPU, 2 threads" in page.text
    assert "beyond it are hsi map of a .npy cube, cnn1d along scene area (0.50 ± 0.00 above)" in page.text
    row = line_of(page.text, "wcnet, training")
    assert row[1:6] == ["10 to 1,000", "1.50 ± 0.00", "1.00", "0.50 ± 0.00", "0.00 ± 0.00"]
    assert figure.path == root / "figures" / "growth.svg"
    assert figure.is_stale()
    figure.write()
    assert not figure.is_stale()
    write_growth(root / "results" / "growth-here.csv", 1.0)
    assert figure.is_stale()
    assert "2 of 2 series grow as the work or less." in growth.outputs(root)[0].text
    assert "hsi map of a .npy cube, cnn1d grows with area ** 1.00 ± 0.00" in cost.outputs(root)[0].text
    assert len(results.outputs(root)) == 1  # no results of a sweep: the page alone
