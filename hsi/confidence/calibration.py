"""Calibrated probabilities from logits: one temperature, or a matrix on log-probabilities.

Temperature scaling (Guo et al., On calibration of modern neural networks, ICML 2017) divides all logits by
one number T > 0, so that no label changes. Dirichlet calibration (Kull et al., Beyond temperature scaling,
NeurIPS 2019) turns log-probabilities q into ``softmax(W q + b)``, and may change labels.

Both are fitted on pixels that trained nothing, by the smallest log-loss. Where all n of these are right, that
alone asks for T = 0, certainty everywhere; so each counts as wrong with the weight ``1 / (n + 2)``, and a
wrong one as right, as if one more pixel had been right and one wrong: the rule of succession, as in Platt's
scaling (Probabilistic outputs for support vector machines, 1999, section 2.2).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hsi.confidence.reliability import check_targets
from hsi.errors import InputError

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]

METHODS = ("temperature", "dirichlet")
LOSSES = ("confidence", "likelihood")
TEMPERATURES = (0.01, 100.0)
"""Range of fitted temperatures; at higher ones classes would tie in float32."""

PENALTIES = (0.01, 0.1, 1.0, 10.0)
"""Strengths of regularisation among which `fit_dirichlet` chooses."""

_LEAST_LOG = -30.0  # of a probability that takes part in Dirichlet calibration
_FOLDS = 3
_CHUNK = 1 << 18  # rows that are turned into probabilities together


@dataclass(frozen=True)
class Calibration:
    """Turns logits into calibrated probabilities; as it is made without arguments, by plain softmax.

    Attributes
    ----------
    method
        "temperature" or "dirichlet".
    temperature
        T; 1.0 for "dirichlet".
    weights, bias
        W ``(C, C)`` and b ``(C,)`` of "dirichlet", else empty.
    pixels
        How many pixels it was fitted on.
    notes
        One sentence for each thing that a user should know of the fit.

    Raises
    ------
    InputError
        For an unknown method, a temperature that is not above 0, or sizes that do not fit.
    """

    method: str = "temperature"
    temperature: float = 1.0
    weights: tuple[tuple[float, ...], ...] = ()
    bias: tuple[float, ...] = ()
    pixels: int = 0
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise InputError(f"The calibration must be one of {', '.join(METHODS)}, not '{self.method}'.")
        numbers = np.array([self.temperature, *self.bias, *(w for row in self.weights for w in row)])
        if not np.isfinite(numbers).all() or self.temperature <= 0:
            raise InputError(
                "A calibration needs a temperature above 0 and finite weights; fit it again on the "
                "validation pixels."
            )
        classes = len(self.bias)
        if len(self.weights) != classes or any(len(row) != classes for row in self.weights):
            raise InputError("The weights of a calibration must be (C, C) and its bias (C,); fit it again.")
        if (self.method == "dirichlet") != (classes > 0):
            raise InputError(f"A calibration by {self.method} cannot have {classes} biases; fit it again.")

    def __call__(self, logits: ArrayLike) -> Floats:
        """Return probabilities ``(..., C)`` float32 of logits ``(..., C)``.

        A logit of minus infinity, a class without training pixels, gets the probability 0; a pixel without
        any finite logit gets ``1 / C`` everywhere.

        Raises
        ------
        InputError
            When there are no classes, or others than the calibration was fitted for.
        """
        values = np.asarray(logits)
        if values.ndim == 0 or values.shape[-1] < 1:
            raise InputError(f"Logits must be (..., classes); these are {values.shape}.")
        if self.bias and values.shape[-1] != len(self.bias):
            raise InputError(
                f"The calibration is for {len(self.bias)} classes, not {values.shape[-1]}; fit it for these."
            )
        out = np.empty(values.shape, np.float32)
        rows, answers = values.reshape(-1, values.shape[-1]), out.reshape(-1, values.shape[-1])
        for start in range(0, len(rows), _CHUNK):
            some = slice(start, start + _CHUNK)
            answers[some] = self._some(rows[some])
        return out

    def on_probabilities(self, proba: ArrayLike) -> Floats:
        """Return what `__call__` does of log-probabilities: ``p ** (1 / T)``, divided by the sum.

        For a second calibration, as after the probabilities of neighbours were averaged. Zeros stay zeros.
        """
        with np.errstate(divide="ignore"):
            return self(np.log(np.asarray(proba)))

    def as_dict(self) -> dict[str, Any]:
        """Return what `from_dict` reads, as JSON can hold it."""
        found: dict[str, Any] = {"method": self.method, "pixels": self.pixels, "notes": list(self.notes)}
        if self.method == "temperature":
            return {**found, "temperature": self.temperature}
        return {**found, "weights": [list(row) for row in self.weights], "bias": list(self.bias)}

    @classmethod
    def from_dict(cls, table: Mapping[str, Any]) -> Calibration:
        """Make what `as_dict` wrote.

        Raises
        ------
        InputError
            When something is missing, is no number, or does not fit.
        """
        try:
            return cls(
                str(table["method"]),
                float(table.get("temperature", 1.0)),
                tuple(tuple(float(w) for w in row) for row in table.get("weights", ())),
                tuple(float(b) for b in table.get("bias", ())),
                int(table.get("pixels", 0)),
                tuple(str(note) for note in table.get("notes", ())),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"The calibration cannot be read ({error!r}); fit it again.") from None

    def _some(self, logits: NDArray[Any]) -> Floats:
        if self.method == "temperature":
            return _softmax(logits.astype(np.float32), self.temperature)
        values = logits.astype(np.float64)
        values[np.isneginf(values).all(axis=1)] = 0
        log_proba = np.maximum(_log_softmax(values), _LEAST_LOG)
        values = log_proba @ np.array(self.weights).T + np.array(self.bias)
        values[np.isneginf(logits)] = -np.inf  # also where a row has nothing else: equal probabilities
        return _softmax(values).astype(np.float32)


def fit_temperature(
    logits: ArrayLike,
    targets: ArrayLike,
    *,
    weights: ArrayLike | None = None,
    groups: ArrayLike | None = None,
    loss: str = "confidence",
) -> Calibration:
    """Fit the temperature, within `TEMPERATURES`, on pixels that trained nothing.

    Parameters
    ----------
    logits
        ``(n, C)``.
    targets
        ``(n,)`` true classes 0..C-1.
    weights
        ``(n,)`` weight of each pixel, 0 or more; default 1.
    groups
        ``(n,)`` number of each pixel's group, such as its field: all groups then weigh the same, whatever
        their size.
    loss
        "confidence": log-loss of the largest probability as the probability of being right (Le Coz, Herbin
        and Adjed, Confidence calibration of classifiers with many classes, NeurIPS 2024). "likelihood": that
        of all classes, as Guo et al., which trusts the order of the classes behind the first: where scores
        are no logits, such as votes of an SVM, one temperature cannot serve both. There a true class with a
        logit of minus infinity counts as the last one.

    Returns
    -------
    The calibration; without pixels the identity (T = 1), with a note.

    Raises
    ------
    InputError
        For shapes that do not fit, classes outside 0..C-1, logits that are NaN or plus infinity, or an
        unknown loss.
    """
    if loss not in LOSSES:
        raise InputError(f"The loss must be one of {', '.join(LOSSES)}, not '{loss}'.")
    values, truth, share = _checked(logits, targets, weights, groups)
    if not len(truth):
        return Calibration(notes=("There are no pixels to calibrate on: probabilities are plain softmax.",))
    right = values.argmax(axis=1) == truth
    if loss == "confidence":
        temperature = _temperature_of_confidence(values, right, share)
    else:
        temperature = _temperature_of_likelihood(values, truth, share)
    notes: list[str] = []
    if temperature == TEMPERATURES[1]:
        notes.append(
            "The logits say nothing of the classes of the validation pixels: all probabilities are made "
            "equal."
        )
    elif temperature == TEMPERATURES[0]:
        notes.append("The logits are so small that the temperature stopped at its lower limit.")
    if not (share[~right] > 0).any():
        notes.append(
            f"All {len(truth)} validation pixels are right: their number alone bounds the confidence."
        )
    return Calibration(temperature=temperature, pixels=len(truth), notes=tuple(notes))


def _temperature_of_confidence(values: Doubles, right: NDArray[np.bool_], share: Doubles) -> float:
    """Return the temperature with the lowest log-loss of the largest probability."""
    from scipy.optimize import minimize_scalar

    below = np.sort(values - values.max(axis=1, keepdims=True), axis=1)[:, :-1]
    rivals = np.isfinite(below).any(axis=1)  # a pixel of one possible class is certain at any temperature
    if not (share[rivals] > 0).any():
        return 1.0
    below, share = below[rivals], share[rivals] / share[rivals].sum()
    doubt = _doubt(share)
    wrong = np.where(right[rivals], doubt, 1 - doubt)

    def loss(log_temperature: float) -> float:
        """With the odds o of being wrong: the mean of ``log(1 + o) - wrong log o``."""
        scaled = below / np.exp(log_temperature)
        top = scaled.max(axis=1)
        log_odds = top + np.log(np.exp(scaled - top[:, None]).sum(axis=1))
        return float(share @ (np.logaddexp(0, log_odds) - wrong * log_odds))

    # Seldom, and with few pixels, there is more than one minimum.
    low, high = (float(np.log(one)) for one in TEMPERATURES)
    grid = np.linspace(low, high, 50)
    best = int(np.argmin([loss(one) for one in grid]))
    around = (grid[max(best - 1, 0)], grid[min(best + 1, len(grid) - 1)])
    found = minimize_scalar(loss, bounds=around, method="bounded", options={"xatol": 1e-9})
    for end, temperature in zip((low, high), TEMPERATURES, strict=True):
        if end in around and loss(end) <= found.fun + 1e-12:
            return temperature
    return float(np.exp(found.x))


def _temperature_of_likelihood(values: Doubles, truth: NDArray[np.int64], share: Doubles) -> float:
    """Return the temperature with the lowest log-loss of all classes, which is convex in 1 / T."""
    from scipy.optimize import brentq

    rows = np.arange(len(truth))
    lowest = np.where(np.isfinite(values), values, np.inf).min(axis=1)
    values[rows, truth] = np.maximum(values[rows, truth], lowest)
    target = _doubtful(values, truth, share)
    finite = np.where(np.isfinite(values), values, 0.0)  # classes of probability 0 add nothing to a mean
    wanted = float(share @ (target * finite).sum(axis=1))

    def slope(log_inverse: float) -> float:
        """Derivative of the loss with respect to 1 / T: expected logit minus the logit wanted."""
        proba = _softmax(values, float(np.exp(-log_inverse)))
        return float(share @ (proba * finite).sum(axis=1)) - wanted

    low, high = (-float(np.log(one)) for one in TEMPERATURES[::-1])
    if slope(low) >= 0:
        return TEMPERATURES[1]
    if slope(high) <= 0:
        return TEMPERATURES[0]
    return float(np.exp(-brentq(slope, low, high, xtol=1e-10)))


def fit_dirichlet(
    logits: ArrayLike,
    targets: ArrayLike,
    *,
    weights: ArrayLike | None = None,
    groups: ArrayLike | None = None,
    penalty: float | None = None,
) -> Calibration:
    """Fit Dirichlet calibration with off-diagonal and intercept regularisation; labels may change.

    Validation pixels of a few fields seldom suffice: on separate regions of small scenes it lowered the OA of
    test pixels by four points, where a temperature leaves it.

    Loss: mean negative log-likelihood + `penalty` x (mean square of the elements of W - I / T, + mean square
    of b), where T is that of `fit_temperature` by
    likelihood. Kull et al. leave the diagonal free (ODIR); here it is drawn
    towards 1 / T, so that a large penalty gives temperature scaling, and a class without validation pixels
    keeps a diagonal near that of the others.

    Parameters
    ----------
    logits, targets, weights, groups
        As in `fit_temperature`.
    penalty
        Strength of the regularisation; default: that of `PENALTIES` with the lowest loss in 3-fold
        cross-validation, or temperature scaling if none is better. Groups are held out whole.

    Raises
    ------
    InputError
        As `fit_temperature`, and for a penalty that is not above 0.
    """
    values, truth, share = _checked(logits, targets, weights, groups)
    if penalty is not None and not (np.isfinite(penalty) and penalty > 0):
        raise InputError(f"The penalty must be above 0, not {penalty:g}.")
    if not len(truth):
        return fit_temperature(values, truth)
    plain = fit_temperature(values, truth, weights=share, loss="likelihood")
    q = np.maximum(_log_softmax(values), _LEAST_LOG)
    if penalty is None:
        numbers = np.arange(len(truth)) if groups is None else np.asarray(groups)
        penalty = _choose_penalty(values, q, truth, share, numbers)
        if penalty is None:
            plain = fit_temperature(values, truth, weights=share)
            note = "Dirichlet calibration is no better in cross-validation: one temperature is used."
            return replace(plain, notes=(*plain.notes, note))
    matrix, bias = _fit_matrix(q, truth, share, plain.temperature, penalty)
    return Calibration(
        "dirichlet",
        weights=tuple(tuple(map(float, row)) for row in matrix),
        bias=tuple(map(float, bias)),
        pixels=len(truth),
    )


def _choose_penalty(
    values: Doubles, q: Doubles, truth: NDArray[np.int64], share: Doubles, groups: NDArray[Any]
) -> float | None:
    """Return the penalty with the lowest held-out loss; None where a temperature alone has a lower one."""
    members = np.unique(groups, return_inverse=True)[1].ravel()
    if members.max() + 1 < _FOLDS:
        return None
    fold = np.random.default_rng(0).permutation(int(members.max()) + 1)[members] % _FOLDS
    losses = np.zeros(1 + len(PENALTIES))
    for number in range(_FOLDS):
        fitted, held = fold != number, fold == number
        if not share[fitted].sum() or not share[held].sum():
            continue
        part = share[fitted] / share[fitted].sum()
        plain = fit_temperature(values[fitted], truth[fitted], weights=part, loss="likelihood")
        found = [_log_softmax(values[held] / plain.temperature)]
        for penalty in PENALTIES:
            matrix, bias = _fit_matrix(q[fitted], truth[fitted], part, plain.temperature, penalty)
            found.append(_log_softmax(q[held] @ matrix.T + bias))
        rows = np.arange(int(held.sum()))
        for index, log_proba in enumerate(found):
            losses[index] -= share[held] @ np.maximum(log_proba[rows, truth[held]], _LEAST_LOG)
    best = int(losses.argmin())
    return None if best == 0 else PENALTIES[best - 1]


def _fit_matrix(
    q: Doubles, truth: NDArray[np.int64], share: Doubles, temperature: float, penalty: float
) -> tuple[Doubles, Doubles]:
    """Return W and b for log-probabilities q; `share` sums to 1."""
    from scipy.optimize import minimize

    classes = q.shape[1]
    start = np.eye(classes) / temperature
    target = _doubtful(q, truth, share)

    def loss(flat: Doubles) -> tuple[float, Doubles]:
        matrix, bias = flat[:-classes].reshape(classes, classes), flat[-classes:]
        log_proba = _log_softmax(q @ matrix.T + bias)
        gap = share[:, None] * (np.exp(log_proba) - target)
        away = matrix - start
        value = -share @ (target * log_proba).sum(axis=1)
        value += penalty * ((away**2).mean() + (bias**2).mean())
        slope_matrix = gap.T @ q + 2 * penalty * away / classes**2
        slope_bias = gap.sum(axis=0) + 2 * penalty * bias / classes
        return float(value), np.concatenate([slope_matrix.ravel(), slope_bias])

    first = np.concatenate([start.ravel(), np.zeros(classes)])
    found = minimize(loss, first, jac=True, method="L-BFGS-B", options={"maxiter": 500}).x
    return found[:-classes].reshape(classes, classes), found[-classes:]


def _doubtful(values: Doubles, truth: NDArray[np.int64], share: Doubles) -> Doubles:
    """Return targets ``(n, C)``: most of a pixel's weight on its class, the doubt on the likeliest other."""
    rows = np.arange(len(truth))
    target = np.zeros(values.shape)
    if values.shape[1] == 1:
        target[:] = 1
        return target
    others = values.copy()
    others[rows, truth] = -np.inf
    runner_up = others.argmax(axis=1)
    doubt = np.where(np.isneginf(others[rows, runner_up]), 0.0, _doubt(share))
    target[rows, truth] = 1 - doubt
    target[rows, runner_up] += doubt
    return target


