"""What users install: the wheel holds the package and its data, nothing else, and nothing to compile."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BESIDE = (
    "pyproject.toml", "README.md", "LICENSE", "MANIFEST.in", "CHANGELOG.md", "CITATION.cff", "constraints.txt"
)  # fmt: skip


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what is built from, so that nothing is left in the checkout."""
    source = tmp_path_factory.mktemp("source")
    for name in BESIDE:
        shutil.copy(ROOT / name, source)
    shutil.copytree(ROOT / "hsi", source / "hsi", ignore=shutil.ignore_patterns("__pycache__"))
    # Folders of the checkout that must not become packages of their own:
    for name in ("tests", "torture", "experiments"):
        (source / name).mkdir()
        (source / name / "__init__.py").touch()
        (source / name / "test_it.py").touch()
    return source


@pytest.fixture(scope="module")
def wheel(source: Path) -> Path:
    """The wheel, built from the checkout's files."""
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


@pytest.fixture(scope="module")
def sdist(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that the source distribution unpacks to."""
    code = "from setuptools.build_meta import build_sdist; build_sdist('packed')"
    subprocess.run([sys.executable, "-c", code], cwd=source, check=True, capture_output=True)
    (packed,) = (source / "packed").glob("*.tar.gz")
    unpacked = tmp_path_factory.mktemp("unpacked")
    shutil.unpack_archive(packed, unpacked)
    (folder,) = unpacked.iterdir()
    return folder


def test_sdist_holds_the_package_and_what_tells_of_it(sdist: Path) -> None:
    names = {path.relative_to(sdist).parts[0] for path in sdist.rglob("*") if path.is_file()}
    assert names == {*BESIDE, "hsi", "hsi_toolkit.egg-info", "PKG-INFO", "setup.cfg"}


def test_the_wheel_of_the_sdist_is_that_of_the_checkout(sdist: Path, wheel: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--quiet"]
    subprocess.run([*command, "--wheel-dir", str(tmp_path), str(sdist)], check=True)
    (built,) = tmp_path.iterdir()
    with zipfile.ZipFile(built) as one, zipfile.ZipFile(wheel) as other:
        assert sorted(one.namelist()) == sorted(other.namelist())


def test_wheel_installs_and_answers(wheel: Path, tmp_path: Path) -> None:
    site = tmp_path / "site"
    command = [sys.executable, "-m", "pip", "install", "--no-deps", "--quiet", "--target", str(site)]
    subprocess.run([*command, str(wheel)], check=True)
    code = f"import sys; sys.path.insert(0, {str(site)!r}); import hsi; print(hsi.__file__, hsi.__version__)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, check=True, capture_output=True, text=True
    )
    assert done.stdout.startswith(str(site))
