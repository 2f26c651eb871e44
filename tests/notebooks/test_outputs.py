"""What is kept in the notebooks: outputs of one whole run, small and clean, that end with a picture.

That they run is tested by nbmake, from `make test`.
"""

from __future__ import annotations

import base64
import re
import subprocess
import sys
from io import BytesIO
from pathlib import Path

import nbformat
import pytest
from nbformat import NotebookNode
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
LARGEST = 400_000
"""Bytes of a notebook with its outputs."""

MACHINE = re.compile(r"/tmp/|/home/|/root/|/Users/|[A-Z]:\\\\|" + re.escape(f"{ROOT}/"))


@pytest.fixture(params=NOTEBOOKS, ids=lambda path: path.stem)
def path(request: pytest.FixtureRequest) -> Path:
    return Path(request.param)


@pytest.fixture
def notebook(path: Path) -> NotebookNode:
    return nbformat.read(path, as_version=4)


def code_cells(notebook: NotebookNode) -> list[NotebookNode]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def test_there_are_five() -> None:
    assert len(NOTEBOOKS) == 5


def test_outputs_are_of_one_whole_run_without_errors(notebook: NotebookNode) -> None:
    cells = code_cells(notebook)
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    assert not [output for cell in cells for output in cell.outputs if output.output_type == "error"]


def test_outputs_are_small_and_hold_nothing_of_a_machine(path: Path, notebook: NotebookNode) -> None:
    assert path.stat().st_size < LARGEST
    for cell in code_cells(notebook):
        for output in cell.outputs:
            shown = {"stream": output.get("text", ""), **output.get("data", {})}
            for kind, text in shown.items():
                if kind != "image/png":
                    assert "\x1b" not in text
                    assert not MACHINE.search(text), text


def test_it_ends_with_a_picture(notebook: NotebookNode) -> None:
    (picture,) = [
        o.data["image/png"] for o in code_cells(notebook)[-1].outputs if "image/png" in o.get("data", {})
    ]
    with Image.open(BytesIO(base64.b64decode(picture))) as image:
        assert min(image.size) >= 250
        assert len(image.convert("RGB").getcolors(image.width * image.height)) > 20


def test_it_has_one_title_and_says_how_long_it_takes(notebook: NotebookNode) -> None:
    prose = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    assert len(re.findall(r"^# ", prose, re.MULTILINE)) == 1
    first = notebook.cells[0]
    assert first.cell_type == "markdown"
    assert first.source.startswith("# ")
    assert re.search(r"minutes? on two cores", first.source.replace("\n", " "))


def test_the_hosted_copy_is_this_one(path: Path, notebook: NotebookNode) -> None:
    assert f"/blob/main/notebooks/{path.name})" in notebook.cells[0].source


def test_the_first_cell_installs_only_what_is_missing(tmp_path: Path, notebook: NotebookNode) -> None:
    source = code_cells(notebook)[0].source
    plain = re.sub(r"^( *)%pip install (.*)$", r"\1print('installs', '''\2''')", source, flags=re.MULTILINE)
    assert plain != source

    def run(*options: str, path: Path) -> subprocess.CompletedProcess[str]:
        code = f"import sys; sys.path.insert(0, {str(path)!r})\n{plain}"
        return subprocess.run(
            [sys.executable, *options, "-c", code], cwd=tmp_path, capture_output=True, text=True
        )

    present = run(path=ROOT)
    assert (present.returncode, present.stdout) == (0, "")
    bare = tmp_path / "bare"
    bare.mkdir()
    missing = run("-S", "-E", path=bare)  # no site-packages: nothing is installed
    assert "installs" in missing.stdout
    assert "hsi-toolkit" in missing.stdout
    (bare / "hsi.py").write_text("")  # another project's
    stranger = run("-S", "-E", path=bare)
    assert "installs" not in stranger.stdout
    assert "another project's" in stranger.stderr
