"""Every option of a training: type, range, default, help text and group, each written once.

The command line (`hsi.commands.options`), the reader of TOML files, its error messages, ``config.toml`` of a
run and the option table of the documentation are made from `Config`. To add an option, add a field.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import msgspec

from hsi.errors import ConfigError, check_patch_width, near_miss
from hsi.io.size_limits import check_length
from hsi.io.text import MOST_BYTES, parse_toml

GROUPS = ("Scene", "Split", "Patches", "Training", "Map", "Run")
"""Groups of options, in the order of the help."""


def option(group: str, help: str, *flags: str, cli: bool = True, **limits: Any) -> msgspec.Meta:
    """Describe a field of `Config`.

    Parameters
    ----------
    group
        One of `GROUPS`.
    help
        One sentence for the help text and the documentation.
    flags
        Flags of the command line, if other than ``--field-name``.
    cli
        Whether the command line offers it.
    limits
        Of a number: ``ge``, ``gt``, ``le``, ``lt``.
    """
    return msgspec.Meta(description=help, extra={"group": group, "flags": flags, "cli": cli}, **limits)


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Options of one training; build it by `resolve_config` or `make_config`, which check the values.

    None means: not used by this split scheme, or not given.
    """

    # fmt: off
    model: Annotated[str, option("Scene",
        "Network or baseline (hsi models); several, such as densenet3d,svm, are trained on one split and "
        "joined.")]
    dataset: Annotated[str | list[str], option("Scene",
        "Short name (hsi scenes), scene.toml, or cube file with --labels; repeated, one model is trained on "
        "several scenes.")]
    labels: Annotated[str, option("Scene",
        "Label file (image, points or polygons), where --dataset is a cube file.")] | None = None
    cube_key: Annotated[str, option("Scene", "Name of the cube inside its file.")] | None = None
    labels_key: Annotated[str, option("Scene",
        "Name of the labels inside their file; of points or polygons, the attribute with the class.",
        "--labels-key", "--class-field")] | None = None
    test_scene: Annotated[str, option("Scene",
        "Another scene, by short name or scene.toml, to test on: all its labelled pixels, classes matched by "
        "name, and none of --dataset.")] | None = None
    protocol: Annotated[Literal["paper", "disjoint"], option("Split",
        "paper: a random split of 6:1:3, as the networks' papers use; disjoint: train, val and test in "
        "separate regions of the scene.")] = "disjoint"
    preset: Annotated[Literal["quick", "demo"], option("Training",
        "quick: fewer epochs on 30 principal components, minutes on a laptop, not the papers' settings; "
        "demo: the same in 6 epochs."
        )] | None = None
    seed: Annotated[int, option("Split",
        "Seed of the split, and of weights and order in training.", ge=0, le=2**32 - 1)] = 0

    scheme: Annotated[Literal["random", "paper", "per-class", "mask", "disjoint"], option("Split",
        "How the labelled pixels are split: at random, as in the papers' code, a number per class, by masks, "
        "or into separate regions.")] | None = None
    train: Annotated[float, option("Split",
        "Share of the labelled pixels to train on, such as 0.1.", ge=0, lt=1)] | None = None
    val: Annotated[float, option("Split",
        "Share of the labelled pixels to validate on.", ge=0, lt=1)] | None = None
    guard: Annotated[Literal["mask", "drop"], option("Split",
        "How disjoint regions are kept apart. mask: a patch sees padding in place of pixels of other "
        "regions; drop: pixels whose patch would reach into another region are left out.")] | None = None
    folds: Annotated[int, option("Split",
        "Cross-validation over this many disjoint regions: one for test, the next for val.",
        ge=2, le=100)] | None = None
    fold: Annotated[int, option("Split",
        "Which fold is tested, from 0; without it all of them.", ge=0, le=99)] | None = None
    per_class: Annotated[int, option("Split", "Training pixels of each class.", ge=1)] | None = None
    split_mask: Annotated[str, option("Split",
        "Published train and test pixels of a benchmark scene, by name (hsi scenes): dase, of the IEEE GRSS "
        "evaluation server, or sf, of SpectralFormer.")] | None = None
    train_mask: Annotated[str, option("Split",
        "Label file that holds the training pixels alone; KEY is an array in it.")] | None = None
    test_mask: Annotated[str, option("Split", "The same of the test pixels.")] | None = None
    split: Annotated[str, option("Split", "A split that hsi split --out wrote.")] | None = None

    patch: Annotated[int, option("Patches", "Width P of the square a network sees: odd, pixels.", ge=1)] = 11
    padding: Annotated[Literal["zeros", "reflect"], option("Patches",
        "What a patch sees beyond the border of the scene.")] = "zeros"
    scale_on: Annotated[Literal["all", "train"], option("Patches",
        "Pixels that scaling and PCA are fitted on.")] = "train"
    scale: Annotated[Literal["bands", "scene"], option("Patches",
        "Scale each band by its own spread, or the scene as one (for MNF components).")] = "bands"
    bands: Annotated[str, option("Patches",
        "Bands to use: 400-1300nm,1500-1750nm or 0-99,120 (from 0) or no-water.")] | None = None
    select_bands: Annotated[int, option("Patches",
        "Number of bands to select, spread over the spectrum, that separate the classes of the training "
        "pixels best; 0: all.", ge=0)] = 0
    pca: Annotated[int, option("Patches",
        "Replace the bands by at most this many principal components; 0: keep the bands.", ge=0)] = 0
    augment: Annotated[bool, option("Patches",
        "Flip and rotate training patches at random (the 8 symmetries of the square).")] = False
    tta: Annotated[bool, option("Patches", "Test-time augmentation: average over the 8 symmetries.")] = False
    field_shift: Annotated[float, option("Patches",
        "Random shift of training spectra, as between fields of one class; 1: as measured.", ge=0)] = 0.0
    pixel_drop: Annotated[float, option("Patches",
        "Largest share of neighbour pixels zeroed in a training patch.", ge=0, lt=1)] = 0.0

    smooth: Annotated[
        Literal["none", "mean", "segments", "mean+segments", "mrf", "edges", "auto"], option("Map",
        "Smooth the map, within regions: average probabilities of neighbours or of segments, a Markov random "
        "field, or averages that keep edges; auto: what suits the validation pixels best.")] = "none"

    epochs: Annotated[int, option("Training", "Passes over the training pixels.", ge=1)] = 80
    library: Annotated[str, option("Training",
        "Spectral library with the spectra of the classes, for sam and matched-filter: an ENVI library, a "
        "text, or a folder of texts; without it they take the means of the training pixels.")] | None = None
    batch: Annotated[int, option("Training",
        "Patches a step; auto: the usual number, in micro-batches if memory is short.",
        "--batch", "--batch-size", ge=1)] = 80
    fit_memory: Annotated[bool, option("Training",
        "Split a batch that does not fit into memory; set by --batch auto.", cli=False)] = False
    lr: Annotated[float, option("Training", "Peak learning rate of Adam.", gt=0)] = 5e-4
    schedule: Annotated[Literal["wave", "cosine", "constant"], option("Training",
        "Course of the learning rate. cosine: falls from lr to 0, and the last epoch is kept; wave: falls to "
        "0 and rises again, every 30 epochs, as the papers' code does; constant: stays at lr.")] = "cosine"
    weight_decay: Annotated[float, option("Training", "L2 penalty of Adam.", ge=0)] = 0.0
    class_weights: Annotated[bool, option("Training", "Weight the loss by inverse class frequency.")] = False
    label_smoothing: Annotated[float, option("Training",
        "Share of each training target spread over all classes evenly.", ge=0, lt=1)] = 0.0
    dropout: Annotated[float, option("Training", "Dropout rate before the last layer.", ge=0, lt=1)] = 0.0
    ema: Annotated[float, option("Training",
        "Decay a step of an exponential moving average of the weights, which is validated and kept; 0: "
        "none.", ge=0, lt=1)] = 0.0
    patience: Annotated[int, option("Training",
        "Stop after this many epochs without a better val OA, and keep the best; 0: never.", ge=0)] = 0

    device: Annotated[Literal["auto", "cpu", "cuda", "mps"], option("Run",
        "Where the network runs; auto: a GPU if there is one.")] = "auto"
    precision: Annotated[Literal["auto", "float32", "bf16", "fp16"], option("Training",
        "Precision of matrix products; auto: float32 on a CPU, the faster on a GPU.")] = "auto"
    compile: Annotated[Literal["auto", "on", "off"], option("Training",
        "Compile the network; auto: on a GPU, where it pays.")] = "auto"
    tune: Annotated[bool, option("Training",
        "On a GPU, measure the settings left at auto (precision, compilation) once a machine, and take the "
        "fastest.")] = True
    model_options: Annotated[dict[str, Any], option("Training",
        "Option of the network (hsi models --json lists them); can be repeated.",
        "--option")] = msgspec.field(default_factory=dict)
    # fmt: on

    def __post_init__(self) -> None:
        for name in OPTIONS:
            value = getattr(self, name)
            if isinstance(value, float) and not math.isfinite(value):
                raise ConfigError(f"{name} must be {OPTIONS[name].expected}, not {value}.")
            texts = value if isinstance(value, list) else [value]
            if any(isinstance(text, str) and "\0" in text for text in texts):
                raise ConfigError(f"{name} must not hold a zero byte: {value!r}.")
        self._check_scenes()
        self._check_measured()
        check_patch_width(self.patch)
        if self.fold is not None and self.folds is None:
            raise ConfigError("fold says which of several folds is tested; give folds, their number, too.")
        if self.fold is not None and self.folds is not None and self.fold >= self.folds:
            raise ConfigError(
                f"With {self.folds} folds, fold must be from 0 to {self.folds - 1}, not {self.fold}."
            )

    def _check_scenes(self) -> None:
        scenes = self.datasets + ([] if self.test_scene is None else [self.test_scene])
        if not self.datasets:
            raise ConfigError("The list of datasets is empty; name at least one scene.")
        twice = next((scene for scene in scenes if scenes.count(scene) > 1), None)
        if twice is not None:
            raise ConfigError(f"The scene '{twice}' is given twice; name each once, to train or to test on.")
        if len(scenes) > 1 and self.padding == "reflect":
            raise ConfigError("padding 'reflect' is for one scene: between several, patches see zeros.")

    def _check_measured(self) -> None:
        if self.pca and self.takes_measured:
            raise ConfigError(
                f"{self.model} compares measured spectra, which principal components are not; leave out pca, "
                "or choose bands."
            )
        if self.library is not None and not self.takes_measured:
            raise ConfigError(
                f"A spectral library is for the models sam and matched-filter, and {self.model} learns from "
                "pixels; leave out library, or choose one of them."
            )

    @property
    def takes_measured(self) -> bool:
        """Whether the model gets the bands as measured, not standardised."""
        return self.model.lower() in MEASURED_MODELS

    @property
    def models(self) -> list[str]:
        """The networks that are trained, and joined if they are several."""
        return [name.strip() for name in self.model.split(",")]

    @property
    def datasets(self) -> list[str]:
        """The scenes that are trained on."""
        return self.dataset if isinstance(self.dataset, list) else [self.dataset]

    def as_dict(self) -> dict[str, Any]:
        """Return the options by name, in the order of the fields."""
        return msgspec.structs.asdict(self)

    def replace(self, **changes: Any) -> Config:
        """Return a checked copy with some options changed."""
        return make_config({**self.as_dict(), **changes})

    def to_toml(self) -> str:
        """Return the options as TOML; those that are None are left out."""
        import tomli_w

        return tomli_w.dumps({name: value for name, value in self.as_dict().items() if value is not None})


