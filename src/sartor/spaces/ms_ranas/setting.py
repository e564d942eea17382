"""What a user of the space can set: every choice that the paper leaves open, the proposed network "R" as default."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Literal

from sartor.errors import RequestError
from sartor.spaces.ms_ranas.operations import NONE, OPERATIONS

Generator = Literal["first_layer", "extra_layer"]
GeneratorStyle = Literal["darts", "msdnet"]
CellInputs = Literal["two_back", "diagonal_horizontal", "previous"]
Diagonal = Literal["conv", "factorized_reduce"]
AfterReduction = Literal["factorized_reduce", "average_pool"]
Reductions = Literal["cells", "none", "drop_finest"]
Head = Literal["conv", "pool"]
Exits = Literal["all", "last"] | tuple[int, ...]

SCALES = (1, 2, 3)
MOST_NODES = 5  # a node of six predecessors and more has above a million combinations of operations
_ALLOWED: dict[str, tuple[Any, ...]] = {
    "scales": SCALES,
    "generator": ("first_layer", "extra_layer"),
    "generator_style": ("darts", "msdnet"),
    "horizontal_kernel": (1, 3),
    "diagonal": ("conv", "factorized_reduce"),
    "cell_inputs": ("two_back", "diagonal_horizontal", "previous"),
    "after_reduction": ("factorized_reduce", "average_pool"),
    "reductions": ("cells", "none", "drop_finest"),
    "head": ("conv", "pool"),
}


@dataclass(frozen=True, kw_only=True)
class Setting:
    """The options of the space. Scale 0 is the finest one; layers count from 1.

    The paper fixes little of the network around the cells. The defaults are "R", our reconstruction: of about 2,400
    variants the one that meets the paper's parameters, its range of MACs and the 12 % of its first exit.

    Args:
        scales: 1 to 3; each has half the side of the one before it.
        layers: of the grid, the generator's counted where it is the ``first_layer``.
        nodes: of a cell.
        channels: of a node before the first reduction, on scale 0; a multiple of ``partial_channels``. Each reduction
            doubles them.
        stem_multiplier: the generator makes so many times ``channels`` (DARTS: 3).
        scale_width: what multiplies the channels on each scale; those of scales that are not there are left aside.
        generator: whether the convolutions that make the scales are the first layer or come before it (DARTS).
        generator_style: ``darts`` is 3x3 convolution and batch norm, ``msdnet`` adds a ReLU.
        horizontal_kernel: of the convolution from layer to layer on one scale, after a ReLU and before a batch norm.
        diagonal: how a map comes to the next coarser scale: a 3x3 convolution of stride 2 or a factorized reduction.
        cell_inputs: what the two inputs of a cell in layer k are. ``two_back``: layer k - 2 and layer k - 1, from
            each the diagonal part of the finer scale and the horizontal one of the same scale, half the channels each.
            ``diagonal_horizontal``: the two parts of layer k - 1; on the finest scale, which has no diagonal part,
            layers k - 2 and k - 1. ``previous``: the same scale of layer k - 2, and both parts of layer k - 1.
        after_reduction: how layer k - 2 is halved once more where layer k - 1 reduced: by a factorized reduction and a
            second diagonal convolution, or by a 2x2 average pooling before the usual convolution.
        reductions: in layers L // 3 and 2L // 3 counted from 0: ``cells`` of their own kind, which halve every scale;
            ``none``; or the finest scale is left out from there on, as MSDNet does (``drop_finest``; the cells are
            normal ones and the channels stay, in both).
        head: ``conv`` is that of MSDNet, made safe for small maps; ``pool`` is the mean and a linear layer (DARTS). It
            reads the coarsest scale.
        exits: ``all`` layers but the first, the ``last`` one, or a list of layers that ends with the last.
        auxiliary: DARTS' auxiliary head on layer 2L // 3, counted from 0, in the training of a network with one exit.
        full_grid: counts the cells that no exit reads, the finest ones of the last layers, as the paper's figures do (a
            fifth of R's MACs). They are never run.
        operations: those of an edge beside ``none``.
        partial_channels: K of PC-DARTS: in search an operation sees one K-th of the channels.
    """

    num_classes: int = 10
    image_size: int = 32
    in_channels: int = 3
    scales: int = 3
    layers: int = 7
    nodes: int = 2
    channels: int = 32
    stem_multiplier: int = 1
    scale_width: tuple[int, ...] = (1, 1, 1)
    generator: Generator = "first_layer"
    generator_style: GeneratorStyle = "darts"
    horizontal_kernel: int = 1
    diagonal: Diagonal = "conv"
    cell_inputs: CellInputs = "two_back"
    after_reduction: AfterReduction = "factorized_reduce"
    reductions: Reductions = "cells"
    head: Head = "conv"
    exits: Exits = "all"
    auxiliary: bool = False
    full_grid: bool = True
    operations: tuple[str, ...] = OPERATIONS
    partial_channels: int = 1

    def __post_init__(self) -> None:
        for name in ("scale_width", "operations", "exits"):
            if isinstance(value := getattr(self, name), list):
                object.__setattr__(self, name, tuple(value))
        for name, allowed in _ALLOWED.items():
            if (value := getattr(self, name)) not in allowed:
                raise RequestError(f"ms_ranas: unknown {name} {value!r}; known are {', '.join(map(str, allowed))}")
        self._check_numbers()
        self._check_operations()
        self._check_exits()

    @property
    def options(self) -> dict[str, Any]:
        """The options by name, as :func:`sartor.spaces.create` takes them."""
        return {f.name: getattr(self, f.name) for f in fields(self)}

    @property
    def first_layer(self) -> int:
        """The first layer of cells."""
        return 2 if self.generator == "first_layer" else 1

    @property
    def reduction_layers(self) -> tuple[int, ...]:
        """The layers that reduce, among those of cells."""
        if self.reductions == "none":
            return ()
        found = {self.layers // 3 + 1, 2 * self.layers // 3 + 1}
        return tuple(sorted(layer for layer in found if layer >= self.first_layer))

    @property
    def exit_layers(self) -> tuple[int, ...]:
        """The layers with an exit."""
        if self.exits == "last":
            return (self.layers,)
        return tuple(range(2, self.layers + 1)) if self.exits == "all" else tuple(int(e) for e in self.exits)

    def _check_numbers(self) -> None:
        for name in ("num_classes", "image_size", "in_channels", "stem_multiplier", "partial_channels"):
            if (value := getattr(self, name)) < 1:
                raise RequestError(f"ms_ranas: {name} {value} is not possible, it must be at least 1")
        if self.layers < 2:
            raise RequestError(f"ms_ranas: layers {self.layers} is not possible, at least 2 are needed")
        if not 1 <= self.nodes <= MOST_NODES:
            raise RequestError(f"ms_ranas: nodes {self.nodes} is not possible; 1 to {MOST_NODES} are")
        if self.channels < 4 or self.channels % self.partial_channels:
            raise RequestError(
                f"ms_ranas: channels {self.channels} is not possible; at least 4 are needed, and a multiple of "
                f"partial_channels {self.partial_channels}"
            )
        if len(self.scale_width) < self.scales or min(self.scale_width) < 1:
            raise RequestError(
                f"ms_ranas: scale_width {list(self.scale_width)} is not possible; give {self.scales} "
                "whole factors from 1"
            )

    def _check_operations(self) -> None:
        unknown = [name for name in self.operations if name not in OPERATIONS]
        if NONE in unknown:
            raise RequestError(f"ms_ranas: leave {NONE!r} out of operations; every edge has it")
        if unknown:
            raise RequestError(f"ms_ranas: unknown operation {unknown[0]!r}; known are {', '.join(OPERATIONS)}")
        if not self.operations or len(set(self.operations)) != len(self.operations):
            raise RequestError(f"ms_ranas: operations {list(self.operations)} must be one or more, each once")

    def _check_exits(self) -> None:
        if isinstance(self.exits, str) and self.exits not in ("all", "last"):
            raise RequestError(f"ms_ranas: unknown exits {self.exits!r}; known are all, last, or a list of layers")
        layers = self.exit_layers
        possible = set(range(self.first_layer, self.layers + 1))
        if list(layers) != sorted(set(layers) & possible) or not layers or layers[-1] != self.layers:
            raise RequestError(
                f"ms_ranas: exits {list(layers)} is not possible; give layers from {self.first_layer} to "
                f"{self.layers} in ascending order, {self.layers} among them: what comes after the last exit "
                "serves nobody"
            )
        if self.auxiliary and len(layers) > 1:
            raise RequestError(
                f"ms_ranas: an auxiliary head helps a network with one exit; this one has {len(layers)}, so leave "
                "auxiliary out, or set exits: last"
            )
