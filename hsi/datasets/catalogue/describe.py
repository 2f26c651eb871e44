"""Writing the ``scene.toml`` of given files; the format is in `hsi.datasets.catalogue.description`."""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from hsi.datasets.assemble import SceneFacts, load_files, unlabelled_scene
from hsi.datasets.checks import Anomalies, check_cube, find_anomalies
from hsi.datasets.formats.readers import ArraySource, open_cube, read_array, read_facts
from hsi.datasets.formats.recognise import SHAPES
from hsi.datasets.scene import Scene

LabelFiles = ArraySource | Mapping[str, ArraySource] | None


@dataclass(frozen=True)
class NewDescription:
    """The text of a ``scene.toml``, the scene that it describes, and what looked odd in its cube."""

    text: str
    scene: Scene
    anomalies: Anomalies
    notes: tuple[str, ...]


def describe_files(
    cube: ArraySource, labels: LabelFiles, out: Path, facts: SceneFacts | None = None
) -> NewDescription:
    """Inspect a cube and its labels and return their ``scene.toml``; nothing is written.

    Parameters
    ----------
    labels
        As in `hsi.datasets.assemble.load_files`; None for a cube to be mapped, which may be larger than
        memory.
    out
        The ``scene.toml`` to be; paths in the text are relative to its folder.
    facts
        What is known beside the files and how they are read; it is written down.

    Raises
    ------
    SceneNotFoundError, FileFormatError, SceneError
        When the two do not make a scene.
    """
    facts = facts or SceneFacts()
    if labels is None:
        values = open_cube(cube.file, cube.key, cube.kind)
        check_cube(values, f"The cube in {cube.file}")
    else:
        values = read_array(cube.file, ndim=3, key=cube.key, option="cube_key", kind=cube.kind)
    told = read_facts(cube.file, cube.kind, cube.key)
    facts = replace(facts, name=facts.name or _short_name(told.product or cube.file.stem))
    found = find_anomalies(values)
    said = told.no_data is not None or bool(told.product) or facts.no_data is not None
    if found.not_finite and not said:
        facts = replace(facts, no_data=math.nan)
    if labels is None:
        scene = unlabelled_scene(values, cube, facts)
    else:
        scene = load_files(cube, labels, facts, options=("cube_key", "labels_key"))
    notes = []
    if found.not_finite and not said:
        notes.append(
            f"{found.not_finite} pixels hold values that are no numbers; they count as without data."
        )
    guess = found.no_data
    if not said and facts.no_data is None and guess is not None:
        notes.append(
            f"{found.filled[guess]} pixels hold {guess:g} in every band; if that means no data, take the # "
            f"from 'no_data = {guess:g}'."
        )
    text = _toml_text(cube, labels, out, facts, scene, guess)
    return NewDescription(text, scene, found, (*scene.notes, *notes))


def _toml_text(
    cube: ArraySource, labels: LabelFiles, out: Path, facts: SceneFacts, scene: Scene, guess: float | None
) -> str:
    no_data = "nan" if guess is None or math.isnan(guess) else f"{guess:g}"
    lines = [
        "# These lines are explained in hsi.datasets.catalogue.description. A line after a # is ignored.",
        f"name = {_quoted(facts.name)}                 # short name, in file names and tables",
        f"title = {_quoted(facts.title or facts.name)}                # full name",
        f"{'' if scene.sensor else '# '}sensor = {_quoted(scene.sensor or 'AVIRIS')}",
        f"# {scene.rows} x {scene.cols} pixels, {scene.bands} bands, {scene.cube.dtype}",
        f"cube = {_source(cube, out, 'key')}",
        *_label_lines(labels, out, facts),
        "",
        *_wavelength_lines(facts, scene, out),
        "# drop_bands = []             # bands to leave out, from 0; default: those that the file calls bad",
        '# bands = "400-1300nm,no-water"',
        f"{'' if facts.no_data is not None else '# '}no_data = {no_data}"
        "                # marks pixels without data; default: what the file says",
        *([f"crs = {_quoted(facts.crs)}"] if facts.crs else []),
        *([f"exclude = {_quoted(list(facts.exclude))}"] if facts.exclude else []),
        *([f"unlabelled = {list(facts.labels.unlabelled)}"] if facts.labels.unlabelled else []),
        *(
            []
            if facts.labels.unlabelled
            else ["# unlabelled = [255]          # integers that mean no label, beside 0"]
        ),
        "# wrapped_negatives = true    # 16-bit values just below 65536 are small negatives",
        "",
        *(_class_lines(scene) if scene.classes else []),
    ]
    return "\n".join(re.sub(r" {3,}#", "  #", line) for line in lines).rstrip() + "\n"


def _class_lines(scene: Scene) -> list[str]:
    return [
        "[classes]                     # code in the label file = name",
        *(
            f"{code} = {_quoted(name)}  # {count} pixels"
            for code, name, count in zip(scene.label_codes, scene.class_names, scene.counts, strict=True)
        ),
        "",
        "[colors]",
        *(f'{code} = "{color}"' for code, color in zip(scene.label_codes, scene.colors, strict=True)),
    ]


def _label_lines(labels: LabelFiles, out: Path, facts: SceneFacts) -> list[str]:
    if labels is None:
        return ['# labels = { file = "labels.tif" }    # needed to train on this scene']
    files = {"train": labels} if isinstance(labels, ArraySource) else labels
    names = {"train": "labels", "val": "val_labels", "test": "test_labels"}
    lines = []
    for subset, source in files.items():
        key = "class_field" if source.kind in SHAPES else "key"
        lines.append(f"{names[subset]} = {_source(source, out, key)}")
    options = facts.labels
    if options.labels_crs:
        lines.append(f"labels_crs = {_quoted(options.labels_crs)}")
    for name in ("class_zero", "all_touched", "align"):
        lines += [f"{name} = true"] * getattr(options, name)
    return lines


def _wavelength_lines(facts: SceneFacts, scene: Scene, out: Path) -> list[str]:
    if facts.wavelengths_file is not None:
        return [f"wavelengths_file = {_quoted(_relative(facts.wavelengths_file, out))}"]
    if scene.wavelengths_nm is None:
        return ["# wavelengths_nm = [400.0, 410.0]  # one a band of the file, which has none"]
    low, high = scene.wavelengths_nm.min(), scene.wavelengths_nm.max()
    return [f"# The wavelengths are read from the file: {low:g} to {high:g} nm."]


def _source(source: ArraySource, out: Path, key: str) -> str:
    named = "" if source.key is None else f", {key} = {_quoted(source.key)}"
    named += "" if source.layer is None else f", layer = {_quoted(source.layer)}"
    named += ", raw = true" if source.raw else ""
    return f"{{ file = {_quoted(_relative(source.file, out))}{named} }}"


def _relative(path: Path, out: Path) -> str:
    try:
        return Path(os.path.relpath(path.resolve(), out.resolve().parent)).as_posix()
    except ValueError:  # on Windows, another drive
        return path.resolve().as_posix()


def _short_name(name: str) -> str:
    """Return a name without characters that file names must not have."""
    return re.sub(r'[/\\:*?"<>|\s]+', "-", name).strip(".-")[:100] or "scene"


def _quoted(value: str | list[str]) -> str:
    """Return a TOML string or list of them; JSON's escapes are the same but for the delete character."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
