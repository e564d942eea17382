"""The search: train shared weights, learn, and choose one architecture per platform."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from sartor.anytime.curves import area_under_curve
from sartor.anytime.evaluation import evaluate_exits
from sartor.anytime.stages import exit_costs
from sartor.costs.devices import LATENCY
from sartor.elastic.supernet import Supernet
from sartor.evaluate import evaluate
from sartor.methods.method import Choice, Method
from sartor.methods.supernet_evaluator import SupernetEvaluator
from sartor.network import last_logits
from sartor.pipeline.setting import Setting
from sartor.seeds import numpy_generator
from sartor.train.loop import Store, run_until

_CLOUD_PICTURES = 512
_LOOKS = 20  # at the most probable network over a search, at least


@dataclass(frozen=True)
class Searched:
    """What a search leaves: one choice per platform, the method (which can answer other budgets), the pictures seen."""

    choices: dict[str, Choice]
    method: Method
    supernet: Supernet
    images: int
    cost: int


def search(setting: Setting, store: Store, baseline: str | None = None, cost: int | None = None) -> Searched:
    """Runs the method of the job to its end; or a ``baseline`` method, at the ``cost`` that the job's method had.

    Raises:
        InfeasibleBudgetError: a platform that no architecture fits, before anything is trained.
        RequestError: the final training names a teacher that cannot be used.
    """
    method = setting.method(baseline)
    method.check_reachable()
    setting.teacher()  # refused now, not after the search
    evaluator = make_evaluator(setting, method, cost)
    looks = max(_LOOKS, round(setting.search.epochs))  # once per epoch, as in figure 3 of FP-NAS

    def step() -> dict[str, float]:
        before = evaluator.progress
        metrics = {**method.step(evaluator), "learning_rate": evaluator.learning_rate, **evaluator.clipping}
        # The moments follow from progress alone, so that a resumed search looks at the same ones.
        if int(before * looks) < int(evaluator.progress * looks):
            metrics |= accuracy_of_modes(setting, evaluator.supernet, method.most_probable())
        return metrics

    run_until(
        step,
        lambda: (1.0 if method.stopped else evaluator.progress, 1.0, evaluator.images),
        {"evaluator": evaluator, "method": method},
        store,
    )
    settle(setting, method, evaluator.supernet)
    choices = {p.name: method.choose(p) for p in setting.platforms}
    return Searched(choices, method, evaluator.supernet, evaluator.images, evaluator.cost)


def make_evaluator(setting: Setting, method: Method, cost: int | None = None) -> SupernetEvaluator:
    """A supernet evaluator on the job's pictures, which allows what the method takes, or a given ``cost``."""
    sets, settings = setting.index_sets, setting.search
    scoring = dataclasses.replace(settings, batch_size=settings.policy_batch_size or settings.batch_size)
    steering = sets.policy if len(sets.policy) else sets.weights
    return SupernetEvaluator(
        setting.supernet_space.supernet(seed=setting.seed, initialiser=settings.initialiser),
        setting.search_stream(settings, sets.weights, "search weights"),
        setting.search_stream(scoring, steering, "search policy"),
        settings,
        setting.runtime,
        passes_per_step=method.passes_per_step,
        scorings_per_step=method.scorings_per_step,
        updates_per_step=method.updates_per_step if method.varying_cost and cost is None else None,
        allowed_cost=cost,
    )


@torch.no_grad()
def accuracy_of_modes(setting: Setting, supernet: Supernet, modes: Mapping[str, NDArray[np.int64]]) -> dict[str, float]:
    """The accuracy, in percent, of the most probable networks under the shared weights, batch norms recalibrated.

    The mean over platforms and, with several, each by its name; nothing for methods without a policy.
    """
    if not setting.mode_pictures or not modes:
        return {}
    found = {}
    judges = [_one_batch(setting, setting.mode_pictures)]
    calibration = list(setting.calibration_batches(setting.mode_pictures))
    for name, row in modes.items():
        supernet.calibrate(row, calibration)
        supernet.eval()
        found[name] = evaluate(partial(supernet, selection=row), judges).accuracy
        supernet.statistics.clear()
    supernet.train()
    mean = {"mode_accuracy": float(np.mean(list(found.values())))}
    return mean if len(found) == 1 else mean | {f"mode_accuracy/{name}": value for name, value in found.items()}


def settle(setting: Setting, method: Method, supernet: Supernet) -> None:
    """Of a method's finalists, takes the one with the largest area under the any-time curve, if it has several.

    Under the shared weights, batch norms recalibrated, on the selection pictures; costs are those of the network that
    was searched, and the areas end at the dearest finalist's last exit.
    """
    finalists = method.finalists()
    if len(finalists) < 2:
        return
    tables = [_exits_of(setting, supernet, row) for row in finalists]
    high = max(costs[-1] for costs, _ in tables)
    chance = 100.0 / setting.space.num_classes
    areas = [area_under_curve(costs, accuracies, 0.0, high, chance=chance) for costs, accuracies in tables]
    method.settle(finalists[int(np.argmax(areas))])


def _exits_of(setting: Setting, supernet: Supernet, row: NDArray[np.int64]) -> tuple[list[float], list[float]]:
    """MACs and accuracies of every exit of one architecture under the shared weights."""
    supernet.calibrate(row, setting.calibration_batches())
    supernet.eval()
    judged = evaluate_exits(partial(supernet, selection=row), setting.selection_batches())
    supernet.statistics.clear()
    supernet.train()
    counted = exit_costs(setting.supernet_space.architecture(row).blueprint)
    return [float(cost.anytime_macs) for cost in counted], list(judged.single.accuracies)


@torch.no_grad()
def random_cloud(setting: Setting, supernet: Supernet) -> list[dict[str, Any]]:
    """Random architectures with their costs and their accuracy under the shared weights, for the picture.

    Statistics of the batch, on one batch of the selection pictures (of the weights' where that set is empty).
    """
    if not setting.cloud:
        return []
    rows = setting.space.sample(setting.cloud, numpy_generator(setting.seed, "cloud"))
    deployed = setting.deploy_space
    costs = {name: deployed.cost(name)(rows) for name in deployed.cost_names} | _latencies(setting, rows)
    x, y = _one_batch(setting, _CLOUD_PICTURES)
    supernet.train()
    points = []
    for i, row in enumerate(rows):
        logits = last_logits(supernet(x, row)).float()
        accuracy = 100.0 * float((logits.argmax(dim=1) == y).double().mean())
        point = {name: values[i].item() for name, values in costs.items()}
        points.append({**point, "accuracy": accuracy, "loss": float(F.cross_entropy(logits, y)), "sampled": "uniform"})
    return points


def _latencies(setting: Setting, rows: NDArray[np.int64]) -> dict[str, NDArray[Any]]:
    """The predicted latency of every row, where all latency budgets of the job are on one device."""
    devices = {p.device for p in setting.platforms if LATENCY in p.budgets}
    return {LATENCY: setting.deploy_space.cost(LATENCY, device=devices.pop())(rows)} if len(devices) == 1 else {}


def _one_batch(setting: Setting, limit: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Selection pictures (at most ``limit``), or a batch of those that teach weights where that set is empty."""
    batches = list(setting.selection_batches(limit))
    if not batches:
        stream = setting.stream(setting.search, setting.index_sets.weights, "cloud")
        return stream.batch(0)
    return torch.cat([x for x, _ in batches]), torch.cat([y for _, y in batches])
