"""Contract tests that every space, cost, supernet and method must pass; importable, so that your own are tested alike.

from sartor.testing import SpaceContract, SupernetContract

class TestMySpace(SpaceContract, SupernetContract):
    @pytest.fixture(scope="module")
    def space(self):
        return my_space()
"""

from sartor.testing.cost_contract import CostContract
from sartor.testing.examples import small_space, space_names
from sartor.testing.methods import MethodContract
from sartor.testing.oracles import counted_macs, plain_peak_elements
from sartor.testing.space_contract import SpaceContract
from sartor.testing.supernet_contract import SupernetContract

__all__ = [
    "CostContract",
    "MethodContract",
    "SpaceContract",
    "SupernetContract",
    "counted_macs",
    "plain_peak_elements",
    "small_space",
    "space_names",
]
