"""hsi and Hugging Face's ``datasets`` live in one environment: neither takes a file or name of the other."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import PackageNotFoundError, distribution

import pytest

try:  # not by import: in the checkout, the link called datasets would be found
    distribution("datasets")
except PackageNotFoundError:
    pytest.skip("Hugging Face datasets is not installed", allow_module_level=True)


def test_no_file_is_shared() -> None:
    ours = {str(path) for path in distribution("hsi-toolkit").files or ()}
    theirs = {str(path) for path in distribution("datasets").files or ()}
    assert ours
    assert theirs
    assert not ours & theirs


def test_each_is_itself_in_either_order(tmp_path: object) -> None:
    check = (
        "import hsi.models, hsi.datasets\n"
        "assert datasets.Dataset.from_dict({'a': [1]})[0] == {'a': 1}\n"
        "assert hsi.datasets.load_scene('demo').classes > 1\n"
        "assert datasets.__name__ == 'datasets' and hsi.datasets.__name__ == 'hsi.datasets'\n"
    )
    for imports in ("import hsi\nimport datasets\n", "import datasets\nimport hsi\n"):
        # In a folder of its own: in the checkout, the link called datasets would be found first by design.
        subprocess.run([sys.executable, "-c", imports + check], cwd=str(tmp_path), check=True)


def test_nothing_imports_through_the_links_of_the_checkout() -> None:
    code = "import sys, hsi.models, hsi.datasets; assert not {'models', 'datasets'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
