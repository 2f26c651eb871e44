"""What users install: the wheel holds the package and its data, nothing else, and nothing to compile."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from a copy so that nothing is left in the checkout."""
    source = tmp_path_factory.mktemp("source")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    shutil.copytree(ROOT / "hsi", source / "hsi", ignore=shutil.ignore_patterns("__pycache__"))
    # Folders of the checkout that must not become packages of their own:
    for name in ("tests", "torture", "experiments"):
        (source / name).mkdir()
        (source / name / "__init__.py").touch()
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--quiet"]
    subprocess.run([*command, "--wheel-dir", str(source / "out"), str(source)], check=True)
    (built,) = (source / "out").iterdir()
    return built


def test_wheel_needs_no_compiler(wheel: Path) -> None:
    assert wheel.name.endswith("-py3-none-any.whl")


def test_wheel_holds_the_package_and_nothing_else(wheel: Path) -> None:
    package = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "hsi").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    about = {name for name in names if name.split("/")[0].endswith(".dist-info")}
    assert names - about == package
    assert {Path(name).name for name in about} == {
        "METADATA", "WHEEL", "RECORD", "LICENSE", "entry_points.txt", "top_level.txt"
    }  # fmt: skip


def test_package_holds_only_code_and_known_data() -> None:
    suffixes = {path.suffix for path in (ROOT / "hsi").rglob("*") if path.is_file()} - {".pyc"}
    assert suffixes == {".py", ".toml", ".html", ".css", ".js", ".typed"}


def test_wheel_installs_and_answers(wheel: Path, tmp_path: Path) -> None:
    site = tmp_path / "site"
    command = [sys.executable, "-m", "pip", "install", "--no-deps", "--quiet", "--target", str(site)]
    subprocess.run([*command, str(wheel)], check=True)
    code = f"import sys; sys.path.insert(0, {str(site)!r}); import hsi; print(hsi.__file__, hsi.__version__)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, check=True, capture_output=True, text=True
    )
    assert done.stdout.startswith(str(site))
