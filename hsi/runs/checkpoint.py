"""Checkpoints as safetensors: the weights that a run keeps, and all that resuming from the last epoch needs.

Each is one file, written whole or not at all: tensors of weights, optimiser and random generators, and small
values as JSON in the file's metadata. Nothing is pickled.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn, optim

from hsi.errors import RunError
from hsi.io.files import written_whole

LAST, BEST = "last.safetensors", "best.safetensors"


def save_weights(path: Path, model: nn.Module, facts: Mapping[str, Any]) -> None:
    """Write a network's parameters and buffers, with a few JSON values beside them."""
    _save(path, _prefixed("", model.state_dict()), facts)


def load_weights(path: Path, model: nn.Module) -> dict[str, Any]:
    """Load what `save_weights` wrote into `model`; return the values beside it."""
    tensors, facts = _load(path)
    _fill(model, tensors, path)
    return facts


def save_state(
    path: Path,
    model: nn.Module,
    optimiser: optim.Optimizer,
    generators: Mapping[str, torch.Generator],
    facts: Mapping[str, Any],
    average: nn.Module | None = None,
) -> None:
    """Write everything needed to resume exactly as if training had not stopped."""
    tensors = _prefixed("model.", model.state_dict())
    if average is not None:
        tensors |= _prefixed("average.", average.state_dict())
    for index, state in optimiser.state_dict()["state"].items():
        tensors |= _prefixed(f"optimiser.{index}.", state)
    tensors["random.torch"] = torch.get_rng_state()
    if torch.cuda.is_available():
        tensors["random.cuda"] = torch.cuda.get_rng_state()
    for name, generator in generators.items():
        tensors[f"random.{name}"] = generator.get_state()
    _save(path, tensors, facts)


def load_state(
    path: Path,
    model: nn.Module,
    optimiser: optim.Optimizer,
    generators: Mapping[str, torch.Generator],
    average: nn.Module | None = None,
) -> dict[str, Any]:
    """Restore everything that `save_state` wrote; return the values beside it.

    Raises
    ------
    RunError
        When the file is missing, damaged, or of another network.
    """
    tensors, facts = _load(path)
    groups: dict[str, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        group, _, rest = name.partition(".")
        groups.setdefault(group, {})[rest] = tensor
    _fill(model, groups.get("model", {}), path)
    if average is not None:
        _fill(average, groups.get("average", {}), path)
    try:
        _fill_optimiser(optimiser, groups.get("optimiser", {}))
        random = groups["random"]
        torch.set_rng_state(random["torch"])
        if torch.cuda.is_available() and "cuda" in random:
            torch.cuda.set_rng_state(random["cuda"])
        for name, generator in generators.items():
            generator.set_state(random[name])
    except (KeyError, ValueError, IndexError, TypeError, RuntimeError) as error:
        raise RunError(f"The checkpoint '{path}' is damaged: {error}.") from None
    return facts


def _fill_optimiser(optimiser: optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    parameters = [p for group in optimiser.param_groups for p in group["params"]]
    state: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        index, _, key = name.partition(".")
        parameter = parameters[int(index)]
        if tensor.numel() not in (1, parameter.numel()):
            raise ValueError(f"'{name}' has not the size of its parameter")
        if tensor.shape == parameter.shape:  # a fused optimiser reads both in memory order
            tensor = torch.empty_like(parameter).copy_(tensor)
        state.setdefault(int(index), {})[key] = tensor
    optimiser.load_state_dict({"state": state, "param_groups": optimiser.state_dict()["param_groups"]})


def _prefixed(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {prefix + name: tensor.detach().contiguous() for name, tensor in tensors.items()}


def _fill(model: nn.Module, tensors: dict[str, Tensor], path: Path) -> None:
    try:
        model.load_state_dict(tensors)
    except RuntimeError:
        raise RunError(f"The checkpoint '{path}' belongs to a network of another kind or size.") from None


def _save(path: Path, tensors: dict[str, Tensor], facts: Mapping[str, Any]) -> None:
    with written_whole(path) as temporary:
        # Not save_file, which hides why a disk refuses; it costs the file's length in memory.
        temporary.write_bytes(save(tensors, metadata={"facts": json.dumps(facts)}))


def _load(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
            facts = json.loads(file.metadata()["facts"])
        if not isinstance(facts, dict):
            raise ValueError("its facts are not a table")
        return tensors, facts
    except FileNotFoundError:
        raise RunError(
            f"The run has no checkpoint '{path}'; it ended before its first epoch was complete."
        ) from None
    except (SafetensorError, OSError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise RunError(f"The checkpoint '{path}' is damaged: {error}.") from None
