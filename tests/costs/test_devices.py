"""Devices by name: what they refuse and why, and budgets in milliseconds on whole nanoseconds."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from sartor import mrf, spaces
from sartor.costs import devices
from sartor.costs.devices import device_cost
from sartor.costs.factors import Factor, FactorCost
from sartor.errors import RequestError
from sartor.methods.budgets import budgets_of, check_reachable
from sartor.platforms import Platform


def test_every_device_has_its_module() -> None:
    """A registered name leads to a function of that name, which takes a space."""
    for name in devices.names():
        assert devices._model(name).__name__ == name


def test_unknown_devices_are_refused() -> None:
    """The known devices are named, the closest first, and what needs no device."""
    with pytest.raises(
        RequestError, match=r"'pixel_tunas' \(did you mean 'pixel1_tunas'\?\); known devices are .*macs"
    ):
        device_cost(spaces.create("proxylessnas"), "pixel_tunas")


def test_other_spaces_are_refused() -> None:
    """A space without latencies: the message names those that have them."""
    with pytest.raises(RequestError, match=r"no latencies for space 'mobilenet_v1'; .*mobilenetv3_like at 224x224"):
        device_cost(spaces.create("mobilenet_v1", image_size=224), "pixel1_tunas")


def test_another_size_is_refused() -> None:
    """A model holds at its size alone; the message names both sizes and the way out."""
    space = spaces.create("mobilenetv3_like", image_size=32)
    with pytest.raises(RequestError, match=r"'mobilenetv3_like' at 32x32 pixels; .*Set deploy_image_size: 224"):
        device_cost(space, "pixel1_tunas")


@pytest.mark.parametrize(
    ("name", "option", "message"),
    [
        ("proxylessnas", {"multiplier": 0.5}, r"multiplier is 1.0 there, 0.5 here"),
        ("proxylessnas", {"filters": "doubled_per_block"}, r"filters is proxylessnas there, doubled_per_block here"),
        ("proxylessnas_enlarged", {"depth": 3}, r"depth is 4 there, 3 here"),
        ("proxylessnas_enlarged", {"layout": "cifar"}, r"layout is imagenet there, cifar here"),
        ("mobilenetv3_like", {"activation": "relu"}, r"activation is hard_swish there, relu here"),
        ("mobilenetv3_like", {"in_channels": 1}, r"in_channels is 3 there, 1 here"),
    ],
)
def test_other_options_are_refused(name: str, option: dict[str, Any], message: str) -> None:
    """A network that the model was not fitted for has no latency, and the option is named."""
    with pytest.raises(RequestError, match=message):
        device_cost(spaces.create(name, **option), "pixel1_tunas")


@pytest.mark.parametrize("option", [{"num_classes": 10}, {"collapsed": False}, {"layout": "imagenet"}])
def test_options_that_change_no_latency(option: dict[str, Any]) -> None:
    """The classifier has no coefficients, sharing weights changes no network, and imagenet is what auto is at 224."""
    rows = spaces.create("proxylessnas").sample(5, np.random.default_rng(0))
    costs = [device_cost(spaces.create("proxylessnas", **o), "pixel1_tunas")(rows) for o in ({}, option)]
    assert (costs[0] == costs[1]).all()


def test_costs_by_name_are_milliseconds() -> None:
    """Users read floating milliseconds; solvers get the same in whole nanoseconds; skipped layers cost no more."""
    space = spaces.create("mobilenetv3_like")
    rows = space.sample(50, np.random.default_rng(0))
    ms, ns = space.cost("latency_ms", device="pixel1_tunas"), device_cost(space, "pixel1_tunas")
    assert ms.name == "latency_ms"
    assert np.issubdtype(ns(rows).dtype, np.integer)
    assert ms(rows) == pytest.approx(ns(rows) / 1e6, rel=1e-12)
    assert (ns(rows) == ns(space.canonical(rows))).all()


def test_costs_that_need_a_device_and_costs_that_need_none() -> None:
    """A latency without a device and MACs with one are both mistakes."""
    space = spaces.create("proxylessnas")
    with pytest.raises(RequestError, match="latency_ms is that of a device; name one of pixel1_tunas"):
        space.cost("latency_ms")
    with pytest.raises(RequestError, match="macs is the same on every device"):
        space.cost("macs", device="pixel1_tunas")


@pytest.mark.parametrize("limit", [4.1, 64.6, 84, 100.000001])
def test_limits_are_whole_nanoseconds(limit: float) -> None:
    """A limit written in milliseconds is not a nanosecond less for being no binary number."""
    platform = Platform("phone", {"latency_ms": limit}, device="pixel1_tunas")
    (budget,) = budgets_of(spaces.create("proxylessnas"), platform)
    assert budget.limit == round(limit * 1e6)
    assert budget.in_unit(budget.limit) == limit
    assert budget.in_unit(57_300_001) == 57.300001


def test_messages_speak_milliseconds() -> None:
    """Where nothing is fast enough, the fastest is named in the unit of the budget."""
    platform = Platform("watch", {"latency_ms": "20ms"}, device="pixel1_tunas")
    with pytest.raises(RequestError, match=r"'watch': latency_ms <= 20 .* cheapest reachable latency_ms is 30\.9361;"):
        check_reachable(spaces.create("proxylessnas"), [platform])


def test_platforms_without_latencies_are_named() -> None:
    """The platform whose device knows nothing of the space is named."""
    platform = Platform("phone", {"latency_ms": 50}, device="pixel1_tunas")
    with pytest.raises(RequestError, match=r"platform 'phone': device 'pixel1_tunas' has no latencies"):
        check_reachable(spaces.create("mobilenet_v1"), [platform])


def test_units_change_no_answer() -> None:
    """The same budget in tables of another unit: the same row, costs in the user's unit, messages too."""
    rng = np.random.default_rng(3)
    scores = FactorCost((4, 4), [Factor((0, 1), rng.normal(size=(4, 4)))])
    coarse = FactorCost((4, 4), [Factor((0,), np.arange(1, 5)), Factor((1,), np.arange(1, 5))])
    fine = FactorCost((4, 4), [Factor(f.scope, f.table * 1_000_000) for f in coarse.factors])
    problem = mrf.Problem((4, 4), scores)
    one = mrf.minimise(problem, [mrf.Budget(coarse, 5, "ms")])
    other = mrf.minimise(problem, [mrf.Budget(fine, 5_000_000, "ms", unit=1e-6)])
    assert one.row.tolist() == other.row.tolist()
    assert one.costs == other.costs
    assert str(mrf.Budget(fine, 5_000_000, "ms", unit=1e-6)) == "ms <= 5"
    listed = mrf.Problem((4, 4), scores, rows=np.array([[3, 3], [0, 0]]))
    assert mrf.minimise(listed, [mrf.Budget(fine, 5_000_000, "ms", unit=1e-6)]).costs == {"ms": 2.0}
    with pytest.raises(RequestError, match="the unit of budget 'ms' is 0"):
        mrf.Budget(fine, 1, "ms", unit=0)
