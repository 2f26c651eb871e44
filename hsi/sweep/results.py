"""The results of an experiment as one CSV file: a row for each finished run, read from its folder.

Rows of runs whose folders are elsewhere, such as on another machine, are kept while the experiment asks for
the same options. Scores and shares are fractions with six decimals; a value that a run does not have is
empty. Rows are sorted by scene, protocol, model, seed and fold, so that the file changes only where runs did.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from hsi.errors import FileFormatError, RunError
from hsi.io.files import make_folder, write_text
from hsi.io.text import csv_text
from hsi.models import model_entry
from hsi.runs.status import RunState
from hsi.sweep.plan import PlannedRun

Facts = dict[str, Any]  # metrics.json, with "run", "config" and "environment" beside


def _from(*path: str, form: Callable[[Any], str] = str) -> Callable[[Facts], str]:
    """Return a function that formats the value at a path in nested tables; a missing value is empty."""

    def take(facts: Facts) -> str:
        value: Any = facts
        for key in path:
            value = value.get(key) if isinstance(value, dict) else None
        return "" if value is None or value != value else form(value)

    return take


def _decimals(count: int) -> Callable[[Any], str]:
    return lambda value: f"{value:.{count}f}"


_FRACTION = _decimals(6)
COLUMNS: dict[str, Callable[[Facts], str]] = {
    "scene": _from("run", "scene"),
    "protocol": _from("run", "protocol"),
    "label": _from("run", "model"),
    "model": _from("model"),
    "kind": _from("run", "kind"),
    "dataset": _from("dataset"),
    "scheme": _from("scheme"),
    "guard": _from("config", "guard"),
    "split_mask": _from("config", "split_mask"),
    "fold": _from("config", "fold"),
    "folds": _from("config", "folds"),
    "seed": _from("seed"),
    "preset": _from("preset"),
    "patch": _from("patch"),
    "bands": _from("bands"),
    "components": _from("components"),
    "epochs": _from("epochs"),
    "train_pixels": _from("counts", "train"),
    "val_pixels": _from("counts", "val"),
    "test_pixels": _from("counts", "test"),
    "params": _from("params"),
    "macs": _from("macs"),
    "oa": _from("test", "oa", form=_FRACTION),
    "aa": _from("test", "aa", form=_FRACTION),
    "kappa": _from("test", "kappa", form=_FRACTION),
    "mean_precision": _from("test", "mean_precision", form=_FRACTION),
    "f1_macro": _from("test", "f1_macro", form=_FRACTION),
    "val_oa": _from("val", "oa", form=_FRACTION),
    "smoothing": _from("smoothing", "text"),
    "oa_unsmoothed": _from("smoothing", "unsmoothed", "test", "oa", form=_FRACTION),
    "aa_unsmoothed": _from("smoothing", "unsmoothed", "test", "aa", form=_FRACTION),
    "calibration_error_before": _from("calibration", "error", "test", "before", form=_FRACTION),
    "calibration_error": _from("calibration", "error", "test", "after", form=_FRACTION),
    "leakage_centre": _from("leakage", "centre", form=_FRACTION),
    "leakage_overlap": _from("leakage", "overlap", form=_FRACTION),
    "load_seconds": _from("seconds", "load", form=_decimals(2)),
    "train_seconds": _from("seconds", "train", form=_decimals(2)),
    "test_seconds": _from("seconds", "test", form=_decimals(2)),
    "peak_memory_mb": _from("peak_memory_mb", form=_decimals(1)),
    "device": _from("device"),
    "cpu": _from("environment", "processor"),
    "threads": _from("environment", "threads"),
    "hsi": _from("environment", "hsi"),
    "torch": _from("environment", "packages", "torch"),
    "scikit_learn": _from("environment", "packages", "scikit-learn"),
    "python": _from("environment", "python"),
    "git_revision": _from("environment", "git_revision"),
    "synthetic": _from("synthetic", form=lambda value: str(value).lower()),
    "options": _from("run", "fingerprint"),
}
Row = dict[str, str]


def results_csv(
    plan: Iterable[PlannedRun],
    recorded: Mapping[str, Row] | None = None,
    finished: dict[str, Row] | None = None,
) -> str:
    """Return the table of the finished runs of a plan, with a header.

    Parameters
    ----------
    plan
        Runs; the finished ones are read from their folders.
    recorded
        Rows of runs without a folder here, by run key.
    finished
        Cache of rows read from folders, by run key; it is filled.

    Raises
    ------
    RunError
        When a file of a finished run is damaged.
    """
    elsewhere = recorded or {}
    rows = {} if finished is None else finished
    lines = []
    for run in sorted(plan, key=_order):
        if run.key not in rows and run.state is RunState.DONE:
            facts = read_facts(run)
            rows[run.key] = {name: take(facts) for name, take in COLUMNS.items()}
        if run.key in rows:
            lines.append(rows[run.key])
        elif run.key in elsewhere:
            lines.append(elsewhere[run.key])
    return csv_text(COLUMNS, lines)


def recorded_rows(plan: Iterable[PlannedRun], path: Path) -> dict[str, Row]:
    """Return the rows of a table that belong to runs of the plan with their present options, by run key.

    Raises
    ------
    FileFormatError
        When the file exists but is no such table.
    """
    known = _known_rows(path)
    return {run.key: known[_identity(run)] for run in plan if _identity(run) in known}


def check_table(
    plan: Sequence[PlannedRun],
    path: Path,
    *,
    rerun: bool = False,
    chosen: Iterable[PlannedRun] | None = None,
) -> None:
    """Check that rewriting the table loses no row.

    With `rerun`, rows that the experiment does not ask for now, or not with these options, may go, except
    those of runs of the plan that are not among the `chosen` (default: all), which alone are trained.

    Raises
    ------
    RunError
        When a row would be lost.
    FileFormatError
        When the file exists but is no such table.
    """
    known = _known_rows(path)
    lost = known.keys() - {_identity(run) for run in plan}
    why = "does not ask for now, or not with these options; --rerun drops such rows"
    if rerun:
        trained = {run.key for run in plan if chosen is None} | {run.key for run in chosen or ()}
        skipped = {_place(run) for run in plan if run.key not in trained}
        lost = {key for key in lost if tuple(known[key].get(name) or "" for name in _PLACE) in skipped}
        why = "asks for with other options now, and --only leaves it out; widen --only"
    if lost:
        first = "/".join(min(key[1:] for key in lost))
        more = f" and {len(lost) - 1} more" if len(lost) > 1 else ""
        raise RunError(
            f"'{path}' has a run of '{first}'{more} that the experiment {why}, or name another table with "
            "--results."
        )


def _known_rows(path: Path) -> dict[tuple[str, ...], Row]:
    """Return the rows of a table by `_identity`; none if there is no file."""
    if not path.exists():
        return {}
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise FileFormatError(f"The table '{path}' cannot be read: {error}.") from None
    if any(row.get(name) is None for row in rows for name in ("scene", "protocol", "label", "options")):
        raise FileFormatError(
            f"'{path}' is no table of hsi sweep; move it away, or name another by --results."
        )
    return {(row["options"], row["scene"], row["protocol"], row["label"]): row for row in rows}


def _identity(run: PlannedRun) -> tuple[str, ...]:
    return run.fingerprint, run.scene, run.protocol, run.model


_PLACE = ("scene", "protocol", "label", "seed", "fold")  # columns that name a run whatever its options are


def _place(run: PlannedRun) -> tuple[str, ...]:
    fold = run.config.fold
    return run.scene, run.protocol, run.model, str(run.config.seed), "" if fold is None else str(fold)


def write_results(plan: Iterable[PlannedRun], path: Path, finished: dict[str, Row] | None = None) -> None:
    """Write `results_csv` atomically, unless no run is finished; rows of runs made elsewhere are kept.

    With the same dictionary `finished` in each call, each folder is read only once.

    Raises
    ------
    FileFormatError
        When the file exists but is no such table; it is left as it is.
    """
    runs = list(plan)
    table = results_csv(runs, recorded_rows(runs, path), finished)
    if table.count("\n") > 1:
        make_folder(path.parent)
        write_text(path, table)


def read_facts(run: PlannedRun) -> Facts:
    """Return metrics, options and environment of a finished run.

    Raises
    ------
    RunError
        When a file is missing or damaged.
    """
    path = run.folder / "metrics.json"
    facts: Facts = _read(path)
    missing = [name for name, kind in _NEEDED.items() if not isinstance(facts.get(name), kind)]
    if missing:
        raise RunError(f"'{path}' is damaged (no {missing[0]}); remove its run folder and sweep again.")
    facts["run"] = {
        name: getattr(run, name) for name in ("scene", "protocol", "model", "name", "fingerprint")
    }
    facts["run"]["kind"] = kind_of(facts)
    facts["config"] = run.config.as_dict()
    facts["environment"] = _read(run.folder / "environment.json")
    return facts


_NEEDED = {"model": str, "device": str, "seconds": dict, "test": dict}


def kind_of(facts: Facts) -> str:
    """Return "network" for the backbone and its five, "baseline" for other networks, else "classical"."""
    if facts.get("params") is None:
        return "classical"
    return "baseline" if model_entry(facts["model"]).baseline else "network"


def _read(path: Path) -> Facts:
    try:
        table = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RunError(f"'{path}' is damaged ({error}); remove its run folder and sweep again.") from None
    if not isinstance(table, dict):
        raise RunError(f"'{path}' is damaged (no table); remove its run folder and sweep again.")
    return table


def _order(run: PlannedRun) -> tuple[str, str, str, int, int]:
    fold = getattr(run.config, "fold", None)
    return run.scene, run.protocol, run.model, run.config.seed, -1 if fold is None else fold
