"""How weights are trained: the papers' schedules as defaults."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

ScheduleName = Literal["constant", "exponential", "cosine", "linear"]


@dataclass(frozen=True, kw_only=True)
class OptimiserSettings:
    """Stochastic gradient descent with a schedule.

    ``learning_rate`` belongs to ``batch_size`` pictures per step; ``micro_batch`` (a divisor of it) accumulates
    gradients over smaller pieces, so that the paper's batch fits a small machine. ``warmup_epochs`` rises linearly
    from zero. ``decay`` multiplies the rate once per epoch (exponential schedule only). ``dense_updates`` applies
    momentum and decay to weights that no pass of the step used, as the official codes do.
    """

    epochs: float
    batch_size: int = 128
    micro_batch: int | None = None
    learning_rate: float = 0.1
    schedule: ScheduleName = "constant"
    decay: float = 0.985
    warmup_epochs: float = 0.0
    momentum: float = 0.9
    nesterov: bool = False
    weight_decay: float = 0.0
    dense_updates: bool = False


@dataclass(frozen=True, kw_only=True)
class SearchTraining(OptimiserSettings):
    """Training of the supernet: constant rate 0.1 for 50 epochs (Wang & Blaschko, section 4.1).

    Momentum and decay are not stated there; these are those of the AOWS code.
    """

    epochs: float = 50
    weight_decay: float = 1e-5


@dataclass(frozen=True, kw_only=True)
class FinalTraining(OptimiserSettings):
    """Training of the chosen networks: 300 epochs, rate 0.1 times 0.985 per epoch (section 4.1).

    ``mode``: one network with shared weights (``slimmable``) or each network alone (``standalone``).
    ``sampling``: which middle platforms the sandwich draws, uniformly (suffix -U) or by weight (suffix -W).
    ``random_passes``: middle platforms per step. ``dropout`` acts on the largest network's passes only.
    ``distillation``: the other passes learn the largest network's soft predictions in place of the labels.
    """

    epochs: float = 300
    schedule: ScheduleName = "exponential"
    nesterov: bool = True
    weight_decay: float = 5e-4
    mode: Literal["slimmable", "standalone"] = "slimmable"
    sampling: Literal["uniform", "weight"] = "uniform"
    random_passes: int = 1
    dropout: float = 0.6
    distillation: bool = False
    label_smoothing: float = 0.0
