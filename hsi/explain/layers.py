"""Finding the layers of a run's network that `hsi.explain` looks into."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

from torch import nn

from hsi.errors import ConfigError, ModelError
from hsi.inference.run import Run
from hsi.models import model_entry

LOOKS = {
    "stnet": ("gate",),
    "kanet": ("splines", "grid_shift"),
    "ekgnet": ("expert_weights",),
    "wcnet": ("wavelet_energy",),
    "sgdscnet": ("snake_offsets", "snake_magnitude"),
}
"""Functions of `hsi.explain` by network; `switch_off` is for all of these, `receptive_field` for any."""

Kind = TypeVar("Kind", bound=nn.Module)


@dataclass(frozen=True, eq=False)
class Layers(Generic[Kind]):
    """A network in evaluation mode, and its layers of one kind in the order of the network.

    Attributes
    ----------
    network
        ``(N, features, P, P)`` to logits; parameters do not require gradients.
    paths
        Paths of the modules in the network, such as "blocks.0.3.mixer".
    """

    network: nn.Module
    modules: tuple[Kind, ...]
    paths: tuple[str, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Short names: "1.4" is the fourth layer of the first dense block; outside of blocks the path."""
        return tuple(_name(path) for path in self.paths)

    def only(self, layer: int | None) -> Layers[Kind]:
        """Keep the layer with this index, or all for None.

        Raises
        ------
        ConfigError
            When the layer does not exist.
        """
        if layer is None:
            return self
        if not 0 <= layer < len(self.modules):
            last = len(self.modules) - 1
            raise ConfigError(f"layer must be from 0 to {last} in this network, not {layer}.")
        return Layers(self.network, (self.modules[layer],), (self.paths[layer],))


def layers_of(run: Run, kind: type[Kind], function: str, device: str = "auto") -> Layers[Kind]:
    """Load a run's network and find its layers of a kind.

    Raises
    ------
    ModelError
        When it has none; the message names the functions of `hsi.explain` that fit the run.
    """
    layers = find_layers(load_network(run, device), kind)
    if not layers.modules:
        fits = [name for name, functions in LOOKS.items() if function in functions]
        own = model_entry(run.config.model).name
        advice = " or ".join(f"hsi.explain.{name}" for name in (*LOOKS.get(own, ()), "receptive_field"))
        raise ModelError(
            f"hsi.explain.{function} looks into {', '.join(fits)}, but '{run.path}' is a run of {own}; "
            f"use {advice}."
        )
    return layers


def find_layers(network: nn.Module, kind: type[Kind]) -> Layers[Kind]:
    """Find the layers of a kind in a network; there may be none."""
    found = [(path, module) for path, module in network.named_modules() if isinstance(module, kind)]
    return Layers(network, tuple(module for _, module in found), tuple(path for path, _ in found))


def load_network(run: Run, device: str = "auto") -> nn.Module:
    """Load a run's network in evaluation mode, with parameters that do not require gradients."""
    return run.load_model(device).requires_grad_(False)


def dense_block_of(path: str) -> int | None:
    """Return the index of the dense block of the backbone that holds a layer, None outside of them."""
    parts = path.split(".")
    return int(parts[1]) if len(parts) > 2 and parts[0] == "blocks" and parts[1].isdigit() else None


def _name(path: str) -> str:
    block = dense_block_of(path)
    return path if block is None else f"{block + 1}.{int(path.split('.')[2]) + 1}"
