"""Adam in numpy, for the few hundred numbers of a policy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


class Adam:
    """Kingma & Ba's Adam: bias-corrected moments, ``epsilon`` outside the root.

    TuNAS uses ``beta1 = 0``: every logit's gradient over its own root mean square (facts, section 3).
    """

    def __init__(
        self, shape: tuple[int, ...], *, beta1: float = 0.9, beta2: float = 0.999, epsilon: float = 1e-8
    ) -> None:
        self.beta1, self.beta2, self.epsilon = beta1, beta2, epsilon
        self.first, self.second = np.zeros(shape), np.zeros(shape)
        self.steps = 0

    def change(self, gradient: Array, rate: float, squares: Array | None = None) -> Array:
        """One step down the gradient: what to add to the parameters.

        ``squares`` feeds the second moment where it is not the gradient's own square: the official TuNAS averages the
        squared gradients of its cores and not their mean. With rate 0 the moments move and the parameters stay.
        """
        self.steps += 1
        self.first += (1 - self.beta1) * (gradient - self.first)
        self.second += (1 - self.beta2) * ((gradient**2 if squares is None else squares) - self.second)
        mean = self.first / (1 - self.beta1**self.steps)
        square = self.second / (1 - self.beta2**self.steps)
        return np.asarray(-rate * mean / (np.sqrt(square) + self.epsilon))

    def state_dict(self) -> dict[str, Any]:
        """Plain lists."""
        return {"steps": self.steps, "first": self.first.tolist(), "second": self.second.tolist()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """The inverse of :meth:`state_dict`; the shape is that of the state."""
        self.steps = int(state["steps"])
        self.first, self.second = np.array(state["first"]), np.array(state["second"])
