"""The comparison of several contestants: every pair tested, with Holm's correction for their number."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hsi.comparison.contestants import Contestant, open_contestants
from hsi.comparison.paired_fields import METRICS, number_fields
from hsi.comparison.pairs import Pair, compare_pair
from hsi.comparison.significance import holm
from hsi.errors import ConfigError, near_miss


@dataclass(frozen=True, eq=False)
class Comparison:
    """Contestants on one scene, and each pair of them tested.

    Attributes
    ----------
    dataset, synthetic, class_names
        The scene.
    metric, alpha
        Tested metric; level of verdicts and intervals.
    contestants, pairs
        In the order given; pairs A - B, A - C, ..., B - C, ...
    notes
        One sentence for each limit of what these runs can show.
    """

    dataset: str
    synthetic: bool
    class_names: tuple[str, ...]
    metric: str
    alpha: float
    contestants: tuple[Contestant, ...]
    pairs: tuple[Pair, ...]
    notes: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return everything for JSON: fractions, None for an undefined figure."""
        return _without_nan(
            {
                "dataset": self.dataset,
                "synthetic": self.synthetic,
                "class_names": list(self.class_names),
                "metric": self.metric,
                "alpha": self.alpha,
                "contestants": [contestant.as_dict() for contestant in self.contestants],
                "pairs": [pair.as_dict() for pair in self.pairs],
                "notes": list(self.notes),
            }
        )


def compare(
    *paths: str | Path, metric: str = "oa", alpha: float = 0.05, data_root: str | Path | None = None
) -> Comparison:
    """Compare finished runs: is one network better than another by more than chance?

    Parameters
    ----------
    *paths
        Two or more contestants: each a run folder, or a folder of runs of one network (such as several
        seeds). Runs with the same train and test pixels are matched.
    metric
        Tested metric: "oa", "aa" or "kappa".
    alpha
        Level of the verdicts after Holm's correction, and of the (uncorrected) 1 - alpha intervals.
    data_root
        Folder of the scene's files, which hold the true labels; default: ``HSI_DATA``.

    Raises
    ------
    ConfigError
        For fewer than two contestants, one given twice, an unknown metric, or an alpha outside 0..1.
    RunError
        For a folder that is no finished run, other label maps, mixed networks in one contestant, and
        contestants without a common split.
    SceneNotFoundError
        When the scene's files are not on this machine.
    """
    if metric not in METRICS:
        raise ConfigError(
            f"metric must be one of {', '.join(METRICS)}, not '{metric}'.{near_miss(metric, METRICS)}"
        )
    if not 0 < alpha < 1:
        raise ConfigError(f"alpha must lie between 0 and 1, such as 0.05; got {alpha}.")
    contestants, scene = open_contestants(paths, data_root)
    fields = number_fields(scene.labels).ravel()
    found = [
        compare_pair(first, second, fields, metric, alpha)
        for first, second in itertools.combinations(contestants, 2)
    ]
    corrected = holm([pair.p for pair in found])
    pairs = tuple(
        dataclasses.replace(pair, p_holm=float(p), verdict=_verdict(pair, float(p), alpha))
        for pair, p in zip(found, corrected, strict=True)
    )
    return Comparison(
        dataset=scene.name,
        synthetic=scene.synthetic,
        class_names=scene.class_names,
        metric=metric,
        alpha=alpha,
        contestants=tuple(contestants),
        pairs=pairs,
        notes=(*_data_notes(contestants), *_notes(pairs, alpha)),
    )


def _verdict(pair: Pair, p: float, alpha: float) -> str:
    if not p <= alpha:  # also where p is NaN
        return "no difference shown"
    return f"{pair.first if pair.differences[pair.metric] > 0 else pair.second} better"


def _data_notes(contestants: Sequence[Contestant]) -> list[str]:
    """Note contestants trained on other cubes of the same label map."""
    if len({contestant.dataset for contestant in contestants}) == 1:
        return []
    cubes = ", ".join(f"{contestant.letter} on {contestant.dataset}" for contestant in contestants)
    return [
        f"trained on other cubes of one label map ({cubes}): differences are of networks and data together."
    ]


def _notes(pairs: Sequence[Pair], alpha: float) -> tuple[str, ...]:
    """Return the limits of all pairs, each once with the pairs that it holds for."""
    named: dict[str, list[str]] = {}
    for pair in pairs:
        for limit in _limits(pair, alpha):
            named.setdefault(limit, []).append(f"{pair.first} - {pair.second}")
    return tuple(f"{', '.join(names)}: {limit}" for limit, names in named.items())


def _limits(pair: Pair, alpha: float) -> list[str]:
    """Return what the runs of a pair cannot show."""
    notes = []
    if any(pair.left_out):
        unmatched = " and ".join(
            f"{count} of {letter}"
            for count, letter in zip(pair.left_out, (pair.first, pair.second), strict=True)
            if count
        )
        notes.append(f"runs without a partner on the same train and test pixels are left out: {unmatched}.")
    if math.isnan(pair.differences[pair.metric]):
        notes.append(f"{pair.metric} has no meaning in some run, so nothing is tested.")
    elif pair.splits == 1 and pair.runs == 1:
        notes.append(
            "one run each compares two trained networks, not two kinds of network; "
            "train several seeds of both for that."
        )
    elif math.isnan(pair.over_runs.p):
        notes.append("all runs differ by the same amount, so that no t-test can be made over them.")
    elif pair.splits == 1:
        notes.append("all runs share one split, so nothing is known for other training pixels.")
    elif math.isnan(pair.test_to_train):
        notes.append("all splits test the same pixels, so they count as random starts on one split.")
    if pair.decided_by == "fields and splits":
        notes.append(
            f"there are {pair.test_to_train:.1f} test pixels to a training pixel, for which the t-test "
            f"corrected for overlapping splits is far too strict (its p is {pair.p_corrected:.4f}); the "
            "verdict asks for a difference over splits and over fields instead."
        )
    if not pair.over_fields.differing:
        notes.append("both got the same result in every test field.")
    elif pair.over_fields.smallest > alpha:
        notes.append(
            f"only {pair.over_fields.differing} test fields came out differently, too few for the field "
            f"test to fall below {alpha}."
        )
    return notes


def _without_nan(content: Any) -> Any:
    if isinstance(content, dict):
        return {key: _without_nan(value) for key, value in content.items()}
    if isinstance(content, list):
        return [_without_nan(value) for value in content]
    return None if isinstance(content, float) and math.isnan(content) else content
