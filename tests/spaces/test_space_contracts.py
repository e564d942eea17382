"""Every space, the registered ones and the examples, keeps the contracts of space, costs and supernet."""

from __future__ import annotations

import pytest

from sartor.space import SearchSpace
from sartor.testing import CostContract, SpaceContract, SupernetContract, small_space, space_names


class TestSpaces(SpaceContract, CostContract, SupernetContract):
    @pytest.fixture(params=space_names())
    def space(self, request: pytest.FixtureRequest) -> SearchSpace:
        """Every space at a small size."""
        return small_space(request.param)
