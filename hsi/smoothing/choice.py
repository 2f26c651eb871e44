"""Methods of spatial regularisation, and the strengths that are tried; nothing is computed here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hsi.errors import ConfigError, near_miss

METHODS = ("none", "mean", "segments", "mrf", "edges")
AUTO = "auto"

Number = int | float


@dataclass(frozen=True)
class _Setting:
    """A setting of a method: its default, its range, and whether it is a whole or an odd number."""

    default: Number
    least: Number
    most: Number
    kind: str = "real"  # "real", "whole" or "odd"


_SETTINGS: dict[str, dict[str, _Setting]] = {
    "none": {},
    "mean": {"width": _Setting(7, 1, 101, "odd")},
    "segments": {
        "scale": _Setting(5.0, 0.0, 1e6),
        "min_size": _Setting(10, 1, 10**6, "whole"),
        "sigma": _Setting(0.8, 0.0, 10.0),
    },
    "mrf": {
        "beta": _Setting(4.0, 0.0, 100.0),
        "iterations": _Setting(10, 1, 100, "whole"),
        "contrast": _Setting(3.0, 1e-3, 1e6),
    },
    "edges": {"radius": _Setting(5, 1, 50, "whole"), "tolerance": _Setting(2.0, 1e-3, 1e6)},
}


@dataclass(frozen=True)
class Smoothing:
    """A method, or several whose results are averaged, and its strength.

    Attributes
    ----------
    method
        One of `METHODS`, or several joined by "+", such as ``"mean+segments"``.
    settings
        ``((name, value), ...)``; a mapping, or only some of them, can be given: others get their defaults.

        mean: `width`, an odd number of pixels. segments: `scale` and `sigma` of Felzenszwalb's method, and
        `min_size` in pixels. mrf: `beta` in nats, `iterations`, and `contrast` in the guide's unit. edges:
        `radius` in pixels, and `tolerance`, a difference in the guide's unit.

    Raises
    ------
    ConfigError
        For an unknown method or setting, or a value out of range.
    """

    method: str
    settings: tuple[tuple[str, Number], ...] | Mapping[str, Number] = ()

    def __post_init__(self) -> None:
        parts = parse(self.method)
        if parts == (AUTO,):
            raise ConfigError("Smoothing 'auto' is a choice among several; see hsi.smoothing.candidates.")
        known = {name: setting for part in parts for name, setting in _SETTINGS[part].items()}
        given = dict(self.settings)
        for name in given:
            if name not in known:
                listed = f" Known: {', '.join(known)}." if known else ""
                raise ConfigError(
                    f"Smoothing '{self.method}' has no setting '{name}'.{near_miss(str(name), known)}{listed}"
                )
        checked = {name: _checked(name, given.get(name, s.default), s) for name, s in known.items()}
        object.__setattr__(self, "method", "+".join(parts))
        object.__setattr__(self, "settings", tuple(checked.items()))

    @property
    def parts(self) -> tuple[str, ...]:
        """The methods whose results are averaged."""
        return tuple(self.method.split("+"))

    def split(self) -> tuple[Smoothing, ...]:
        """Return the methods whose results are averaged, each alone with its settings."""
        named = dict(self.settings)
        return tuple(Smoothing(part, {name: named[name] for name in _SETTINGS[part]}) for part in self.parts)

    @property
    def margin(self) -> int:
        """Pixels around a window that `smooth_window` may read, but for blocks of segments."""
        return max((self.reach_of(part) for part in self.parts), default=0)

    def __getitem__(self, name: str) -> Number:
        """Return a setting."""
        return dict(self.settings)[name]

    def reach_of(self, part: str) -> int:
        """Return how many rows and columns away one of the methods looks; 0 for segments."""
        if part == "mean":
            return int(self["width"]) // 2
        if part == "mrf":
            return int(self["iterations"])
        return int(self["radius"]) if part == "edges" else 0

    def __str__(self) -> str:
        return " + ".join(self._in_words(part) for part in self.parts)

    def _in_words(self, part: str) -> str:
        if part == "mean":
            return f"mean {self['width']} x {self['width']}"
        if part == "segments":
            return f"segments (scale {self['scale']:g}, at least {self['min_size']} pixels)"
        if part == "mrf":
            return f"mrf (beta {self['beta']:g}, {self['iterations']} iterations)"
        if part == "edges":
            width = 2 * int(self["radius"]) + 1
            return f"edges {width} x {width} (tolerance {self['tolerance']:g})"
        return part

    def as_dict(self) -> dict[str, Any]:
        """Return what `from_dict` reads, for JSON."""
        return {"method": self.method, **dict(self.settings)}

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> Smoothing:
        """Return the choice that `as_dict` wrote; raise ConfigError where it is not one."""
        if not isinstance(record, Mapping) or not isinstance(record.get("method"), str):
            raise ConfigError("A record of smoothing needs a 'method', as as_dict() writes it.")
        settings = {str(name): value for name, value in record.items() if name != "method"}
        return cls(record["method"], settings)


def parse(name: str) -> tuple[str, ...]:
    """Return the methods that a name joins, in the order of `METHODS`; ``("auto",)`` for "auto".

    >>> parse("segments+mean")
    ('mean', 'segments')

    Raises
    ------
    ConfigError
        For an unknown name, or a combination with "none" or "auto".
    """
    parts = [part.strip().lower() for part in str(name).split("+")]
    for part in parts:
        if part not in (*METHODS, AUTO):
            known = ", ".join((*METHODS, AUTO))
            raise ConfigError(
                f"Unknown smoothing '{part}'.{near_miss(part, (*METHODS, AUTO))} Known: {known}; several are "
                "joined by '+'."
            )
    if len(parts) > 1 and not set(parts) <= set(METHODS[1:]):
        raise ConfigError(f"Smoothing '{name}' joins 'none' or 'auto' to others; give it alone.")
    return tuple(method for method in (*METHODS, AUTO) if method in parts)


def _checked(name: str, value: Any, setting: _Setting) -> Number:
    kind = {"real": "a number", "whole": "a whole number", "odd": "an odd number"}[setting.kind]
    right = isinstance(value, int | float) and not isinstance(value, bool)
    right = right and setting.least <= value <= setting.most
    if right and setting.kind != "real":
        right = value == int(value) and (setting.kind == "whole" or int(value) % 2 == 1)
    if not right:
        raise ConfigError(
            f"The smoothing's {name} must be {kind} from {setting.least:g} to {setting.most:g}; got {value}."
        )
    return float(value) if setting.kind == "real" else int(value)


NONE = Smoothing("none")

CANDIDATES: dict[str, tuple[Smoothing, ...]] = {
    "none": (NONE,),
    "mean": tuple(Smoothing("mean", {"width": width}) for width in (3, 5, 7, 9)),
    "segments": tuple(Smoothing("segments", {"scale": scale}) for scale in (0.5, 2.0, 5.0, 7.0)),
    "mrf": tuple(Smoothing("mrf", {"beta": beta}) for beta in (1.0, 2.0, 4.0)),
    "edges": tuple(Smoothing("edges", {"radius": radius}) for radius in (2, 3, 5)),
    "mean+segments": tuple(
        Smoothing("mean+segments", {"width": width, "scale": scale})
        for width, scale in ((5, 2.0), (5, 5.0), (7, 5.0), (9, 7.0))
    ),
}
"""The strengths of each method that are tried on validation pixels, weakest first."""

# Segments alone are left out: one that merges two fields loses a field whole, which a few validation fields
# do not show. Averaged with methods that see less far they cost a point of OA at most where this was chosen.
CANDIDATES[AUTO] = (
    NONE,
    *(Smoothing("edges", {"radius": radius}) for radius in (3, 5, 7)),
    *(
        Smoothing("mean+segments", {"width": width, "scale": scale})
        for width, scale in ((5, 5.0), (7, 5.0), (7, 10.0), (9, 7.0))
    ),
    *(Smoothing("segments+edges", {"radius": 3, "scale": scale}) for scale in (5.0, 10.0)),
    Smoothing("mean+segments+edges", {"width": 7, "scale": 10.0, "radius": 5}),
)


def candidates(name: str) -> tuple[Smoothing, ...]:
    """Return the strengths that are tried for a name, also for combinations that `CANDIDATES` lacks.

    A combination joins the weakest strengths of its methods, the next ones, and so on. Raises ConfigError as
    `parse` does.
    """
    parts = parse(name)
    joined = "+".join(parts)
    if joined in CANDIDATES:
        return CANDIDATES[joined]
    rows = zip(*(CANDIDATES[part] for part in parts), strict=False)
    return tuple(Smoothing(joined, tuple(pair for one in row for pair in one.settings)) for row in rows)
