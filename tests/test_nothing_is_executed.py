"""No source file of hsi uses what can run code that a file brings."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import hsi

SOURCES = sorted(Path(hsi.__file__).parent.rglob("*.py"))
MODULES = {
    "pickle",
    "cPickle",
    "dill",
    "cloudpickle",
    "joblib",
    "marshal",
    "shelve",
    "yaml",
    "code",
    "codeop",
    "runpy",
}
HARMLESS = {("joblib", "cpu_count")}  # only counts
CALLS = {
    "eval",
    "exec",
    "compile",
    "__import__",
    "torch.jit.load",
    "np.loads",
    "os.system",
    "os.popen",
    "h5py.ExternalLink",
}


def offences(source: str) -> list[str]:
    """Return what a source text does that it should not."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found += [one.name for one in node.names if one.name.split(".")[0] in MODULES]
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in MODULES:
            found += [str(node.module) for one in node.names if (node.module, one.name) not in HARMLESS]
        elif isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            given = {one.arg: ast.unparse(one.value) for one in node.keywords}
            if name in CALLS or given.get("shell") == "True":
                found.append(name)
            if name in ("torch.load", "load") and given.get("weights_only", "") != "True" and "torch" in name:
                found.append(name)
            if given.get("allow_pickle", "False") != "False":
                found.append(f"{name} with allow_pickle")
            if name in ("np.load", "numpy.load") and "allow_pickle" not in given:
                found.append(f"{name} without allow_pickle")
    return found


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(SOURCES[0].parent)))
def test_no_file_does(path: Path) -> None:
    assert offences(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    "line",
    [
        "import pickle",
        "from yaml import load",
        "import joblib.numpy_pickle",
        "torch.load(x)",
        "eval(x)",
        "exec(x)",
        "torch.load(x, weights_only=False)",
        "np.load(x, allow_pickle=True)",
        "np.load(x)",
        "subprocess.run(x, shell=True)",
    ],
)
def test_the_search_finds_what_it_looks_for(line: str) -> None:
    assert offences(line)


def test_what_is_allowed_is_not_found() -> None:
    assert not offences("torch.load(x, weights_only=True); np.load(x, allow_pickle=False); model.eval()")
