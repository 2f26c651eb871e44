"""The contents of a folder's files, without what differs between two equal runs (times, memory)."""

from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import safe_open

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

TIMES = {"seconds", "peak_memory_mb", "load_seconds", "train_seconds", "test_seconds"}
MACHINE = {"git_revision", "command_line", "working_folder"}


def contents(folder: Path) -> dict[str, Any]:
    """Return the content of every file below a folder, hidden ones too, by relative path; folders are None.

    Raises
    ------
    ValueError
        For a file that cannot be read.
    """
    found: dict[str, Any] = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        try:
            found[name] = None if path.is_dir() else read(path)
        except Exception as error:
            raise ValueError(f"{name} cannot be read: {type(error).__name__}: {error}") from error
    return found


def differences(found: dict[str, Any], expected: dict[str, Any]) -> list[str]:
    """Return the differences of two folders as sentences."""
    problems = [f"{name} is missing" for name in expected if name not in found]
    problems += [f"{name} is left over" for name in found if name not in expected]
    problems += [f"{name} differs" for name in expected if name in found and found[name] != expected[name]]
    return problems


def damaged(folder: Path) -> list[str]:
    """Return the files that cannot be read, except hidden ones: temporary files may be incomplete."""
    problems = []
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not path.name.startswith("."):
            try:
                read(path)
            except Exception as error:
                problems.append(f"{path.name} is damaged ({type(error).__name__})")
    return problems


def read(path: Path) -> Any:
    """Return the content of a file, without what differs between two equal runs."""
    return _READ.get(path.suffix, Path.read_bytes)(path)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(part) for key, part in value.items() if key not in TIMES | MACHINE}
    return [_plain(part) for part in value] if isinstance(value, list) else value


def _json(path: Path) -> Any:
    return _plain(json.loads(path.read_bytes()))


def _toml(path: Path) -> Any:
    return tomllib.loads(path.read_text(encoding="utf-8"))


def _csv(path: Path) -> Any:
    text = path.read_text(encoding="utf-8")
    if not text.endswith("\n"):
        raise ValueError("half a line")
    return [_plain(row) for row in csv.DictReader(io.StringIO(text))]


def _npz(path: Path) -> Any:
    with np.load(path, allow_pickle=False) as file:
        return {name: _array(file[name]) for name in file.files}


def _array(array: np.ndarray[Any, Any]) -> Any:
    return array.dtype.str, array.shape, array.tobytes()


def _safetensors(path: Path) -> Any:
    with safe_open(path, framework="np") as file:
        facts = _plain(json.loads((file.metadata() or {}).get("facts", "{}")))
        return facts, {name: _array(file.get_tensor(name)) for name in file.keys()}  # noqa: SIM118


def _mat(path: Path) -> bytes:
    """The bytes after the descriptive text (116 bytes), which holds the time."""
    data = path.read_bytes()
    if not data.startswith(b"MATLAB 5.0"):
        raise ValueError("not a MATLAB file")
    return data[116:]


_READ: dict[str, Callable[[Path], Any]] = {
    ".json": _json,
    ".toml": _toml,
    ".csv": _csv,
    ".npz": _npz,
    ".safetensors": _safetensors,
    ".log": lambda path: None,
    ".mat": _mat,
}
