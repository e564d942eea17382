"""Random rows in a window of costs: inside, uniform, and refused where there are none."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from sartor import mrf, spaces
from sartor.errors import InfeasibleBudgetError, RequestError
from sartor.methods import sampling
from sartor.methods.budgets import budgets_of
from sartor.methods.random_search import RandomSearch, RandomSettings
from sartor.methods.sampling import sample_in_window, sample_window
from sartor.platforms import Platform
from sartor.seeds import numpy_generator

SPACE = spaces.create("nas_bench_macro")


def macs_budget() -> mrf.Budget:
    """MACs in millions, so that the unit matters."""
    return mrf.Budget(SPACE.cost("macs"), 1, "millions", unit=1e-6)


def everything() -> Any:
    """All rows of the space, and their cost in millions of MACs."""
    rows = np.indices(SPACE.sizes).reshape(len(SPACE.sizes), -1).T
    return rows, SPACE.cost("macs")(rows) / 1e6


@pytest.mark.parametrize("rare", [False, True])
@pytest.mark.parametrize("quantiles", [(0.02, 0.06), (0.02, 0.2), (0.96, 0.98)])
def test_windows_are_uniform(monkeypatch: pytest.MonkeyPatch, quantiles: tuple[float, float], rare: bool) -> None:
    """Every row of the window is equally likely, by plain rejection and by tilted samples alike, at either end."""
    if rare:  # as if uniform samples almost never fell into the window
        monkeypatch.setattr(sampling, "_RARE", 1)
        monkeypatch.setattr(sampling, "_TRIES", 200)
    rows, costs = everything()
    low, high = np.quantile(costs, quantiles)
    inside = rows[(low <= costs) & (costs <= high)]
    n = 40 * len(inside)
    drawn = sample_window(SPACE, macs_budget(), low, high, n, np.random.default_rng(0))
    cells, counts = np.unique(drawn @ np.cumprod([1, *SPACE.sizes[:-1]]), return_counts=True)
    assert len(drawn) == n and len(cells) == len(inside)
    chi_square = float(((counts - 40) ** 2 / 40).sum())
    assert abs(chi_square - len(inside)) < 4 * np.sqrt(2 * len(inside))


def test_few_rows_are_drawn_again_and_again() -> None:
    """A window around one cost holds only the rows of that cost; other budgets hold as well."""
    rows, costs = everything()
    exact = float(np.sort(costs)[100])
    peak = SPACE.cost("peak_memory_bytes")
    cap = mrf.Budget(peak, float(np.median(peak(rows))), "peak")
    drawn = sample_window(SPACE, macs_budget(), exact, exact, 30, np.random.default_rng(1), [cap])
    assert len(drawn) == 30
    assert (SPACE.cost("macs")(drawn) / 1e6 == exact).all()
    assert (peak(drawn) <= cap.limit).all()


def test_empty_windows_are_refused() -> None:
    """Nothing lies there: the window and the space are named."""
    with pytest.raises(InfeasibleBudgetError, match=r"nas_bench_macro was found with millions from 1e-05 to 2e-05"):
        sample_window(SPACE, macs_budget(), 1e-5, 2e-5, 3, np.random.default_rng(0))
    for low, high in ((2.0, 1.0), (0.0, 1.0), (1.0, np.inf)):
        with pytest.raises(RequestError, match="two positive ends"):
            sample_window(SPACE, macs_budget(), low, high, 3, np.random.default_rng(0))


def test_the_window_of_the_paper() -> None:
    """TuNAS: 83 to 85 ms on a Pixel 1, from a few percent of all networks."""
    space = spaces.create("proxylessnas")
    (budget,) = budgets_of(space, Platform("phone", {"latency_ms": 84}, device="pixel1_tunas"))
    latencies = space.cost("latency_ms", device="pixel1_tunas")(
        sample_window(space, budget, 83, 85, 250, np.random.default_rng(0))
    )
    assert 83 <= latencies.min() < 83.2 and 84.8 < latencies.max() <= 85
    assert latencies.mean() == pytest.approx(84, abs=0.15)


def test_windows_of_platforms() -> None:
    """A platform's window ends at its first summed budget; one without a sum has none."""
    limit = int(np.median(everything()[1]) * 1e6)
    platform = Platform("p", {"macs": limit, "params": 10**9})
    drawn = SPACE.cost("macs")(sample_in_window(SPACE, platform, 0.05, 50, np.random.default_rng(0)))
    assert 0.95 * limit <= drawn.min() and drawn.max() <= limit
    with pytest.raises(RequestError, match="platform 'p': a window needs a budget that is a sum"):
        sample_in_window(SPACE, Platform("p", {"peak_memory_bytes": 10**9}), 0.05, 50, np.random.default_rng(0))
    with pytest.raises(InfeasibleBudgetError, match="platform 'p': no architecture"):
        sample_in_window(SPACE, Platform("p", {"macs": 1000}), 0.05, 5, np.random.default_rng(0))


def test_random_search_keeps_to_its_window() -> None:
    """With a window all candidates use most of the budget; a share that is none is refused."""
    limit = int(np.median(everything()[1]) * 1e6)
    method = RandomSearch(SPACE, [Platform("p", {"macs": limit})], RandomSettings(window=0.03))
    drawn = SPACE.cost("macs")(method._draw(0, 40, numpy_generator(0, "candidates", 0)))
    assert 0.97 * limit <= drawn.min() and drawn.max() <= limit
    with pytest.raises(RequestError, match=r"method\.window: 1\.0"):
        RandomSettings(window=1.0)
