"""The results of an experiment as one CSV file: a row for each finished run, read from the run folders.

Rows of runs whose folders are elsewhere, such as on another machine, stay in the file as long as the
experiment still asks for the same options.

Scores and shares are fractions with six decimals; seconds and megabytes say so in their names. A value that
a run does not have is empty. Rows are sorted by scene, protocol, model, seed and fold, so that the file
changes only where runs did.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from hsi.errors import FileFormatError, RunError
from hsi.io.files import make_folder, write_text
from hsi.models import model_entry
from hsi.runs.status import RunState
from hsi.sweep.plan import PlannedRun

Facts = dict[str, Any]  # metrics.json, with "run", "config" and "environment" beside


def _from(*path: str, form: Callable[[Any], str] = str) -> Callable[[Facts], str]:
    """Return a function that takes a value out of nested tables; nothing there is an empty cell."""

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
        The runs; those with a finished folder are read from it.
    recorded
        Rows of runs that have none here, by the run's key.
    finished
        Rows that were made of finished folders before, by the run's key; new ones are added.

    Raises
    ------
    RunError
        When a file of a finished run is damaged.
    """
    elsewhere = recorded or {}
    rows = {} if finished is None else finished
    text = io.StringIO()
    writer = csv.DictWriter(text, list(COLUMNS), restval="", extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    for run in sorted(plan, key=_order):
        if run.key not in rows and run.state is RunState.DONE:
            facts = read_facts(run)
            rows[run.key] = {name: take(facts) for name, take in COLUMNS.items()}
        if run.key in rows:
            writer.writerow(rows[run.key])
        elif run.key in elsewhere:
            writer.writerow(elsewhere[run.key])
    return text.getvalue()


def recorded_rows(plan: Iterable[PlannedRun], path: Path) -> dict[str, Row]:
    """Return the rows that a table has of runs of the plan, with the options they have now, by their key.

    Raises
    ------
    FileFormatError
        When the file is there but is no such table.
    """
    known = _known_rows(path)
    wanted = {run.key: _identity(run) for run in plan}
    return {key: known[facts] for key, facts in wanted.items() if facts in known}


def check_table(plan: Iterable[PlannedRun], path: Path, *, replace: bool = False) -> None:
    """Make sure that writing the table anew takes no row away, unless `replace` says that it may.

    Raises
    ------
    RunError
        When the table has a run that the plan has not, or has with other options.
    FileFormatError
        When the file is there but is no such table.
    """
    left_out = _known_rows(path).keys() - {_identity(run) for run in plan}
    if left_out and not replace:
        first = "/".join(min(facts[1:] for facts in left_out))
        more = f" and {len(left_out) - 1} more" if len(left_out) > 1 else ""
        raise RunError(
            f"'{path}' has a run of '{first}'{more} that the experiment does not ask for now, or not with "
            "these options; --replace takes such rows away, --results names another table."
        )


def _known_rows(path: Path) -> dict[tuple[str, ...], Row]:
    """Return the rows of a table by what tells runs apart; none where there is no file."""
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


def write_results(plan: Iterable[PlannedRun], path: Path, finished: dict[str, Row] | None = None) -> None:
    """Write `results_csv` into a file, whole or not at all; nothing where no run is finished.

    Rows that the file has of runs that were made elsewhere are kept. Whoever writes after each run passes the
    same dictionary `finished` each time, so that each folder is read once, not once for every later run.

    Raises
    ------
    FileFormatError
        When the file is there but is no such table; it is left as it is.
    """
    runs = list(plan)
    table = results_csv(runs, recorded_rows(runs, path), finished)
    if table.count("\n") > 1:
        make_folder(path.parent)
        write_text(path, table)


def read_facts(run: PlannedRun) -> Facts:
    """Return what the folder of a finished run says about it.

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


_NEEDED = {"model": str, "device": str, "seconds": dict, "test": dict}  # what is used beside the table


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