class Option(msgspec.Struct, frozen=True):
    """What is known of one option, read from its field.

    ``kind`` is the type without None; ``choices`` are the values of a Literal, else empty; ``default`` is
    `msgspec.NODEFAULT` where the option must be given; ``expected`` describes valid values, such as "a whole
    number of at least 1".
    """

    name: str
    kind: Any
    choices: tuple[str, ...]
    default: Any
    help: str
    group: str
    flags: tuple[str, ...]
    cli: bool
    expected: str


_KINDS = {
    int: "a whole number", float: "a number", bool: "true or false", str: "text", dict: "a table",
    list: "text, or a list of texts",
}  # fmt: skip


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _option(field: msgspec.structs.FieldInfo, annotated: Any) -> Option:
    if get_origin(annotated) in (Union, UnionType):
        annotated = next(part for part in get_args(annotated) if part is not type(None))
    kind, meta = get_args(annotated)
    choices = get_args(kind) if get_origin(kind) is Literal else ()
    if get_origin(kind) in (Union, UnionType):  # one or several
        kind = list
    kind = str if choices else get_origin(kind) or kind
    expected = f"one of {', '.join(choices)}" if choices else _KINDS[kind] + _limits(meta)
    return Option(field.name, kind, choices, field.default, meta.description, expected=expected, **meta.extra)


