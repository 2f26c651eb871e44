"""Options that several verbs share, and how ``KEY=VALUE`` becomes a value."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from hsi.errors import ConfigError

SCENE, SPLIT, PATCHES, TRAINING, RUN = "Scene", "Split", "Patches", "Training", "Run"


def option(panel: str, help: str, *names: str) -> Any:
    """Return an option that has no default of its own, shown in a panel of the help."""
    return typer.Option(*names, help=help, show_default=False, rich_help_panel=panel)


Dataset = Annotated[
    str | None, option(SCENE, "Short name (hsi scenes), scene.toml, or cube file with --labels.")
]
Labels = Annotated[
    str | None, option(SCENE, "Label file (image, points or polygons), where --dataset is a cube file.")
]
CubeKey = Annotated[str | None, option(SCENE, "Name of the cube inside its file.")]
LabelsKey = Annotated[
    str | None,
    option(
        SCENE,
        "Name of the labels inside their file; of points or polygons, the attribute with the class.",
        "--labels-key",
        "--class-field",
    ),
]
DataRoot = Annotated[Path | None, option(SCENE, "Folder with scene files; else HSI_DATA.")]

Scheme = Annotated[str | None, option(SPLIT, "random, paper, per-class, mask or disjoint.")]
Train = Annotated[float | None, option(SPLIT, "Share of the labelled pixels to train on: 0.1 is 10 %.")]
Val = Annotated[float | None, option(SPLIT, "Share of the labelled pixels to validate on.")]
Guard = Annotated[str | None, option(SPLIT, "How disjoint areas are kept apart: mask or drop.")]
Folds = Annotated[
    int | None, option(SPLIT, "So many disjoint areas: one for test, the next for val, the rest for train.")
]
Fold = Annotated[int | None, option(SPLIT, "Which of the folds is tested, from 0; without it all of them.")]
PerClass = Annotated[int | None, option(SPLIT, "Training pixels of each class.")]
SplitMask = Annotated[str | None, option(SPLIT, "Published mask by name, such as dase (hsi scenes).")]
TrainMask = Annotated[str | None, option(SPLIT, "Labels of the training pixels: FILE or FILE:KEY.")]
TestMask = Annotated[str | None, option(SPLIT, "Labels of the test pixels: FILE or FILE:KEY.")]
Seed = Annotated[int | None, option(SPLIT, "Seed of the split, and of weights and order in training.")]
Patch = Annotated[int | None, option(PATCHES, "Width P of the square a network sees: odd, pixels.")]


def _batch(text: str) -> int | str:
    if text.isdecimal() or text == "auto":
        return text if text == "auto" else int(text)
    raise typer.BadParameter(f"give a whole number of patches, or auto; got '{text}'.")


Batch = Annotated[
    Any,
    typer.Option(
        "--batch",
        "--batch-size",
        parser=_batch,
        metavar="N|auto",
        help="Patches a step; auto: the usual number, in pieces if memory is short.",
        show_default=False,
        rich_help_panel=TRAINING,
    ),
]

Device = Annotated[str | None, option(RUN, "auto, cpu, cuda or mps.")]
Engine = Annotated[
    str,
    typer.Option(
        help="Where the work is done: local, or ray: on the machines of the Ray cluster that RAY_ADDRESS "
        "names (hsi[cluster]).",
        rich_help_panel=RUN,
    ),
]
Json = Annotated[
    bool, typer.Option("--json", help="Print one JSON object and nothing else.", rich_help_panel=RUN)
]


def given(context: typer.Context) -> dict[str, Any]:
    """Return those parameters of a verb that are options of a training (None where not given)."""
    from hsi.runs.config import FIELD_TYPES

    return {name: value for name, value in context.params.items() if name in FIELD_TYPES}


def parse_settings(settings: list[str]) -> dict[str, Any] | None:
    """Turn ``["levels=[2,2,1]", "axes=hw"]`` into a table; values are TOML, or text where they are not."""
    from hsi.datasets.toml_files import parse_toml

    table: dict[str, Any] = {}
    for setting in settings:
        key, equals, text = setting.partition("=")
        if not equals or not key.strip():
            raise ConfigError(f"--option wants KEY=VALUE, such as levels=2; got '{setting}'.")
        try:
            table[key.strip()] = parse_toml(f"value = {text}")["value"]
        except ValueError:
            table[key.strip()] = text.strip()
    return table or None
