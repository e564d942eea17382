"""MS-RANAS: cells found by gradient in a grid of scales and layers with exits (Cioflan & Timofte, arXiv 2009.13940).

The proposed network "R" on pictures of 32 pixels, channels x side of what each layer gives:

| layer | kind      | scale 0  | scale 1  | scale 2 (read by exits) | exit |
|-------|-----------|----------|----------|-------------------------|------|
| 1     | generator | 32 x 32  | 32 x 16  | 32 x 8                  |      |
| 2     | normal    | 64 x 32  | 64 x 16  | 64 x 8                  | 0    |
| 3     | reduction | 128 x 16 | 128 x 8  | 128 x 4                 | 1    |
| 4     | normal    | 128 x 16 | 128 x 8  | 128 x 4                 | 2    |
| 5     | reduction | 256 x 8  | 256 x 4  | 256 x 2                 | 3    |
| 6     | normal    | 256 x 8  | 256 x 4  | 256 x 2                 | 4    |
| 7     | normal    | 256 x 8  | 256 x 4  | 256 x 2                 | 5    |

A cell reads maps of the two layers before it: of its own scale ("horizontally") and, halved, of the next finer one
("diagonally"). One normal and one reduction cell serve the whole grid: the same choices on every layer and scale, with
weights of their own. The paper leaves the network around the cells largely open; every such choice is an option, see
:class:`sartor.spaces.ms_ranas.setting.Setting`.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from functools import partial
from typing import Any, get_type_hints

from sartor.decisions import Template
from sartor.space import SearchSpace
from sartor.spaces.ms_ranas.cell import KINDS, cell_templates, decisions, rules
from sartor.spaces.ms_ranas.genotypes import known_cells
from sartor.spaces.ms_ranas.grid import Grid
from sartor.spaces.ms_ranas.inputs import Entrance, generator_templates
from sartor.spaces.ms_ranas.setting import Setting
from sartor.spaces.msdnet.heads import auxiliary_head, conv_head, pool_head
from sartor.stack import Stack


def ms_ranas(**options: Any) -> SearchSpace:
    """The space of the cells, in the network that the options describe (see :class:`Setting`)."""
    setting = Setting(**options)
    grid = Grid(setting)
    kinds = KINDS if grid.has_reduction_cells else KINDS[:1]
    templates = list(_templates(grid))
    return SearchSpace(
        "ms_ranas",
        [decision for kind in kinds for decision in decisions(kind, setting)],
        templates if setting.full_grid else _read(templates),
        image_size=setting.image_size,
        in_channels=setting.in_channels,
        options=setting.options,
        rules=[rule for kind in kinds for rule in rules(kind, setting.nodes)],
        references=known_cells(setting.nodes, kinds),
        auxiliary=_auxiliary(grid) if setting.auxiliary else None,
    )


ms_ranas.__annotations__ = {**get_type_hints(Setting), "return": SearchSpace}
ms_ranas.__signature__ = inspect.signature(Setting).replace(return_annotation=SearchSpace)  # type: ignore[attr-defined]


def _templates(grid: Grid) -> Iterator[Template]:
    """The parts of the network in order of execution."""
    setting = grid.setting
    yield from generator_templates(grid)
    for layer in range(setting.first_layer, setting.layers + 1):
        stage = sum(other < layer for other in setting.exit_layers)
        for cell in grid.layer(layer):
            entrance = Entrance(grid, cell, stage)
            yield from entrance.templates()
            yield from cell_templates(cell, entrance.names, setting, stage)
        if layer in setting.exit_layers:
            yield _exit(grid, layer, stage)


def _exit(grid: Grid, layer: int, stage: int) -> Template:
    cell, setting = grid.layer(layer)[-1], grid.setting
    head = conv_head if setting.head == "conv" else pool_head
    run = partial(head, Stack(cell.channels, cell.side), setting.num_classes)
    return Template(f"exit{stage}", (), run, (cell.name,), stage=stage, is_exit=True)


def _auxiliary(grid: Grid) -> Template:
    """The head that training adds; it is no part of the network."""
    cell = grid.layer(2 * grid.setting.layers // 3 + 1)[-1]
    run = partial(auxiliary_head, Stack(cell.channels, cell.side), grid.setting.num_classes)
    return Template("auxiliary", (), run, (cell.name,), is_exit=True)


def _read(templates: list[Template]) -> list[Template]:
    """Those that some exit reads."""
    needed: set[str] = set()
    for template in reversed(templates):
        if template.is_exit or template.name in needed:
            needed.update((template.name, *template.inputs))
    return [template for template in templates if template.name in needed]
