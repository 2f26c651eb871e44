"""Every option of a training, with its checks; written to and read from TOML."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

import tomli_w

from hsi.datasets.size_limits import check_length
from hsi.datasets.toml_files import MOST_BYTES, parse_toml
from hsi.errors import ConfigError, near_miss

CHOICES = {
    "protocol": ("paper", "disjoint"),
    "preset": ("quick",),
    "scheme": ("random", "paper", "per-class", "mask", "disjoint"),
    "guard": ("mask", "drop"),
    "padding": ("zeros", "reflect"),
    "scale_on": ("all", "train"),
    "scale": ("bands", "scene"),
    "schedule": ("wave", "cosine", "constant"),
    "device": ("auto", "cpu", "cuda", "mps"),
    "precision": ("auto", "float32", "bf16", "fp16"),
    "compile": ("auto", "on", "off"),
}
KINDS = {int: "a whole number", float: "a number", bool: "true or false", str: "text", dict: "a table"}
SMALLEST = {
    "seed": 0, "folds": 2, "fold": 0, "patch": 1, "per_class": 1, "select_bands": 0, "pca": 0, "epochs": 1,
    "batch": 1, "patience": 0,
}  # fmt: skip
LARGEST = {"seed": 2**32 - 1, "folds": 100, "fold": 99}


@dataclass(frozen=True)
class Config:
    """Options of one training. None means: not used by this split scheme, or not given.

    Which pixels
        ``scheme, train, val, guard, folds, fold, per_class, train_mask, test_mask, split`` (see
        ``hsi.make_split``); fractions are shares of the labelled pixels. ``folds`` without ``fold`` stands
        for all of them, one after the other. ``split_mask`` is the name of a published mask (``hsi scenes``).
    What the network sees
        ``patch`` (odd width, pixels), ``padding``, ``scale_on`` (pixels that scaling and PCA are fitted on),
        ``scale`` (bands: each band by its own spread; scene: all by one, so that features such as MNF keep
        their weights), ``bands`` (which of the scene's bands, such as ``400-1300nm,no-water`` or
        ``0-99,120``; see `hsi.datasets.bands`), ``select_bands`` (so many of those, of each stretch of the
        spectrum the one that tells the training pixels' classes apart best; 0: all), ``pca`` (principal
        components at most; 0: the bands themselves), ``augment`` (the 8 symmetries of the square, at random),
        ``tta`` (test-time augmentation: when the finished network classifies, its answer is averaged over
        those 8 symmetries). In training only, each patch anew: ``spectral_jitter`` (spread of a random gain,
        and of a random shift of each band, in units of the features: standard deviations of a band, where
        each is scaled), ``field_shift`` (a random shift as between two fields of one class; 1: by as much as
        the training pixels' fields differ), ``band_drop`` (largest share of
        the bands that a run of adjacent ones set to zero takes), ``pixel_drop`` (largest share of the pixels
        round the centre that are set to zero).
    How it learns
        Adam with ``lr`` on ``schedule`` for ``epochs``, ``batch`` patches a step, ``fit_memory`` (a batch
        that does not fit into memory is taken in pieces whose gradients add up to its own; ``batch = "auto"``
        asks for it, with the batch of the config file, preset or protocol), ``weight_decay``,
        ``class_weights`` (inverse frequency), ``label_smoothing`` (share of each training target that is
        spread over all classes evenly), ``dropout`` (chance of each feature before the last layer to be zero
        in a training step), ``ema`` (decay a step of the running mean of weights that is validated, kept and
        tested, less in the first steps; 0: the weights themselves), ``patience`` (epochs without a better
        validation OA before it stops; 0: never).
    What it runs on
        ``device``; ``precision`` of matrix products (auto: the quickest that the device trains in),
        ``compile`` (auto: where that saves more time than it takes, which is never on a CPU), ``tune``
        (whether auto measures, and the memory format with it; without, it takes bf16 where a GPU has it and
        the format that the network is built in, and compiles nothing).
    """

    model: str
    dataset: str
    labels: str | None = None
    cube_key: str | None = None
    labels_key: str | None = None
    protocol: str = "disjoint"
    preset: str | None = None
    seed: int = 0

    scheme: str | None = None
    train: float | None = None
    val: float | None = None
    guard: str | None = None
    folds: int | None = None
    fold: int | None = None
    per_class: int | None = None
    split_mask: str | None = None
    train_mask: str | None = None
    test_mask: str | None = None
    split: str | None = None

    patch: int = 11
    padding: str = "zeros"
    scale_on: str = "train"
    scale: str = "bands"
    bands: str | None = None
    select_bands: int = 0
    pca: int = 0
    augment: bool = False
    tta: bool = False
    spectral_jitter: float = 0.0
    field_shift: float = 0.0
    band_drop: float = 0.0
    pixel_drop: float = 0.0

    epochs: int = 80
    batch: int = 80
    fit_memory: bool = False
    lr: float = 5e-4
    schedule: str = "cosine"
    weight_decay: float = 0.0
    class_weights: bool = False
    label_smoothing: float = 0.0
    dropout: float = 0.0
    ema: float = 0.0
    patience: int = 0

    device: str = "auto"
    precision: str = "auto"
    compile: str = "auto"
    tune: bool = True
    model_options: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, hint in FIELD_TYPES.items():
            value = getattr(self, name)
            object.__setattr__(self, name, _checked(name, value, hint))
        if self.patch % 2 == 0:
            raise ConfigError(f"patch must be odd, so that a pixel is its centre; {self.patch} is even.")
        if not 0 < self.lr < math.inf:
            raise ConfigError(f"lr must be a positive number, not {self.lr}.")
        if not 0 <= self.weight_decay < math.inf:
            raise ConfigError(f"weight_decay must not be negative; got {self.weight_decay}.")
        for name in ("spectral_jitter", "field_shift"):
            if not 0 <= getattr(self, name) < math.inf:
                raise ConfigError(f"{name} must not be negative; got {getattr(self, name)}.")
        for name in ("band_drop", "pixel_drop", "label_smoothing", "dropout"):
            if not 0 <= getattr(self, name) < 1:
                raise ConfigError(f"{name} is a share, from 0 to below 1; got {getattr(self, name)}.")
        if not 0 <= self.ema < 1:
            raise ConfigError(f"ema is the decay of a running mean, from 0 to below 1; got {self.ema}.")
        if self.fold is not None and self.folds is None:
            raise ConfigError("fold says which of several folds is tested; give folds, their number, too.")
        if self.fold is not None and self.folds is not None and self.fold >= self.folds:
            raise ConfigError(
                f"With {self.folds} folds, fold must be from 0 to {self.folds - 1}, not {self.fold}."
            )
        for name in ("train", "val"):
            value = getattr(self, name)
            if value is not None and not 0 <= value < 1:
                raise ConfigError(
                    f"{name} is a fraction of the labelled pixels, from 0 to below 1; got {value}."
                )

    def to_toml(self) -> str:
        """Return the options as TOML; those that are None are left out."""
        return tomli_w.dumps({k: v for k, v in dataclasses.asdict(self).items() if v is not None})


FIELD_TYPES = get_type_hints(Config)


def read_config(path: Path) -> dict[str, Any]:
    """Read options from a TOML file; keys are those of `Config`.

    Raises
    ------
    ConfigError
        When the file is missing or is no TOML, or for an unknown key.
    """
    try:
        check_length(path, MOST_BYTES)
        options = parse_toml(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        raise ConfigError(f"There is no config file '{path}'.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"The config file '{path}' cannot be read: {error}.") from None
    except ValueError as error:
        raise ConfigError(f"The config file '{path}' is not valid TOML: {error}.") from None
    check_names(options)
    return options


def load_config(path: Path) -> Config:
    """Read the options of a run from its ``config.toml``, which has to name model and dataset.

    Raises
    ------
    ConfigError
        As `read_config`; for a value of the wrong kind, and where one of the two is missing.
    """
    options = read_config(path)
    for name in ("model", "dataset"):
        if name not in options:
            raise ConfigError(f"The config file '{path}' does not name the {name}.")
    return Config(**options)


def check_names(options: Mapping[str, Any]) -> None:
    """Raise ConfigError for an option that does not exist, naming the nearest one."""
    for name in options:
        if name not in FIELD_TYPES:
            raise ConfigError(f"Unknown option '{name[:100]}'.{near_miss(name[:100], FIELD_TYPES)}")


def _checked(name: str, value: Any, hint: Any) -> Any:
    """Return `value` as the type that the option has, or raise ConfigError."""
    optional = type(None) in get_args(hint)
    if value is None and optional:
        return None
    kind = get_args(hint)[0] if optional else get_origin(hint) or hint
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise ConfigError(f"{name} must be {KINDS[kind]}, not {value!r}.")
    if name in CHOICES and value not in CHOICES[name]:
        choices = CHOICES[name]
        raise ConfigError(
            f"{name} must be one of {', '.join(choices)}, not '{value}'.{near_miss(value, choices)}"
        )
    if name in SMALLEST and value < SMALLEST[name]:
        raise ConfigError(f"{name} must be at least {SMALLEST[name]}, not {value}.")
    if name in LARGEST and value > LARGEST[name]:
        raise ConfigError(f"{name} must be at most {LARGEST[name]}, not {value}.")
    if isinstance(value, str) and "\0" in value:
        raise ConfigError(f"{name} must not hold a zero byte: {value!r}.")
    return value
