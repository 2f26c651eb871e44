"""`hsi report`: finished runs as one page and as pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hsi.commands import options as o


def report(
    runs: Annotated[
        list[Path] | None,
        typer.Argument(
            help="Run folders, or folders of run folders; without any, the newest run in ./runs.",
            show_default=False,
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help="The page to write. Default: report.html in the folder.", metavar="FILE", show_default=False
        ),
    ] = None,
    open_page: Annotated[
        bool, typer.Option("--open", help="Open the page in the browser once it is written.")
    ] = False,
    device: o.Device = None,
    data_root: o.DataRoot = None,
    json: o.Json = False,
) -> None:
    """Write a page with scores, leakage, a map to explore and tables, and the pictures of each run.

    The page is one HTML file that needs no network. The pictures go to RUN/figures, as PNG and PDF. The
    first report of a run classifies every pixel of its scene; the map is kept for the next.

    \b
      hsi report
      hsi report runs/first --open
      hsi report runs/five-seeds
      hsi report runs/wcnet runs/kanet --out both.html
    """
    from hsi.commands import screen
    from hsi.commands.progress import ReportProgress
    from hsi.errors import ConfigError
    from hsi.inference.run import open_runs
    from hsi.report.page import write_report

    if not runs:
        runs = [o.newest_run()]
    if out is None and len(runs) > 1:
        raise ConfigError("Several runs share one page; say where it goes, with --out FILE.")
    groups = [open_runs(path) for path in runs]
    with ReportProgress() as progress:
        written = write_report(
            groups,
            out or runs[0] / "report.html",
            data_root=data_root,
            device=device or "auto",
            progress=progress,
        )
    size = written.page.stat().st_size
    if json:
        figures = [str(path) for path in written.figures]
        screen.print_json({"page": str(written.page), "bytes": size, "figures": figures})
    else:
        folders = dict.fromkeys(path.parent for path in written.figures)
        console = screen.out()
        for line in (
            f"Report: {written.page} ({size / 1e6:.1f} MB)",
            *(f"Figures: {one}" for one in folders),
        ):
            console.print(line, highlight=False, markup=False, soft_wrap=True)
    if open_page:
        _open(written.page)


def _open(page: Path) -> None:
    """Open a page in the browser; say where it is if there is none."""
    import webbrowser

    from hsi.commands import screen

    if not webbrowser.open(page.resolve().as_uri()):
        screen.note(f"No browser could be started; open this file in one: {page.resolve()}")
