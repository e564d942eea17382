"""Pareto fronts of accuracy against cost: which networks are on them, how much they cover, and their picture.

Lower costs and higher accuracies are better. The staircase of a front says what is to be had within any budget: the
best accuracy among the networks that cost at most so much.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sartor.compare.statistics import mean_of
from sartor.errors import RequestError
from sartor.quantities import KINDS
from sartor.report import theme, words

# The costs and the accuracies (percent) of the networks of one search, ``[n]`` each.
Networks = tuple[ArrayLike, ArrayLike]


def pareto_front(costs: ArrayLike, accuracies: ArrayLike) -> NDArray[np.int64]:
    """Positions of the networks that no other dominates, from the cheapest to the dearest.

    A network is dominated by another that is as cheap and as good, and better in one of the two. Of networks equal in
    both the first stands for all, so both columns ascend strictly along the front. No networks have an empty front.

    Raises:
        RequestError: the two are not ``[n]`` finite numbers each.
    """
    cost, accuracy = _columns(costs, accuracies)
    order = np.lexsort((-accuracy, cost))  # stable: the first of equals comes first
    best = np.maximum.accumulate(accuracy[order])
    better = np.ones(len(order), dtype=bool)
    better[1:] = best[1:] > best[:-1]
    return np.asarray(order[better], dtype=np.int64)


def best_within(costs: ArrayLike, accuracies: ArrayLike, budgets: ArrayLike) -> NDArray[np.float64]:
    """The staircase: the best accuracy within each budget, NaN where nothing is so cheap; in the shape of ``budgets``.

    Raises:
        RequestError: as in :func:`pareto_front`.
    """
    cost, accuracy = _columns(costs, accuracies)
    front = pareto_front(cost, accuracy)
    steps = np.concatenate([[np.nan], accuracy[front]])
    place = np.searchsorted(cost[front], np.asarray(budgets, dtype=np.float64), side="right")
    return np.asarray(steps[place], dtype=np.float64)


def hypervolume(costs: ArrayLike, accuracies: ArrayLike, *, reference_cost: float, reference_accuracy: float) -> float:
    """The area between a front and a reference point, exactly; in units of the cost times points of accuracy.

    What is dearer or worse than the reference covers nothing. Fix one reference per study: the dearest cost and the
    accuracy of a guess, say. Two fronts are comparable under the same reference alone.

    Raises:
        RequestError: as in :func:`pareto_front`, or the reference is not finite.
    """
    if not np.isfinite([reference_cost, reference_accuracy]).all():
        raise RequestError(
            f"a hypervolume needs a finite reference point; got cost {reference_cost}, accuracy {reference_accuracy}"
        )
    cost, accuracy = _columns(costs, accuracies)
    counted = (cost < reference_cost) & (accuracy > reference_accuracy)
    cost, accuracy = cost[counted], accuracy[counted]
    front = pareto_front(cost, accuracy)
    widths = np.diff(cost[front], append=reference_cost)
    return float((widths * (accuracy[front] - reference_accuracy)).sum())


def staircase(searches: Sequence[Networks], budgets: ArrayLike) -> list[dict[str, float]]:
    """What repeated searches have within each budget: the mean of their best accuracies with its 95 % interval.

    One row per budget at which every search has a network; without spread the interval is the mean.
    """
    found = np.array([best_within(costs, accuracies, budgets) for costs, accuracies in searches])
    rows = []
    for budget, values in zip(np.asarray(budgets, dtype=np.float64).tolist(), found.T.tolist(), strict=True):
        if not np.isnan(values).any():
            mean = mean_of(values)
            low, high = mean.interval or (mean.mean, mean.mean)
            rows.append({"cost": budget, "accuracy": mean.mean, "low": low, "high": high})
    return rows


def front_chart(
    methods: Mapping[str, Sequence[Networks]], cost: str, title: str, subtitle: str = "", grey: str = "random"
) -> dict[str, Any]:
    """Fronts of several methods in Vega-Lite: the mean staircase of each, with 95 % bands over its searches.

    Args:
        methods: name -> its searches, each the costs and accuracies of its networks.
        cost: the name of the cost, such as ``macs``.
        grey: the method that is drawn in grey.
    """
    scale = theme.series_scale(list(methods), grey=grey)
    named = {"field": "method", "type": "nominal"}
    counted = cost in KINDS and KINDS[cost].noun == "count"
    axis = {"axis": {"format": "~s"}} if counted else {}
    ends = {"scale": {"zero": False}, "title": "Best accuracy within the cost (%)"}
    shared = {
        "x": {"field": "cost", "type": "quantitative", "title": words.heading(cost), "scale": {"zero": False}, **axis},
        "color": {**named, "scale": {"domain": scale["domain"], "range": scale["colours"]}},
    }
    dash = {"strokeDash": {**named, "scale": {"domain": scale["domain"], "range": scale["dashes"]}}}
    band = {"y": {"field": "low", "type": "quantitative", **ends}, "y2": {"field": "high"}}
    line = {"y": {"field": "accuracy", "type": "quantitative", **ends}}
    return {
        "title": {"text": title, **({"subtitle": subtitle} if subtitle else {})},
        "width": 680,
        "height": 340,
        "padding": 16,
        "data": {"values": list(_steps(methods))},
        "layer": [
            {"mark": {"type": "area", "opacity": 0.15, "interpolate": "step-after"}, "encoding": {**shared, **band}},
            {
                "mark": {"type": "line", "strokeWidth": 2, "interpolate": "step-after"},
                "encoding": {**shared, **line, **dash},
            },
        ],
        "config": {**theme.CONFIG, "background": "@card", "font": "Liberation Sans, Arial, sans-serif"},
    }


def _steps(methods: Mapping[str, Sequence[Networks]]) -> Iterable[dict[str, Any]]:
    """The staircases at every cost at which one of them rises; all reach to the dearest network of a front."""
    fronts = {
        name: [(np.asarray(c)[front], np.asarray(a)[front]) for c, a in searches for front in [pareto_front(c, a)]]
        for name, searches in methods.items()
    }
    rises = {name: [cost for cost, _ in found] for name, found in fronts.items() if found}
    dearest = max((float(cost.max()) for found in rises.values() for cost in found if len(cost)), default=0.0)
    for name, found in rises.items():
        budgets = np.unique(np.concatenate([*found, [dearest]]))
        yield from ({"method": name, **row} for row in staircase(fronts[name], budgets))


def _columns(costs: ArrayLike, accuracies: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    cost, accuracy = np.asarray(costs, dtype=np.float64), np.asarray(accuracies, dtype=np.float64)
    if cost.ndim != 1 or cost.shape != accuracy.shape:
        raise RequestError(
            f"a front needs one accuracy per cost; got costs of shape {cost.shape}, accuracies of {accuracy.shape}"
        )
    wrong = np.flatnonzero(~(np.isfinite(cost) & np.isfinite(accuracy)))
    if len(wrong):
        row = int(wrong[0])
        raise RequestError(
            f"a front needs finite numbers; network {row} has cost {cost[row]}, accuracy {accuracy[row]}"
        )
    return cost, accuracy
