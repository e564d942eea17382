"""What an architecture means: blocks of concrete layers in order of execution."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

from sartor.layers import Gate, Layer, Node, Parallel, Residual, SplitAttention, walk_layers
from sartor.memory import BYTES_PER_ELEMENT, peak_elements
from sartor.stack import Stack
from sartor.wiring import ancestors

if TYPE_CHECKING:
    from torch import nn

    from sartor.initialisers import Initialiser

# What batch norms add to the variance where a space says nothing else: torch's own.
NORM_EPS = 1e-5

Join = Literal["single", "sum", "concat"]


@dataclass(frozen=True)
class Block:
    """A named stack in the network's graph: the unit of latency keys."""

    name: str
    inputs: tuple[str, ...]
    stack: Stack
    join: Join = "single"
    stage: int = 0
    is_exit: bool = False

    @property
    def layers(self) -> tuple[Layer, ...]:
        """All layers, those inside residuals and gates included, in order of execution."""
        return tuple(walk_layers(self.stack.body))

    @property
    def out_elements(self) -> int:
        """Elements of the output for one picture."""
        return self.stack.out_channels * self.stack.out_side**2

    @property
    def is_empty(self) -> bool:
        """Whether the block hands on its input as it is."""
        return self.join == "single" and not self.stack.body


@dataclass(frozen=True)
class Blueprint:
    """A network resolved to concrete layers; ``build()`` makes it, the properties count it.

    ``norm_eps``: what its batch norms add to the variance. ``auxiliary``: an exit for training alone, which reads
    one of the blocks; it is neither counted, nor built, nor written to a file.
    """

    blocks: tuple[Block, ...]
    in_channels: int
    image_size: int
    name: str = "network"
    norm_eps: float = NORM_EPS
    auxiliary: Block | None = None

    @property
    def layers(self) -> tuple[Layer, ...]:
        """All layers in order of execution."""
        return tuple(layer for block in self.blocks for layer in block.layers)

    @cached_property
    def macs(self) -> int:
        """Multiply-adds for one picture."""
        return sum(layer.macs for layer in self.layers)

    @cached_property
    def params(self) -> int:
        """Learnt parameters."""
        return sum(layer.params for layer in self.layers)

    def count(self, name: str) -> int:
        """A count by the convention of others, such as ``fbnet_zoo_macs`` (see :mod:`sartor.costs.conventions`)."""
        from sartor.costs.conventions import count

        return count(self.layers, name)

    @cached_property
    def peak_memory_bytes(self) -> int:
        """The largest sum of live activations over the execution order, batch 1, float32."""
        pictures = self.in_channels * self.image_size**2
        return peak_elements(self.blocks, pictures) * BYTES_PER_ELEMENT["float32"]

    @property
    def exits(self) -> int:
        """The number of exits."""
        return max(1, sum(block.is_exit for block in self.blocks))

    def cut(self, exit: int, *, lazy: bool = False) -> Blueprint:
        """The network up to an exit (0-based), with the exits before it; ``lazy``: only what this exit reads.

        Raises:
            ValueError: there is no such exit.
        """
        if not 0 <= exit < self.exits:
            raise ValueError(f"{self.name} has exits 0 to {self.exits - 1}, not {exit}")
        running = [block for block in self.blocks if block.stage <= exit]
        if lazy:
            read = _read_by({running[-1].name}, running)
            running = [dataclasses.replace(block, stage=0, is_exit=False) for block in read]
        return dataclasses.replace(self, blocks=tuple(running), auxiliary=None)

    def live(self) -> Blueprint:
        """Only what some exit reads: networks of several scales count cells that nobody needs."""
        exits = {block.name for block in self.blocks if block.is_exit} or {self.blocks[-1].name}
        return dataclasses.replace(self, blocks=tuple(_read_by(exits, self.blocks)))

    @property
    def num_classes(self) -> int:
        """Outputs of the last block."""
        return self.blocks[-1].stack.out_channels

    def build(self, *, seed: int = 0, dropout: float = 0.0, initialiser: Initialiser = "he_fan_out") -> nn.Module:
        """The plain network with freshly initialised weights (see :func:`sartor.network.build`)."""
        from sartor.network import build

        return build(self, seed=seed, dropout=dropout, initialiser=initialiser)

    def to_dict(self) -> dict[str, Any]:
        """The blueprint as plain lists and dictionaries, for JSON."""
        return {
            "name": self.name,
            "in_channels": self.in_channels,
            "image_size": self.image_size,
            "norm_eps": self.norm_eps,
            "blocks": [_block_to_dict(block) for block in self.blocks],
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Blueprint:
        """The inverse of :meth:`to_dict`; files from before ``norm_eps`` could be chosen have torch's own."""
        blocks = tuple(_block_from_dict(block) for block in data["blocks"])
        return cls(blocks, data["in_channels"], data["image_size"], data["name"], float(data.get("norm_eps", NORM_EPS)))


def _read_by(outputs: set[str], blocks: Sequence[Block]) -> list[Block]:
    needed = ancestors({block.name: block.inputs for block in blocks}, outputs)
    return [block for block in blocks if block.name in needed]


def _node_to_dict(node: Node) -> dict[str, Any]:
    if isinstance(node, Layer):
        default = {f.name: f.default for f in dataclasses.fields(Layer)}
        return {k: v for k, v in dataclasses.asdict(node).items() if v != default[k]}
    if isinstance(node, SplitAttention):
        branches = [[_node_to_dict(child) for child in branch] for branch in node.branches]
        return {"split_attention": branches, "gate": [_node_to_dict(child) for child in node.gate]}
    if isinstance(node, Parallel):
        return {"parallel": [[_node_to_dict(child) for child in branch] for branch in node.branches]}
    return {type(node).__name__.lower(): [_node_to_dict(child) for child in node.body]}


def _node_from_dict(data: dict[str, Any]) -> Node:
    if "residual" in data:
        return Residual(tuple(_node_from_dict(child) for child in data["residual"]))
    if "parallel" in data:
        return Parallel(tuple(tuple(_node_from_dict(child) for child in branch) for branch in data["parallel"]))
    if "split_attention" in data:
        branches = tuple(tuple(_node_from_dict(child) for child in branch) for branch in data["split_attention"])
        return SplitAttention(branches, tuple(_node_from_dict(child) for child in data["gate"]))
    if "gate" in data:
        return Gate(tuple(_node_from_dict(child) for child in data["gate"]))
    return Layer(**data)


def _block_to_dict(block: Block) -> dict[str, Any]:
    stack = block.stack
    shape = [stack.in_channels, stack.in_side, stack.out_channels, stack.out_side]
    rest = {"name": block.name, "inputs": list(block.inputs), "shape": shape, "join": block.join}
    return {
        **rest,
        "stage": block.stage,
        "is_exit": block.is_exit,
        "body": [_node_to_dict(node) for node in stack.body],
    }


def _block_from_dict(data: dict[str, Any]) -> Block:
    in_channels, in_side, out_channels, out_side = data["shape"]
    body = tuple(_node_from_dict(node) for node in data["body"])
    stack = Stack(in_channels, in_side, body, out_channels, out_side)
    return Block(data["name"], tuple(data["inputs"]), stack, data["join"], data["stage"], data["is_exit"])
