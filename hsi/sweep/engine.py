"""Where the runs of a sweep go on."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from hsi.runs.device import choose_device
from hsi.sweep.child import Child
from hsi.sweep.going import Going
from hsi.sweep.plan import PlannedRun
from hsi.sweep.workers import Workers, choose_workers


class Engine:
    """Runs as processes of this machine; engines for other places derive from it."""

    def device(self, runs: Sequence[PlannedRun]) -> str:
        """Return what the runs work on: "cpu", "cuda" or "mps"; a GPU if any of them does.

        Raises
        ------
        ConfigError
            When one wants a device that is not there.
        """
        devices = {choose_device(name).type for name in {run.config.device for run in runs}}
        return next((kind for kind in ("cuda", "mps") if kind in devices), "cpu")

    def places(self, wanted: int | None, runs: int, need_mb: float, device: str) -> Workers:
        """Choose the number of runs at a time; see `hsi.sweep.workers.choose_workers`."""
        return choose_workers(wanted, runs, need_mb, device=device)

    def sharing(self, folder: Path) -> AbstractContextManager[None]:
        """Return the context in which runs are started that write into the sweep's folder."""
        return nullcontext()

    def start(self, run: PlannedRun, *, threads: int, data_root: Path | None, lock: int | None) -> Going:
        """Start a run; see `hsi.sweep.child.Child`."""
        return Child(run, threads=threads, data_root=data_root, lock=lock)
