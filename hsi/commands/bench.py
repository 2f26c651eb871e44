"""`hsi bench`: how fast this machine runs the operators and networks."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hsi.commands import options as o

if TYPE_CHECKING:
    from hsi.bench import Setting


def bench(
    growth: Annotated[
        bool, typer.Option("--growth", help="Measure how time and memory grow, and fit exponents.")
    ] = False,
    quick: Annotated[bool, typer.Option("--quick", help="Small sizes and few repeats: a minute.")] = False,
    only: Annotated[
        list[str] | None,
        typer.Option(help="Measure this alone; may be given several times.", show_default=False),
    ] = None,
    references: Annotated[
        Path | None,
        typer.Option(help="Folder of reference operators; else benchmarks/references of the checkout."),
    ] = None,
    threads: Annotated[int | None, typer.Option(help="Threads; default: all cores.")] = None,
    device: o.Device = None,
    precision: Annotated[str, typer.Option(help="float32, tf32 (GPU) or bf16.")] = "float32",
    out: Annotated[
        Path | None,
        typer.Option(
            help="Write the JSON (of --growth: a CSV) here; in a folder its name tells hardware and versions."
        ),
    ] = None,
    json: o.Json = False,
) -> None:
    """Measure the operators beside straightforward references, the networks, the input pipeline, and maps.

    With --growth it is measured how time and memory grow instead, with the exponent of each: along bands,
    patch, pixels (labelled ones), area (of the scene) and ranks (processes); --only takes these words then.

    \b
      hsi bench
      hsi bench --quick --only kan --only kanet
      hsi bench --json --out results/
      hsi bench --growth --out experiments/results/
    """
    import json as writer

    from hsi.bench import FULL, QUICK, make_setting, run_bench
    from hsi.bench.machine import file_name
    from hsi.bench.report import conditions, pipeline_sentence, tables
    from hsi.commands import screen
    from hsi.errors import ConfigError
    from hsi.runs.atomic import write_text

    if out is not None and not (out.is_dir() or out.parent.is_dir()):
        raise ConfigError(f"The folder '{out.parent}' for the result does not exist.")
    setting = make_setting(
        device=device or "auto", threads=threads, precision=precision, references=references
    )
    if growth:
        if references is not None:
            raise ConfigError("--references has no part in --growth; leave one of them out.")
        _growth(setting, quick, only or [], out, json)
        return
    with screen.err().status("measuring") as status:
        result = run_bench(
            setting,
            QUICK if quick else FULL,
            only=only or (),
            say=lambda name: status.update(f"measuring {name}"),
        )
    if not result["references"]:
        screen.note("There are no reference operators beside this package, so only ours was measured.")
    if out is not None:
        path = out / file_name(result["machine"]) if out.is_dir() else out
        write_text(path, writer.dumps(result, indent=1) + "\n")
        screen.note(f"The result is in '{path}'.")
    if json:
        screen.print_json(result)
        return
    console = screen.out()
    for rows in tables(result):
        console.print(screen.table(rows.title, rows.columns, rows.cells))
    sentences = [pipeline_sentence(result), conditions(result)]
    console.print(" ".join(filter(None, sentences)), highlight=False, soft_wrap=True)


def _growth(setting: Setting, quick: bool, only: list[str], out: Path | None, json: bool) -> None:
    from hsi.bench import growth_scale
    from hsi.bench.growth import run_growth
    from hsi.bench.growth_fit import fit_growth
    from hsi.bench.growth_points import points_csv
    from hsi.bench.growth_report import METHOD, as_json, findings, growth_conditions, growth_tables
    from hsi.bench.machine import file_name
    from hsi.commands import screen
    from hsi.runs.atomic import write_text

    scale = growth_scale.QUICK_GROWTH if quick else growth_scale.FULL_GROWTH
    with screen.err().status("measuring") as status:
        result = run_growth(setting, scale, only=only, say=lambda what: status.update(f"measuring {what}"))
    fitted = fit_growth(result.points)
    if out is not None:
        path = out / file_name(result.machine, "growth", "csv") if out.is_dir() else out
        write_text(path, points_csv(result))
        screen.note(f"The points are in '{path}'.")
    if json:
        points = [vars(point) for point in result.points]
        series = [as_json(growth) for growth in fitted]
        screen.print_json(
            {"machine": result.machine, "quick": result.quick, "points": points, "series": series}
        )
        return
    console = screen.out()
    for rows in growth_tables(fitted):
        console.print(screen.table(rows.title, rows.columns, rows.cells))
    for sentence in (*findings(fitted), METHOD, growth_conditions(result.machine, result.quick)):
        console.print(sentence, highlight=False, soft_wrap=True)
