"""`hsi export`: a trained network as a file for other tools."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hsi.commands import options as o


def export(
    run: Annotated[Path, typer.Argument(help="A run folder.", show_default=False)],
    format: Annotated[str, o.choice(("onnx",), "Format of the file.")] = "onnx",
    out: Annotated[
        Path | None,
        typer.Option(
            help="The file: NAME.onnx. Default: RUN/model.onnx.", metavar="FILE", show_default=False
        ),
    ] = None,
    data_root: o.DataRoot = None,
    json: o.Json = False,
) -> None:
    """Write the best network of a run as an ONNX file for the scene's own values.

    Needs the extra hsi-toolkit[export].

    Input: float32 patches (N, bands, P, P), any N; scaling and PCA are inside. A missing pixel (beyond the
    edge or the region, or without data) is NaN. Output: probabilities (N, classes). The file is compared with
    the run on patches of its scene, and kept only if they agree.

    \b
      hsi export runs/first
      hsi export runs/first --out first.onnx
    """
    from hsi.commands import screen
    from hsi.errors import install_command
    from hsi.export.writer import check_target, export_run
    from hsi.inference.run import Run

    opened = Run(run)
    check_target(opened, out, format)  # before a scene is read
    scene = opened.load_scene(data_root)
    if opened.metrics["epochs"] is not None:  # a model without epochs is refused at once
        screen.note("Writing the file and comparing it with the run; some networks take minutes.")
    with screen.err().status("exporting"):
        made = export_run(opened, scene, out, format=format)
    if made.check is None:
        screen.note(f"The file was not checked, since ONNX Runtime is missing: {install_command('export')}.")
    if json:
        screen.print_json({"run": str(run), **made.as_dict()})
        return
    show = screen.out()
    if made.check is not None:
        show.print(
            f"Checked on {made.check.patches} patches: probabilities differ by at most "
            f"{made.check.max_difference:.1e}, {made.check.labels_differ} labels differ.",
            highlight=False,
        )
    show.print(f"File: {made.file} ({made.megabytes:.1f} MB)", highlight=False, markup=False, soft_wrap=True)
