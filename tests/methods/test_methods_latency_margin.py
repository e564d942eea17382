"""Predictions of a device are kept below a latency budget by its margin: exactly, and by every method."""

from __future__ import annotations

import json
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from sartor import spaces
from sartor.config import Job
from sartor.costs.devices import device_cost
from sartor.costs.keys import space_pieces
from sartor.costs.tables import Entry, LatencyTable
from sartor.errors import InfeasibleBudgetError
from sartor.methods import registry
from sartor.methods.budgets import budgets_of, check_reachable, limits_of, margin_of, predictable_ns
from sartor.methods.evaluator import History
from sartor.methods.ows import OWS, OWSSettings
from sartor.methods.random_search import RandomSearch
from sartor.pipeline.baselines import uniform_width
from sartor.pipeline.promises import tightened
from sartor.platforms import Platform

SPACE = spaces.create("mobilenet_v1", num_classes=10, image_size=8, in_channels=1, multiplier=0.25, divisor=4, levels=2)
ROWS: NDArray[np.int64] = np.indices(SPACE.sizes).reshape(len(SPACE.sizes), -1).T
MARGIN = 0.137
STEPS = 25


@pytest.fixture(scope="module")
def device(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A made-up device file whose error report has a margin."""
    entries = {
        key: Entry(900 + 7 * sum(layer.macs for layer in piece.layers)) for key, piece in space_pieces(SPACE).items()
    }
    table = LatencyTable(
        kind="table",
        device={"name": "board"},
        runtime={"name": "onnxruntime", "version": "1.0"},
        threads=1,
        dtype="float32",
        batch=1,
        image_size=8,
        date="2026-01-01T00:00:00+00:00",
        repeats=15,
        space={"name": SPACE.name, "options": SPACE.options},
        call_ns=3000,
        entries=entries,
        noise={},
        errors={"raw": {"margin_90": MARGIN}},
    )
    path = tmp_path_factory.mktemp("device") / "board.json"
    path.write_text(json.dumps(table.to_dict()))
    return str(path)


def within(device: str, budget_ms: float, margin: float) -> NDArray[np.int64]:
    """The rows whose prediction, times 1 + margin, keeps the budget: in fractions, one by one."""
    costs = device_cost(SPACE, device)(ROWS)
    budget_ns = Fraction(str(budget_ms)) * 1_000_000
    return ROWS[[int(ns) * (1 + Fraction(str(margin))) <= budget_ns for ns in costs]]


class Guesses:
    """An evaluator whose losses are lower for dearer networks, with noise."""

    trains = False
    scoring_share = 1 / STEPS

    def __init__(self, device: str) -> None:
        self.cost, self.rng = device_cost(SPACE, device), np.random.default_rng(0)
        self.history, self.asked = History(), 0

    @property
    def progress(self) -> float:
        return min(1.0, self.asked / STEPS)

    @property
    def done(self) -> bool:
        return self.asked >= STEPS

    def train(self, passes: Sequence[Any], combine: str = "sum", temperature: float = 1.0) -> Any:
        return np.array([self._loss(p.selection) if p.observe else np.nan for p in passes])

    def score(self, selections: Sequence[Any]) -> tuple[Any, Any]:
        losses = np.array([self._loss(s) for s in selections])
        return losses, 1 - losses / 4

    def _loss(self, selection: Any) -> float:
        self.asked += 1
        row = np.asarray(getattr(selection, "row", selection))[None]
        return 2 - float(self.cost(row)[0]) / 1e6 + 0.05 * float(self.rng.normal())


def searched(name: str, platform: Platform, settings: Any = None) -> Any:
    """A method after a short search."""
    assert platform.device is not None
    method: Any = registry.method_class(name)(SPACE, [platform], settings, seed=0)
    evaluator = Guesses(platform.device)
    while not evaluator.done:
        method.step(evaluator)
    return method


def middle_ms(device: str) -> float:
    """A budget that half of the networks meet without a margin."""
    return round(float(np.median(device_cost(SPACE, device)(ROWS))) / 1e6, 4)


NAMES = [name for name in registry.names() if "mixtures" not in registry.method_class(name).needs]


@pytest.mark.parametrize("name", NAMES)
def test_every_method_keeps_the_margin_of_the_file(name: str, device: str) -> None:
    """The answer's prediction, times 1 + margin, is within the budget; without the margin it would not need to be."""
    budget = middle_ms(device)
    platform = Platform("p", {"latency_ms": budget}, device=device)
    row = np.array(searched(name, platform).choose(platform).architecture.row)
    allowed = {tuple(r) for r in within(device, budget, MARGIN)}
    assert 0 < len(allowed) < len(within(device, budget, 0))
    assert tuple(row) in allowed


@pytest.mark.parametrize("margin", [None, 0.0, 0.5])
def test_the_answer_is_the_best_of_all_that_keep_the_margin(margin: float | None, device: str) -> None:
    """Against brute force over the whole space, with the file's margin, with none, and with another one."""
    budget = middle_ms(device)
    platform = Platform("p", {"latency_ms": budget}, device=device, latency_margin=margin)
    method = searched("ows", platform, OWSSettings(check=False))
    assert isinstance(method, OWS)
    scores = method.scores()
    allowed = within(device, budget, MARGIN if margin is None else margin)
    choice = method.choose(platform)
    assert choice.score == pytest.approx(float(scores(allowed).min()), abs=1e-12)
    best = allowed[scores(allowed).argmin()]
    assert device_cost(SPACE, device)(best[None])[0] / 1e6 == pytest.approx(choice.costs["latency_ms"])


def test_the_limit_is_exact_to_the_nanosecond(device: str) -> None:
    """A network at the limit is in, one nanosecond less of budget and it is out; nothing is lost in binary."""
    costs = np.sort(device_cost(SPACE, device)(ROWS))
    ns = int(costs[len(costs) // 2])
    for margin in (0.0, 0.1, 0.137, 1 / 3):
        exact = Fraction(ns) * (1 + Fraction(repr(margin))) / 1_000_000
        budgets = [float(exact) * (1 + k * 1e-15) for k in range(-3, 4)]
        assert [predictable_ns(b, margin) == ns for b in budgets] == [Fraction(repr(b)) >= exact for b in budgets]
    assert predictable_ns(57.3, 0.0) == 57_300_000
    platform = Platform("p", {"latency_ms": 57.3, "macs": 5}, device=device, latency_margin=0.0)
    assert limits_of(platform) == {"latency_ms": 57.3, "macs": 5}


def test_margins_come_from_the_platform_the_file_or_nowhere(device: str) -> None:
    """The platform's own wins; a device that nobody measured has none."""
    asked: dict[str, Any] = {"name": "p", "budgets": {"latency_ms": 60}}
    assert margin_of(Platform(**asked, device=device)) == MARGIN
    assert margin_of(Platform(**asked, device=device, latency_margin=0.02)) == 0.02
    assert margin_of(Platform(**asked, device="pixel1_tunas")) == 0.0
    assert margin_of(Platform("p", {"macs": 1})) == 0.0


def test_what_cannot_be_met_names_the_margin(device: str) -> None:
    """The message has the limit that was left, and why it is less than the budget."""
    cheapest = float(device_cost(SPACE, device)(ROWS).min()) / 1e6
    platform = Platform("p", {"latency_ms": cheapest * 1.1}, device=device)
    budget = budgets_of(SPACE, platform)[0]
    assert "less a margin of 0.137" in str(budget)
    with pytest.raises(InfeasibleBudgetError, match=r"latency_ms <= .* less a margin of 0.137 .* cheapest reachable"):
        check_reachable(SPACE, [platform])


def test_the_uniform_baseline_keeps_the_margin(device: str) -> None:
    """The largest network fits its own latency, but not with the margin taken off."""
    budget = {"latency_ms": 1.01 * float(device_cost(SPACE, device)(ROWS).max()) / 1e6}
    assert uniform_width(SPACE, Platform("p", budget, device=device, latency_margin=0.0)) >= 1.5
    with pytest.raises(InfeasibleBudgetError):
        uniform_width(SPACE, Platform("p", budget, device=device))


@pytest.mark.parametrize("name", NAMES)
def test_every_method_is_solved_again_for_less(name: str, device: str) -> None:
    """Loaded for a platform with a tighter budget, as after a miss, what a search learnt answers within that."""
    platform = Platform("p", {"latency_ms": middle_ms(device)}, device=device)
    tighter = tightened(platform, 1.1)
    again: Any = registry.method_class(name)(SPACE, [tighter], None, seed=0)
    again.load_state_dict(searched(name, platform).state_dict())
    row = np.array(again.choose(tighter).architecture.row)
    assert tuple(row) in {tuple(r) for r in within(device, middle_ms(device) / 1.1, MARGIN)}


def test_random_search_answers_a_tighter_budget_from_what_it_saw(device: str) -> None:
    """Loaded for less than it searched with, it takes the best seen network within that, or says that none is."""
    budget = middle_ms(device)
    platform = Platform("p", {"latency_ms": budget}, device=device)
    method = searched("random", platform)
    costs = device_cost(SPACE, device)
    seen = sorted(int(costs(np.array([row]))[0]) for row in method.seen[0])
    tighter = Platform("p", {"latency_ms": seen[len(seen) // 2] * (1 + MARGIN) / 1e6 + 1e-6}, device=device)
    again = RandomSearch(SPACE, [tighter])
    again.load_state_dict(method.state_dict())
    found = again.choose(tighter)
    assert costs(np.array([found.architecture.row]))[0] <= seen[len(seen) // 2]
    none = Platform("p", {"latency_ms": seen[0] / 1e6}, device=device)
    again = RandomSearch(SPACE, [none])
    again.load_state_dict(method.state_dict())
    with pytest.raises(InfeasibleBudgetError, match=r"none of the \d+ networks that random search observed"):
        again.choose(none)


def test_the_margin_is_part_of_the_job() -> None:
    """A job file may give one; it comes back in the resolved configuration, and is absent where it was not given."""
    platform = {"name": "p", "latency_ms": 5, "device": "d.json", "latency_margin": 0.08}
    job = Job.from_dict({"method": "ows", "space": "mobilenet_v1", "platforms": [platform]})
    assert job.platforms[0].latency_margin == 0.08
    assert job.resolved()["platforms"][0]["latency_margin"] == 0.08
    assert Job.from_resolved(job.resolved()) == job
    del platform["latency_margin"]
    job = Job.from_dict({"method": "ows", "space": "mobilenet_v1", "platforms": [platform]})
    assert "latency_margin" not in job.resolved()["platforms"][0]
