"""The table of networks, and what they share: size checks, cost (parameters, MACs), initialisation."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import entry_points
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode, sdpa_flop_count

from hsi.errors import ModelError, check_patch_width, near_miss, unknown


def check_sizes(
    bands: int,
    classes: int,
    patch: int,
    *,
    min_bands: int = 1,
    min_patch: int = 1,
    bands_reason: str = "",
    patch_reason: str = "",
) -> None:
    """Raise ModelError for sizes that a network cannot take.

    The reasons, such as "to halve them three times", complete the messages about bands and patch width.
    """
    check_patch_width(patch, ModelError)
    if patch < min_patch:
        reason = f", {patch_reason}" if patch_reason else ""
        raise ModelError(f"The patch width must be at least {min_patch} pixels{reason}; got {patch}.")
    if bands < min_bands:
        reason = f", {bands_reason}" if bands_reason else ""
        raise ModelError(f"This model needs at least {min_bands} bands{reason}; got {bands}.")
    if classes < 2:
        raise ModelError(f"A classifier needs at least 2 classes; got {classes}.")


def as_triple(option: str, value: int | tuple[int, int, int], at_least: int) -> tuple[int, int, int]:
    """Return ``(D, H, W)`` for one number or three; raise ModelError for numbers below `at_least`."""
    triple = (value, value, value) if isinstance(value, int) else tuple(value)
    if len(triple) != 3 or min(triple) < at_least:
        raise ModelError(f"{option} must be one integer or three, each at least {at_least}; got {value}.")
    return triple


def _attention_flops(query: torch.Size, key: torch.Size, value: torch.Size, *_: object, **__: object) -> int:
    return int(sdpa_flop_count(query, key, value))


# PyTorch counts the fused attention of a GPU, but not that of a CPU.
_CPU_ATTENTION = {torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: _attention_flops}


def count_macs(model: nn.Module, bands: int, patch: int) -> int:
    """Return the multiply-accumulates of one forward pass over one patch ``(1, bands, P, P)``.

    Half of what ``torch.utils.flop_counter`` counts, on a copy of the model in evaluation mode: convolutions,
    linear layers and matrix products, taps on padding included; not additions, norms and activations. The
    fused operators are not in use there.
    """
    clone = copy.deepcopy(model).to(device="cpu", dtype=torch.float32).eval()
    counter = FlopCounterMode(display=False, custom_mapping=_CPU_ATTENTION)
    with counter, torch.no_grad():
        clone(torch.zeros(1, bands, patch, patch))
    return int(counter.get_total_flops()) // 2


def cost_of(model: nn.Module, bands: int, patch: int) -> dict[str, int | None]:
    """Return ``{"params": ..., "macs": ...}``; both None for a model without parameters, such as an SVM."""
    params = sum(p.numel() for p in model.parameters())
    return {"params": params or None, "macs": count_macs(model, bands, patch) if params else None}


def init_weights(network: nn.Module, draw: Callable[[Tensor], Tensor]) -> None:
    """Initialise convolutions and linear layers by `draw`, such as `nn.init.kaiming_normal_`; zero biases."""
    for module in network.modules():
        if isinstance(module, nn.Conv3d | nn.Conv2d | nn.Linear):
            draw(module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)


Builder = Callable[..., nn.Module]


@dataclass(frozen=True)
class ModelEntry:
    """One row of the table of networks.

    ``provenance`` is "released code" or "re-implemented from the description"; ``baseline`` marks the models
    for comparison, beside the backbone and its five networks.
    """

    name: str
    build: Builder
    title: str
    paper: str
    provenance: str
    aliases: tuple[str, ...] = ()
    baseline: bool = False

    @property
    def options(self) -> dict[str, Any]:
        """Options of this network with their defaults, without bands, classes and patch."""
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
    """Return a decorator that adds a network: a function ``(bands, classes, patch, **options) -> nn.Module``.

    The module maps ``(N, bands, P, P)`` to logits ``(N, classes)``. A name or alias that is already taken
    raises ModelError.
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
    """Import the entry points of the group ``hsi.models``, once."""
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
    """Return the entry of a network by name or alias, any case; ModelError for an unknown one."""
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
        8 bands and P = 7; smaller sizes suit some baselines only.
    **options
        Options of that network, such as ``levels`` of wcnet.

    Raises
    ------
    ModelError
        For an unknown network or option or an impossible size; also if options are given and the network's
        code raises TypeError, ValueError, OverflowError, RuntimeError or MemoryError, which becomes
        ``__cause__``.
    """
    return build_with(name, bands, classes, patch, options)


def build_with(name: str, bands: int, classes: int, patch: int, options: Mapping[str, Any]) -> nn.Module:
    """Do what `build_model` does; option names from a file may be any, such as ``name``."""
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
            raise  # both are RuntimeErrors by type, but bugs in the code
        given = ", ".join(f"{option} = {value!r:.60}" for option, value in options.items())
        message = " ".join(str(error).split())
        cause = f"{type(error).__name__}: {message}" if message else type(error).__name__
        raise ModelError(f"Model '{entry.name}' cannot be built with {given} ({cause}).") from error
