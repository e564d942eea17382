"""Independent ways to count: torch's own flop counter, and a simulation of which tensors are alive."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from torch.utils.flop_counter import FlopCounterMode

from sartor.blueprint import Blueprint
from sartor.layers import Gate, Layer, Node, Parallel, SplitAttention
from sartor.memory import PICTURES
from sartor.network import exit_names


def counted_macs(run: Callable[..., Any], *args: Any) -> int:
    """The multiply-adds that torch's flop counter sees in ``run(*args)`` (two flops are one)."""
    with FlopCounterMode(display=False) as counter:
        run(*args)
    flops = int(counter.get_total_flops())
    assert flops % 2 == 0
    return flops // 2


@dataclass(frozen=True)
class _Step:
    """One operation: the tensors it reads, and the elements it writes; ``over`` may be overwritten if it dies."""

    name: str
    reads: tuple[str, ...]
    elements: int
    over: tuple[str, ...] = ()


def plain_peak_elements(blueprint: Blueprint) -> int:
    """Peak live elements for one picture, found by writing the network down as single operations.

    Written against the definition and not against :mod:`sartor.blueprint`: a list of operations, a set of live
    tensors.
    """
    steps, aliases = _steps(blueprint)
    results = {aliases.get(n, n) for n in exit_names(blueprint.blocks)}
    last = {name: i for i, step in enumerate(steps) for name in step.reads}
    live = {PICTURES: blueprint.in_channels * blueprint.image_size**2}
    peak = live[PICTURES]
    for i, step in enumerate(steps):
        dying = {n for n in step.reads if last[n] == i and n not in results}
        reused = any(n in dying and live[n] == step.elements for n in step.over)
        peak = max(peak, sum(live.values()) + (0 if reused else step.elements))
        live = {n: size for n, size in live.items() if n not in dying} | {step.name: step.elements}
    return peak


def _steps(blueprint: Blueprint) -> tuple[list[_Step], dict[str, str]]:
    steps: list[_Step] = []
    aliases: dict[str, str] = {}  # block -> the tensor that holds its output
    sizes = {PICTURES: blueprint.in_channels * blueprint.image_size**2}
    for block in blueprint.blocks:
        inputs = tuple(aliases.get(n, n) for n in block.inputs)
        current = inputs[0]
        if block.join != "single":
            current = f"{block.name}/join"
            elements = block.stack.in_channels * block.stack.in_side**2
            steps.append(_Step(current, inputs, elements, inputs if block.join == "sum" else ()))
            sizes[current] = elements
        aliases[block.name] = _write(block.name, block.stack.body, current, steps, sizes)
    return steps, aliases


def _write(prefix: str, body: Sequence[Node], current: str, steps: list[_Step], sizes: dict[str, int]) -> str:
    """Appends the operations of a body and returns the tensor that holds its result."""
    for i, node in enumerate(body):
        name = f"{prefix}/{i}"
        if isinstance(node, Layer):
            overwrites = node.kind in ("batch_norm", "activation", "dropout")
            step = _Step(name, (current,), node.out_channels * node.out_side**2, (current,) if overwrites else ())
        elif isinstance(node, SplitAttention):
            step = _write_attention(name, node, current, steps, sizes)
        elif isinstance(node, Parallel):
            parts = [_write(f"{name}/{k}", branch, current, steps, sizes) for k, branch in enumerate(node.branches)]
            step = _Step(f"{name}/concat", tuple(parts), sum(sizes[part] for part in parts))
            name = step.name
        else:
            inner = _write(name, node.body, current, steps, sizes)
            name = f"{name}/{'product' if isinstance(node, Gate) else 'sum'}"
            step = _Step(name, (current, inner), sizes[current], (current, inner))
        steps.append(step)
        sizes[name] = step.elements
        current = name
    return current


def _write_attention(
    prefix: str, node: SplitAttention, current: str, steps: list[_Step], sizes: dict[str, int]
) -> _Step:
    """Appends the operations of a split attention but for the last addition, which it returns."""

    def write(name: str, reads: tuple[str, ...], elements: int, *, elementwise: bool = True) -> str:
        steps.append(_Step(f"{prefix}/{name}", reads, elements, reads if elementwise else ()))
        sizes[steps[-1].name] = elements
        return steps[-1].name

    parts = [_write(f"{prefix}/{r}", branch, current, steps, sizes) for r, branch in enumerate(node.branches)]
    elements = sizes[parts[0]]
    total = parts[0]
    for r, part in enumerate(parts[1:]):
        total = write(f"sum{r}", (total, part), elements)
    logits = _write(f"{prefix}/gate", node.gate, total, steps, sizes)
    softmax = write("softmax", (logits,), sizes[logits], elementwise=False)
    products = []
    for r, part in enumerate(parts):
        weight = write(f"weight{r}", (softmax,), sizes[logits] // len(parts), elementwise=False)
        products.append(write(f"product{r}", (part, weight), elements))
    total = products[0]
    for r, product in enumerate(products[1:-1]):
        total = write(f"total{r}", (total, product), elements)
    return _Step(f"{prefix}/total", (total, products[-1]), elements, (total, products[-1]))
