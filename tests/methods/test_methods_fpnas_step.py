"""A step of FP-NAS on shared weights of its own space: what moves, what is kept, and what a step costs in memory."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from sartor.layers import WITH_WEIGHTS, walk_layers
from sartor.methods.fpnas import FPNAS, FPNASSettings
from sartor.platforms import Platform
from sartor.testing import small_space
from sartor.testing.evaluators import OnlyTheContract, evaluator_for

Rows = set[tuple[Any, ...]]


def search(samples: int) -> tuple[FPNAS, Any, OnlyTheContract]:
    """A search that learns from its first step on, its evaluator, and a watch over what is asked."""
    space = small_space("fbnetv2_f_plus")
    settings = FPNASSettings(samples=samples, warmup=0.0)
    method = FPNAS(space, [Platform("roomy", {"macs": 10**12})], settings, seed=0)
    evaluator = evaluator_for(method, "supernet")
    return method, evaluator, OnlyTheContract(evaluator)


def used_by(evaluator: Any, rows: Rows) -> dict[nn.Parameter, Tensor]:
    """Which elements of each parameter these architectures hold, from their blueprints alone."""
    supernet = evaluator.supernet
    masks = {p: torch.zeros(p.shape, dtype=torch.bool) for p in supernet.parameters()}
    for row in rows:
        for block in supernet.space.architecture(row).blueprint.blocks:
            for layer in walk_layers(block.stack.body):
                if layer.kind in WITH_WEIGHTS:
                    module: Any = supernet.bank.layer(block.name, layer.name)
                    inner = () if layer.kind == "batch_norm" else (slice(layer.in_channels // layer.groups),)
                    masks[module.weight][(slice(layer.out_channels), *inner)] = True
                    if module.bias is not None:
                        masks[module.bias][: layer.out_channels] = True
    return masks


def test_weights_that_no_sample_uses_stay_as_they_are() -> None:
    """Other kernels, activations and splits, and channels beyond the widest sample, neither decay nor coast.

    Momentum from the steps before would move them; weights in use do move.
    """
    method, evaluator, watch = search(samples=2)
    for _ in range(3):
        before = {p: p.detach().clone() for p in evaluator.supernet.parameters()}
        watch.asked.clear()
        method.step(watch)
        masks = used_by(evaluator, set(watch.asked))
        moved = {p: p.detach() != value for p, value in before.items()}
        assert all(not (moved[p] & ~mask).any() for p, mask in masks.items())
        convolutions = [p for p, mask in masks.items() if p.ndim == 4 and mask.any()]
        assert all(moved[p][masks[p]].double().mean() > 0.2 for p in convolutions)
        assert sum(int(mask.any()) for mask in masks.values()) < 0.6 * len(masks)  # whole options rest


def test_what_a_step_keeps_does_not_grow_with_its_samples() -> None:
    """When a child of the step begins, nothing of the child before it is kept for a backward computation."""
    kept: dict[int, list[int]] = {}
    for samples in (1, 6):
        method, evaluator, _ = search(samples)
        alive, starts, forward = [0], [], evaluator.supernet.forward
        kept[samples] = starts

        class Kept:
            def __init__(self, tensor: Tensor, alive: list[int] = alive) -> None:
                self.tensor, self.alive = tensor, alive
                alive[0] += tensor.numel()

            def __del__(self) -> None:
                self.alive[0] -= self.tensor.numel()

        def watched(*args: Any, starts: list[int] = starts, alive: list[int] = alive, run: Any = forward) -> Any:
            starts.append(alive[0])
            return run(*args)

        evaluator.supernet.forward = watched
        with torch.autograd.graph.saved_tensors_hooks(Kept, lambda k: k.tensor):
            method.step(evaluator)
    assert len(kept[6]) == 12  # trained and scored
    batch = 8 * 5  # the loss that was weighted last may still be there
    assert max(kept[6]) <= max(kept[1]) + 2 * batch + 8
