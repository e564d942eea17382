"""What the tests of optimisers share: pictures, which elements an architecture uses, and the rules by the book."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from sartor.elastic.supernet import Supernet
from sartor.layers import WITH_WEIGHTS, walk_layers
from sartor.space import Architecture

Memory = dict[str, Tensor]


def pictures(step: int, n: int = 4) -> Tensor:
    """Random pictures in double precision."""
    return torch.randn(n, 3, 8, 8, generator=torch.Generator().manual_seed(step), dtype=torch.float64)


def first_exit(outputs: Any) -> Tensor:
    """The logits of the first exit."""
    result: Tensor = outputs[0] if isinstance(outputs, tuple) else outputs
    return result


def used_masks(supernet: Supernet, architectures: Sequence[Architecture]) -> dict[nn.Parameter, Tensor]:
    """Which elements of each parameter some architecture uses, from the blueprints' shapes alone."""
    masks = {p: torch.zeros(p.shape, dtype=torch.bool) for p in supernet.parameters()}
    for architecture in architectures:
        for block in architecture.blueprint.blocks:
            for layer in walk_layers(block.stack.body):
                if layer.kind in WITH_WEIGHTS:
                    module: Any = supernet.bank.layer(block.name, layer.name)
                    inner = () if layer.kind == "batch_norm" else (slice(0, layer.in_channels // layer.groups),)
                    masks[module.weight][(slice(0, layer.out_channels), *inner)] = True
                    if module.bias is not None:
                        masks[module.bias][: layer.out_channels] = True
    return masks


def memory(rule: str, like: Tensor) -> Memory:
    """What a rule remembers before the first step, every element on its own."""
    zeros = torch.zeros_like(like)
    if rule == "rmsprop":
        return {"square": torch.ones_like(like), "momentum": zeros}
    return {"momentum": zeros} if rule == "sgd" else {"mean": zeros, "square": zeros, "count": zeros}


def by_the_book(
    weight: Tensor, gradient: Tensor, held: Memory, mask: Tensor, rate: float, settings: Any
) -> tuple[Tensor, Memory]:
    """One step on the elements in ``mask``, from the definitions in the papers and in TensorFlow's documentation."""
    s, g = settings, gradient
    if s.optimiser == "sgd":
        velocity = s.momentum * held["momentum"] + g
        moved = weight - rate * (g + s.momentum * velocity if s.nesterov else velocity)
        new = {"momentum": velocity}
    elif s.optimiser == "rmsprop":
        square = held["square"] + (g * g - held["square"]) * (1 - s.rmsprop_decay)
        velocity = held["momentum"] * s.momentum + rate * g / (square + s.rmsprop_epsilon) ** 0.5
        moved, new = weight - velocity, {"square": square, "momentum": velocity}
    else:
        count = held["count"] + 1
        mean = s.momentum * held["mean"] + (1 - s.momentum) * g
        square = s.adam_decay * held["square"] + (1 - s.adam_decay) * g * g
        root = (square / (1 - s.adam_decay**count)) ** 0.5
        moved = weight - rate * mean / (1 - s.momentum**count) / (root + s.adam_epsilon)
        new = {"mean": mean, "square": square, "count": count}
    kept = {name: torch.where(mask, value, held[name]) for name, value in new.items()}
    return torch.where(mask, moved, weight), kept
