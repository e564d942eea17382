"""What the tests of exits share: a small network of cells with exits, batches for it, and settings to train it."""

from __future__ import annotations

import dataclasses
from typing import Any

import torch
from torch import Tensor

from sartor.blueprint import Block, Blueprint, Join
from sartor.runtime import Runtime
from sartor.stack import Stack
from sartor.train.loop import NoStore
from sartor.train.networks import Trained, train_anytime
from sartor.train.settings import FinalTraining

CPU = Runtime(torch.device("cpu"))
CLASSES = 5


class Brightness:
    """Batches of random pictures whose class is told by their brightness; a function of the step."""

    steps_per_epoch = 6
    batch_size = 8

    def batch(self, step: int) -> tuple[Tensor, Tensor]:
        rng = torch.Generator().manual_seed(step)
        y = torch.randint(CLASSES, (self.batch_size,), generator=rng)
        return torch.randn((self.batch_size, 3, 8, 8), generator=rng) + y.float().reshape(-1, 1, 1, 1), y


def conv(channels: int, side: int, stride: int = 1) -> Stack:
    return Stack(channels, side).activation().conv("conv", 4, kernel=3, stride=stride).batch_norm()


def head(side: int) -> Stack:
    return Stack(4, side).global_pool().dropout().linear("linear", CLASSES)


def with_exits(exits: int = 3) -> Blueprint:
    """A stem and three cells of one node each, an exit on every cell (or on the last of them alone).

    Node 1 adds a convolution to an identity; nodes 2 and 3 add a strided one to a strided pooling, node 3 also reads
    node 1. The head of the second exit is two blocks.
    """
    blocks: list[Block] = []

    def add(name: str, inputs: str, stack: Stack, join: Join = "single", exit_number: int | None = None) -> None:
        stage = min(int(name[-1]) if name[-1].isdigit() else 0, exits - 1) if exits > 1 else 0
        blocks.append(Block(name, tuple(inputs.split()), stack, join, stage, exit_number is not None))

    add("stem", "pictures", Stack(3, 8).conv("conv", 4, kernel=3).batch_norm())
    add("conv_0", "stem", conv(4, 8))
    add("skip_0", "stem", Stack(4, 8))
    add("node_0", "conv_0 skip_0", Stack(4, 8), "sum")
    if exits == 3:
        add("exit_0", "node_0", head(8), exit_number=0)
    add("conv_1", "node_0", conv(4, 8, stride=2))
    add("pool_1", "node_0", Stack(4, 8).pool("max", stride=2))
    add("node_1", "conv_1 pool_1", Stack(4, 4), "sum")
    if exits == 3:
        add("pooled_1", "node_1", Stack(4, 4).global_pool())
        add("exit_1", "pooled_1", Stack(4, 1).linear("linear", CLASSES), exit_number=1)
    add("conv_2", "node_1", conv(4, 4))
    add("back_2", "node_0", conv(4, 8, stride=2))
    add("node_2", "conv_2 back_2", Stack(4, 4), "sum")
    add("exit_2", "node_2", head(4), exit_number=2 if exits == 3 else None)
    return Blueprint(tuple(blocks), 3, 8)


def one_exit_with_auxiliary() -> Blueprint:
    """The same cells with one classifier, and an auxiliary one on the second cell."""
    auxiliary = Block("auxiliary", ("node_1",), head(4))
    return dataclasses.replace(with_exits(1), auxiliary=auxiliary)


def train(
    blueprint: Blueprint | None = None, store: Any = None, teacher: Any = None, seed: int = 0, **changes: Any
) -> Trained:
    """Six steps of training, unless told otherwise."""
    settings = FinalTraining(
        **{
            "epochs": 1.0,
            "batch_size": 8,
            "learning_rate": 0.05,
            "dropout": 0.0,
            "mode": "anytime",
            "schedule": "cosine",
            "weight_decay": 0.01,
            **changes,
        }
    )
    chosen = with_exits() if blueprint is None else blueprint
    return train_anytime(chosen, Brightness(), settings, CPU, store or NoStore(), seed=seed, teacher=teacher)
