"""Writing the ``scene.toml`` of files of one's own, from what the files say and show."""

from __future__ import annotations

import json
import math
import os
import re
from dataclasses import dataclass
from pathlib import Path

from hsi.datasets.assemble import SceneFacts
from hsi.datasets.own_files import ArraySource, load_own
from hsi.datasets.readers import read_array, read_facts
from hsi.datasets.recognise import SHAPES, recognise
from hsi.datasets.scene import Scene
from hsi.datasets.suspicions import Suspicions, look_for


@dataclass(frozen=True)
class NewDescription:
    """The text of a ``scene.toml``, the scene that it describes, and what looked odd in its cube."""

    text: str
    scene: Scene
    suspicions: Suspicions
    notes: tuple[str, ...]


def describe_files(cube: ArraySource, labels: ArraySource, out: Path) -> NewDescription:
    """Look through a cube and its labels, and write down what a ``scene.toml`` should say of them.

    Parameters
    ----------
    cube, labels
        Where they are.
    out
        Where the description will stand: its paths are relative to that folder. Nothing is written.

    Raises
    ------
    SceneNotFoundError, FileFormatError, SceneError
        When the two do not make a scene.
    """
    values = read_array(cube.file, ndim=3, key=cube.key, option="cube_key")
    said = read_facts(cube.file)
    found = look_for(values)
    no_data = math.nan if found.not_finite and said.no_data is None else None
    facts = SceneFacts(name=_short_name(cube.file), no_data=no_data)
    scene = load_own(cube, labels, facts, options=("cube_key", "labels_key"))
    notes = []
    if found.not_finite:
        notes.append(
            f"{found.not_finite} pixels hold values that are no numbers; they count as without data."
        )
    guess = found.no_data
    if said.no_data is None and no_data is None and guess is not None:
        notes.append(
            f"{found.filled[guess]} pixels hold {guess:g} in every band; if that means no data, take the # "
            f"from 'no_data = {guess:g}'."
        )
    return NewDescription(_text(cube, labels, out, facts, scene, guess), scene, found, (*scene.notes, *notes))


def _text(
    cube: ArraySource, labels: ArraySource, out: Path, facts: SceneFacts, scene: Scene, guess: float | None
) -> str:
    drawn = recognise(labels.file) in SHAPES
    wavelengths = scene.wavelengths_nm
    no_data = "nan" if guess is None or math.isnan(guess) else f"{guess:g}"
    lines = [
        "# What these lines mean stands in hsi.datasets.description. A line after a # does nothing.",
        f"name = {_quoted(facts.name)}                 # short name, in file names and tables",
        f"title = {_quoted(facts.name)}                # full name",
        f"{'' if scene.sensor else '# '}sensor = {_quoted(scene.sensor or 'AVIRIS')}",
        f"# {scene.rows} x {scene.cols} pixels, {scene.bands} bands, {scene.cube.dtype}",
        f"cube = {_source(cube, out, 'key')}",
        f"labels = {_source(labels, out, 'class_field' if drawn else 'key')}",
        "",
        f"# wavelengths_nm = [400.0, 410.0]  # one a band of the file; {_wavelengths(scene)}"
        if wavelengths is None
        else f"# The wavelengths are read from the file: {_wavelengths(scene)}.",
        "# drop_bands = []             # bands to leave out, from 0; default: those that the file calls bad",
        '# bands = "400-1300nm,no-water"',
        f"{'' if facts.no_data is not None else '# '}no_data = {no_data}"
        "                # marks pixels without data; default: what the file says",
        "# unlabelled = [255]          # integers that mean no label, beside 0",
        "# wrapped_negatives = true    # 16-bit values just below 65536 are small negatives",
        "",
        "[classes]                     # code in the label file = name",
        *(
            f"{code} = {_quoted(name)}  # {count} pixels"
            for code, name, count in zip(scene.label_codes, scene.class_names, scene.counts, strict=True)
        ),
        "",
        "[colors]",
        *(f'{code} = "{color}"' for code, color in zip(scene.label_codes, scene.colors, strict=True)),
    ]
    return "\n".join(re.sub(r" {3,}#", "  #", line) for line in lines) + "\n"


def _wavelengths(scene: Scene) -> str:
    if scene.wavelengths_nm is None:
        return "the file has none"
    return f"{scene.wavelengths_nm.min():g} to {scene.wavelengths_nm.max():g} nm"


def _source(source: ArraySource, out: Path, key: str) -> str:
    try:
        path = Path(os.path.relpath(source.file.resolve(), out.resolve().parent)).as_posix()
    except ValueError:  # on Windows, another drive
        path = source.file.resolve().as_posix()
    named = "" if source.key is None else f", {key} = {_quoted(source.key)}"
    return f"{{ file = {_quoted(path)}{named} }}"


def _short_name(path: Path) -> str:
    """Return the name of a file as a name that can be part of others."""
    return re.sub(r'[/\\:*?"<>|\s]+', "-", path.stem).strip(".-") or "scene"


def _quoted(text: str) -> str:
    """Return a TOML string: JSON's escapes are TOML's, but for the delete character."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
