"""From what the user says to every option: protocol, preset, config file, command line, in rising order.

The paper protocol follows the released training code of the networks (6:1:3, Adam 5e-4, batch 80, 80
epochs, the cosine wave, P = 17, scaling over all pixels). The disjoint protocol and the quick preset are our
decisions.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hsi.errors import ConfigError
from hsi.runs.config import CHOICES, Config, check_names

PROTOCOLS: dict[str, dict[str, Any]] = {
    "paper": {
        "scheme": "paper",
        "train": 0.6,
        "val": 0.1,
        "patch": 17,
        "scale_on": "all",
        "epochs": 80,
        "batch": 80,
        "lr": 5e-4,
        "schedule": "wave",
    },
    "disjoint": {
        "scheme": "disjoint",
        "train": 0.3,
        "val": 0.1,
        "guard": "mask",
        "patch": 11,
        "scale_on": "train",
        "epochs": 80,
        "batch": 80,
        "lr": 5e-4,
        "schedule": "cosine",
        "augment": True,
    },
}
PRESETS: dict[str, dict[str, Any]] = {
    "quick": {
        "train": 0.1,
        "val": 0.05,
        "patch": 11,
        "pca": 30,
        "epochs": 30,
        "batch": 16,
        "lr": 1e-3,
        "schedule": "cosine",
        "augment": True,
    },
}
SPLIT_OPTIONS = (
    "scheme", "train", "val", "guard", "folds", "fold", "per_class", "split_mask", "train_mask", "test_mask",
    "split",
)  # fmt: skip
# The split options that mean something in each scheme; giving another one is a clash.
USED_BY = {
    "random": {"train", "val"},
    "paper": {"train", "val"},
    "per-class": {"per_class", "val"},
    "mask": {"split_mask", "train_mask", "test_mask", "val"},
    "disjoint": {"train", "val", "guard", "folds", "fold"},
    "split file": {"split"},
}
# Options that only one scheme has, so that they ask for it by themselves.
ASKS_FOR = {
    "split": "split file",
    "per_class": "per-class",
    "split_mask": "mask",
    "train_mask": "mask",
    "test_mask": "mask",
    "folds": "disjoint",
    "fold": "disjoint",
}
# Options of the same scheme of which a split has those on one side only; the side given by hand wins.
EITHER_OR = (({"folds", "fold"}, {"train", "val"}), ({"split_mask"}, {"train_mask", "test_mask"}))


def resolve(
    given: Mapping[str, Any],
    file: Mapping[str, Any] | None = None,
    *,
    default_protocol: str = "disjoint",
    default_preset: str | None = None,
) -> Config:
    """Make a full Config from what was given by hand and in a config file.

    Parameters
    ----------
    given, file
        Options from the command line (or keywords) and from a file; None values count as not given. A scheme,
        split or protocol given by hand replaces the split of the file.
    default_protocol, default_preset
        What the scene wants where nobody says otherwise.

    Raises
    ------
    ConfigError
        For an unknown option, a wrong value, or two options that clash.
    """
    by_hand = {name: value for name, value in given.items() if value is not None}
    from_file = dict(file or {})
    for options in (by_hand, from_file):
        check_names(options)
        for name in ("scheme", "protocol", "preset"):
            if not isinstance(options.get(name, ""), str):
                raise ConfigError(f"{name} must be text, not {options[name]!r}.")
    if from_file:
        default_preset = None
    if "protocol" in by_hand and by_hand["protocol"] != from_file.get("protocol"):
        governed = {name for protocol in PROTOCOLS.values() for name in protocol} | {*SPLIT_OPTIONS}
        from_file = {name: value for name, value in from_file.items() if name not in governed}
    elif not _scheme_hints(by_hand) <= {_scheme_of(from_file)}:
        from_file = {name: value for name, value in from_file.items() if name not in SPLIT_OPTIONS}
    for one, other in (*EITHER_OR, *(pair[::-1] for pair in EITHER_OR)):
        if one & by_hand.keys():
            from_file = {name: value for name, value in from_file.items() if name not in other}
    said = {**from_file, **by_hand}
    for name in ("model", "dataset"):
        if name not in said:
            raise ConfigError(f"Say which {name} to use, with --{name} NAME (the names: hsi {_LISTS[name]}).")

    protocol = said.setdefault("protocol", default_protocol)
    preset = said.setdefault("preset", default_preset)
    for kind, word in (("protocol", protocol), ("preset", preset)):
        if word is not None and word not in CHOICES[kind]:
            raise ConfigError(f"{kind} must be one of {', '.join(CHOICES[kind])}, not '{word}'.")
    defaults = {**PROTOCOLS[protocol], **(PRESETS[preset] if preset else {})}
    if said.get("batch") == "auto":
        file_batch = from_file.get("batch", "auto")
        said |= {"batch": defaults["batch"] if file_batch == "auto" else file_batch, "fit_memory": True}
    options = {**defaults, **said}
    return Config(**_one_split(options, said))


_LISTS = {"model": "models", "dataset": "scenes"}


def _scheme_hints(options: Mapping[str, Any]) -> set[str]:
    """Return the schemes that the given options ask for, named or by an option that only they have."""
    hints = {scheme for name, scheme in ASKS_FOR.items() if name in options}
    return hints | {options["scheme"]} if "scheme" in options else hints


def _scheme_of(options: Mapping[str, Any]) -> str:
    return "split file" if "split" in options else str(options.get("scheme", ""))


def _one_split(options: dict[str, Any], said: Mapping[str, Any]) -> dict[str, Any]:
    """Settle the scheme, refuse options that clash with it, and clear those that it does not use."""
    hints = _scheme_hints(said)
    if len(hints) > 1:
        asked = [
            f"--{name.replace('_', '-')}"
            for name in SPLIT_OPTIONS
            if name in said and name not in ("train", "val")
        ]
        raise ConfigError(f"Options clash: {' and '.join(asked)} ask for different splits; give one of them.")
    scheme = hints.pop() if hints else options["scheme"]
    if scheme not in USED_BY:
        raise ConfigError(f"scheme must be one of {', '.join(CHOICES['scheme'])}, not '{scheme}'.")
    for name in SPLIT_OPTIONS[1:]:
        if name not in USED_BY[scheme]:
            if said.get(name) is not None:
                raise ConfigError(f"Options clash: {name} means nothing to the split scheme '{scheme}'.")
            options[name] = None
    for first, second in EITHER_OR:
        given = [sorted(name for name in side if said.get(name) is not None) for side in (first, second)]
        if all(given):
            raise ConfigError(f"Options clash: {given[0][0]} and {given[1][0]} do not go together; drop one.")
        if given[0]:
            options.update(dict.fromkeys(second))
    if scheme == "disjoint":
        options.setdefault("guard", "mask")
        options["guard"] = options["guard"] or "mask"
    options["scheme"] = None if scheme == "split file" else scheme
    return options
