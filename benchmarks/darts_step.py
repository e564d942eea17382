"""How long does a step of gradient search take? MS-RANAS on DARTS' network against the textbook way and NNI 3.0.

One step, first order: the gradient of the architecture on one batch and its update with Adam, then an update of the
weights on another batch with SGD. *Textbook*: as the algorithm is described, every operation of every edge run by
itself, one after the other, multiplied by its weight and added up: plain PyTorch modules of the same layers, and a
backward computation that also finds the gradients which the step does not use, as in the official code. *NNI*: its
DARTS strategy on its DARTS space. The network is that of DARTS' search: one scale, a single exit, 4 nodes per cell.

All processes take turns, a step each per round. Peaks of memory are those of all tensors that the profiler sees from
before the network is built to the end of the last step. What differs on NNI's side by design: no batch norm after its
poolings, batch norms that learn a scale and a shift, and a tensor of zeros for the operation that is none.

NNI runs in a virtual environment of its own (README.md says how to make it); where there is none, it is left out.
"""

from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from measure import Figure, ratio, ratio_of_bytes, report
from peak_memory import tensor_growth
from sartor.memory import PICTURES
from sartor.methods.ms_ranas import MSRANAS
from sartor.methods.supernet_evaluator import SupernetEvaluator
from sartor.network import build_body, join_inputs
from sartor.platforms import Platform
from sartor.space import SearchSpace
from sartor.spaces.ms_ranas.networks import DARTS
from sartor.train.settings import SearchTraining
from search_step import SameBatch, nni_python
from workers import Worker, serve, settings_of_worker
from workload import SEED, Scale, Workload, batch

GOAL = 0.5
WARM_UP_ROUNDS = 1
STEPS_FOR_MEMORY = 2
NNI_WORKER = str(Path(__file__).parent / "nni_darts_worker.py")
NAMES = {"ours": "MS-RANAS", "textbook": "the textbook way", "nni": "NNI DARTS"}
# DARTS' search but for the size of the batch (64).
SEARCH_FORM = {"layers": 8, "channels": 16, "nodes": 4, "auxiliary": False}
SCALE = Scale("ms_ranas", {**DARTS, **SEARCH_FORM}, num_classes=10, batch_size=32, pairs=15)
# Those of DARTS but for the rate: small, so that weights do not run away from a batch of noise.
OPTIMISER: dict[str, Any] = {"learning_rate": 1e-4, "momentum": 0.9, "weight_decay": 3e-4, "gradient_clip": 5.0}
ARCHITECTURE: dict[str, Any] = {"lr": 3e-4, "betas": (0.5, 0.999), "weight_decay": 1e-3}

Seconds = dict[str, NDArray[np.float64]]


def main(scale: Scale = SCALE) -> list[Figure]:
    """Measures, prints and writes everything; without NNI only beside the textbook way."""
    python = nni_python()
    if python is None:
        print("darts_step: NNI is not here and left out; benchmarks/README.md says how to install it")
    seconds = rounds(scale, python)
    peaks = {side: memory(scale, side, python) for side in seconds}
    figures = []
    for other in list(seconds)[1:]:
        both = np.stack([seconds["ours"], seconds[other]], axis=1)
        figures.append(ratio(f"search step: {NAMES['ours']} / {NAMES[other]}", both, goal=GOAL))
    for other in list(seconds)[1:]:
        name = f"peak memory: {NAMES['ours']} / {NAMES[other]}"
        figures.append(ratio_of_bytes(name, peaks["ours"]["peak"], peaks[other]["peak"]))
    versions = {"nni": peaks["nni"]["versions"]} if python else {}
    settings = {**scale.settings(), "optimiser": OPTIMISER, "architecture": ARCHITECTURE, **versions}
    report("darts_step", (__doc__ or "").splitlines()[0], figures, settings)
    return figures


def rounds(scale: Scale, python: str | None) -> Seconds:
    """CPU seconds of every side's step in every round."""
    sides = [side for side in NAMES if side != "nni" or python]
    found: dict[str, list[float]] = {side: [] for side in sides}
    with ExitStack() as stack:
        workers = {side: stack.enter_context(_worker(scale, side, python)) for side in sides}
        for number in range(WARM_UP_ROUNDS + scale.pairs):
            turn = number % len(sides)
            for side in sides[turn:] + sides[:turn]:
                found[side].append(workers[side].ask({})["seconds"])
    return {side: np.array(seconds[WARM_UP_ROUNDS:]) for side, seconds in found.items()}


