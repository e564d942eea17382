"""The networks this folder is for - MS-RANAS with its options, and MSDNet - stop, count and export like any other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from anytime_networks import pictures, settled

from sartor import spaces
from sartor.anytime import AnytimePredictor, OnnxRunner, exit_costs, make_stages
from sartor.anytime.running import softmax
from sartor.blueprint import Blueprint
from sartor.export import ModelCard, export_stages
from sartor.space import SearchSpace
from sartor.spaces.msdnet import msdnet

SMALL: dict[str, Any] = {"num_classes": 10, "image_size": 16, "channels": 4, "nodes": 2, "layers": 4}
OPTIONS: dict[str, dict[str, Any]] = {
    "three scales": {},
    "two scales, own inputs": {"scales": 2, "cell_inputs": "diagonal_horizontal"},
    "one scale, pooled heads": {"scales": 1, "head": "pool"},
    "some exits": {"exits": [2, 4]},
    "finest scale dropped": {"reductions": "drop_finest"},
}


def drawn(seed: int, **options: Any) -> tuple[SearchSpace, Any, Blueprint]:
    """A small space, a random row of it, and its network."""
    space = spaces.create("ms_ranas", **{**SMALL, **options})
    row = space.sample(1, np.random.default_rng(seed))[0]
    return space, row, space.blueprint(space.architecture(row).values, "drawn")


def small_msdnet() -> Blueprint:
    """Three exits, with the pruning of the finest scale in between."""
    return msdnet(blocks=3, base=2, step=1, growth=2, channels=4, image_size=32)


@pytest.mark.parametrize("name", list(OPTIONS))
def test_costs_are_those_of_the_space(name: str) -> None:
    """The counts of blocks are the costs that a search budgets, all cells and lazy, exit by exit."""
    for seed in range(3):
        space, row, blueprint = drawn(seed, **OPTIONS[name])
        costs = exit_costs(blueprint)
        assert len(costs) == space.exits
        for cost in costs:
            for lazy, counted in ((False, (cost.macs, cost.params)), (True, (cost.lazy_macs, cost.lazy_params))):
                tables = [space.cost(what, exit=cost.exit, lazy=lazy) for what in ("macs", "params")]
                assert tuple(int(table(row[None])[0]) for table in tables) == counted
            assert cost.lazy_macs <= cost.anytime_macs <= cost.macs


def test_published_counts_of_the_proposed_network() -> None:
    """The oracle of the reference (3.5): its lazy counts include the heads before, which is what a stopped run does."""
    from sartor.spaces.ms_ranas.genotypes import Genotype

    cells = Genotype(
        (("sep_conv_3x3", 0), ("sep_conv_3x3", 1), ("sep_conv_3x3", 0), ("skip_connect", 1)),
        (("max_pool_3x3", 0), ("max_pool_3x3", 1), ("max_pool_3x3", 0), ("skip_connect", 2)),
    )
    space = spaces.create("ms_ranas", num_classes=10, image_size=32)
    costs = exit_costs(space.blueprint(cells.values(), "r"))
    assert [c.macs for c in costs] == [21_558_528, 38_861_312, 62_682_880, 85_949_440, 109_780_224, 131_137_024]
    assert [c.anytime_macs for c in costs] == [6_763_776, 14_547_456, 36_214_528, 56_753_152, 81_767_680, 103_403_008]
    assert [c.anytime_params for c in costs] == [261_098, 607_412, 1_045_310, 1_760_008, 2_799_890, 4_102_300]
    assert [c.params for c in costs] == [290_154, 655_220, 1_192_830, 1_998_984, 3_379_602, 4_866_460]


@pytest.mark.parametrize("name", [*OPTIONS, "msdnet"])
def test_stopped_networks_agree_with_whole_ones(name: str) -> None:
    """Every exit of the predictor, step by step and foreseen, gives what the whole network gives."""
    blueprint = small_msdnet() if name == "msdnet" else drawn(1, **OPTIONS[name])[2]
    network, x = settled(blueprint), pictures(3, blueprint)
    predictor = AnytimePredictor(network, blueprint)
    with torch.no_grad():
        expected = [softmax(logits.numpy()) for logits in network(x)]
    found = list(predictor.predict(x))
    assert len(found) == len(expected) == len(make_stages(blueprint))
    for k, prediction in enumerate(found):
        np.testing.assert_allclose(prediction.probabilities, expected[k], atol=1e-6)
        (alone,) = predictor.predict(x, exit=k)
        np.testing.assert_allclose(alone.probabilities, expected[k], atol=1e-6)


@pytest.mark.parametrize("name", ["three scales", "msdnet"])
def test_stopped_networks_export(name: str, tmp_path: Path) -> None:
    """The exported stages give what PyTorch gives at every exit, for one picture and for several."""
    blueprint = small_msdnet() if name == "msdnet" else drawn(2, **OPTIONS[name])[2]
    network = settled(blueprint)
    card = ModelCard(
        name=name,
        mean=(0.5,) * 3,
        std=(0.25,) * 3,
        image_size=blueprint.image_size,
        colour_order="RGB",
        class_names=tuple("0123456789"),
    )
    runner = OnnxRunner(export_stages(network, blueprint, card, tmp_path))
    for count in (1, 3):
        x = pictures(count, blueprint)
        with torch.no_grad():
            expected = network(x)
        for ours, theirs in zip(runner.logits(x.numpy()), expected, strict=True):
            np.testing.assert_allclose(ours, theirs.numpy(), atol=1e-4)
