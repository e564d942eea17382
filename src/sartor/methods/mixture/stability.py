"""When a search by gradient should end early: too many skips, or a validation loss that grows sharp in alpha.

DARTS+ (Liang et al.) stops once the normal cell derives to several skips. RobustDARTS (Zela et al., section 4.3)
measures the dominant eigenvalue of the Hessian of the validation loss with respect to alpha, and goes back to where it
was before it rose.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
GradientAt = Callable[[Array], Array]

# How far alpha is moved to either side of where the curvature is measured.
_RADIUS = 0.02


def dominant_eigenvalue(
    gradient_at: GradientAt, centre: Array, direction: Array, iterations: int, radius: float = _RADIUS
) -> tuple[float, Array]:
    """The magnitude of the Hessian's eigenvalue of largest magnitude, and its direction ``[P]``.

    Power iteration: the product of the Hessian with a vector is a central difference of two gradients, so that an
    iteration costs two.
    """
    value = 0.0
    for _ in range(iterations):
        along = radius * direction
        product = (gradient_at(centre + along) - gradient_at(centre - along)) / (2 * radius)
        value = float(np.linalg.norm(product))
        if value == 0.0:
            break
        direction = product / value
    return value, direction


class EigenvalueWatch:
    """Measures the dominant eigenvalue every ``every`` of the search, and says when it has risen.

    The search ends when the mean of the last ``window`` values is more than ``ratio`` times that mean ``delay``
    measurements earlier, where that earlier one was made at ``start`` of the search or later; alpha goes back to it.
    """

    def __init__(
        self, ratio: float, *, every: float, window: int, delay: int, iterations: int, start: float, direction: Array
    ) -> None:
        self.ratio, self.every, self.window, self.delay = ratio, every, window, delay
        self.iterations, self.start = iterations, start
        self.direction = direction / np.linalg.norm(direction)
        self.moments: list[float] = []
        self.values: list[float] = []
        self.snapshots: list[list[float]] = []  # alpha at the last ``delay + 1`` measurements

    def due(self, progress: float) -> bool:
        """Whether it is time for the next measurement."""
        return not self.moments or int(progress / self.every) > int(self.moments[-1] / self.every)

    def measure(self, progress: float, gradient_at: GradientAt, centre: Array) -> float:
        """One more value; power iteration goes on from the direction of the last one."""
        value, self.direction = dominant_eigenvalue(gradient_at, centre, self.direction, self.iterations)
        self.moments.append(progress)
        self.values.append(value)
        self.snapshots = [*self.snapshots, centre.tolist()][-self.delay - 1 :]
        return value

    def risen(self) -> tuple[float, Array] | None:
        """The earlier moment and alpha to go back to, if the eigenvalue has risen since."""
        earlier = len(self.values) - 1 - self.delay
        if earlier < 0 or self.moments[earlier] < self.start:
            return None
        if self._mean(len(self.values) - 1) <= self.ratio * self._mean(earlier):
            return None
        return self.moments[earlier], np.array(self.snapshots[0])

    def _mean(self, position: int) -> float:
        return float(np.mean(self.values[max(0, position + 1 - self.window) : position + 1]))

    def state_dict(self) -> dict[str, Any]:
        """Plain lists."""
        return {
            "direction": self.direction.tolist(),
            "moments": self.moments,
            "values": self.values,
            "snapshots": self.snapshots,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """The inverse of :meth:`state_dict`."""
        self.direction = np.array(state["direction"])
        self.moments, self.values = list(state["moments"]), list(state["values"])
        self.snapshots = [list(s) for s in state["snapshots"]]
