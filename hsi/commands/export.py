"""`hsi export`: a trained network as a file for other tools."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hsi.commands import options as o


def export(
    run: Annotated[Path, typer.Argument(help="A run folder.", show_default=False)],
    format: Annotated[str, typer.Option(help="onnx or torchscript (deprecated by PyTorch).")] = "onnx",
    out: Annotated[
        Path | None,
        typer.Option(help="The file: NAME.onnx or NAME.pt; default RUN/model.onnx.", show_default=False),
    ] = None,
    data_root: o.DataRoot = None,
    json: o.Json = False,
) -> None:
    """Write the best network of a run as one file that takes the scene's own values and gives probabilities.

    Input: float32 patches (N, bands, P, P), any N; scaling and components are inside. A pixel that is not
    there (beyond the edge or the area, or without data) is NaN. Output: probabilities (N, classes). The file
    is compared with the run on patches of its scene, and kept only if it answers the same. ONNX needs the
    extra hsi[export].

    \b
      hsi export runs/first --format onnx
      hsi export runs/first --format torchscript --out first.pt
    """
    from hsi.commands import screen
    from hsi.export.writer import check_target, export_run
    from hsi.inference.run import Run

    opened = Run(run)
    check_target(opened, out, format)  # before a scene is read
    made = export_run(opened, opened.load_scene(data_root), out, format=format)
    if format == "torchscript":
        screen.note("PyTorch calls TorchScript deprecated; where ONNX will do, --format onnx lasts longer.")
    if made.check is None:
        screen.note("The file was not checked, since ONNX Runtime is missing: pip install 'hsi[export]'.")
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
