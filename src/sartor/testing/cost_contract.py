"""What every analytic cost of every search space must show."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from sartor.costs.analytic import ANALYTIC_COSTS
from sartor.errors import RequestError
from sartor.space import SearchSpace
from sartor.testing.oracles import counted_macs


class CostContract:
    """Override the fixture ``space``; override ``cost_name`` with a fixture of your own for further costs."""

    @pytest.fixture
    def space(self) -> SearchSpace:
        """The space whose costs are under test."""
        raise NotImplementedError("override the fixture `space` in your subclass of CostContract")

    @pytest.fixture(params=ANALYTIC_COSTS)
    def cost_name(self, request: pytest.FixtureRequest, space: SearchSpace) -> str:
        """The cost under test; a blueprint has a property of the same name."""
        if request.param not in space.cost_names:
            with pytest.raises(RequestError, match="can be no budget there"):
                space.cost(request.param)
            pytest.skip(f"{request.param} of this space is no sum or maximum over few decisions, and is refused")
        return str(request.param)

    def test_factors_add_up_to_the_blueprint(self, space: SearchSpace, cost_name: str) -> None:
        """The factors give, to the unit, what the blueprint of the whole network counts."""
        rows = probe_rows(space, 30)
        expected = [getattr(space.architecture(row).blueprint, cost_name) for row in rows]
        assert space.cost(cost_name)(rows).tolist() == expected

    def test_many_rows_equal_one_by_one(self, space: SearchSpace, cost_name: str) -> None:
        """Costs of many rows at once are integers and equal those of each row alone, in any integer type."""
        cost = space.cost(cost_name)
        rows = probe_rows(space, 40)
        together = cost(rows)
        assert together.shape == (len(rows),)
        assert np.issubdtype(together.dtype, np.integer)
        assert together.tolist() == [int(cost(row)[0]) for row in rows]
        assert together.tolist() == cost(rows.astype(np.uint8)).tolist()
        assert cost(rows[:0]).shape == (0,)

    def test_inert_decisions_cost_nothing(self, space: SearchSpace, cost_name: str) -> None:
        """A cost does not depend on decisions that are inert."""
        rows = space.sample(100, np.random.default_rng(1))
        cost = space.cost(cost_name)
        assert (cost(rows) == cost(space.canonical(rows))).all()

    def test_later_exits_never_cost_less(self, space: SearchSpace, cost_name: str) -> None:
        """Costs grow from exit to exit, the last exit is the default, and a lazy count is never above the full one."""
        rows = probe_rows(space, 10)
        costs = [space.cost(cost_name, exit=k)(rows) for k in range(space.exits)]
        assert (np.diff(costs, axis=0) >= 0).all()
        assert (costs[-1] == space.cost(cost_name)(rows)).all()
        for k, full in enumerate(costs):
            assert (space.cost(cost_name, exit=k, lazy=True)(rows) <= full).all()

    def test_unknown_names_are_refused(self, space: SearchSpace) -> None:
        """An unknown cost, exit or dtype is refused with what is known."""
        with pytest.raises(RequestError, match=r"unknown cost 'flops'.*macs"):
            space.cost("flops")
        with pytest.raises(RequestError, match=f"exit {space.exits} does not exist"):
            space.cost("macs", exit=space.exits)
        with pytest.raises(RequestError, match=r"unknown dtype 'float7'.*float32"):
            space.cost("peak_memory_bytes", dtype="float7")

    def test_wrong_rows_are_refused(self, space: SearchSpace, cost_name: str) -> None:
        """Rows of another length or with options that do not exist are refused, not read from another cell."""
        cost = space.cost(cost_name)
        row = probe_rows(space, 1)[0]
        with pytest.raises(ValueError, match=f"the space has {len(row)}"):
            cost(row[:-1])
        for wrong in (-1, space.sizes[-1]):
            with pytest.raises(ValueError, match="options that do not exist"):
                cost(np.asarray([*row[:-1], wrong]))

    def test_torch_counts_the_same(self, space: SearchSpace) -> None:
        """torch's flop counter on the meta device sees exactly ``macs``; the network holds exactly ``params``."""
        for row in probe_rows(space, 6):
            blueprint = space.architecture(row).blueprint
            with torch.device("meta"):
                network = blueprint.build().eval()
                pictures = torch.empty(1, blueprint.in_channels, blueprint.image_size, blueprint.image_size)
            assert counted_macs(network, pictures) == blueprint.macs
            assert sum(p.numel() for p in network.parameters()) == blueprint.params


def probe_rows(space: SearchSpace, n: int, seed: int = 0) -> NDArray[np.int64]:
    """``n`` random rows, and the smallest and the largest where the space has them."""
    ends = [a.row for a in (space.smallest, space.largest) if a is not None]
    rows = space.sample(n, np.random.default_rng(seed))
    return np.concatenate([rows, np.asarray(ends, dtype=np.int64).reshape(-1, rows.shape[1])])
