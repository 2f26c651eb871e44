"""Results as tables and sentences, for screen and pages alike; and the cache of measured speeds.

The cache has one file for each combination of hardware, threads, precision and versions.
"""

from __future__ import annotations

import contextlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hsi.bench.setting import Scale, Setting, busy_warning, describe_machine, file_name, hardware_name
from hsi.io.files import cache_folder, write_text


@dataclass(frozen=True)
class Table:
    """One table; each column is its header and whether it holds numbers."""

    title: str
    columns: list[tuple[str, bool]]
    cells: list[list[str]]


def tables(result: dict[str, Any]) -> list[Table]:
    """Return the tables of a result of `hsi.bench.run_bench`, without those that were not measured."""
    makers = {"comparisons": _comparisons, "networks": _networks, "loops": _loops, "maps": _maps}
    return [make(result[part]) for part, make in makers.items() if result.get(part)]


def conditions(result: dict[str, Any]) -> str:
    """Return one sentence on hardware, versions and sizes."""
    machine = result["machine"]
    rates = [network["product_gflops"] for network in result["networks"]]
    product = f", matrix products at {rounded(sorted(rates)[len(rates) // 2])} GFLOP/s" if rates else ""
    busy = busy_warning(machine)
    quick = " A quick run: small batches, few repeats." if result["quick"] else ""
    return (
        f"{hardware_name(machine)}, {machine['threads']} threads{product}; {machine['precision']}, eager, "
        f"torch {machine['torch']}, hsi {machine['hsi']}; {result['bands']} bands, patch {result['patch']}."
        f"{quick}{f' {busy}' if busy else ''}"
    )


def pipeline_sentence(result: dict[str, Any]) -> str | None:
    """Return one sentence on the input pipeline, or None where it was not measured."""
    pipeline = result["pipeline"]
    if pipeline is None:
        return None
    speeds = [network["training"]["patches_per_second"] for network in result["networks"]]
    times = pipeline["patches_per_second"] / max(speeds, default=1.0)
    return (
        f"The input pipeline alone cuts {_with_range(pipeline)} patches/s at batch {pipeline['batch']}"
        f"{f', {rounded(times)} times as fast as the quickest training' if speeds else ''}."
    )


def loop_sentence(result: dict[str, Any]) -> str | None:
    """Return one sentence on the training loop, or None where it was not measured."""
    loops = result.get("loops")
    if not loops:
        return None
    ratios = [100 * row["ratio"] for row in loops]
    outside = max(100 * row["outside"] for row in loops)
    return (
        f"The whole training loop reaches {rounded(min(ratios))} to {rounded(max(ratios))} % of the "
        f"patches/s of the bare networks; cutting and augmenting patches takes {outside:.1f} % of it at most."
    )


def _comparisons(rows: list[dict[str, Any]]) -> Table:
    columns = [
        ("operator or step", False), ("input", False), ("ours, ms", True), ("reference, ms", True),
        ("faster", True), ("our MB", True), ("its MB", True), ("less", True), ("share", True),
        ("reference", False),
    ]  # fmt: skip
    cells = []
    for row in rows:
        ours, reference = row["ours_side"], row.get("reference_side")
        cells.append(
            [
                row["title"],
                "x".join(map(str, row["shape"])),
                milliseconds(ours["seconds"]),
                milliseconds(reference["seconds"]) if reference else "-",
                rounded(row.get("ratio")),
                rounded(ours["peak_memory_mb"]),
                rounded(reference["peak_memory_mb"]) if reference else "-",
                rounded(row.get("memory_ratio")),
                f"{100 * ours['share']:.0f} %" if "share" in ours else "-",
                row["reference"] or "not measured",
            ]
        )
    title = (
        "Ours beside straightforward references, forward + backward: median (min-max), peak memory, "
        "share of the matrix-product rate"
    )
    return Table(title, columns, cells)


