"""A Markov random field of the labels of neighbouring pixels, solved by mean field."""

from __future__ import annotations

import numpy as np

from hsi.smoothing.neighbourhood import ALL, Box, Floats, Groups, pairs, planes_of, similarity

_LEAST = np.float32(1e-6)
"""Smallest probability whose logarithm is taken: no model is surer than this of what a pixel is not."""

_DIRECTIONS = ((0, 1), (1, 0), (1, 1), (1, -1))
"""Half of a pixel's 8 neighbours; the other half are theirs."""


def mean_field(
    proba: Floats, guide: Floats, groups: Groups, beta: float, contrast: float, iterations: int
) -> Floats:
    """Return the marginal probabilities of a Potts model whose weights depend on the contrast of the guide.

    The energy of a label map x is ``sum_i -ln p_i(x_i) + beta sum_ij w_ij [x_i != x_j]`` over pairs of
    8-neighbours of one group, ``w_ij = exp(-|g_i - g_j|^2 / (2 contrast^2)) / |i - j|`` (Boykov and Jolly
    2001), |i - j| being 1 or the root of 2 pixels. Its mean-field approximation is updated for all pixels at
    once (Kraehenbuehl and Koltun 2011, equation 4, with neighbours in place of the dense graph):
    ``Q_i(c) = p_i(c) exp(beta sum_j w_ij Q_j(c)) / Z_i``, from Q = p.

    Parameters
    ----------
    proba, guide
        ``(rows, cols, C)`` and ``(rows, cols, F)``; never used in group 0.
    groups
        ``(rows, cols)``, 0 where there is no data; the result there is as `proba`.
    beta
        Weight of a pair whose labels differ, in nats; 0 leaves everything as it is.
    contrast
        Difference of the guide, in its unit, at which a pair weighs 0.61 of what it does without any.
    iterations
        Updates, a fixed number: a pixel depends on others at most as many pixels away.
    """
    planes, features = planes_of(proba, groups), planes_of(guide, groups)
    unary = np.log(np.maximum(planes, _LEAST))
    weights = _weights(features, groups, beta, contrast)
    belief, message, product = planes, np.empty_like(planes), np.empty_like(planes)
    for _ in range(iterations):
        np.copyto(message, unary)
        for weight, here, there in weights:
            part = product[:, : weight.shape[0], : weight.shape[1]]
            for mine, theirs in ((here, there), (there, here)):
                np.multiply(weight, belief[(ALL, *theirs)], out=part)
                message[(ALL, *mine)] += part
        belief, message = _softmax(message), belief
    return np.where(groups[..., None] > 0, np.moveaxis(belief, 0, 2), proba)


def _weights(guide: Floats, groups: Groups, beta: float, contrast: float) -> list[tuple[Floats, Box, Box]]:
    found = []
    for down, right in _DIRECTIONS:
        here, there = pairs(groups.shape, down, right)
        weight = similarity(guide, groups, here, there, contrast)
        weight *= np.float32(beta / np.hypot(down, right))
        found.append((weight, here, there))
    return found


def _softmax(logits: Floats) -> Floats:
    """Return the softmax over the first axis, in place.

    Classes are added one after the other: NumPy's own sum takes another order where a plane is one pixel.
    """
    most = logits[0].copy()
    for plane in logits[1:]:
        np.maximum(most, plane, out=most)
    logits -= most
    np.exp(logits, out=logits)
    total = logits[0].copy()
    for plane in logits[1:]:
        total += plane
    logits /= total
    return logits