def _limits(meta: msgspec.Meta) -> str:
    if meta.gt is not None:
        return f" above {meta.gt}"
    if meta.ge is None:
        return ""
    if meta.lt is not None:
        return f" from {meta.ge} to below {meta.lt}"
    return f" of at least {meta.ge}" if meta.le is None else f" from {meta.ge} to {meta.le}"


_HINTS = get_type_hints(Config, include_extras=True)
OPTIONS: dict[str, Option] = {
    field.name: _option(field, _HINTS[field.name]) for field in msgspec.structs.fields(Config)
}
"""Every option by name."""

REMOVED = {
    "spectral_jitter": (0.0, "it lowered the accuracy on one of the two scenes that it was measured on"),
    "band_drop": (0.0, "it lowered the accuracy on one of the two scenes that it was measured on"),
}
"""Options of 0.1 that went in 0.2: the value that switched each off, and why it went."""

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
        "smooth": "auto",
    },
}
_QUICK: dict[str, Any] = {
    "train": 0.1,
    "val": 0.05,
    "patch": 11,
    "pca": 30,
    "epochs": 30,
    "batch": 16,
    "lr": 1e-3,
    "schedule": "cosine",
    "augment": True,
}
PRESETS: dict[str, dict[str, Any]] = {"quick": _QUICK, "demo": {**_QUICK, "epochs": 6}}
MEASURED_MODELS = (
    "sam", "spectral-angle", "spectral_angle", "matched-filter", "matched_filter", "mf"
)  # fmt: skip
"""Names of the models that compare measured spectra (`hsi.models.spectral_matching`); no other is to be
loaded to know it."""
SPLIT_OPTIONS = (
    "scheme", "train", "val", "guard", "folds", "fold", "per_class", "split_mask", "train_mask", "test_mask",
    "split",
)  # fmt: skip
# The split options that each scheme uses; giving another one is a clash.
_USED_BY = {
    "random": {"train", "val"},
    "paper": {"train", "val"},
    "per-class": {"per_class", "val"},
    "mask": {"split_mask", "train_mask", "test_mask", "val"},
    "disjoint": {"train", "val", "guard", "folds", "fold"},
    "split file": {"split"},
}
# Options that only one scheme has, so that they imply it.
_IMPLIES = {
    "split": "split file",
    "per_class": "per-class",
    "split_mask": "mask",
    "train_mask": "mask",
    "test_mask": "mask",
    "folds": "disjoint",
    "fold": "disjoint",
}
# Options of one scheme that exclude each other; given by hand, one side replaces the other side of the file.
_EXCLUSIVE = (({"folds", "fold"}, {"train", "val"}), ({"split_mask"}, {"train_mask", "test_mask"}))


