"""What does it cost to be interruptible? A run stopped at each exit against a plain network cut there; deadlines.

The proposed network of MS-RANAS ("R": three scales, seven layers, 32 channels) with the cells of its published counts,
one picture at a time. A stopped run computes what the exits up to this one read, heads included. Against it stand

- "all cells": the network of all cells up to the exit's layer, as papers count (``Blueprint.cut``); onnxruntime drops
  the cells that no exit reads when it opens the file, so that there this is the next one;
- "same blocks": a plain network of exactly the blocks that the stopped run computes, with all exits up to this one;
- "exit alone": a network with this exit only (lazily cut), so the price of not knowing where the run will be stopped,
  which is the heads before.

"Exit foreseen" is a run that knows its exit, against the network with this exit alone. "Sessions alone" leaves out all
that Python does: it is the price of handing tensors from one file to the next, as onnxruntime converts them between its
own memory layout and the plain one at the ends of every file.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

import sartor.spaces
from measure import Figure, Work, cpu_seconds, pairs, ratio, report
from sartor.anytime import AnytimePredictor, OnnxRunner, Prediction, make_stages
from sartor.anytime.running import StageRunner
from sartor.blueprint import Blueprint
from sartor.export import ModelCard, export_stages
from sartor.export.onnx_file import to_model
from sartor.export.session import open_session
from sartor.runtime import keep_freed_memory
from sartor.spaces.ms_ranas.genotypes import Genotype
from workload import PAIRS, SEED

GOAL_EXIT = 1.10
GOAL_STAGES = 1.0
DEADLINES = 300

# The cells with published counts of the proposed network (reference facts, 3.5).
CELLS = Genotype(
    (("sep_conv_3x3", 0), ("sep_conv_3x3", 1), ("sep_conv_3x3", 0), ("skip_connect", 1)),
    (("max_pool_3x3", 0), ("max_pool_3x3", 1), ("max_pool_3x3", 0), ("skip_connect", 2)),
)


@dataclass(frozen=True)
class Size:
    """How large the network is and how often each side runs; tests shrink both. ``space`` are options of ms_ranas."""

    space: dict[str, Any] = field(default_factory=dict)
    image_size: int = 32
    pairs: int = PAIRS
    sample_ms: float = 20.0  # at least so long is a timed sample: a stage takes a tenth of a millisecond
    deadlines: int = DEADLINES

    def settings(self) -> dict[str, Any]:
        """As plain data for the result file."""
        given = {"space": "ms_ranas", **self.space, "image_size": self.image_size, "cells": str(CELLS)}
        return {**given, "batch_size": 1, "sample_ms": self.sample_ms, "pairs": self.pairs, "threads": 1, "seed": SEED}


def main(size: Size | None = None) -> list[Figure]:
    """Measures, prints and writes everything."""
    size = size or Size()
    torch.set_num_threads(1)
    keep_freed_memory()
    space = sartor.spaces.create("ms_ranas", num_classes=10, image_size=size.image_size, **size.space)
    blueprint = space.blueprint(CELLS.values(), "r")
    network = blueprint.build(seed=SEED).eval()
    x = torch.randn(1, 3, size.image_size, size.image_size, generator=torch.Generator().manual_seed(SEED))
    figures = in_pytorch(size, blueprint, network, x)
    with tempfile.TemporaryDirectory() as name:
        runner = OnnxRunner(export_stages(network, blueprint, card(size.image_size), Path(name) / "anytime"))
        figures += in_onnxruntime(size, blueprint, network, runner, x)
        for what, runs, picture in (
            ("PyTorch", AnytimePredictor(network, blueprint), x),
            ("onnxruntime", runner, x.numpy()),
        ):
            figures.append(overrun(what, runs, picture, size))
    report("anytime_exits", __doc__.splitlines()[0], figures, size.settings())
    return figures


def in_pytorch(size: Size, blueprint: Blueprint, network: nn.Module, x: Tensor) -> list[Figure]:
    """Every exit: stopped and foreseen, against plain networks with the same weights."""
    predictor = AnytimePredictor(network, blueprint)
    compare = partial(compared, "PyTorch", size)
    same, foreseen, known, every = [], [], [], []
    for k in range(blueprint.exits):
        stopped, alone = partial(stop_at, predictor, x, k), partial(foreseen_at, predictor, x, k)
        blocks, lazy = (plain_call(plain(p, network), x) for p in (computed(blueprint, k), blueprint.cut(k, lazy=True)))
        same.append(compare("same blocks", k, stopped, blocks, GOAL_EXIT))
        foreseen.append(compare("exit foreseen", k, alone, lazy, GOAL_EXIT))
        every.append(compare("all cells", k, stopped, plain_call(plain(blueprint.cut(k), network), x), GOAL_EXIT))
        if k in few(blueprint):
            known.append(compare("exit alone", k, stopped, lazy))
    return [*every, *same, *foreseen, *known]


def in_onnxruntime(size: Size, blueprint: Blueprint, network: nn.Module, runner: OnnxRunner, x: Tensor) -> list[Figure]:
    """Every exit: the chain of files stopped there, against one file."""
    compare = partial(compared, "onnxruntime", size)
    same, alone, known = [], [], []
    for k in range(blueprint.exits):
        stopped, file = partial(stop_at, runner, x.numpy(), k), one_file(computed(blueprint, k), network, x)
        same.append(compare("same blocks", k, stopped, partial(probabilities, file), GOAL_EXIT))
        alone.append(compare("same blocks, sessions alone", k, partial(stages_up_to, runner, x.numpy(), k), file))
        if k in few(blueprint):
            lazy = one_file(blueprint.cut(k, lazy=True), network, x)
            known.append(compare("exit alone", k, stopped, partial(probabilities, lazy)))
    return [*same, *alone, *known]


def compared(
    runtime: str, size: Size, what: str, exit: int, first: Work, second: Work, goal: float | None = None
) -> Figure:
    """The median ratio of two ways to the same prediction."""
    repeat(second, 3)
    calls = max(1, round(size.sample_ms / 1e3 / max(cpu_seconds(partial(repeat, second, 3)) / 3, 1e-6)))
    seconds = pairs(partial(repeat, first, calls), partial(repeat, second, calls), size.pairs) / calls
    return ratio(f"{runtime}, exit {exit}, {what}", seconds, goal=goal, calls=calls)


def stop_at(runs: StageRunner, x: Any, exit: int) -> Prediction:
    """A run that its user leaves when the prediction of ``exit`` is there; nobody knew before."""
    for prediction in runs.predict(x):
        if prediction.exit == exit:
            prediction.probabilities  # noqa: B018 - computed when looked at, as the other side computes them
            return prediction
    raise ValueError(f"there is no exit {exit}")


def foreseen_at(runs: StageRunner, x: Any, exit: int) -> Any:
    """A run whose exit is known from the start."""
    answer = runs.answer(x, exit=exit)
    return None if answer is None else answer.probabilities


def stages_up_to(runner: OnnxRunner, x: Any, exit: int) -> None:
    """The stages one after the other, and nothing else."""
    run = runner._start(x, runner.stages)
    for position in range(exit + 1):
        run.stage(position)
    run.close()


def few(blueprint: Blueprint) -> tuple[int, ...]:
    """The first, the middle and the last exit, for figures without a goal."""
    return (0, (blueprint.exits - 1) // 2, blueprint.exits - 1)


def computed(blueprint: Blueprint, exit: int) -> Blueprint:
    """The network of the blocks that a run stopped at ``exit`` computes, in the order of the whole network."""
    running = {block.name: block for stage in make_stages(blueprint)[: exit + 1] for block in stage.blocks}
    return replace(blueprint, blocks=tuple(running[b.name] for b in blueprint.blocks if b.name in running))


def plain(blueprint: Blueprint, network: nn.Module) -> nn.Module:
    """A part of the network as its user would build it, with a copy of the weights."""
    part, whole = blueprint.build().eval(), network.state_dict()
    part.load_state_dict({key: whole[key] for key in part.state_dict()})
    return part


def plain_call(network: nn.Module, x: Tensor) -> Work:
    """What a user of a plain network does: logits to probabilities."""

    def call() -> Any:
        with torch.inference_mode():
            logits = network(x)
            return torch.softmax(logits[-1] if isinstance(logits, tuple) else logits, dim=1).numpy()

    return call


def one_file(blueprint: Blueprint, network: nn.Module, x: Tensor) -> Callable[[], Any]:
    """The last logits in onnxruntime, from one file with all exits of ``blueprint``."""
    outputs = [f"logits{k}" for k in range(blueprint.exits)]
    pictures = torch.zeros(2, *x.shape[1:])
    model = to_model(plain(blueprint, network), {"pictures": pictures}, outputs, blueprint.name)
    session, feed = open_session(model.SerializeToString()), {"pictures": x.numpy()}

    return lambda: session.run(None, feed)[-1]


def probabilities(file: Callable[[], Any]) -> Any:
    """What its user makes of them."""
    logits = file()
    terms = np.exp(logits - logits.max(axis=1, keepdims=True))
    return terms / terms.sum(axis=1, keepdims=True)


def repeat(work: Work, calls: int) -> None:
    """Several calls in one timed sample."""
    for _ in range(calls):
        work()


def overrun(what: str, runs: StageRunner, x: Any, size: Size) -> Figure:
    """How far deadlines between the first exit and the last are overrun at worst, in units of the stage that did it.

    Wall time on whatever else the machine does meanwhile; the details say how many deadlines were kept.
    """
    total_ms = sum(runs.measure(x))
    rng = np.random.default_rng(SEED)
    worst, late, exits = 0.0, 0, []
    for deadline_ms in rng.uniform(runs.stage_ms[1][0], total_ms, size.deadlines).tolist():
        elapsed_ms = [0.0, *[p.elapsed_ms for p in runs.predict(x, deadline_ms=deadline_ms)]]
        exits.append(len(elapsed_ms) - 2)
        over_ms = elapsed_ms[-1] - deadline_ms
        late += int(over_ms > 0)
        worst = max(worst, over_ms / (elapsed_ms[-1] - elapsed_ms[-2]) if len(elapsed_ms) > 1 else 0.0)
    details = {"deadlines": size.deadlines, "overrun": late, "mean_exit": float(np.mean(exits)), "total_ms": total_ms}
    name = f"{what}, worst overrun of {size.deadlines} deadlines / the stage in question ({late} overrun)"
    return Figure(name, worst, worst, worst, goal=GOAL_STAGES, samples=size.deadlines, details=details)


def card(image_size: int) -> ModelCard:
    """A card for random pictures."""
    return ModelCard(
        name="r",
        mean=(0.5,) * 3,
        std=(0.25,) * 3,
        image_size=image_size,
        colour_order="RGB",
        class_names=tuple(map(str, range(10))),
    )


if __name__ == "__main__":
    main()