def _networks(rows: list[dict[str, Any]]) -> Table:
    columns = [
        ("network", False), ("MACs, M", True), ("training, patches/s", True), ("share", True), ("MB", True),
        ("inference, patches/s", True), ("share", True), ("MB", True),
    ]  # fmt: skip
    cells = []
    for row in rows:
        line = [row["name"], f"{row['macs'] / 1e6:.1f}"]
        for kind in ("training", "inference"):
            part = row[kind]
            line += [_with_range(part), f"{100 * part['share']:.0f} %", rounded(part["peak_memory_mb"])]
        cells.append(line)
    batch = rows[0]["batch"]
    title = f"Networks at batch {batch}: median (min-max), share of the matrix-product rate, peak memory"
    return Table(title, columns, cells)


def _loops(rows: list[dict[str, Any]]) -> Table:
    columns = [
        ("network", False), ("training loop, patches/s", True), ("bare network, patches/s", True),
        ("loop by bare", True), ("time for patches and augmentation", True),
    ]  # fmt: skip
    cells = [
        [
            row["name"],
            _with_range(row["loop_side"]),
            _with_range(row["bare_side"]),
            f"{100 * row['ratio']:.0f} %",
            f"{100 * row['outside']:.1f} %",
        ]
        for row in rows
    ]
    title = f"The whole training loop beside the bare network at batch {rows[0]['batch']}"
    return Table(title, columns, cells)


def _maps(rows: list[dict[str, Any]]) -> Table:
    columns = [
        ("network", False), ("map, patches/s", True), ("loop, patches/s", True), ("faster", True),
        ("MACs a pixel, M", True), ("in the loop, M", True),
    ]  # fmt: skip
    cells = [
        [
            row["name"],
            _with_range(row["ours_side"]),
            _with_range(row["loop_side"]),
            rounded(row["ratio"]),
            rounded(row["macs"] / 1e6),
            rounded(row["loop_macs"] / 1e6),
        ]
        for row in rows
    ]
    height, width, _ = rows[0]["scene"]
    title = (
        f"Maps of {height} x {width} pixels beside a loop over a DataLoader, same network: median (min-max)"
    )
    return Table(title, columns, cells)


def milliseconds(seconds: dict[str, Any]) -> str:
    """Return "median (min-max)" of a summary in seconds."""
    middle, low, high = (rounded(1000 * seconds[key]) for key in ("median", "min", "max"))
    return f"{middle} ({low}-{high})"


def _with_range(part: dict[str, Any]) -> str:
    ends = ("", "_min", "_max")
    middle, low, high = (rounded(part[f"patches_per_second{end}"]) for end in ends)
    return f"{middle} ({low}-{high})"


def rounded(value: float | None) -> str:
    """Format a number with three digits, or as a whole number from 100 on; "-" for None."""
    if value is None:
        return "-"
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


SPEEDS = ("training_patches_per_second", "inference_patches_per_second")


def save_speed(name: str, measured: dict[str, Any], scale: Scale, setting: Setting) -> dict[str, Any]:
    """Cache and return the speeds of `measure_network`; a cache that cannot be written is not an error."""
    speeds = [measured[kind]["patches_per_second"] for kind in ("training", "inference")]
    row: dict[str, Any] = dict(zip(SPEEDS, speeds, strict=True))
    row |= {"batch": scale.batch, "threads": setting.threads, "device": setting.device}
    path = _cache_file(setting)
    known = _read(path)
    known.setdefault(_sizes(scale), {})[name] = row
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(path, json.dumps(known, indent=1) + "\n")
    return row


def load_speeds(scale: Scale, setting: Setting) -> dict[str, dict[str, Any]]:
    """Return the speeds cached for this machine and these sizes, by name of the network."""
    speeds: dict[str, dict[str, Any]] = _read(_cache_file(setting)).get(_sizes(scale), {})
    return speeds


def _cache_file(setting: Setting) -> Path:
    return cache_folder() / "speed" / file_name(describe_machine(setting))


def _sizes(scale: Scale) -> str:
    return f"{scale.bands} bands, {scale.classes} classes, patch {scale.patch}"


def _read(path: Path) -> dict[str, Any]:
    try:
        known = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):  # missing or damaged
        return {}
    return known if isinstance(known, dict) else {}