def memory(scale: Scale, side: str, python: str | None) -> dict[str, Any]:
    """The peak of a few steps, in a fresh process."""
    with _worker(scale, side, python, requests=[{}] * STEPS_FOR_MEMORY) as worker:
        found: dict[str, Any] = worker.ask()
    return found


def _worker(scale: Scale, side: str, python: str | None, **more: Any) -> Worker:
    optimiser = {"label_smoothing": 0.0, **OPTIMISER}
    settings = {"scale": asdict(scale), "side": side, "kept": True, "optimiser": optimiser, **more}
    return Worker(NNI_WORKER, settings, python or "") if side == "nni" else Worker(__file__, settings)


# ---------------------------------------------------------------------- the two sides


class Search:
    """A search of MS-RANAS on shared weights."""

    def __init__(self, scale: Scale) -> None:
        work = Workload(scale)
        stream = SameBatch(work.x, work.y)
        training = SearchTraining(epochs=1, batch_size=scale.batch_size, recompute=False, **OPTIMISER)
        self.evaluator = SupernetEvaluator(
            work.supernet, stream, stream, training, work.runtime, updates_per_step=10**6
        )
        self.method = MSRANAS(work.space, [Platform("phone", {"macs": 10**12})], seed=SEED)

    def step(self) -> None:
        """The architecture, then the weights."""
        self.method.step(self.evaluator)


class TextbookNetwork(nn.Module):
    """Every operation of every edge by itself."""

    def __init__(self, space: SearchSpace) -> None:
        super().__init__()
        self.space = space
        self.operations = nn.ModuleDict()
        for template in space.templates:
            _, stacks = space.template_cells(template, "search")
            present = [build_body(stack.body, norm_eps=space.norm_eps) for stack in stacks if stack is not None]
            self.operations[template.name] = nn.ModuleList(present)
        sizes = zip([d.name for d in space.decisions], space.sizes, strict=True)
        self.alpha = nn.ParameterDict({name: nn.Parameter(1e-3 * torch.randn(n)) for name, n in sizes})

    def forward(self, x: Tensor) -> Tensor:
        outputs = {PICTURES: x}
        for position, template in enumerate(self.space.templates):
            read = join_inputs([outputs[name] for name in self.space.inputs(position)], template.join)
            operations = self.operations[template.name]
            if template.scope:
                # Option 0 is "none", which adds nothing.
                weights = torch.softmax(self.alpha[template.scope[0]], dim=0)[1:]
                x = sum(w * operation(read) for w, operation in zip(weights, operations, strict=True))
            else:
                x = operations[0](read)
            outputs[template.name] = x
        return x


class Textbook:
    """DARTS' step in plain PyTorch."""

    def __init__(self, scale: Scale) -> None:
        work = Workload(scale)
        self.x, self.y = batch(scale)
        self.network = TextbookNetwork(work.space).train().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.alpha = list(self.network.alpha.parameters())
        self.weights = list(self.network.operations.parameters())
        rule = {"lr": OPTIMISER["learning_rate"], **{k: OPTIMISER[k] for k in ("momentum", "weight_decay")}}
        self.of_weights = torch.optim.SGD(self.weights, foreach=True, **rule)
        self.of_alpha = torch.optim.Adam(self.alpha, foreach=True, **ARCHITECTURE)

    def step(self) -> None:
        """The architecture, then the weights."""
        self._backward()
        self.of_alpha.step()
        self._backward()
        nn.utils.clip_grad_norm_(self.weights, OPTIMISER["gradient_clip"])
        self.of_weights.step()

    def _backward(self) -> None:
        self.network.zero_grad()
        F.cross_entropy(self.network(self.x), self.y).backward()  # type: ignore[no-untyped-call]


def run_worker(settings: dict[str, Any]) -> None:
    """A step per request; or the peak of memory of so many."""
    scale, side = Scale(**settings["scale"]), {"ours": Search, "textbook": Textbook}[settings["side"]]
    if "requests" not in settings:
        search = side(scale)

        def timed(_: Any) -> dict[str, float]:
            start = time.process_time()
            search.step()
            return {"seconds": time.process_time() - start}

        serve(timed)
        return

    def all_steps() -> None:
        search = side(scale)
        for _ in settings["requests"]:
            search.step()

    peak = tensor_growth(all_steps)
    serve(lambda _: {"peak": peak})


if __name__ == "__main__":
    told = settings_of_worker()
    main() if told is None else run_worker(told)