def _doubt(share: Doubles) -> float:
    """Return ``1 / (n + 2)``; unequal weights count as ``1 / sum(share ** 2)`` pixels (Kish, 1965)."""
    return 1 / (1 / float(share @ share) + 2)


def _checked(
    logits: ArrayLike, targets: ArrayLike, weights: ArrayLike | None, groups: ArrayLike | None
) -> tuple[Doubles, NDArray[np.int64], Doubles]:
    """Return logits (a copy), targets, and weights that sum to 1."""
    values, truth = np.array(logits, np.float64), np.asarray(targets)
    if values.ndim != 2 or not values.shape[1] or truth.shape != values.shape[:1]:
        raise InputError(
            f"Calibration needs logits (n, classes) and targets (n,); got {values.shape} and {truth.shape}."
        )
    truth = check_targets(truth, values.shape[1])
    if np.isnan(values).any() or np.isposinf(values).any() or np.isneginf(values).all(axis=1).any():
        raise InputError("The logits are not finite; train again with a lower --lr.")
    share = np.ones(len(truth))
    for given, name in ((weights, "weights"), (groups, "groups")):
        if given is not None and np.shape(given) != truth.shape:
            raise InputError(
                f"The {name} must be one for each of {len(truth)} pixels, not {np.shape(given)}."
            )
    if weights is not None:
        share = np.asarray(weights, np.float64)
        if not np.isfinite(share).all() or (share < 0).any() or (len(share) and not share.sum()):
            raise InputError("The weights must be 0 or more, and not all 0.")
    if groups is not None:
        members = np.unique(np.asarray(groups), return_inverse=True)[1].ravel()
        totals = np.bincount(members, share)
        share = np.divide(share, totals[members], out=np.zeros(len(share)), where=totals[members] > 0)
    return values, truth, share / share.sum() if len(share) else share


def _softmax(values: NDArray[Any], temperature: float = 1.0) -> NDArray[Any]:
    """Return the softmax of rows of `values / temperature`; equal values where all are minus infinity."""
    top = values.max(axis=-1, keepdims=True)
    none = np.isneginf(top)
    shifted = np.exp((values - np.where(none, 0, top)) / values.dtype.type(temperature))
    shifted[none[..., 0]] = 1
    shifted /= shifted.sum(axis=-1, keepdims=True)
    return shifted


def _log_softmax(values: Doubles) -> Doubles:
    shifted = values - values.max(axis=-1, keepdims=True)
    answer: Doubles = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    return answer
