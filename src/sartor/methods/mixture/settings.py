"""The settings of MS-RANAS's search, and the recipes of its two trainings, which are those of DARTS."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from sartor.errors import RequestError
from sartor.methods.mixture.cost_pull import CostRule

SEARCH_RECIPE: Mapping[str, Any] = {
    "epochs": 50,
    "batch_size": 64,
    "learning_rate": 0.025,
    "per_pictures": 64,
    "schedule": "cosine",
    "final_rate": 0.001,
    "momentum": 0.9,
    "weight_decay": 3e-4,
    "gradient_clip": 5.0,
    "recompute": False,
}

TRAIN_RECIPE: Mapping[str, Any] = {
    "epochs": 600,
    "batch_size": 96,
    "mode": "anytime",
    "learning_rate": 0.025,
    "per_pictures": 96,
    "schedule": "cosine",
    "momentum": 0.9,
    "nesterov": False,
    "weight_decay": 3e-4,
    "gradient_clip": 5.0,
    "dropout": 0.0,
    "drop_path": 0.2,
    "drop_path_ramp": True,
}


@dataclass(frozen=True, kw_only=True)
class MSRANASSettings:
    """Settings of MS-RANAS; the defaults are those of DARTS, whose search the paper takes over.

    ``order``: of the architecture gradient; 2 is after one unrolled training step, at 2.5 times the cost.
    ``rate``, ``weight_decay``: Adam's for alpha. The rate suits the paper's 19,550 steps; with the rule ``scaled`` it
    grows with the root of 19,550 over the number of steps, so that a short search comes as far against its noise;
    ``paper`` takes it as it is.

    ``none``: whether the option ``none`` takes part in the mixtures (it is never derived); false for operation sets
    without it. ``edge_weights``: every node also weighs its edges (PC-DARTS), and cells are derived on the product.

    ``cost_weight`` times |E[cost] / target - 1| is added to the loss, E over derived cells whose probabilities are the
    products of their weights to the power of 1 / ``cost_temperature``; ``cost: hinge`` counts only what is above. null:
    whatever the scale of the loss, the step for a budget is 0.3 times as long as that for the loss, so that the target
    is met. 0: budgets act when the cell is derived, and only then. ``lazy_costs``: an exit costs what it reads, not
    all cells up to it.

    Against collapse: ``warmup`` is the share of the search in which weights alone learn (PC-DARTS 0.3, DARTS 0);
    ``auxiliary_skip`` adds a skip to every edge outside the softmax, whose weight falls from 1 to 0 (DARTS-);
    ``skip_cap``: the most skips that a derived normal cell may have.
    ``stop_skips``: the search ends once the normal cell derives to so many (DARTS+: 2 of 8 edges).
    ``stop_eigenvalue``: it ends, and goes back, once the dominant eigenvalue of the validation loss's Hessian in alpha
    has risen by that ratio (RobustDARTS: 1.3): the mean of the last ``eigenvalue_window`` values against that mean
    ``eigenvalue_delay`` measurements earlier. One is made every ``eigenvalue_every`` of the search, by
    ``eigenvalue_iterations`` power iterations of two gradients each. Neither rule looks before the share
    ``stop_from``.

    ``finalists``: so many cells of highest weight are handed on, for a selection by the area under the any-time curve.
    """

    order: Literal[1, 2] = 1
    rate: float = 3e-4
    rate_rule: Literal["scaled", "paper"] = "scaled"
    weight_decay: float = 1e-3
    none: bool = True
    edge_weights: bool = False
    cost: CostRule = "absolute"
    cost_weight: float | None = None
    cost_temperature: float = 0.03
    lazy_costs: bool = False
    warmup: float = 0.0
    auxiliary_skip: bool = False
    skip_cap: int | None = None
    stop_skips: int | None = None
    stop_eigenvalue: float | None = None
    eigenvalue_every: float = 0.04
    eigenvalue_window: int = 5
    eigenvalue_delay: int = 4
    eigenvalue_iterations: int = 5
    stop_from: float = 0.2
    finalists: int = 1

    def __post_init__(self) -> None:
        ratio = self.stop_eigenvalue
        allowed = {
            "order": (self.order in (1, 2), "1 or 2"),
            "rate": (self.rate > 0, "more than 0"),
            "weight_decay": (self.weight_decay >= 0, "at least 0"),
            "cost_weight": (self.cost_weight is None or self.cost_weight >= 0, "null or at least 0"),
            "cost_temperature": (self.cost_temperature > 0, "more than 0"),
            "warmup": (0 <= self.warmup < 1, "a share from 0 to below 1"),
            "skip_cap": (self.skip_cap is None or self.skip_cap >= 0, "null or at least 0"),
            "stop_skips": (self.stop_skips is None or self.stop_skips >= 1, "null or at least 1"),
            "stop_eigenvalue": (ratio is None or ratio > 1, "null or a ratio above 1"),
            "eigenvalue_every": (0 < self.eigenvalue_every <= 1, "a share above 0 and up to 1"),
            "eigenvalue_window": (self.eigenvalue_window >= 1, "at least 1"),
            "eigenvalue_delay": (self.eigenvalue_delay >= 1, "at least 1"),
            "eigenvalue_iterations": (self.eigenvalue_iterations >= 1, "at least 1"),
            "stop_from": (0 <= self.stop_from < 1, "a share from 0 to below 1"),
            "finalists": (self.finalists >= 1, "at least 1"),
        }
        for name, (holds, what) in allowed.items():
            if not holds:
                raise RequestError(f"method.{name}: {getattr(self, name)}, allowed is {what}")
