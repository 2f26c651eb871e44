"""In a word, how far a run of a sweep has come, as listings say it."""

from __future__ import annotations

from collections.abc import Container

from hsi.runs.state import RunState
from hsi.sweep.plan import PlannedRun

CHANGED = "changed"
ELSEWHERE = "elsewhere"


def standing(run: PlannedRun, recorded: Container[str] = ()) -> str:
    """Return a word for a run; `recorded` holds the keys of the runs whose rows the table has.

    "missing", "interrupted" and "done" are the states of its folder; "changed" is one whose folder was made
    with other options than the experiment asks for now; "elsewhere" is one that only the table knows, made on
    another machine or with its folder removed since.

    Raises
    ------
    ConfigError
        When the options in its folder cannot be read.
    """
    if run.state is RunState.MISSING:
        return ELSEWHERE if run.key in recorded else run.state.value
    return run.state.value if run.changed_option() is None else CHANGED
