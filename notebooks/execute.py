"""Executes the notebooks, keeps their outputs small, and writes them back: `python notebooks/execute.py [NAME ...]`.

Nothing is written where a cell fails. Pictures get a palette of 256 colours; the times of cells are not kept.
"""

from __future__ import annotations

import base64
import sys
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbformat import NotebookNode
from PIL import Image

FOLDER = Path(__file__).resolve().parent
_COLORS = 256
_SECONDS_A_CELL = 900


def execute(path: Path) -> None:
    """Run a notebook from its first cell and write it back with its outputs."""
    notebook = nbformat.read(path, as_version=4)
    NotebookClient(notebook, timeout=_SECONDS_A_CELL, resources={"metadata": {"path": str(FOLDER)}}).execute()
    shrink(notebook)
    nbformat.write(notebook, path)


def shrink(notebook: NotebookNode) -> None:
    """Give pictures a palette, and drop what differs from run to run or from computer to computer."""
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
    for output in _outputs(notebook):
        if "text" in output:  # a shell's lines
            output["text"] = output["text"].replace("\r\n", "\n")
        if "image/png" in output.get("data", {}):
            with Image.open(BytesIO(base64.b64decode(output.data["image/png"]))) as picture:
                small = picture.convert("RGB").quantize(_COLORS, dither=Image.Dither.NONE)
            file = BytesIO()
            small.save(file, "PNG", optimize=True)
            output.data["image/png"] = base64.b64encode(file.getvalue()).decode()


def _outputs(notebook: NotebookNode) -> Iterator[NotebookNode]:
    for cell in notebook.cells:
        yield from cell.get("outputs", ())


if __name__ == "__main__":
    for name in sys.argv[1:] or sorted(path.name for path in FOLDER.glob("*.ipynb")):
        execute(FOLDER / name)
