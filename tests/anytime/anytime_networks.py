"""Small blueprints with exits and scales for the tests of the folder."""

from __future__ import annotations

import torch
from torch import nn

from sartor.blueprint import Block, Blueprint
from sartor.stack import Stack


def grid(
    *, scales: int = 2, layers: int = 3, channels: int = 4, image_size: int = 8, in_channels: int = 1, classes: int = 10
) -> Blueprint:
    """A multi-scale network: layer 1 makes the scales, every later layer has an exit on its coarsest scale.

    The cell of scale s reads the cell of its own scale and, strided, that of the finer scale, both of the layer before.
    """
    blocks = []
    shape: dict[str, Stack] = {}

    def add(name: str, inputs: tuple[str, ...], stack: Stack, join: str, exit: int, is_exit: bool = False) -> str:
        shape[name] = stack
        blocks.append(Block(name, inputs, stack, join, exit, is_exit))  # type: ignore[arg-type]
        return name

    def conv(name: str, source: Stack, **options: int) -> Stack:
        kernel = options.pop("kernel", 3)
        stack = Stack(source.out_channels, source.out_side)
        return stack.conv(name, channels, kernel=kernel, **options).batch_norm().activation()

    before = [add("stem0", ("pictures",), conv("conv", Stack(in_channels, image_size)), "single", 0)]
    for s in range(1, scales):
        before.append(add(f"stem{s}", (before[-1],), conv("conv", shape[before[-1]], stride=2), "single", 0))
    for layer in range(1, layers):
        cells, exit = [], layer - 1
        for s in range(scales):
            inputs = [before[s]]
            if s:
                down = conv("down", shape[before[s - 1]], stride=2)
                inputs.append(add(f"down{layer}_{s}", (before[s - 1],), down, "single", exit))
            width = sum(shape[name].out_channels for name in inputs)
            cell = conv("conv", Stack(width, shape[before[s]].out_side))
            join = "concat" if s else "single"
            cells.append(add(f"cell{layer}_{s}", tuple(inputs), cell, join, exit))
        features = shape[cells[-1]]
        head = Stack(features.out_channels, features.out_side).global_pool().linear("linear", classes)
        add(f"exit{exit}", (cells[-1],), head, "single", exit, True)
        before = cells
    return Blueprint(tuple(blocks), in_channels, image_size, "grid")


def chain() -> Blueprint:
    """A plain network without exits, and with an empty block."""
    stem = Stack(1, 8).conv("conv", 4, kernel=3, stride=2).batch_norm().activation()
    head = Stack(4, 4).global_pool().linear("linear", 10)
    blocks = [("stem", "pictures", stem), ("nothing", "stem", Stack(4, 4)), ("head", "nothing", head)]
    return Blueprint(tuple(Block(name, (source,), stack) for name, source, stack in blocks), 1, 8, "chain")


def settled(blueprint: Blueprint, seed: int = 0) -> nn.Module:
    """The network in evaluation mode, with batch norms that do something."""
    network = blueprint.build(seed=seed)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.running_mean.normal_(0, 0.5, generator=generator)  # type: ignore[union-attr]
                module.running_var.uniform_(0.5, 2.0, generator=generator)  # type: ignore[union-attr]
                module.bias.normal_(0, 0.5, generator=generator)
    return network.eval()


def pictures(count: int = 5, blueprint: Blueprint | None = None, seed: int = 0) -> torch.Tensor:
    """Random pictures ``[count, C, S, S]`` for a blueprint."""
    shape = (1, 8) if blueprint is None else (blueprint.in_channels, blueprint.image_size)
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, shape[0], shape[1], shape[1], generator=generator)
