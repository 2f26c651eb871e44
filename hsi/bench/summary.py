"""A result as tables: headers, which columns are numbers, and cells, for screen and README alike.

Speeds that were measured on this machine before, so that they can be shown without measuring again.

They lie in the user's cache folder, one file for each combination of hardware, threads, precision and
versions: a speed is only ever shown where it was measured. Our decision.
"""

from __future__ import annotations

import contextlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hsi.bench.setting import Scale, Setting, busy_sentence, describe_machine, file_name
from hsi.io.files import cache_folder, write_text


@dataclass(frozen=True)
class Rows:
    """One table; each column is its header and whether it holds numbers."""

    title: str
    columns: list[tuple[str, bool]]
    cells: list[list[str]]


def tables(result: dict[str, Any]) -> list[Rows]:
    """Return the tables of a result of `hsi.bench.run_bench`; none for parts that were not measured."""
    made = []
    if result["comparisons"]:
        made.append(_comparisons(result))
    if result["networks"]:
        made.append(_networks(result))
    if result.get("loops"):
        made.append(_loops(result))
    if result.get("maps"):
        made.append(_maps(result))
    return made


def conditions(result: dict[str, Any]) -> str:
    """Return one sentence on what was measured where."""
    machine = result["machine"]
    place = machine["processor"] if machine["device"] == "cpu" else machine["device"]
    rates = [network["product_gflops"] for network in result["networks"]]
    product = f", matrix products at {number(sorted(rates)[len(rates) // 2])} GFLOP/s" if rates else ""
    busy = busy_sentence(machine)
    quick = " A quick run: small batches, few repeats." if result["quick"] else ""
    return (
        f"{place}, {machine['threads']} threads{product}; {machine['precision']}, eager, torch "
        f"{machine['torch']}, hsi {machine['hsi']}; {result['bands']} bands, patch {result['patch']}.{quick}"
        f"{f' {busy}' if busy else ''}"
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
        f"{f', {number(times)} times as fast as the quickest training' if speeds else ''}."
    )


def loop_sentence(result: dict[str, Any]) -> str | None:
    """Return one sentence on the training loop, or None where it was not measured."""
    loops = result.get("loops")
    if not loops:
        return None
    ratios = [100 * row["ratio"] for row in loops]
    outside = max(100 * row["outside"] for row in loops)
    return (
        f"The whole training loop reaches {number(min(ratios))} to {number(max(ratios))} % of the patches/s "
        f"of the bare networks; cutting and augmenting patches takes {outside:.1f} % of it at most."
    )


def _comparisons(result: dict[str, Any]) -> Rows:
    columns = [
        ("operator or step", False),
        ("input", False),
        ("ours, ms", True),
        ("reference, ms", True),
        ("faster", True),
        ("our MB", True),
        ("its MB", True),
        ("less", True),
        ("share", True),
        ("reference", False),
    ]
    cells = []
    for row in result["comparisons"]:
        ours, reference = row["ours_side"], row.get("reference_side")
        cells.append(
            [
                row["title"],
                "x".join(map(str, row["shape"])),
                milliseconds(ours["seconds"]),
                milliseconds(reference["seconds"]) if reference else "-",
                number(row.get("ratio")),
                number(ours["peak_memory_mb"]),
                number(reference["peak_memory_mb"]) if reference else "-",
                number(row.get("memory_ratio")),
                f"{100 * ours['share']:.0f} %" if "share" in ours else "-",
                row["reference"] or "not measured",
            ]
        )
    title = (
        "Ours beside straightforward references, forward + backward: median (min-max), peak memory, "
        "share of the matrix-product rate"
    )
    return Rows(title, columns, cells)


