"""The Pareto front: what nothing else is better than in everything."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def best_of(values: Sequence[Sequence[float]], less: Sequence[bool]) -> list[bool]:
    """Return which points no other one dominates.

    Args:
        values: the objectives of each point, finite.
        less: of each objective, whether less is better.

    A point dominates another if it is as good in every objective and better in one. Of equal points the
    first is taken.
    """
    signs = np.where(less, 1.0, -1.0)
    points = np.asarray(values, dtype=np.float64).reshape(len(values), len(less)) * signs
    found = []
    for place, own in enumerate(points):
        as_good = (points <= own).all(axis=1)
        better = as_good & (points < own).any(axis=1)
        twin = (points[:place] == own).all(axis=1)
        found.append(not better.any() and not twin.any())
    return found
