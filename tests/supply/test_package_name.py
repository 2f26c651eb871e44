"""No line tells users to install the package of that name on the index, which is another project."""

import os
import re
import subprocess
import sys
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


def _command(folder, *words):
    """Run the command in `folder`, whose ``site`` is searched for packages, too."""
    return subprocess.run(
        [sys.executable, "-m", "hsi", *words],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder / "site")},
        capture_output=True,
        text=True,
    )


def _install(site, name, version):
    about = site / f"{name}-{version}.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")


@pytest.mark.parametrize("name", ["HSI", "hsi"])
def test_the_command_says_that_the_stranger_is_installed(tmp_path, name):
    _install(tmp_path / "site", name, "1.2.1")
    done = _command(tmp_path, "--version")
    assert (done.returncode, done.stdout.split()[0]) == (0, "hsi")
    assert len(done.stderr.splitlines()) == 1
    assert "'hsi' (1.2.1)" in done.stderr
    assert "pip uninstall hsi, then pip install --force-reinstall --no-deps hsi-toolkit" in done.stderr


def test_the_library_does_not_say_it(tmp_path):
    _install(tmp_path / "site", "hsi", "1.2.1")
    code = "import hsi, hsi.commands.app"
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "site")}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout + done.stderr == ""


def test_other_packages_are_no_strangers(tmp_path):
    for name in ("hsi_toolkit", "hsi_tools", "pyhsi"):
        _install(tmp_path / "site", name, "1.0")
    assert _command(tmp_path, "--version").stderr == ""
