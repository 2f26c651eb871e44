"""The pages of the site, the scripts that make parts of them, and the site itself, built once."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from filelock import FileLock

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def root() -> Path:
    """The checkout; tests of this folder are skipped where there is none."""
    if not (ROOT / "docs").is_dir():
        pytest.skip("the pages are only in a checkout")
    return ROOT


@pytest.fixture(scope="session")
def site(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the built site; several test processes share one build."""
    pytest.importorskip("mkdocs", reason="MkDocs is not installed: pip install 'hsi-toolkit[docs]'")
    shared = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        shared = shared.parent
    folder = shared / "site"
    with FileLock(shared / "site.lock"):
        if not (folder / "done").is_file():
            words = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
            told = subprocess.run(words, cwd=root, capture_output=True, text=True, check=False)
            assert told.returncode == 0, told.stdout + told.stderr
            (folder / "done").touch()
    return folder
