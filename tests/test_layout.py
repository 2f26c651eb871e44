"""The layout of the package: how large it is, where files lie, and that imports run one way.

A limit here may grow with what the toolkit can do; say why beside it.
"""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "hsi"

MOST_MODULES = 216
"""Files outside ``__init__.py``, networks, and products; 150 before labels from a GIS, spectral libraries,
all rasters of GDAL, and several scenes for one model; 176 before smoothing, calibration and prediction sets,
areas of classes, and the files of maps for a GIS."""

LARGEST_FOLDER = 18
"""Files of one folder; ``models/`` without its networks; ``commands/`` has one for each verb."""

SMALL = 30
"""Lines below which a file needs a second importer, or belongs beside the one it has."""

NETWORKS = {
    "densenet3d", "stnet", "kanet", "ekgnet", "wcnet", "sgdscnet", "cnn1d", "hybridsn", "ssrn",
    "spectralformer", "classical", "spectral_matching",
}  # fmt: skip

# What each folder may import, beside itself and what stands in the rows above it.
ORDER = (
    ("errors",),
    ("io",),
    ("datasets", "scoring", "smoothing", "confidence"),
    ("models",),
    ("config",),
    ("runs",),
    ("areas",),
    ("maps",),
    ("inference",),
    ("training", "comparison"),
    ("figures",),
    ("explain", "export", "tracking", "bench"),
    ("sweep", "report"),
    ("cluster",),
    ("commands",),
)


def _files() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def _module(path: Path) -> str:
    name = ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts)
    return name.removesuffix(".__init__")


def _counted() -> list[Path]:
    """Return the files that count: no ``__init__.py``, no network, no product."""
    kept = []
    for path in _files():
        network = path.parent == PACKAGE / "models" and path.stem in NETWORKS
        product = path.parent == PACKAGE / "datasets" / "products"
        if path.name != "__init__.py" and not network and not product:
            kept.append(path)
    return kept


def _imports(path: Path, modules: set[str]) -> Iterator[str]:
    """Yield the modules of the package that a file imports, also inside functions and for types alone."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in modules)
        elif isinstance(node, ast.ImportFrom) and node.module is not None and node.module in modules:
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                yield inner if inner in modules else node.module


@pytest.fixture(scope="module")
def graph() -> dict[str, set[str]]:
    paths = {_module(path): path for path in _files()}
    return {name: set(_imports(path, set(paths))) - {name} for name, path in paths.items() if name != "hsi"}


def test_the_package_stays_small_enough_to_know():
    assert len(_counted()) <= MOST_MODULES


def test_no_folder_is_a_heap():
    sizes = Counter(path.parent.relative_to(PACKAGE) for path in _counted())
    assert {str(folder): n for folder, n in sizes.items() if n > LARGEST_FOLDER} == {}


def test_a_file_name_says_which_file():
    names = Counter(path.name for path in _files() if path.name not in ("__init__.py", "__main__.py"))
    assert [name for name, n in names.items() if n > 1] == []


def test_no_two_files_import_each_other(graph):
    assert _circles(graph) == []


def _circles(graph: dict[str, set[str]]) -> list[list[str]]:
    """Return the strongly connected components of more than one module (Tarjan's algorithm)."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(name: str) -> None:
        index[name] = low[name] = len(index)
        stack.append(name)
        for other in graph.get(name, ()):
            if other not in index:
                visit(other)
                low[name] = min(low[name], low[other])
            elif other in stack:
                low[name] = min(low[name], index[other])
        if low[name] == index[name]:
            component = stack[stack.index(name) :]
            del stack[stack.index(name) :]
            if len(component) > 1:
                found.append(sorted(component))

    for name in graph:
        if name not in index:
            visit(name)
    return found


def test_a_circle_would_be_found():
    circle = {"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": {"a"}}
    assert _circles(circle) == [["b", "c"]]


def test_imports_run_one_way(graph):
    height = {folder: row for row, folders in enumerate(ORDER) for folder in folders}
    wrong = []
    for name, others in graph.items():
        own = name.split(".")[1]
        if own == "__main__":
            continue
        for other in others - {"hsi"}:
            theirs = other.split(".")[1]
            if theirs != own and height[theirs] >= height[own]:
                wrong.append(f"{name} -> {other}")
    assert sorted(wrong) == []


def test_a_small_helper_stands_beside_its_only_caller(graph):
    importers = defaultdict(set)
    for name, others in graph.items():
        for other in others:
            importers[other].add(name)
    alone = [
        _module(path)
        for path in _counted()
        if len(path.read_text(encoding="utf-8").splitlines()) < SMALL
        and len(importers[_module(path)]) == 1
        and path.name != "__main__.py"
    ]
    assert alone == []


def test_networks_are_imported_without_a_compiler():
    code = (
        "import sys, hsi.models; print([m for m in ('torch._dynamo', 'torch._inductor') if m in sys.modules])"
    )
    told = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={**os.environ}
    )
    assert told.stdout.strip() == "[]"


def test_import_hsi_stays_light():
    code = "import sys, hsi; print([m for m in ('torch', 'numpy', 'typer') if m in sys.modules])"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "[]"
