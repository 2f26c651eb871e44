"""The outcome of a part, as a table for people and one JSON object for programs."""

from __future__ import annotations

import json
import re
import sys
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

MAX_KINDS = 12  # kinds of failure that are listed


@dataclass
class Outcome:
    """Number of trials of one kind, failures (one sentence each), and the command that repeats them."""

    what: str
    command: str
    trials: int = 0
    failures: list[str] = field(default_factory=list)
    seconds: float = 0.0
    started: float = field(default_factory=time.monotonic, repr=False)

    def tried(self, trials: int, failures: Iterable[str] = ()) -> None:
        """Add trials and their failures."""
        self.trials += trials
        self.failures += failures
        self.seconds = time.monotonic() - self.started

    def as_dict(self) -> dict[str, object]:
        """Return the JSON object; failures are counted."""
        return {
            "what": self.what,
            "command": self.command,
            "trials": self.trials,
            "failures": len(self.failures),
            "seconds": round(self.seconds, 1),
        }


def show(outcomes: list[Outcome]) -> int:
    """Print failures by kind and a table on standard error, JSON on standard output; return the status."""
    for outcome in outcomes:
        for kind, count in Counter(_kind(text) for text in outcome.failures).most_common(MAX_KINDS):
            print(f"{outcome.what}: {count} x {kind}", file=sys.stderr)
    show_rows([outcome.as_dict() for outcome in outcomes])
    for outcome in outcomes:
        print(json.dumps(outcome.as_dict()))
    return 1 if any(outcome.failures for outcome in outcomes) else 0


def show_rows(rows: list[dict[str, object]]) -> None:
    """Print a Markdown table of outcomes on standard error."""
    print("\n| what | trials | failures | seconds | command |\n|---|--:|--:|--:|---|", file=sys.stderr)
    for row in rows:
        cells = (row["what"], row["trials"], row["failures"], row["seconds"], f"`{row['command']}`")
        print(f"| {' | '.join(str(cell) for cell in cells)} |", file=sys.stderr)


def _kind(failure: str) -> str:
    """Replace what differs between failures of one kind: process ids and temporary folders."""
    return re.sub(r"/tmp/[^\s'/]+", "/tmp/*", re.sub(r"\d{3,}", "N", failure))
