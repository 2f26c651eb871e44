"""No line tells users to install the package of that name on the index, which is another project."""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
STRANGER = re.compile(
    r"(?<![\w./-])hsi\[(geo|export|track|cluster|dev)|pip install (-U |--upgrade )?['\"]?hsi(?![-\w/])"
)


def test_no_line_installs_another_project():
    if not (ROOT / ".git").exists():
        pytest.skip("only a checkout has all files")
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    wrong = []
    for name in listed.splitlines():
        path = ROOT / name
        if path.suffix not in (".py", ".md", ".toml", ".ipynb", ".sh", ".html") or not path.is_file():
            continue
        if path == Path(__file__).resolve():
            continue
        wrong += [
            f"{name}: {line}"
            for line in path.read_text(encoding="utf-8").splitlines()
            if STRANGER.search(line)
        ]
    assert wrong == []


def test_it_would_be_found():
    for line in ("pip install 'hsi[geo]'", "pip install hsi", "needs the extra hsi[track]."):
        assert STRANGER.search(line)
    for line in ("pip install 'hsi-toolkit[geo]'", "pip install hsi-toolkit", "-m hsi train", "import hsi"):
        assert not STRANGER.search(line)
