"""How a test runs a part of the torture."""

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
def tortured() -> Callable[..., list[dict[str, Any]]]:
    """A function that runs a part of the torture and returns its counts; it must not fail."""
    if not hasattr(os, "fork"):
        pytest.skip("the torture forks its commands, which this system cannot")

    def run(*words: str) -> list[dict[str, Any]]:
        alone = {**os.environ, "OMP_NUM_THREADS": "1"}
        command = [sys.executable, "-m", *words]
        done = subprocess.run(command, cwd=ROOT, env=alone, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return [json.loads(line) for line in done.stdout.splitlines()]

    return run
