"""What Linux has and other systems lack, taken away: the command works without it.

That the package names nothing that Windows lacks is checked by mypy (`make types`, ``--platform win32``).
"""

from __future__ import annotations

import ast
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from hsi.io.signals import Stopped, sigterm_stops

ROOT = Path(__file__).parents[2]
POSIX_ONLY = {"fcntl", "resource", "pwd", "grp", "termios", "tty", "pty", "syslog", "posix", "crypt"}

# Other packages keep what they import; only modules of this one miss it.
WITHOUT = f"""
import os, signal, sys
import filelock, matplotlib.pyplot, numpy, platformdirs, scipy.ndimage, torch  # first
import sklearn.model_selection, sklearn.svm
taken = {sorted(POSIX_ONLY - {"resource"})!r}  # that one is asked for where sys.platform is not Windows
for name in taken:
    sys.modules[name] = None
for name in ("sched_getaffinity", "sysconf", "mkfifo", "fork", "getuid", "geteuid", "uname", "killpg"):
    if hasattr(os, name):
        delattr(os, name)
for name in ("SIGKILL", "SIGHUP", "SIGUSR1", "SIGUSR2", "pthread_sigmask", "SIG_UNBLOCK"):
    if hasattr(signal, name):
        delattr(signal, name)
usual = os.open
def no_folders(path, *rest, **more):
    if os.path.isdir(path):
        raise PermissionError(13, "Permission denied", path)
    return usual(path, *rest, **more)
os.open = no_folders
from hsi.commands.app import run
from hsi.io import locks
assert locks.fcntl is None
status = run(sys.argv[1:])
assert not [name for name in taken if sys.modules.get(name)]
sys.exit(status)
"""


def without(*words: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", WITHOUT, *words], cwd=folder, capture_output=True, text=True, encoding="utf-8"
    )


def test_a_run_is_trained_and_evaluated_without_what_posix_has(tmp_path: Path) -> None:
    done = without("train", "--model", "svm", "--dataset", "demo", "--out", "run", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert (
        0 < json.loads((tmp_path / "run" / "metrics.json").read_text(encoding="utf-8"))["test"]["oa"] <= 100
    )
    assert not list((tmp_path / "run").glob("*.tmp"))
    assert not (tmp_path / "run" / ".lock").exists()
    done = without("evaluate", "run", folder=tmp_path)
    assert done.returncode == 0, done.stderr


def test_sigterm_stops_also_where_no_pipe_tells_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.platform", "win32")
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(Stopped), sigterm_stops(lambda: None):
        signal.raise_signal(signal.SIGTERM)
    assert signal.getsignal(signal.SIGTERM) is before


@pytest.mark.parametrize("words", [("train", "--help"), ("models",), ("scenes",)])
def test_an_old_code_page_takes_what_is_shown(words: tuple[str, ...], tmp_path: Path) -> None:
    for encoding in ("cp437", "ascii"):
        done = subprocess.run(
            [sys.executable, "-m", "hsi", *words],
            cwd=tmp_path,
            env={**os.environ, "PYTHONIOENCODING": encoding},
            capture_output=True,
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout.decode(encoding)


def _top_level_imports(path: Path) -> set[str]:
    found = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Import):
            found |= {name.name.partition(".")[0] for name in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            found.add((node.module or "").partition(".")[0])
    return found


def test_tests_are_collected_anywhere() -> None:
    wrong = [str(path) for path in (ROOT / "tests").rglob("*.py") if _top_level_imports(path) & POSIX_ONLY]
    assert wrong == []


def test_no_name_of_a_file_is_refused_elsewhere() -> None:
    """Windows refuses these characters and names, and takes upper and lower case for the same."""
    devices = {"con", "prn", "aux", "nul", *(f"{port}{n}" for port in ("com", "lpt") for n in range(1, 10))}
    for folder, _, files in os.walk(ROOT / "hsi"):
        names = [name.lower() for name in files]
        assert len(set(names)) == len(names)
        for name in names:
            assert not set(name) & set('<>:"|?*\\')
            assert name.partition(".")[0] not in devices, os.path.join(folder, name)
