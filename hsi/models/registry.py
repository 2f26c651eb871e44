"""The sizes that a network can take, checked with one sentence each.

What a network costs: its parameters, and the multiply-accumulates of one patch.

The weights that a network starts with, where its paper names one rule for all layers.

The table of networks: a decorator adds one, `build_model` makes one.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode, sdpa_flop_count

from hsi.errors import ModelError, near_miss, unknown


def check_sizes(
    bands: int,
    classes: int,
    patch: int,
    *,
    least_bands: int = 1,
    least_patch: int = 1,
    bands_why: str = "",
    patch_why: str = "",
) -> None:
    """Raise ModelError, with the reason, for sizes that a network cannot take.

    Every network needs two classes and an odd patch width; the smallest number of bands and the smallest
    patch width (pixels) are its own, as are the words that say why, such as "to halve them three times".
    """
    if patch % 2 == 0:
        raise ModelError(f"The patch width must be odd, so that a pixel is its centre; {patch} is even.")
    if patch < least_patch:
        raise ModelError(
            f"The patch width must be at least {least_patch} pixels{_reason(patch_why)}; got {patch}."
        )
    if bands < least_bands:
        raise ModelError(f"This network needs at least {least_bands} bands{_reason(bands_why)}; got {bands}.")
    if classes < 2:
        raise ModelError(f"A classifier needs at least 2 classes; got {classes}.")


def _reason(why: str) -> str:
    return f", {why}" if why else ""


def _attention(query: torch.Size, key: torch.Size, value: torch.Size, *_: object, **__: object) -> int:
    operations: int = sdpa_flop_count(query, key, value)
    return operations


# PyTorch counts the fused attention of a GPU, but not that of a CPU.
_MISSING = {torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: _attention}


def count_macs(model: nn.Module, bands: int, patch: int) -> int:
    """Return the multiply-accumulates of one forward pass over one patch.

    Convolutions, linear layers and matrix products count, taps that meet padding included; additions, norms
    and activations do not. A copy of the model runs once on a CPU in evaluation mode, under PyTorch's
    counter; the backbone's fused operators take their plain form there, so what they compute in excess does
    not count.

    Parameters
    ----------
    model
        Maps ``(N, bands, P, P)`` to logits; left as it is.
    bands, patch
        Number of bands and patch width P of the input.

    Returns
    -------
    int
        Half of what ``torch.utils.flop_counter`` counts.
    """
    twin = copy.deepcopy(model).to(device="cpu", dtype=torch.float32).eval()
    counter = FlopCounterMode(display=False, custom_mapping=_MISSING)
    with counter, torch.no_grad():
        twin(torch.zeros(1, bands, patch, patch))
    return int(counter.get_total_flops()) // 2


def cost_of(model: nn.Module, bands: int, patch: int) -> dict[str, int | None]:
    """Return ``{"params": ..., "macs": ...}``; both None for a model without parameters, such as an SVM.

    Such a model's work is outside PyTorch and depends on how many pixels it was fitted on.
    """
    params = sum(p.numel() for p in model.parameters())
    return {"params": params or None, "macs": count_macs(model, bands, patch) if params else None}


def init_weights(network: nn.Module, draw: Callable[[Tensor], Tensor]) -> None:
    """Draw the weights of every convolution and linear layer in place, such as by `nn.init.kaiming_normal_`.

    Their biases become zero; layers of normalisation keep theirs.
    """
    for module in network.modules():
        if isinstance(module, nn.Conv3d | nn.Conv2d | nn.Linear):
            draw(module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)


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
