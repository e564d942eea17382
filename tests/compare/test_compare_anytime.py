"""Comparisons where one network with exits serves all platforms."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from training_samples import plain_job

from sartor import spaces
from sartor.compare.random_for_all import RandomForAll
from sartor.compare.result import compare_training
from sartor.config import Job
from sartor.errors import InfeasibleBudgetError, RequestError
from sartor.methods.budgets import budgets_of
from sartor.platforms import Platform
from sartor.space import SearchSpace

SPACE: dict[str, Any] = {"scales": 2, "layers": 3, "nodes": 2, "channels": 4}
PLATFORMS = [Platform("watch", {"macs": "1M"}), Platform("phone", {"macs": "1.6M"})]


@pytest.fixture(scope="module")
def space() -> SearchSpace:
    """A small space of cells with an exit on every layer but the first."""
    return spaces.create("ms_ranas", num_classes=10, image_size=16, in_channels=1, **SPACE)


def test_random_search_for_all(space: SearchSpace) -> None:
    """Candidates serve everybody, none twice; the best one answers all platforms, each by its latest exit that fits."""
    method = RandomForAll(space, PLATFORMS, seed=3)
    method.check_reachable()
    rows = np.unique(method._draw(0, 30, np.random.default_rng(0)), axis=0)
    for k, row in enumerate(rows):
        method.seen[0][tuple(row.tolist())] = [2.0 * (k != 4), 1.0]
    watch, phone = (method.choose(platform) for platform in PLATFORMS)
    assert watch.architecture == phone.architecture == space.architecture(rows[4])
    assert watch.score == 0 and watch.exit is not None and phone.exit is not None and watch.exit <= phone.exit
    for choice, platform in ((watch, PLATFORMS[0]), (phone, PLATFORMS[1])):
        assert choice.exit is not None and choice.costs["macs"] <= platform.budgets["macs"]
        for later in range(choice.exit + 1, space.exits):
            (budget,) = budgets_of(space, platform, later)
            assert budget.cost(rows[4][None])[0] > budget.limit
    with pytest.raises(RequestError, match="'tv'"):
        method.choose(Platform("tv", {"macs": "9M"}))


def test_nobody_can_be_served(space: SearchSpace) -> None:
    """A platform that not even the first exit fits is refused by its name."""
    with pytest.raises(InfeasibleBudgetError, match="watch"):
        RandomForAll(space, [Platform("watch", {"macs": 10}), PLATFORMS[1]]).check_reachable()


def test_whole_comparison(tmp_path: Path) -> None:
    """MS-RANAS beside random cells at equal cost; a method that answers with a network for each says so."""
    given = plain_job(
        data={"policy": 0.3, "weights": 0.4, "selection": 0.3, "image_size": 16},
        method="ms_ranas",
        platforms=[{"name": p.name, **p.budgets} for p in PLATFORMS],
        train={"epochs": 0.5, "dropout": 0.0},
    )
    given["space"] = {"name": "ms_ranas", **SPACE}
    found = compare_training(Job.from_dict(given), ("ms_ranas", "tunas"), 1, folder=tmp_path / "c")
    assert "exits serve all platforms" in found["methods"]["tunas"]["not_applicable"]
    costs = [found["methods"][name]["search_cost_images"][0] for name in ("ms_ranas", "random")]
    assert all(found["search_budget_images"] <= cost < found["search_budget_images"] + 100 for cost in costs)
    for name in ("ms_ranas", "random"):
        (answers,) = found["methods"][name]["answers"]
        assert answers["watch"] == answers["phone"] and found["methods"][name]["within_budget"] == 1.0
