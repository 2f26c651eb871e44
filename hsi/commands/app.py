"""The command `hsi`: its verbs, and how it ends.

Results go to standard output, progress and notes to standard error. Exit status: 0 done, 1 failed while
running, 2 wrong usage or wrong input (one sentence), 130 interrupted. Verbs import what they need only when
they run, so that help is quick.
"""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer

from hsi import __version__
from hsi.commands import (
    area,
    bench,
    compare,
    evaluate,
    export,
    map,
    models,
    report,
    sample,
    scenes,
    split,
    sweep,
    torchrun,
    train,
)
from hsi.commands import (
    scenes as download,
)
from hsi.commands import (
    scenes as scene,
)
from hsi.commands.options import Verb, Verbs, metavar_of
from hsi.errors import HsiError, in_words, nearest, stranger_note
from hsi.io.text import plain

app = typer.Typer(
    name="hsi",
    cls=Verbs,
    no_args_is_help=True,
    rich_markup_mode=None,  # texts are shown as they are, brackets too
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("scenes", cls=Verb)(scenes.scenes)
app.add_typer(scene.scene, name="scene")
app.command("models", cls=Verb)(models.models)
app.command("download", cls=Verb)(download.download)
app.command("split", cls=Verb)(split.split)
app.command("train", cls=Verb)(train.train)
app.command("sweep", cls=Verb)(sweep.sweep)
app.command("evaluate", cls=Verb)(evaluate.evaluate)
app.command("map", cls=Verb)(map.map_)
app.command("area", cls=Verb)(area.area)
app.command("sample", cls=Verb)(sample.sample)
app.command("report", cls=Verb)(report.report)
app.command("export", cls=Verb)(export.export)
app.command("compare", cls=Verb)(compare.compare)
app.command("bench", cls=Verb)(bench.bench)


INTERRUPTED = (
    "Interrupted; no file is left half written: what is finished is kept, else the same command can be given "
    "again."
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"hsi {__version__}")
        raise typer.Exit


@app.callback()
def hsi(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and stop.")
    ] = False,
) -> None:
    """Classify every pixel of a hyperspectral scene: honest scores, repeatable runs.

    Try it now, without any data:

    \b
      hsi train --model wcnet --dataset demo

    Then on Indian Pines:

    \b
      hsi download IN
      hsi train --model wcnet --dataset IN --protocol disjoint
    """
    torchrun.check_verb(context.invoked_subcommand)


def main() -> None:
    """Run the command line and end the process with its exit status."""
    if (note := stranger_note()) and torchrun.speaks():
        print(f"note: {note}", file=sys.stderr)
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Run one command; print what went wrong as one sentence on standard error; return the exit status."""
    try:
        status = int(app(arguments, standalone_mode=False, prog_name="hsi") or 0)
        return _fail(INTERRUPTED, 130) if status == 130 else status  # typer took the Ctrl-C for itself
    except torchrun.ToldError as told:
        return told.exit_status
    except HsiError as error:
        from hsi.commands.screen import with_verb

        return _fail(with_verb(str(error)), error.exit_status)
    except (KeyboardInterrupt, typer.Abort):
        return _fail(INTERRUPTED, 130)
    except OSError as error:
        return _fail(in_words(error), 1)
    except Exception as error:  # the usage errors of the option parser, which typer keeps to itself
        if not hasattr(error, "format_message"):
            raise
        return _fail(_usage(error), 2) if error.format_message() else 2


def _usage(error: Any) -> str:
    """Return what is wrong with a command line, and the next step."""
    message, command = str(error.format_message()), getattr(getattr(error, "ctx", None), "command", None)
    if command is None:
        return message
    path, parameter = error.ctx.command_path, getattr(error, "param", None)
    given = getattr(error, "option_name", None)
    if given is not None and hasattr(error, "possibilities"):  # an unknown option
        flags = [flag for one in command.params for flag in (*one.opts, *one.secondary_opts)]
        close = nearest(given.lstrip("-"), [flag[2:] for flag in flags if flag.startswith("--")])
        meant = f" Did you mean '--{close}'?" if close else ""
        return f"There is no option '{given}'.{meant} All options: {path} --help"
    if getattr(parameter, "param_type_name", "") == "argument" and message.startswith("Missing"):
        needed = " ".join(metavar_of(one) for one in command.params if one.param_type_name == "argument")
        _, _, examples = (command.help or "").partition("\b")
        example = examples.strip().partition("\n")[0].strip()
        return f"{metavar_of(parameter)} is missing: {path} {needed}, such as {example}"
    return message


def _fail(sentence: str, status: int) -> int:
    if torchrun.speaks():
        print(f"hsi: {plain(sentence)}", file=sys.stderr)
    return status