def make_config(options: Mapping[str, Any]) -> Config:
    """Check options and return them as a `Config`; what is not given is at the field's default.

    Raises
    ------
    ConfigError
        For an unknown option, a value of the wrong type or out of range, and options that clash.
    """
    known = _without_removed(options)
    check_names(known)
    dataset = known.get("dataset")
    if isinstance(dataset, list | tuple):
        known["dataset"] = dataset[0] if len(dataset) == 1 else list(dataset)
    try:
        return msgspec.convert(dict(known), Config)
    except msgspec.ValidationError as error:
        name = str(error).partition("`$.")[2].partition("`")[0].partition("[")[0].partition(".")[0]
        if name not in OPTIONS:  # a missing one
            name = next((name for name in ("model", "dataset") if name not in known), "")
            raise ConfigError(_MISSING.format(name=name, verb=_LISTED_BY.get(name, "train --help"))) from None
        value, wanted = known[name], OPTIONS[name]
        advice = near_miss(str(value), wanted.choices)
        raise ConfigError(f"{name} must be {wanted.expected}, not {value!r}.{advice}") from None


_MISSING = "Say which {name} to use, with --{name} NAME (the names: hsi {verb})."
_LISTED_BY = {"model": "models", "dataset": "scenes"}


def _without_removed(options: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out removed options that are off, as every run of 0.1 wrote them; refuse those that are on."""
    kept = dict(options)
    for name, (off, why) in REMOVED.items():
        if kept.pop(name, off) not in (off, None):
            raise ConfigError(f"The option {name} went in hsi 0.2, because {why}; leave it out.")
    return kept


def check_names(options: Mapping[str, Any]) -> None:
    """Raise ConfigError for an option that does not exist, naming the nearest one."""
    for name in options:
        if name not in OPTIONS and name not in REMOVED:
            raise ConfigError(f"Unknown option '{name[:100]}'.{near_miss(name[:100], OPTIONS)}")


def read_config(path: str | Path) -> dict[str, Any]:
    """Read options from a TOML file; keys are those of `Config`.

    Raises
    ------
    ConfigError
        When the file is missing or is no TOML, or for an unknown key.
    """
    try:
        check_length(Path(path), MOST_BYTES)
        options = parse_toml(Path(path).read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        raise ConfigError(f"There is no config file '{path}'.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"The config file '{path}' cannot be read: {error}.") from None
    except ValueError as error:
        raise ConfigError(f"The config file '{path}' is not valid TOML: {error}.") from None
    check_names(options)
    return options


def load_config(path: Path) -> Config:
    """Read the ``config.toml`` of a run, which has to name model and dataset.

    Options that went since the run was made are left out: they do not matter to a trained network.

    Raises
    ------
    ConfigError
        As `read_config`; for a value of the wrong type, and where one of the two is missing.
    """
    options = {name: value for name, value in read_config(path).items() if name not in REMOVED}
    for name in ("model", "dataset"):
        if name not in options:
            raise ConfigError(f"The config file '{path}' does not name the {name}.")
    return make_config(options)


def resolve_config(options: Mapping[str, Any], file: str | Path | Mapping[str, Any] | None = None) -> Config:
    """Resolve every option of a training: given ones over the file's, over preset, over protocol.

    A named benchmark scene defaults to the papers' protocol, the demo to the preset of its name.

    Parameters
    ----------
    options
        From the command line or keywords; None values count as not given. A scheme, split or protocol given
        here replaces the split of the file.
    file
        A TOML file, or what it holds.

    Raises
    ------
    ConfigError
        For an unknown option, a wrong value, or two options that clash.
    """
    given = {name: value for name, value in options.items() if value is not None}
    loaded = read_config(file) if isinstance(file, str | Path) else dict(file or {})
    given, from_file = _without_removed(given), _without_removed(loaded)
    for source in (given, from_file):
        check_names(source)
        if isinstance(source.get("dataset"), tuple | list) and len(source["dataset"]) == 1:
            source["dataset"] = source["dataset"][0]
        for name in ("scheme", "protocol", "preset", "dataset"):
            value = source.get(name, "")
            several = name == "dataset" and isinstance(value, list | tuple)
            if not all(map(_is_text, value if several else [value])):
                raise ConfigError(f"{name} must be {OPTIONS[name].expected}, not {value!r}.")
    if "protocol" in given and given["protocol"] != from_file.get("protocol"):
        governed = {name for protocol in PROTOCOLS.values() for name in protocol} | {*SPLIT_OPTIONS}
        from_file = {name: value for name, value in from_file.items() if name not in governed}
    elif not _implied_schemes(given) <= {_scheme_of(from_file)}:
        from_file = {name: value for name, value in from_file.items() if name not in SPLIT_OPTIONS}
    for one, other in (*_EXCLUSIVE, *(pair[::-1] for pair in _EXCLUSIVE)):
        if one & given.keys():
            from_file = {name: value for name, value in from_file.items() if name not in other}
    chosen = {**from_file, **given}
    for name in ("model", "dataset"):
        if name not in chosen:
            raise ConfigError(_MISSING.format(name=name, verb=_LISTED_BY[name]))

    # Only here, so that help texts do not load NumPy.
    from hsi.datasets.catalogue.description import makes_own_split
    from hsi.datasets.catalogue.entries import find_entry

    entry = find_entry(chosen["dataset"])
    own_split = "protocol" not in chosen and makes_own_split(chosen["dataset"])
    protocol = chosen.setdefault("protocol", "disjoint" if entry is None or entry.name == "demo" else "paper")
    preset = chosen.setdefault("preset", "demo" if entry and entry.name == "demo" and not loaded else None)
    for kind, known in (("protocol", PROTOCOLS), ("preset", PRESETS)):
        word = chosen[kind]
        if word is not None and word not in known:
            expected = OPTIONS[kind].expected
            raise ConfigError(f"{kind} must be {expected}, not '{word}'.{near_miss(word, known)}")
    defaults = {**PROTOCOLS[protocol], **(PRESETS[preset] if preset else {})}
    if str(chosen["model"]).lower() in MEASURED_MODELS:
        defaults.pop("pca", None)
    if own_split:
        defaults["scheme"] = "mask"
    if chosen.get("batch") == "auto":
        file_batch = from_file.get("batch", "auto")
        chosen |= {"batch": defaults["batch"] if file_batch == "auto" else file_batch, "fit_memory": True}
    return make_config(_one_split({**defaults, **chosen}, chosen))


def _implied_schemes(options: Mapping[str, Any]) -> set[str]:
    """Return the schemes that the given options ask for, by name or by an option that only they have."""
    schemes = {scheme for name, scheme in _IMPLIES.items() if name in options}
    return schemes | {options["scheme"]} if "scheme" in options else schemes


def _scheme_of(options: Mapping[str, Any]) -> str:
    return "split file" if "split" in options else str(options.get("scheme", ""))


def _one_split(options: dict[str, Any], chosen: Mapping[str, Any]) -> dict[str, Any]:
    """Choose the scheme, refuse options that clash with it, and clear those that it does not use."""
    schemes = _implied_schemes(chosen)
    if len(schemes) > 1:
        asked = [
            f"--{name.replace('_', '-')}"
            for name in SPLIT_OPTIONS
            if name in chosen and name not in ("train", "val")
        ]
        raise ConfigError(f"Options clash: {' and '.join(asked)} ask for different splits; give one of them.")
    scheme = schemes.pop() if schemes else options["scheme"]
    if scheme not in _USED_BY:
        expected = OPTIONS["scheme"]
        raise ConfigError(
            f"scheme must be {expected.expected}, not '{scheme}'.{near_miss(scheme, expected.choices)}"
        )
    for name in SPLIT_OPTIONS[1:]:
        if name not in _USED_BY[scheme]:
            if chosen.get(name) is not None:
                raise ConfigError(f"Options clash: {name} means nothing to the split scheme '{scheme}'.")
            options[name] = None
    for first, second in _EXCLUSIVE:
        given = [sorted(name for name in side if chosen.get(name) is not None) for side in (first, second)]
        if all(given):
            raise ConfigError(f"Options clash: {given[0][0]} and {given[1][0]} do not go together; drop one.")
        if given[0]:
            options.update(dict.fromkeys(second))
    if scheme == "disjoint":
        options["guard"] = options.get("guard") or "mask"
    elif "smooth" not in chosen:  # where test pixels lie beside training pixels, smoothing would leak
        options["smooth"] = "none"
    options["scheme"] = None if scheme == "split file" else scheme
    return options
