"""COST.md: what mapping an archive would cost, from assumptions and from what was measured."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.growth.fit import fit_growth
from benchmarks.growth.points import read_points
from experiments.pages.archive import GB, TB, Archive, MappingJob, Range, estimated_rate, read_assumptions
from experiments.pages.output import Page
from hsi.bench.suite import network_names
from hsi.bench.summary import rounded
from hsi.inference.tiles import CELL
from hsi.models import build_model, list_models
from hsi.models.protocols import DensePrefix
from hsi.models.registry import count_macs

ASSUMPTIONS = "archive_cost.toml"
Result = dict[str, Any]


def outputs(root: Path) -> list[Page]:
    """Return the page; none without the file of assumptions."""
    path = root / ASSUMPTIONS
    if not path.is_file():
        return []
    archive = Archive(read_assumptions(path))
    results = [
        json.loads(file.read_text(encoding="utf-8"))
        for file in sorted((root / "results").glob("bench-*.json"))
    ]
    results = [result for result in results if result["networks"] and not result["quick"]]
    cpu, gpu = _newest(results, "cpu"), _newest(results, "cuda")
    jobs = [_job(name, archive, cpu, gpu) for name in network_names()]
    lines = [*_head(archive, cpu, gpu), *_table(jobs), *_summary(jobs, archive)]
    lines += [*_bottlenecks(jobs, archive), *_sharing(archive, results), *_growth(root, archive)]
    return [Page(root / "COST.md", "\n".join([*lines, *_assumed(archive)]) + "\n")]


def _newest(results: Sequence[Result], device: str) -> Result | None:
    found = [result for result in results if result["machine"]["device"].startswith(device)]
    return max(found, key=lambda result: result["machine"]["date"], default=None)


def _job(name: str, archive: Archive, cpu: Result | None, gpu: Result | None) -> MappingJob:
    _, _, bands = archive.shape
    patch = int(archive.value("patch"))
    macs = count_macs(
        build_model(name, bands=bands, classes=int(archive.value("classes")), patch=patch), bands, patch
    )
    core, measured = _rate(cpu, name, macs), _rate(gpu, name, macs)
    return MappingJob(
        archive=archive,
        name=name,
        macs=macs,
        patches_a_core=core and core / cpu["machine"]["threads"] if cpu else None,
        patches_a_gpu=Range(measured, measured) if measured else estimated_rate(macs, archive),
        gpu_measured=measured is not None,
    )


def _rate(result: Result | None, name: str, macs: int) -> float | None:
    """Return measured patches per second, scaled from the measured network's MACs to `macs`."""
    for network in result["networks"] if result else ():
        if network["name"] == name:
            return float(network["inference"]["patches_per_second"]) * network["macs"] / macs
    return None


def _head(archive: Archive, cpu: Result | None, gpu: Result | None) -> list[str]:
    rows, cols, bands = archive.shape
    lines = [
        "# What mapping an archive would cost",
        "",
        f"Written by `make tables` from [`{ASSUMPTIONS}`]({ASSUMPTIONS}) and `results/bench-*.json`; not "
        "edited by hand. **This is paper, not a measurement**: nobody has mapped such an archive with this. "
        "Prices and machines are assumptions, listed below with their reasons, to be edited.",
        "",
        f"The work: {archive.value('scenes'):,.0f} scenes of {rows:,} x {cols:,} pixels and {bands} bands, "
        f"every pixel classified from its patch of {archive.value('patch'):.0f} x "
        f"{archive.value('patch'):.0f} pixels: {_big(archive.patches)} patches. Bytes read: "
        f"{archive.bytes_read / TB:,.0f} TB, and {100 * archive.read_twice:.1f} % more where the margins of "
        f"tiles are read again. Bytes written: {archive.bytes_written / TB:.2g} TB of maps, "
        f"{archive.bytes_of_probabilities / TB:.2g} TB more with the probability of every class.",
        "",
    ]
    if cpu:
        machine = cpu["machine"]
        lines += [
            f"CPU: measured, {machine['processor']}, {machine['threads']} threads, hsi {machine['hsi']}, "
            f"torch {machine['torch']}: inference at {cpu['bands']} bands, patch {cpu['patch']}, brought to "
            f"{bands} bands by the multiply-adds. What all threads reach is shared out evenly to get the "
            "rate of a core, and many cores are taken to reach as many times that.",
        ]
    else:
        lines += ["CPU: not measured; run `hsi bench --out experiments/results/`."]
    share, peak = archive.range("gpu_share"), archive.value("gpu_peak")
    if gpu:
        lines += ["", f"GPU: measured, {gpu['machine']['device']}, {gpu['machine']['precision']}."]
    else:
        lines += [
            "",
            f"GPU: **estimated, not measured**: {peak:,.0f} TFLOP/s times an assumed share of "
            f"{100 * share.low:g} to {100 * share.high:g} %. A result of `hsi bench` from a GPU in "
            "`results/` takes the place of this estimate.",
        ]
    return lines


