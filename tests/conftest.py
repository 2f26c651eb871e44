"""What several tests need: real data if it is there, and a small scene on disk."""

from __future__ import annotations

import os
import shutil
import signal
from pathlib import Path

import numpy as np
import pytest
import torch


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    """Small tensors are quickest on one thread, and other tests may share the machine."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session", autouse=True)
def hears_ctrl_c():
    """A job that a shell starts with & ignores Ctrl-C, and so would every process that a test starts."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real scenes and label maps; tests that need it are skipped without it."""
    folder = os.environ.get("HSI_TEST_DATA")
    if not folder:
        pytest.skip("HSI_TEST_DATA is unset, so there are no real scenes to test on")
    return Path(folder)


@pytest.fixture(scope="session")
def chromium():
    """A real browser: Playwright's own, else the system's; without one, tests are skipped."""
    playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
    with playwright.sync_playwright() as started:
        found = [started.chromium.executable_path]
        found += [shutil.which(name) for name in ("chromium", "chromium-browser", "google-chrome")]
        path = next((path for path in found if path and Path(path).is_file()), None)
        if path is None:
            pytest.skip("There is no Chromium; install one by: playwright install chromium")
        browser = started.chromium.launch(executable_path=path)
        yield browser
        browser.close()


def small_cube(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return a 24x20 scene of 12 bands: three classes in three stripes, each cut by an unlabelled line."""
    random = np.random.default_rng(seed)
    labels = np.zeros((24, 20), np.uint8)
    labels[:, 1:6], labels[:, 7:13], labels[:, 14:19] = 1, 2, 3
    labels[8] = labels[16] = 0
    spectra = random.uniform(200, 900, (4, 12))
    cube = spectra[labels] + random.normal(0, 60, (24, 20, 12))
    return cube.round().astype(np.uint16), labels


@pytest.fixture
def small_scene(tmp_path: Path) -> Path:
    """A scene.toml beside its two files."""
    cube, labels = small_cube()
    np.save(tmp_path / "cube.npy", cube)
    np.save(tmp_path / "labels.npy", labels)
    path = tmp_path / "scene.toml"
    path.write_text(
        'name = "small"\ncube = {file = "cube.npy"}\nlabels = {file = "labels.npy"}\n'
        '[classes]\n1 = "Grass"\n2 = "Soil"\n3 = "Water"\n',
        encoding="utf-8",
    )
    return path


TINY = ["--model", "densenet3d", "--option", "layers=[1,1,1]", "--option", "growth=[4,4,4]", "--patch", "7"]


@pytest.fixture
def tiny() -> list[str]:
    """Options of the smallest network and patch, for `hsi train`."""
    return list(TINY)
