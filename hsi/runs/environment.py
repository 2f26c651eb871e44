"""What a run was made with: versions, machine, code, command line."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

import hsi
from hsi.datasets.scene import Scene

PACKAGES = (
    "torch", "numpy", "scipy", "h5py", "scikit-learn", "PyWavelets", "safetensors", "pooch", "typer", "rich"
)  # fmt: skip


def describe_environment(device: torch.device, scene: Scene) -> dict[str, Any]:
    """Return what `environment.json` holds; hashes are the SHA-256 of the files that the scene came from."""
    return {
        "hsi": hsi.__version__,
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in PACKAGES},
        "platform": platform.platform(),
        "processor": processor_name(),
        "threads": torch.get_num_threads(),
        "device": device_name(device),
        "git_revision": _git_revision(),
        "data_files": dict(scene.sources),
        "command_line": sys.argv,
    }


def device_name(device: torch.device) -> str:
    """Return a device's kind, with the model's name for a GPU."""
    return f"cuda ({torch.cuda.get_device_name(device)})" if device.type == "cuda" else device.type


def processor_name() -> str:
    """Return the CPU's model name where the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _git_revision() -> str | None:
    """Return the commit of the checkout that this package is imported from, "+changes" when it was edited."""
    root = Path(hsi.__file__).resolve().parent.parent
    if not (root / ".git").exists():
        return None
    try:
        changed = _git(root, "status", "--porcelain", "-uno")
        return _git(root, "rev-parse", "HEAD") + ("+changes" if changed else "")
    except (OSError, subprocess.CalledProcessError):
        return None


def _git(root: Path, *words: str) -> str:
    quiet = {**os.environ, "GIT_OPTIONAL_LOCKS": "0"}
    done = subprocess.run(["git", *words], cwd=root, env=quiet, capture_output=True, text=True, check=True)
    return done.stdout.strip()