def _networks(result: dict[str, Any]) -> Rows:
    columns = [
        ("network", False),
        ("MACs, M", True),
        ("training, patches/s", True),
        ("share", True),
        ("MB", True),
        ("inference, patches/s", True),
        ("share", True),
        ("MB", True),
    ]
    cells = []
    for row in result["networks"]:
        line = [row["name"], f"{row['macs'] / 1e6:.1f}"]
        for kind in ("training", "inference"):
            part = row[kind]
            line += [_with_range(part), f"{100 * part['share']:.0f} %", number(part["peak_memory_mb"])]
        cells.append(line)
    batch = result["networks"][0]["batch"]
    title = f"Networks at batch {batch}: median (min-max), share of the matrix-product rate, peak memory"
    return Rows(title, columns, cells)


def _loops(result: dict[str, Any]) -> Rows:
    columns = [
        ("network", False),
        ("training loop, patches/s", True),
        ("bare network, patches/s", True),
        ("loop by bare", True),
        ("time for patches and augmentation", True),
    ]
    cells = [
        [
            row["name"],
            _with_range(row["loop_side"]),
            _with_range(row["bare_side"]),
            f"{100 * row['ratio']:.0f} %",
            f"{100 * row['outside']:.1f} %",
        ]
        for row in result["loops"]
    ]
    title = f"The whole training loop beside the bare network at batch {result['loops'][0]['batch']}"
    return Rows(title, columns, cells)


def _maps(result: dict[str, Any]) -> Rows:
    columns = [
        ("network", False),
        ("map, patches/s", True),
        ("loop, patches/s", True),
        ("faster", True),
        ("MACs a pixel, M", True),
        ("in the loop, M", True),
    ]
    cells = [
        [
            row["name"],
            _with_range(row["ours_side"]),
            _with_range(row["loop_side"]),
            number(row["ratio"]),
            number(row["macs"] / 1e6),
            number(row["loop_macs"] / 1e6),
        ]
        for row in result["maps"]
    ]
    rows, cols, _ = result["maps"][0]["scene"]
    title = f"Maps of {rows} x {cols} pixels beside a loop over a DataLoader, same network: median (min-max)"
    return Rows(title, columns, cells)


def milliseconds(seconds: dict[str, Any]) -> str:
    """Return "median (min-max)" of a summary in seconds."""
    middle, low, high = (number(1000 * seconds[key]) for key in ("median", "min", "max"))
    return f"{middle} ({low}-{high})"


def _with_range(part: dict[str, Any]) -> str:
    ends = ("", "_min", "_max")
    middle, low, high = (number(part[f"patches_per_second{end}"]) for end in ends)
    return f"{middle} ({low}-{high})"


def number(value: float | None) -> str:
    """Return three digits at most, whole numbers from 100 on; "-" for None."""
    if value is None:
        return "-"
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


MEASURED = ("training_patches_per_second", "inference_patches_per_second")


def remember_speed(name: str, measured: dict[str, Any], scale: Scale, setting: Setting) -> dict[str, Any]:
    """Keep and return the speeds that `measure_network` found; a cache that cannot be written is no error."""
    speeds = [measured[kind]["patches_per_second"] for kind in ("training", "inference")]
    row: dict[str, Any] = dict(zip(MEASURED, speeds, strict=True))
    row |= {"batch": scale.batch, "threads": setting.threads, "device": setting.device}
    path = _file(setting)
    known = _read(path)
    known.setdefault(_size(scale), {})[name] = row
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(path, json.dumps(known, indent=1) + "\n")
    return row


def recall_speeds(scale: Scale, setting: Setting) -> dict[str, dict[str, Any]]:
    """Return the speeds that were measured on this machine at these sizes, by name of the network."""
    speeds: dict[str, dict[str, Any]] = _read(_file(setting)).get(_size(scale), {})
    return speeds


def _file(setting: Setting) -> Path:
    return cache_folder() / "speed" / file_name(describe_machine(setting))


def _size(scale: Scale) -> str:
    return f"{scale.bands} bands, {scale.classes} classes, patch {scale.patch}"


def _read(path: Path) -> dict[str, Any]:
    try:
        known = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):  # not there, or damaged: then nothing is known
        return {}
    return known if isinstance(known, dict) else {}
