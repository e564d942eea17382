"""What every search space must show."""

from __future__ import annotations

import json

import numpy as np
import pytest

from sartor.blueprint import Blueprint
from sartor.costs.factors import Factor
from sartor.errors import RequestError
from sartor.memory import PICTURES
from sartor.space import SearchSpace


class SpaceContract:
    """Override the fixture ``space``; every test of this class then runs on it."""

    @pytest.fixture
    def space(self) -> SearchSpace:
        """The space under test."""
        raise NotImplementedError("override the fixture `space` in your subclass of SpaceContract")

    def test_a_row_comes_back(self, space: SearchSpace) -> None:
        """Encoding an architecture, or its values, gives the row it was made of."""
        for row in space.sample(20, np.random.default_rng(0)):
            architecture = space.architecture(row)
            assert (space.encode(architecture) == row).all()
            assert (space.encode(architecture.values) == row).all()

    def test_an_architecture_survives_json(self, space: SearchSpace) -> None:
        """An architecture written as JSON and read back is equal, with the same hash."""
        for row in space.sample(20, np.random.default_rng(1)):
            architecture = space.architecture(row)
            back = space.from_dict(json.loads(json.dumps(architecture.to_dict())))
            assert back == architecture
            assert hash(back) == hash(architecture)

    def test_different_rows_differ(self, space: SearchSpace) -> None:
        """Architectures are equal exactly where their rows are; their printed forms then are too."""
        rows = np.unique(space.sample(20, np.random.default_rng(2)), axis=0)
        found = [space.architecture(row) for row in rows]
        assert len(set(found)) == len({str(a) for a in found}) == len(rows)
        assert found[0] != rows[0].tolist()

    def test_samples_are_valid_and_seeded(self, space: SearchSpace) -> None:
        """Samples are ``[n, D]``, keep every rule, and are the same for the same seed."""
        rows = space.sample(100, np.random.default_rng(3))
        assert rows.shape == (100, len(space.decisions))
        assert space.valid(rows).all()
        assert (rows == space.sample(100, np.random.default_rng(3))).all()
        assert (rows != space.sample(100, np.random.default_rng(4))).any()

    def test_every_option_is_reachable(self, space: SearchSpace) -> None:
        """Every option of every decision that the rules allow occurs among many samples."""
        rows = space.sample(3_000, np.random.default_rng(5))
        for d, decision in enumerate(space.decisions):
            tied = [rule for rule in space.rules if d in rule.scope]
            possible = [i for i in range(len(decision.options)) if all(_allows(rule, d, i) for rule in tied)]
            assert np.unique(rows[:, d]).tolist() == possible, decision.name

    def test_counts_are_exact_integers(self, space: SearchSpace) -> None:
        """The cardinality is an int, at least the number of distinct networks and at most all rows."""
        assert type(space.cardinality) is int
        assert type(space.distinct) is int
        assert 1 <= space.distinct <= space.cardinality <= np.prod(space.sizes, dtype=object)

    def test_canonical_rows_are_the_same_network(self, space: SearchSpace) -> None:
        """Canonical rows are valid, stay as they are, and have the blueprint of the row they stand for."""
        rows = space.sample(50, np.random.default_rng(6))
        canonical = space.canonical(rows)
        assert space.valid(canonical).all()
        assert (space.canonical(canonical) == canonical).all()
        for row, same in zip(rows, canonical, strict=True):
            assert space.architecture(row).blueprint == space.architecture(same).blueprint

    def test_groups_partition_the_decisions(self, space: SearchSpace) -> None:
        """Every decision lies in exactly one group."""
        assert sorted(d for group in space.groups for d in group) == list(range(len(space.decisions)))

    def test_blueprints_fit_together(self, space: SearchSpace) -> None:
        """Blocks read only what was made before them, and shapes and layers agree from pictures to logits."""
        for row in space.sample(20, np.random.default_rng(7)):
            _check_wiring(space.architecture(row).blueprint)

    def test_a_blueprint_survives_json(self, space: SearchSpace) -> None:
        """A blueprint written as JSON and read back is equal."""
        for row in space.sample(5, np.random.default_rng(8)):
            blueprint = space.architecture(row).blueprint
            assert Blueprint.from_dict(json.loads(json.dumps(blueprint.to_dict()))) == blueprint

    def test_smallest_and_largest_bound_the_space(self, space: SearchSpace) -> None:
        """Where they mean something, no sample costs less than the smallest or more than the largest."""
        if space.smallest is None or space.largest is None:
            pytest.skip("this space has no smallest and largest architecture")
        rows = space.sample(200, np.random.default_rng(9))
        for name in ("macs", "params"):
            costs = space.cost(name)(rows)
            assert space.cost(name)(np.asarray([space.smallest.row]))[0] <= costs.min()
            assert space.cost(name)(np.asarray([space.largest.row]))[0] >= costs.max()

    def test_references_are_known_networks(self, space: SearchSpace) -> None:
        """Every reference network that the space lists is one of its architectures, under a printable name."""
        for name, architecture in space.references.items():
            assert name
            assert architecture.space is space

    def test_wrong_requests_are_refused(self, space: SearchSpace) -> None:
        """A row too short, an option that does not exist, a wrong value or another space's architecture is named."""
        row = space.sample(1, np.random.default_rng(10))[0]
        first = space.decisions[0]
        with pytest.raises(RequestError, match=f"has {len(row)} decisions"):
            space.architecture(row[1:])
        for wrong in (-1, len(first.options)):
            with pytest.raises(RequestError, match=f"{first.name}: option {wrong} does not exist"):
                space.architecture([wrong, *row[1:]])
        values = space.architecture(row).values
        with pytest.raises(RequestError, match=f"{first.name}: 'no such' is not an option"):
            space.encode({**values, first.name: "no such"})
        with pytest.raises(RequestError, match="these do not fit: typo"):
            space.encode({**values, "typo": 1})
        with pytest.raises(RequestError, match="'other' does not belong"):
            space.from_dict({"space": "other", "choices": values})


def _allows(rule: Factor, decision: int, option: int) -> bool:
    """Whether some choice of the other decisions of a rule goes with that option."""
    return bool(rule.table.take(option, axis=rule.scope.index(decision)).any())


def _check_wiring(blueprint: Blueprint) -> None:
    shapes = {PICTURES: (blueprint.in_channels, blueprint.image_size)}
    for block in blueprint.blocks:
        entering = [shapes[name] for name in block.inputs]  # a KeyError here: read before it was made
        channels = sum(c for c, _ in entering) if block.join == "concat" else entering[0][0]
        assert block.join != "single" or len(entering) == 1
        assert block.join != "sum" or len(set(entering)) == 1
        assert {side for _, side in entering} == {block.stack.in_side}, block.name
        assert channels == block.stack.in_channels, block.name
        shapes[block.name] = (block.stack.out_channels, block.stack.out_side)
        for layer in block.layers:
            assert min(layer.in_channels, layer.out_channels, layer.in_side, layer.out_side) >= 1
            assert layer.in_channels % layer.groups == layer.out_channels % layer.groups == 0
