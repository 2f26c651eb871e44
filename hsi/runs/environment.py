r"""What a run was made with: versions, machine, code, command line.

``requirements`` in environment.json pins all packages, to rebuild the environment from that file alone
(``python`` is its Python, ``git_revision`` the checkout of hsi)::

    cd RUN
    python -c "import json; print(*json.load(open('environment.json'))['requirements'], sep='\n')" > pins.txt
    pip install -r pins.txt CHECKOUT
"""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, distribution, entry_points, version
from pathlib import Path
from typing import Any

import torch
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

import hsi
from hsi.datasets.scene import Scene
from hsi.errors import DISTRIBUTION
from hsi.models.cores import available_cores
from hsi.models.device import device_name, processor_name

PACKAGES = (
    "torch", "numpy", "scipy", "h5py", "scikit-learn", "PyWavelets", "safetensors", "typer", "rich"
)  # fmt: skip
PLUGINS = ("hsi.models", "hsi.scenes")


def describe_environment(device: torch.device, scene: Scene) -> dict[str, Any]:
    """Return what `environment.json` holds; hashes are the SHA-256 of the files that the scene came from."""
    return {
        "hsi": hsi.__version__,
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in PACKAGES},
        "requirements": requirements(),
        "platform": platform.platform(),
        "processor": processor_name(),
        "threads": min(torch.get_num_threads(), available_cores()),
        "device": device_name(device),
        "git_revision": _git_revision(),
        "data_files": dict(scene.sources),
        "command_line": sys.argv,
        "working_folder": os.getcwd(),
    }


def requirements() -> list[str]:
    """Return ``name==version`` for every installed package that hsi needs, directly or not.

    This includes installed packages of its extras (except "dev" and "docs") and plugins that bring models or
    scenes, with what they need. The build (the ``+cpu`` of PyTorch) is left out, as package indexes do not
    resolve it.
    """
    plugins = {
        point.dist.name for group in PLUGINS for point in entry_points(group=group) if point.dist is not None
    }
    pending = [(DISTRIBUTION, extra) for extra in ("", *_extras(DISTRIBUTION) - {"dev", "docs"})]
    pending += [(name, "") for name in (*PACKAGES, *plugins)]
    found: dict[str, str] = {}
    seen = set()
    while pending:
        name, extra = pending.pop()
        if (name, extra) in seen:
            continue
        seen.add((name, extra))
        try:
            package = distribution(name)
        except PackageNotFoundError:  # of an extra that is not installed
            continue
        found[canonicalize_name(name)] = Version(package.version).public
        for line in package.requires or ():
            needed = Requirement(line)
            if needed.marker is None or needed.marker.evaluate({"extra": extra}):
                pending += [(needed.name, one) for one in ("", *needed.extras)]
    found.pop(DISTRIBUTION, None)
    return [f"{name}=={number}" for name, number in sorted(found.items())]


def _extras(package: str) -> set[str]:
    try:
        return set(distribution(package).metadata.get_all("Provides-Extra") or ())
    except PackageNotFoundError:  # run from a checkout that is not installed
        return set()


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
