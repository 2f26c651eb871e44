"""The folder of straightforward operators: where it is, and how it is loaded.

The folder is a Python package with a table ``REFERENCES``: for the name of a case, a function that takes our
module and returns a module of the same function, computed as its source paper's public code does. That module
has parameters of its own, with the same names and values, or it uses those of our module and keeps it as its
attribute ``ours``.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from torch import nn

import hsi
from hsi.errors import ConfigError

Maker = Callable[[nn.Module], nn.Module]

PACKAGE = "hsi_bench_references"


def find_references() -> Path | None:
    """Return the folder beside the checkout that this package is imported from, or None."""
    folder = Path(hsi.__file__).resolve().parent.parent / "benchmarks" / "references"
    return folder if (folder / "__init__.py").is_file() else None


def load_references(folder: Path | None) -> Mapping[str, Maker]:
    """Import the folder and return its table; empty for None.

    Raises
    ------
    ConfigError
        When the folder is no package with such a table.
    """
    if folder is None:
        return {}
    source = folder / "__init__.py"
    if not source.is_file():
        raise ConfigError(f"There are no reference operators in '{folder}': it has no __init__.py.")
    spec = importlib.util.spec_from_file_location(PACKAGE, source, submodule_search_locations=[str(folder)])
    if spec is None or spec.loader is None:
        raise ConfigError(f"'{source}' cannot be imported.")
    for name in [name for name in sys.modules if name.partition(".")[0] == PACKAGE]:
        del sys.modules[name]  # of another folder
    module = importlib.util.module_from_spec(spec)
    sys.modules[PACKAGE] = module
    spec.loader.exec_module(module)
    table = getattr(module, "REFERENCES", None)
    if not isinstance(table, Mapping):
        raise ConfigError(f"'{source}' has no table REFERENCES of reference operators.")
    return table
