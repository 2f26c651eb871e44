"""The test pixels of one run or several, classified anew: scores, calibration error, sets, rejection."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hsi.confidence.reliability import calibration_error
from hsi.datasets.splits.leakage import Leakage
from hsi.runs.postprocessing import Postprocessing, Rejection
from hsi.scoring import Scores, score


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Test pixels classified anew.

    Attributes
    ----------
    post
        What smoothed and calibrated them.
    proba
        ``(n, C)``: the probabilities that are delivered.
    unsmoothed
        ``(n, C)``: the same before smoothing; None where nothing was smoothed.
    targets
        True classes 0..C-1.
    leakage
        Of the split for the widest patch of the members, and for what smoothing reaches.
    raw
        ``(n, C)``: the mean of the members' softmax, without calibration and smoothing.
    rejection, rejected
        What rejects pixels, and which of these it does; None where that was not asked for.
    """

    post: Postprocessing
    proba: NDArray[np.float32]
    unsmoothed: NDArray[np.float32] | None
    targets: NDArray[np.int64]
    leakage: Leakage
    raw: NDArray[np.float32] | None = None
    rejection: Rejection | None = None
    rejected: NDArray[np.bool_] | None = None

    def facts(self) -> dict[str, Any]:
        """Return the test scores, with and without smoothing, and the calibration error, for JSON."""
        smoothing = None
        if self.unsmoothed is not None:
            plain = {"test": self.scores(smoothed=False).as_dict()}
            smoothing = {
                **self.post.smoothing.as_dict(),
                "text": str(self.post.smoothing),
                "unsmoothed": plain,
            }
        return {
            "leakage": {"centre": self.leakage.centre, "overlap": self.leakage.overlap},
            "test": self.scores().as_dict(),
            "rejection": self._rejection(),
            "smoothing": smoothing,
            "calibration": {
                "of_smoothed": self.post.after.as_dict(),
                "error": {"test": self._calibration_error()},
            },
        }

    def _calibration_error(self) -> dict[str, float]:
        found = {"after": calibration_error(self.proba, self.targets)}
        if self.raw is not None:
            found = {"before": calibration_error(self.raw, self.targets), **found}
        return found

    def _rejection(self) -> dict[str, Any] | None:
        if self.rejection is None or self.rejected is None:
            return None
        kept = ~self.rejected
        right = self.proba.argmax(axis=1) == self.targets
        return {
            "rate": self.rejection.rate,
            "score": self.rejection.score.name,
            "threshold": self.rejection.threshold,
            "test_share": float(self.rejected.mean()),
            "oa_of_the_others": float(right[kept].mean()) if kept.any() else None,
        }

    def sets(self, coverage: float) -> dict[str, Any]:
        """Return how prediction sets do on the test pixels, for JSON.

        ``coverage``: the rate asked for; ``test_coverage``: the share of test pixels whose set holds the true
        class; ``mean_size``: classes in a set; ``rule`` and ``notes``: see `hsi.confidence.conformal`.
        """
        made = self.post.prediction_sets(coverage)
        inside = made(self.proba)
        return {
            "coverage": coverage,
            "test_coverage": float(inside[np.arange(len(self.targets)), self.targets].mean()),
            "mean_size": float(inside.sum(axis=1).mean()),
            "threshold": made.threshold,
            "rule": made.rule,
            "notes": list(made.notes),
        }

    def scores(self, *, smoothed: bool = True) -> Scores:
        """Return the scores, or those without smoothing."""
        proba = self.proba if smoothed or self.unsmoothed is None else self.unsmoothed
        return score(self.targets + 1, proba.argmax(axis=1) + 1, proba.shape[1])