def _table(jobs: Sequence[MappingJob]) -> list[str]:
    lines = [
        "",
        "| network | MACs a patch, M | MACs in all | core-hours | on CPUs, USD | GPU-hours | on GPUs, USD "
        "| GPU |",
        "|---|--:|--:|--:|--:|--:|--:|---|",
    ]
    for job in jobs:
        hours = job.core_hours
        on_cpus = "-" if hours is None else _range(job.usd(Range(hours, hours), "cpu_core_hour"))
        lines.append(
            f"| {job.name} | {job.macs / 1e6:.1f} | {job.all_macs:.1e} | "
            f"{'-' if hours is None else _big(hours)} | {on_cpus} | {_range(job.gpu_hours)} | "
            f"{_range(job.usd(job.gpu_hours, 'gpu_hour'))} | "
            f"{'measured' if job.gpu_measured else 'estimated'} |"
        )
    return lines


def _summary(jobs: Sequence[MappingJob], archive: Archive) -> list[str]:
    cheap, dear = (pick(jobs, key=lambda job: job.macs) for pick in (min, max))
    lines = [
        "",
        f"Of this, reading all cubes is {_range(archive.reading_usd)} USD and keeping the maps for "
        f"{archive.value('store_months'):.0f} months {_big(archive.keeping_usd)} USD. The choice of network "
        f"matters most: {dear.name} needs {dear.macs / cheap.macs:.1f} times the arithmetic of {cheap.name}.",
    ]
    if cheap.core_hours:
        years = cheap.core_hours / archive.value("cores") / 24 / 365
        lines[-1] += (
            f" With {cheap.name}, one machine of {archive.value('cores'):.0f} cores is at work for "
            f"{12 * years:.1f} months."
        )
    return lines


def _bottlenecks(jobs: Sequence[MappingJob], archive: Archive) -> list[str]:
    lines = [
        "",
        "## What is the bottleneck",
        "",
        "Seconds that one machine spends on one scene, if each part had the machine for itself; parts can "
        "run side by side, so the slowest is the bottleneck.",
        "",
        "| network | machine | computing | reading | writing | bottleneck |",
        "|---|---|--:|--:|--:|---|",
    ]
    cores, gpus = archive.value("cores"), archive.value("gpus")
    for job in jobs:
        machines = [(f"{gpus:.0f} GPUs", job.patches_a_gpu.times(gpus))]
        if job.patches_a_core:
            rate = job.patches_a_core * cores
            machines.insert(0, (f"{cores:.0f} cores", Range(rate, rate)))
        for machine, rates in machines:
            slow, quick = job.seconds_a_scene(rates.low), job.seconds_a_scene(rates.high)
            computing = _range(Range(quick["computing"], slow["computing"]))
            names = dict.fromkeys(job.bottleneck(rate)[0] for rate in (rates.low, rates.high))
            times = Range(*sorted(job.bottleneck(rate)[1] for rate in (rates.low, rates.high)))
            slowest = " or ".join(names) + (f", {_range(times)} times the next" if len(names) == 1 else "")
            lines.append(
                f"| {job.name} | {machine} | {computing} | {_big(slow['reading'])} | "
                f"{_big(slow['writing'])} | {slowest} |"
            )
    pixel = archive.value("bands") * archive.value("bytes_a_value")
    most = archive.value("network") * GB / pixel
    lines += [
        "",
        f"Reading becomes the bottleneck where a machine classifies more than {_big(most)} patches a second: "
        f"so many pixels of {pixel:.0f} bytes come over its network.",
    ]
    return lines


