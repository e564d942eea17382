"""Cells in the field's usual form, read and written."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from ms_ranas_cells import ORACLE

from sartor import spaces
from sartor.errors import RequestError
from sartor.space import SearchSpace
from sartor.spaces.ms_ranas import Genotype, read_genotype, write_genotype
from sartor.spaces.ms_ranas.genotypes import DARTS_V2


def create(**options: Any) -> SearchSpace:
    """The space at a small size."""
    return spaces.create("ms_ranas", **{"image_size": 16, "scales": 2, "layers": 4, "channels": 4, **options})


PUBLISHED = (
    "Genotype(normal=[('sep_conv_3x3', 0), ('sep_conv_3x3', 1), ('sep_conv_3x3', 0), ('sep_conv_3x3', 1), "
    "('sep_conv_3x3', 1), ('skip_connect', 0), ('skip_connect', 0), ('dil_conv_3x3', 2)], "
    "normal_concat=[2, 3, 4, 5], reduce=[('max_pool_3x3', 0), ('max_pool_3x3', 1), ('skip_connect', 2), "
    "('max_pool_3x3', 1), ('max_pool_3x3', 0), ('skip_connect', 2), ('skip_connect', 2), ('max_pool_3x3', 1)], "
    "reduce_concat=[2, 3, 4, 5])"
)


def test_the_published_cell_can_be_pasted() -> None:
    """The text of the official code gives the cell that the space lists as a reference."""
    space = create(nodes=4)
    found = read_genotype(space, PUBLISHED)
    assert found == space.references["darts_v2"] == read_genotype(space, DARTS_V2)
    assert found.values["normal_2_0"] == "skip_connect"
    assert found.values["normal_3_2"] == "dil_conv_3x3"
    assert found.values["reduction_1_0"] == "none"


def test_both_forms_come_back() -> None:
    """Text and JSON of any cell, and its plain data, give the cell again."""
    for options in ({}, {"nodes": 4}, {"reductions": "none"}, {"operations": ("skip_connect", "sep_conv_3x3")}):
        space = create(**options)
        for row in space.sample(20, np.random.default_rng(0)):
            architecture = space.architecture(row)
            text, data = write_genotype(architecture), write_genotype(architecture, "json")
            for form in (text, data, json.loads(data)):
                assert read_genotype(space, form) == architecture
    assert space.references == {}


def test_the_text_is_that_of_the_field() -> None:
    """Pairs in the order of nodes and inputs, and all nodes joined."""
    assert write_genotype(read_genotype(create(), ORACLE)) == (
        "Genotype(normal=[('sep_conv_3x3', 0), ('sep_conv_3x3', 1), ('sep_conv_3x3', 0), ('skip_connect', 1)], "
        "normal_concat=range(2, 4), reduce=[('max_pool_3x3', 0), ('max_pool_3x3', 1), ('max_pool_3x3', 0), "
        "('skip_connect', 2)], reduce_concat=range(2, 4))"
    )


def test_the_text_is_never_run() -> None:
    """What is not a literal is refused."""
    with pytest.raises(RequestError, match="has not the form"):
        read_genotype(create(), "Genotype(normal=__import__('os').listdir())")


@pytest.mark.parametrize(
    ("normal", "message"),
    [
        ([("sep_conv_3x3", 0)] * 4, "node 2 reads input 0, which it reads already"),
        ([("sep_conv_3x3", 0), ("sep_conv_3x3", 2), ("sep_conv_3x3", 0), ("sep_conv_3x3", 1)], "node 2 reads input 2"),
        ([("sep_conv_3x3", 0), ("sep_conv_3x3", 1)], "it has 1 nodes, the cells of this space have 2"),
        ([("sep_conv_7x7", 0), *ORACLE.normal[1:]], "'sep_conv_7x7' is not an option"),
    ],
)
def test_what_does_not_fit_is_refused(normal: list[tuple[str, int]], message: str) -> None:
    """A node with one input twice or a later one, another number of nodes, and an unknown operation are named."""
    with pytest.raises(RequestError, match=message):
        read_genotype(create(), Genotype(tuple(normal), ORACLE.reduce))


def test_other_forms_are_refused() -> None:
    """Text that is no genotype, a cell that joins few of its nodes, and another space are named."""
    space = create()
    for text in ("", "{", "sep_conv_3x3", "Genotype(1)", '{"normal": 3}'):
        with pytest.raises(RequestError, match=r"genotype: .*has not the form Genotype"):
            read_genotype(space, text)
    few = {**ORACLE.to_dict(), "normal_concat": [3]}
    with pytest.raises(RequestError, match=r"normal_concat joins nodes \[3\]"):
        read_genotype(space, few)
    with pytest.raises(RequestError, match=r"reduce has 2 pairs; 2 nodes need 2 each"):
        read_genotype(space, Genotype(ORACLE.normal, ORACLE.reduce[:2]))
    other = spaces.create("nas_bench_macro")
    with pytest.raises(RequestError, match="belong to the space ms_ranas, not to nas_bench_macro"):
        write_genotype(other.architecture(other.sample(1, np.random.default_rng(0))[0]))
