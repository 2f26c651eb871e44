"""The page of options is that of the options."""

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "docs" / "make_options.py"
pytestmark = pytest.mark.skipif(not SCRIPT.is_file(), reason="the page is only in a checkout")


def test_the_page_is_not_stale():
    told = subprocess.run([sys.executable, SCRIPT, "--check"], capture_output=True, text=True, check=False)
    assert (told.returncode, told.stderr) == (0, "")