def _sharing(archive: Archive, results: Sequence[Result]) -> list[str]:
    _, _, bands = archive.shape
    patch, classes = int(archive.value("patch")), int(archive.value("classes"))
    lines = [
        "",
        "## What neighbouring patches can share",
        "",
        "A network whose first layers see no border of the patch computes them once a pixel, exactly; "
        f"counted for cells of {CELL} x {CELL} pixels with their margins. The backbone and its five blocks "
        "pad inside the patch, so they share nothing, and the table above has no such saving.",
        "",
        "| network | MACs a pixel alone, M | shared, M | times fewer | measured, times as fast |",
        "|---|--:|--:|--:|--:|",
    ]
    measured = {row["name"]: row["ratio"] for result in results for row in result.get("maps") or ()}
    for name in list_models():
        model = build_model(name, bands=bands, classes=classes, patch=patch)
        if not any(True for _ in model.parameters()):
            continue
        alone = count_macs(model, bands, patch)
        shared = _shared_macs(model, bands, patch) if isinstance(model, DensePrefix) else alone
        if isinstance(model, DensePrefix) or name in measured:
            ratio = f"{rounded(measured[name])}x" if name in measured else "not measured"
            lines.append(
                f"| {name} | {rounded(alone / 1e6)} | {rounded(shared / 1e6)} | {rounded(alone / shared)}x "
                f"| {ratio} |"
            )
    return lines


def _shared_macs(model: Any, bands: int, patch: int) -> float:
    """Return multiply-adds a pixel of one cell, its margin included, without computing anything."""
    model = model.to("meta").eval()
    side = CELL + patch - 1
    counter = FlopCounterMode(display=False)
    with counter, torch.no_grad():
        features = model.prefix(torch.empty(1, bands, side, side, device="meta"))
        window = patch - model.prefix_shrinks_by
        model.after_prefix(torch.empty(CELL * CELL, features.shape[1], window, window, device="meta"))
    return int(counter.get_total_flops()) / 2 / CELL**2


def _growth(root: Path, archive: Archive) -> list[str]:
    """Say what the measured growth of maps means for the archive."""
    lines = []
    for path in sorted((root / "results").glob("growth-*.csv")):
        measured = read_points(path)
        for growth in fit_growth(measured.points):
            if growth.axis == "scene area" and growth.series.startswith("hsi map"):
                largest = growth.points[-1]
                memory = "" if growth.memory is None else f", its memory with area ** {growth.memory}"
                lines.append(
                    f"Measured ({measured.machine['processor']}): the time of {growth.series} grows with "
                    f"area ** {growth.time}{memory}, up to {largest.value:,} pixels, where it needs "
                    f"{rounded(largest.peak_memory_mb)} MB. So a scene of {archive.pixels:,.0f} pixels is "
                    "taken to cost as many times one pixel."
                )
    return ["", "## Why it may be multiplied", "", *lines] if lines else []


def _assumed(archive: Archive) -> list[str]:
    lines = ["", "## Assumptions", "", "| what | low | high | unit | why |", "|---|--:|--:|---|---|"]
    for one in archive.assumptions.values():
        low, high = f"{one.range.low:,g}", f"{one.range.high:,g}"
        lines.append(f"| {one.name.replace('_', ' ')} | {low} | {high} | {one.unit} | {one.source} |")
    return lines


def _range(span: Range) -> str:
    low, high = _big(span.low), _big(span.high)
    return low if low == high else f"{low} to {high}"


def _big(value: float) -> str:
    """Return two or three digits with a word for the thousands."""
    for size, word in ((1e12, " million million"), (1e9, " thousand million"), (1e6, " million")):
        if value >= size:
            return f"{value / size:.3g}{word}"
    return f"{float(f'{value:.3g}'):,.0f}" if value >= 100 else f"{value:.2g}"
