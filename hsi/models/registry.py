"""The table of networks: a decorator adds one, `build_model` makes one."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from typing import Any

from torch import nn

from hsi.errors import ModelError, near_miss, unknown

Builder = Callable[..., nn.Module]


@dataclass(frozen=True)
class ModelEntry:
    """One row of the table of networks.

    ``provenance`` says how firm the network is: "released code", or "re-implemented from the description".
    ``baseline`` marks what the field compares with, beside the backbone and its five networks.
    """

    name: str
    build: Builder
    title: str
    paper: str
    provenance: str
    aliases: tuple[str, ...] = field(default=())
    baseline: bool = False

    @property
    def options(self) -> dict[str, Any]:
        """Options of this network and their defaults, beyond bands, classes and patch."""
        parameters = inspect.signature(self.build).parameters.values()
        return {p.name: p.default for p in parameters if p.default is not inspect.Parameter.empty}


_entries: dict[str, ModelEntry] = {}
_plugins_loaded = False


def register_model(
    name: str,
    *,
    title: str = "",
    paper: str = "",
    provenance: str = "",
    aliases: tuple[str, ...] = (),
    baseline: bool = False,
) -> Callable[[Builder], Builder]:
    """Add a network to the table; decorates a function ``(bands, classes, patch, **options) -> nn.Module``.

    The module maps ``(N, bands, P, P)`` to logits ``(N, classes)``.

    Raises
    ------
    ModelError
        When the name or an alias is taken already.
    """

    def add(build: Builder) -> Builder:
        taken = {known for entry in _entries.values() for known in (entry.name.lower(), *entry.aliases)}
        for word in (name, *aliases):
            if word.lower() in taken:
                raise ModelError(f"A model called '{word}' is registered already; choose another name.")
        _entries[name] = ModelEntry(
            name, build, title or name, paper, provenance, tuple(alias.lower() for alias in aliases), baseline
        )
        return build

    return add


def _load_plugins() -> None:
    """Import what other packages offer under the entry point group ``hsi.models``, once."""
    global _plugins_loaded
    if not _plugins_loaded:
        _plugins_loaded = True
        for point in entry_points(group="hsi.models"):
            point.load()


def list_models() -> list[str]:
    """Return the names of all registered networks, in the order they were added."""
    _load_plugins()
    return list(_entries)


def model_entry(name: str) -> ModelEntry:
    """Return the entry of a network by name or alias, any case.

    Raises
    ------
    ModelError
        When there is no such network; the message names the nearest one.
    """
    _load_plugins()
    for entry in _entries.values():
        if name.lower() in (entry.name.lower(), *entry.aliases):
            return entry
    raise ModelError(unknown("model", name, _entries))


def build_model(name: str, *, bands: int, classes: int, patch: int, **options: Any) -> nn.Module:
    """Build a network by name: ``(N, bands, P, P)`` in, logits ``(N, classes)`` out.

    Parameters
    ----------
    name
        As in ``hsi models``; any case.
    bands, classes, patch
        Number of spectral bands, of classes (>= 2), and the odd patch width P, in pixels. Every network takes
        8 bands and P 7; what is smaller suits some baselines only.
    **options
        Options of that network, such as ``levels`` of wcnet.

    Raises
    ------
    ModelError
        For an unknown network or option, or a size it cannot take; also where given options end in a
        TypeError, ValueError, OverflowError, RuntimeError or MemoryError of the network's own code, which
        the message names and ``__cause__`` holds. What no option explains is raised as it is.
    """
    return build_with(name, bands, classes, patch, options)


def build_with(name: str, bands: int, classes: int, patch: int, options: Mapping[str, Any]) -> nn.Module:
    """Do what `build_model` does with options from a file or command line, which may have any names."""
    entry = model_entry(name)
    for option in options:
        if option not in entry.options:
            known = ", ".join(entry.options) or "none"
            raise ModelError(
                f"Model '{entry.name}' has no option '{option}'.{near_miss(option, entry.options)} "
                f"Its options: {known}."
            )
    try:
        return entry.build(bands, classes, patch, **options)
    except (TypeError, ValueError, OverflowError, RuntimeError, MemoryError) as error:
        if not options or isinstance(error, NotImplementedError | RecursionError):
            raise  # both are RuntimeErrors by type, and faults of the code
        given = ", ".join(f"{option} = {value!r:.60}" for option, value in options.items())
        raise ModelError(f"Model '{entry.name}' cannot be built with {given} ({_words(error)}).") from error


def _words(error: BaseException) -> str:
    """Return the type of an error and what it says, on one line."""
    said = " ".join(str(error).split())
    return f"{type(error).__name__}: {said}" if said else type(error).__name__
