"""Everything that commands import, imported before the first fork."""

from __future__ import annotations

import contextlib
import io
import os
import tempfile
from pathlib import Path


def warm() -> None:
    """Train and map once in this process, on one thread, so that forked commands find all in memory."""
    os.environ["OMP_NUM_THREADS"] = "1"
    import requests  # noqa: F401  imported late by downloads
    import torch

    from hsi.commands.app import run
    from torture.scenarios import TINY

    torch.set_num_threads(1)
    here = Path.cwd()
    words = io.StringIO()
    with tempfile.TemporaryDirectory(prefix="hsi-torture-") as folder:
        os.chdir(folder)
        try:
            with contextlib.redirect_stdout(words), contextlib.redirect_stderr(words):
                done = run(["train", *TINY, "--epochs", "1", "--out", "r"])
                for suffix in (".tif", ".png", ".mat", ".npy"):
                    done = done or run(["map", "r", "--out", f"m{suffix}", "--device", "cpu"])
        finally:
            os.chdir(here)
    if done != 0:
        raise RuntimeError(f"hsi failed without any torture: {words.getvalue()}")
