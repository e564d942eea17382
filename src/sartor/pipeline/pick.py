"""Another budget from a finished search: solved at once, trained and exported on request."""

from __future__ import annotations

from typing import Any

from sartor.errors import RequestError
from sartor.pipeline.finished import finished_method
from sartor.pipeline.promises import LatencyPromise
from sartor.platforms import Platform
from sartor.run import RunFolder


def pick(folder: RunFolder, platform: Platform, train: bool = False) -> dict[str, Any]:
    """The best architecture of a finished search for a new platform, as plain data.

    With ``train`` the network is trained alone, calibrated, judged, exported and verified; its files go beside those
    of the run, and killed it goes on like a run.

    Raises:
        RequestError: the search is not done, or the platform's name is taken by one with other budgets.
        InfeasibleBudgetError: no architecture meets the budgets.
    """
    if not folder.done("search"):
        raise RequestError(f"{folder.path}: the search is not done yet; finish it with sartor search {folder.path}")
    choice = finished_method(folder).choose(platform).to_dict()
    promise = LatencyPromise.of(platform, choice["costs"])
    known = {"name": platform.name, "device": platform.device, "budgets": dict(platform.budgets)}
    found: dict[str, Any] = {**known, **choice, "latency": None if promise is None else promise.to_dict()}
    if not train:
        return found
    from sartor.pipeline.picked import train_picked  # needs torch, which solving does not

    return {**found, **train_picked(folder, platform, choice)}
