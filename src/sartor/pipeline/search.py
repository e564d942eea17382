"""The search: train shared weights, learn, and choose one architecture per platform."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F

from sartor.costs.analytic import ANALYTIC_COSTS
from sartor.elastic.supernet import Supernet
from sartor.methods.budgets import check_reachable
from sartor.methods.method import Choice, Method
from sartor.methods.supernet_evaluator import SupernetEvaluator
from sartor.pipeline.setting import Setting
from sartor.seeds import numpy_generator
from sartor.train.loop import Store, run_until

_CLOUD_PICTURES = 512


@dataclass(frozen=True)
class Searched:
    """What a search leaves: one choice per platform, the method (which can answer other budgets), the pictures seen."""

    choices: dict[str, Choice]
    method: Method
    supernet: Supernet
    images: int


def search(setting: Setting, store: Store, method_name: str | None = None) -> Searched:
    """Runs the method of the job to its end, or another one, as a baseline, at the cost of the job's method.

    Raises:
        InfeasibleBudgetError: a platform that no architecture fits, before anything is trained.
    """
    check_reachable(setting.space, setting.platforms)
    method = setting.method(method_name)
    evaluator = make_evaluator(setting)

    def step() -> dict[str, float]:
        metrics = method.step(evaluator)
        return {**metrics, "learning_rate": evaluator.learning_rate}

    run_until(
        step,
        lambda: (evaluator.cost, evaluator.total_cost, evaluator.images),
        {"evaluator": evaluator, "method": method},
        store,
    )
    choices = {p.name: method.choose(p) for p in setting.platforms}
    return Searched(choices, method, evaluator.supernet, evaluator.images)


def make_evaluator(setting: Setting) -> SupernetEvaluator:
    """A supernet evaluator on the job's pictures, which allows the cost that the job's method takes."""
    sets, method = setting.index_sets, setting.method()
    steering = sets.policy if len(sets.policy) else sets.weights
    return SupernetEvaluator(
        setting.space.supernet(seed=setting.seed),
        setting.stream(setting.search, sets.weights, "search weights"),
        setting.stream(setting.search, steering, "search policy"),
        setting.search,
        setting.runtime,
        passes_per_step=method.passes_per_step,
        scorings_per_step=method.scorings_per_step,
    )


@torch.no_grad()
def random_cloud(setting: Setting, supernet: Supernet) -> list[dict[str, Any]]:
    """Random architectures with their costs and their accuracy under the shared weights, for the picture.

    Statistics of the batch, on one batch of the selection pictures (of the weights' where that set is empty).
    """
    if not setting.cloud:
        return []
    rows = setting.space.sample(setting.cloud, numpy_generator(setting.seed, "cloud"))
    costs = {name: setting.space.cost(name)(rows) for name in ANALYTIC_COSTS}
    x, y = _cloud_batch(setting)
    supernet.train()
    points = []
    for i, row in enumerate(rows):
        logits = supernet(x, row)
        logits = (logits[-1] if isinstance(logits, tuple) else logits).float()
        accuracy = 100.0 * float((logits.argmax(dim=1) == y).double().mean())
        point = {name: int(values[i]) for name, values in costs.items()}
        points.append({**point, "accuracy": accuracy, "loss": float(F.cross_entropy(logits, y)), "sampled": "uniform"})
    return points


def _cloud_batch(setting: Setting) -> tuple[torch.Tensor, torch.Tensor]:
    batches = list(setting.selection_batches(_CLOUD_PICTURES))
    if not batches:
        stream = setting.stream(setting.search, setting.index_sets.weights, "cloud")
        return stream.batch(0)
    return torch.cat([x for x, _ in batches]), torch.cat([y for _, y in batches])
