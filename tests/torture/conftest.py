"""How a test runs a part of torture."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def run_torture() -> Callable[..., list[dict[str, Any]]]:
    """A function that runs a part, which must not fail, and returns its outcomes."""
    if not hasattr(os, "fork"):
        pytest.skip("this system cannot fork")

    def run(*words: str) -> list[dict[str, Any]]:
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        command = [sys.executable, "-m", *words]
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return [json.loads(line) for line in done.stdout.splitlines()]

    return run
