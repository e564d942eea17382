"""A cell: its choices, its rules, and its parts in the network.

Node j sums its edges; an edge comes from one of the j + 2 predecessors: the two inputs of the cell, then its earlier
nodes. Exactly two edges of a node are there. The output is the concatenation of all nodes (DARTS, section 2.1).
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from sartor.decisions import Decision, Rule, Template
from sartor.spaces.ms_ranas.grid import Cell
from sartor.spaces.ms_ranas.operations import NONE, operation
from sartor.spaces.ms_ranas.setting import Setting
from sartor.stack import Stack

KINDS = ("normal", "reduction")
EDGES_PER_NODE = 2


def edges(nodes: int) -> Iterator[tuple[int, int]]:
    """Pairs (node, predecessor) in order."""
    return ((node, source) for node in range(nodes) for source in range(node + 2))


def decision_name(kind: str, node: int, source: int) -> str:
    """The name of an edge's decision."""
    return f"{kind}_{node}_{source}"


def decisions(kind: str, setting: Setting) -> list[Decision]:
    """What runs on every edge."""
    options = (NONE, *setting.operations)
    return [Decision(decision_name(kind, *edge), options) for edge in edges(setting.nodes)]


def rules(kind: str, nodes: int) -> list[Rule]:
    """Two edges per node."""
    return [
        Rule(tuple(decision_name(kind, node, source) for source in range(node + 2)), _keeps_two)
        for node in range(nodes)
    ]


def _keeps_two(*operations: str) -> bool:
    return sum(name != NONE for name in operations) == EDGES_PER_NODE


def cell_templates(cell: Cell, entering: tuple[str, str], setting: Setting, stage: int) -> Iterator[Template]:
    """The edges and nodes of one cell and its output; ``entering`` names its two inputs."""
    stride = 2 if cell.kind == "reduction" else 1
    made: list[str] = []
    for node in range(setting.nodes):
        reads = [f"{cell.name}_edge{node}_{source}" for source in range(node + 2)]
        for source, name in enumerate(reads):
            own_stride = stride if source < 2 else 1
            run = partial(operation, channels=cell.width, side=cell.side * own_stride, stride=own_stride)
            yield Template(
                name,
                (decision_name(cell.kind, node, source),),
                run,
                inputs=((*entering, *made)[source],),
                stage=stage,
                search=partial(run, search=True, partial_channels=setting.partial_channels),
            )
        made.append(f"{cell.name}_node{node}")
        width, side = cell.width, cell.side
        yield Template(made[-1], (), partial(Stack, width, side), tuple(reads), "sum", stage)
    yield Template(cell.name, (), partial(Stack, cell.channels, cell.side), tuple(made), "concat", stage)
