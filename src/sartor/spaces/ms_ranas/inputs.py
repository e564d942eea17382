"""How the maps of the grid reach a cell: horizontally on their scale, diagonally to the next coarser one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

from sartor.decisions import Template
from sartor.memory import PICTURES
from sartor.spaces.ms_ranas.grid import Cell, Grid
from sartor.spaces.ms_ranas.operations import factorized_reduce, relu_conv_norm
from sartor.spaces.ms_ranas.setting import Setting
from sartor.stack import Stack


def generator_templates(grid: Grid) -> Iterator[Template]:
    """The strided convolutions that make the scales from the pictures."""
    setting, before = grid.setting, Stack(grid.setting.in_channels, grid.setting.image_size)
    source = PICTURES
    for cell in grid.layer(grid.generator_layer):
        stack = before.conv("conv", cell.channels, kernel=3, stride=2 if cell.scale else 1).batch_norm()
        stack = stack.activation() if setting.generator_style == "msdnet" else stack
        yield Template(cell.name, (), _constant(stack), inputs=(source,))
        before, source = Stack(cell.channels, cell.side), cell.name


@dataclass(frozen=True)
class Entrance:
    """The inputs of one cell."""

    grid: Grid
    cell: Cell
    stage: int

    @property
    def names(self) -> tuple[str, str]:
        """The blocks that the cell reads."""
        return f"{self.cell.name}_input0", f"{self.cell.name}_input1"

    @property
    def setting(self) -> Setting:
        """The options of the space."""
        return self.grid.setting

    def templates(self) -> Iterator[Template]:
        """What makes the two inputs (see ``cell_inputs`` of :class:`Setting`)."""
        older, newer = (self.grid.cell(self.cell.layer - back, self.cell.scale) for back in (2, 1))
        mode, (name0, name1) = self.setting.cell_inputs, self.names
        if mode == "two_back":
            yield from self._both(name0, older)
            yield from self._both(name1, newer)
        elif mode == "previous":
            yield self._horizontal(name0, older, self.cell.width)
            yield from self._both(name1, newer)
        else:
            finer = self._finer(newer)
            if finer is None:
                yield self._horizontal(name0, older, self.cell.width)
            else:
                yield self._diagonal(name0, finer, self.cell.width)
            yield self._horizontal(name1, newer, self.cell.width)

    def _both(self, name: str, same: Cell) -> Iterator[Template]:
        """Half from the next finer scale of that layer and half from the same one; on the finest all from that."""
        finer, width = self._finer(same), self.cell.width
        if finer is None:
            yield self._horizontal(name, same, width)
            return
        yield (diagonal := self._diagonal(f"{name}_diagonal", finer, width // 2))
        yield (horizontal := self._horizontal(f"{name}_horizontal", same, width - width // 2))
        joined = _constant(Stack(width, self._side))
        yield Template(name, (), joined, (diagonal.name, horizontal.name), "concat", self.stage)

    def _finer(self, cell: Cell) -> Cell | None:
        return self.grid.get(cell.layer, cell.scale - 1)

    @property
    def _side(self) -> int:
        """Of what enters the cell."""
        return self.grid.cell(self.cell.layer - 1, self.cell.scale).side

    def _horizontal(self, name: str, source: Cell, channels: int) -> Template:
        halvings = (source.side // self._side).bit_length() - 1
        return self._template(name, source, _Part(self.setting, source, channels, halvings, diagonal=False))

    def _diagonal(self, name: str, source: Cell, channels: int) -> Template:
        halvings = (source.side // self._side).bit_length() - 1
        return self._template(name, source, _Part(self.setting, source, channels, halvings, diagonal=True))

    def _template(self, name: str, source: Cell, part: _Part) -> Template:
        final, search = (partial(part.stack, affine=affine) for affine in (True, False))
        return Template(name, (), final, (source.name,), stage=self.stage, search=search)


@dataclass(frozen=True)
class _Part:
    """A way from a map of the grid into a cell, over which the side is halved none to two times."""

    setting: Setting
    source: Cell
    channels: int
    halvings: int
    diagonal: bool

    def stack(self, affine: bool) -> Stack:
        stack, left = Stack(self.source.channels, self.source.side), self.halvings
        if left > self.diagonal and self.setting.after_reduction == "average_pool":
            stack, left = stack.pool("avg", kernel=2, stride=2, padded=False), left - 1
        if not left:
            kernel = self.setting.horizontal_kernel
            return relu_conv_norm(stack, self.channels, "conv", kernel=kernel, affine=affine)
        factorized = not self.diagonal or self.setting.diagonal == "factorized_reduce"
        for number in range(1, left + 1):
            if factorized:
                stack = factorized_reduce(stack, self.channels, f"reduce{number}", affine=affine)
            else:
                stack = relu_conv_norm(stack, self.channels, f"conv{number}", kernel=3, stride=2, affine=affine)
        return stack


def _constant(stack: Stack) -> partial[Stack]:
    """A template's function where nothing is chosen."""
    return partial(_same, stack)


def _same(stack: Stack) -> Stack:
    return stack
