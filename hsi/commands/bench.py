"""`hsi bench`: how fast this machine runs the operators and networks."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hsi.commands import options as o


def bench(
    quick: Annotated[bool, typer.Option("--quick", help="Small sizes and few repeats: a minute.")] = False,
    only: Annotated[
        list[str] | None,
        typer.Option(
            help="Measure this operator or network alone; can be repeated.",
            metavar="NAME",
            show_default=False,
        ),
    ] = None,
    references: Annotated[
        Path | None,
        typer.Option(
            help="Folder of reference implementations. Default: that of the checkout.", metavar="DIR"
        ),
    ] = None,
    threads: Annotated[int | None, typer.Option(help="Threads. Default: all cores.", metavar="N")] = None,
    device: o.Device = None,
    precision: Annotated[
        str, o.choice(("float32", "tf32", "bf16"), "Precision of matrix products; tf32 is for GPUs.")
    ] = "float32",
    out: Annotated[
        Path | None,
        typer.Option(help="JSON file, or folder for one named by hardware and versions.", metavar="FILE"),
    ] = None,
    json: o.Json = False,
) -> None:
    """Measure operators beside reference implementations, networks, the input pipeline, and maps.

    \b
      hsi bench
      hsi bench --quick --only kan --only kanet
      hsi bench --json --out results/
    """
    import json as writer

    from hsi.bench import FULL, QUICK, make_setting, run_bench
    from hsi.bench.setting import file_name
    from hsi.bench.summary import conditions, pipeline_sentence, tables
    from hsi.commands import screen
    from hsi.errors import ConfigError
    from hsi.io.files import write_text

    if out is not None and not (out.is_dir() or out.parent.is_dir()):
        raise ConfigError(f"The folder '{out.parent}' for the result does not exist.")
    setting = make_setting(
        device=device or "auto", threads=threads, precision=precision, references=references
    )
    with screen.err().status("measuring") as status:
        result = run_bench(
            setting,
            QUICK if quick else FULL,
            only=only or (),
            progress=lambda name: status.update(f"measuring {name}"),
        )
    if not result["references"]:
        screen.note("The reference implementations were not found, so only ours was measured.")
    if out is not None:
        path = out / file_name(result["machine"]) if out.is_dir() else out
        write_text(path, writer.dumps(result, indent=1) + "\n")
        screen.note(f"The result is in '{path}'.")
    if json:
        screen.print_json(result)
        return
    console = screen.out()
    for table in tables(result):
        console.print(screen.table(table.title, table.columns, table.cells))
    sentences = [pipeline_sentence(result), conditions(result)]
    console.print(" ".join(filter(None, sentences)), highlight=False, soft_wrap=True)
