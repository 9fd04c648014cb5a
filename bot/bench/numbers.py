"""What is made of measured numbers: a line through points, quantiles. Pure."""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Fit:
    """T = `a_s` + `beta` · T_LB, by least squares. `points` is how many there were; two make a line without any doubt left."""

    a_s: float
    beta: float
    points: int

    def at(self, path_s: float) -> float:
        """T for a T_LB."""
        return self.a_s + self.beta * path_s


def fit(points: Sequence[tuple[float, float]]) -> Fit:
    """The line through (T_LB, T) points.

    Raises:
        ValueError: fewer than two different T_LB.
    """
    if len({path for path, _ in points}) < 2:
        raise ValueError("a line needs two different points")
    line = statistics.linear_regression([path for path, _ in points], [total for _, total in points])
    return Fit(line.intercept, line.slope, len(points))


def quantile(values: Sequence[float], share: float) -> float:
    """The smallest value that is not below this share of all (nearest rank).

    Raises:
        ValueError: there are no values.
    """
    if not values:
        raise ValueError("no values")
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]


def p50_p99(seconds: Sequence[float]) -> Mapping[str, float]:
    """Both, in milliseconds."""
    return {"p50": round(quantile(seconds, 0.5) * 1000, 2), "p99": round(quantile(seconds, 0.99) * 1000, 2)}
