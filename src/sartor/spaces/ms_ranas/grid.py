"""Where the cells of the network are: on which layer and scale, of which kind, width and side."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from sartor.errors import RequestError
from sartor.spaces.ms_ranas.setting import Setting

Kind = Literal["generator", "normal", "reduction"]


@dataclass(frozen=True)
class Cell:
    """A map of the grid and what makes it: the generator or a cell.

    ``width`` are the channels of one node, ``channels`` and ``side`` those of the output.
    """

    layer: int
    scale: int
    kind: Kind
    width: int
    channels: int
    side: int

    @property
    def name(self) -> str:
        """Of the block that makes the output."""
        place = "generator" if self.kind == "generator" else f"layer{self.layer}"
        return f"{place}_scale{self.scale}"


class Grid:
    """The cells of a network by layer and scale.

    Raises:
        RequestError: a map that is to be halved has an odd side.
    """

    def __init__(self, setting: Setting) -> None:
        self.setting = setting
        self.generator_layer = setting.first_layer - 1
        self._cells: dict[tuple[int, int], Cell] = {}
        self._add_generator()
        for layer in range(setting.first_layer, setting.layers + 1):
            self._add_layer(layer)

    def get(self, layer: int, scale: int) -> Cell | None:
        """The cell there; before the first layer of cells the generator's, as in DARTS."""
        return self._cells.get((max(layer, self.generator_layer), scale))

    def cell(self, layer: int, scale: int) -> Cell:
        """The cell there, which must exist."""
        found = self.get(layer, scale)
        assert found is not None
        return found

    def layer(self, layer: int) -> list[Cell]:
        """The cells of a layer, the finest first."""
        return [cell for (own, _), cell in self._cells.items() if own == layer]

    @property
    def has_reduction_cells(self) -> bool:
        """Whether some cells are of the reducing kind."""
        return any(cell.kind == "reduction" for cell in self._cells.values())

    def _add_generator(self) -> None:
        layer, side = self.generator_layer, self.setting.image_size
        for scale in range(self.setting.scales):
            side = self._halved(side, layer, scale) if scale else side
            width = self.setting.channels * self.setting.scale_width[scale]
            channels = self.setting.stem_multiplier * width
            self._cells[layer, scale] = Cell(layer, scale, "generator", width, channels, side)

    def _add_layer(self, layer: int) -> None:
        setting, before = self.setting, self.layer(max(layer - 1, self.generator_layer))
        reduces = layer in setting.reduction_layers
        if reduces and setting.reductions == "drop_finest":
            before = before[1:] or before
        halves = reduces and setting.reductions == "cells"
        for cell in before:
            width = cell.width * (2 if halves else 1)
            side = self._halved(cell.side, layer, cell.scale) if halves else cell.side
            kind: Kind = "reduction" if halves else "normal"
            self._cells[layer, cell.scale] = Cell(layer, cell.scale, kind, width, setting.nodes * width, side)

    def _halved(self, side: int, layer: int, scale: int) -> int:
        if side % 2:
            setting = self.setting
            halvings = setting.scales - 1
            if setting.reductions == "cells":
                halvings += len(setting.reduction_layers)
            raise RequestError(
                f"ms_ranas: layer {layer}, scale {scale}: a map of side {side} cannot be halved evenly; make "
                f"image_size {setting.image_size} a multiple of {2**halvings}, or take fewer scales or reductions"
            )
        return side // 2
