"""By how much the keys that have not moved differ from their expectation: the centre of a mix. Pure."""

from __future__ import annotations

import numpy as np

from tokentide_stream.detection.season import Bools, Floats

GONE = 0.25
"""A key below that part of its expectation counts as gone."""


def weighted_median(values: Floats, weights: Floats) -> float | None:
    """Of values that weigh at most 40 % of all each; None where nothing weighs."""
    capped = np.minimum(weights, 0.4 * weights.sum())
    order = np.argsort(values)
    cumulative = np.cumsum(capped[order])
    if cumulative[-1] <= 0:
        return None
    return float(values[order][np.searchsorted(cumulative, cumulative[-1] / 2)])


def centre_of(ratio: Floats, expected: Floats, count: Floats, usable: Bools) -> float:
    """By which factor the keys that have not moved differ from their expectation: the weighted median over keys.

    One key's rise lowers every other share by one common factor; the median finds that factor as long as keys with
    half of the weight have not moved. A key weighs the root of its size, at most 40 % of all.
    """
    fit = usable & (count >= 8)
    least_keys, least_mass = 3, 0.4
    # Where part of the keys is gone and the rest has all of it, the rest has not moved, even if it was the lesser part.
    alive = fit & (ratio >= GONE)
    if alive.sum() < fit.sum() and expected[alive].sum() >= 0.1 * expected[fit].sum():
        fit, least_keys, least_mass = alive, 2, 0.1
    if fit.sum() < least_keys or expected[fit].sum() < least_mass * expected[usable].sum():
        mass = float(expected[usable].sum())
        return float((ratio * expected)[usable].sum()) / mass if mass > 0 else 1.0
    values = ratio[fit]
    median = weighted_median(values, np.sqrt(expected[fit]))
    if median is None or median <= 0:
        return 1.0
    near = np.abs(values / median - 1) < np.maximum(0.05, 3.0 / np.sqrt(count[fit]))
    mean = float((values * expected[fit])[near].sum() / expected[fit][near].sum()) if near.any() else median
    return mean if mean > 0 else 1.0
