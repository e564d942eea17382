"""How long does a search step take? TuNAS on the ProxylessNAS space against NNI 3.0's one-shot strategies.

*Search step*: ours updates the weights on one batch, scores the sampled network on another, and updates the policy;
NNI's Proxyless updates its architecture weights on one batch and the weights on another. *Weight update*: ours for a
given architecture against NNI's RandomOneShot, which is given the same one; its MACs are counted on NNI's side, and
a difference stops the benchmark. Both sides: the same batch size and pictures, one thread, channels last, RMSProp with
momentum, the same allocator setting. NNI's space has no choice of block 1's kernel, which is 3 in all weight updates.
A warm-up, in the first quarter of a search, runs many options at once; the mean of a whole search is a quarter of
steps at evenly spread moments of the warm-up and three quarters of later ones. NNI's default has no warm-up.

All processes take turns, a step each per round. Peaks of memory are those of all tensors that the profiler sees from
before the network is built to the end of the last step: weights, gradients, what the optimiser remembers, activations.

NNI runs in a virtual environment of its own (README.md says how to make it); where there is none, nothing is measured.
"""

from __future__ import annotations

import os
import sys
import time
from contextlib import ExitStack
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from measure import Figure, ratio_of_bytes, ratio_of_totals, report
from peak_memory import tensor_growth
from sartor.methods.supernet_evaluator import SupernetEvaluator
from sartor.methods.tunas import TuNAS
from sartor.platforms import Platform
from sartor.space import Architecture
from sartor.train.passes import Pass
from sartor.train.settings import SearchTraining
from workers import Worker, serve, settings_of_worker
from workload import PROXYLESSNAS, SEED, Scale, Workload

SEARCH_GOAL, UPDATE_GOAL = 0.5, 1.0
WARM_UP_SHARE = 0.25
# The official code scores on four times as many pictures as it trains on.
SCORING_FACTOR = 4
WARM_UP_ROUNDS = 2
STEPS_FOR_MEMORY = 8
NNI_WORKER = str(Path(__file__).parent / "nni_worker.py")
# TuNAS's rule but for the rate: small, so that weights do not run away from a batch of noise.
OPTIMISER: dict[str, Any] = {
    "learning_rate": 1e-4,
    "momentum": 0.9,
    "rmsprop_decay": 0.9,
    "rmsprop_epsilon": 1.0,
    "weight_decay": 4e-5,
    "label_smoothing": 0.1,
}

Answers = dict[str, list[dict[str, float]]]


def nni_python() -> str | None:
    """The Python of NNI's virtual environment: ``SARTOR_NNI_PYTHON``, or that of ``.venv-nni`` in the repository."""
    default = Path(__file__).resolve().parents[1] / ".venv-nni" / "bin" / "python"
    path = Path(os.environ.get("SARTOR_NNI_PYTHON", default))
    return str(path) if path.exists() else None


def main(scale: Scale | None = None) -> list[Figure]:
    """Measures, prints and writes everything; nothing where NNI is absent."""
    scale = scale or replace(PROXYLESSNAS, pairs=20)
    python = nni_python()
    if python is None:
        print("search_step: NNI is not here, nothing to compare with; benchmarks/README.md says how to install it")
        return []
    answers = rounds(scale, python)
    peaks = memory(scale, python)
    figures = [*steps_compared(answers), *settings_compared(answers), *peaks_compared(peaks)]
    settings = {**scale.settings(), "optimiser": OPTIMISER, "nni": peaks["nni_proxyless"]["versions"]}
    report("search_step", __doc__.splitlines()[0], figures, settings)
    return figures


# ---------------------------------------------------------------------- time


def rounds(scale: Scale, python: str) -> Answers:
    """What every process answered in every round, by what it was asked for."""
    answers: Answers = {}
    with ExitStack() as stack:

        def nni(strategy: str, kept: bool) -> Worker:
            settings = {"scale": asdict(scale), "strategy": strategy, "kept": kept, "optimiser": OPTIMISER}
            return stack.enter_context(Worker(NNI_WORKER, settings, python))

        def ours(kept: bool) -> Worker:
            return stack.enter_context(Worker(__file__, {"scale": asdict(scale), "kept": kept}))

        proxyless, proxyless_plain, randomly = nni("proxyless", True), nni("proxyless", False), nni("random", True)
        tunas, tunas_plain = ours(True), ours(False)
        for i, architecture in enumerate(architectures(scale, WARM_UP_ROUNDS + scale.pairs)):
            count = i < WARM_UP_ROUNDS
            share = 0.5 if count else (i - WARM_UP_ROUNDS + 0.5) / scale.pairs
            later = {"number": i, "progress": WARM_UP_SHARE + (1 - WARM_UP_SHARE) * share}
            jobs: list[tuple[str, Worker, dict[str, Any]]] = [
                ("nni_proxyless", proxyless, {}),
                ("tunas_later", tunas, later),
                ("tunas_warming", tunas, {"number": i, "progress": WARM_UP_SHARE * share}),
                ("tunas_scoring_more", tunas, {**later, "scoring": SCORING_FACTOR}),
                ("nni_random", randomly, {"path": nni_path(architecture), "count": count}),
                ("update", tunas, {"row": architecture.row}),
                ("nni_proxyless_plain", proxyless_plain, {}),
                ("tunas_plain", tunas_plain, later),
            ]
            for name, worker, request in jobs[i % len(jobs) :] + jobs[: i % len(jobs)]:
                answers.setdefault(name, []).append(worker.ask(request))
            if count:
                _check_macs(architecture, scale, int(answers["nni_random"][-1]["macs"]))
    return {name: found[WARM_UP_ROUNDS:] for name, found in answers.items()}


def architectures(scale: Scale, count: int) -> list[Architecture]:
    """Uniformly drawn, with kernel 3 in block 1, as NNI's space has it."""
    space = Workload(scale).space
    rows = space.sample(count, np.random.default_rng(SEED))
    rows[:, space.index["block1_kernel1"]] = 0
    return [space.architecture(row) for row in rows]


def nni_path(architecture: Architecture) -> dict[str, Any]:
    """The same network in the words of NNI's space, where a block has its first so many layers and no gaps."""
    values: dict[str, Any] = architecture.values
    path: dict[str, Any] = {}
    for block in range(2, 8):
        layers = 4 if block < 7 else 1
        kept = [i for i in range(1, layers + 1) if i == 1 or values[f"block{block}_layer{i}"] == "layer"]
        kinds = [f"k{values[f'block{block}_kernel{i}']}e{values[f'block{block}_expansion{i}']}" for i in kept]
        path[f"s{block}_depth"] = len(kept)
        # Layers that do not run need a choice too.
        path |= {f"s{block}_i{i}": kinds[min(i, len(kinds) - 1)] for i in range(layers)}
    return path


def _check_macs(architecture: Architecture, scale: Scale, counted: int) -> None:
    if counted != architecture.blueprint.macs * scale.batch_size:
        raise RuntimeError(f"the sides differ: NNI's network has {counted / scale.batch_size} MACs, {architecture}")


def steps_compared(answers: Answers) -> list[Figure]:
    """The steps of both sides."""
    seconds = {name: np.array([a["seconds"] for a in found]) for name, found in answers.items()}
    policy = np.array([a["policy"] for a in answers["tunas_later"]])
    whole = WARM_UP_SHARE * seconds["tunas_warming"] + (1 - WARM_UP_SHARE) * seconds["tunas_later"]
    nni = seconds["nni_proxyless"]

    def against_nni(name: str, ours: np.ndarray, **details: Any) -> Figure:
        return ratio_of_totals(name, np.stack([ours, nni], axis=1), np.random.default_rng(SEED), **details)

    both_updates = np.stack([seconds["update"], seconds["nni_random"]], axis=1)
    return [
        against_nni("search step, mean of a whole search: TuNAS / NNI Proxyless", whole, goal=SEARCH_GOAL),
        against_nni(
            "search step after the warm-up: TuNAS / NNI Proxyless",
            seconds["tunas_later"],
            goal=SEARCH_GOAL,
            policy_ms=round(1e3 * float(policy.mean()), 3),
        ),
        against_nni("search step in the warm-up: TuNAS / NNI Proxyless", seconds["tunas_warming"]),
        against_nni("search step scoring 4 times the batch: TuNAS / NNI Proxyless", seconds["tunas_scoring_more"]),
        ratio_of_totals(
            "weight update: ours / NNI RandomOneShot", both_updates, np.random.default_rng(SEED), goal=UPDATE_GOAL
        ),
    ]


def settings_compared(answers: Answers) -> list[Figure]:
    """What the allocator setting gains on either side."""
    figures = []
    for name, off, on in (
        ("TuNAS", "tunas_plain", "tunas_later"),
        ("NNI Proxyless", "nni_proxyless_plain", "nni_proxyless"),
    ):
        seconds = np.array([[a["seconds"], b["seconds"]] for a, b in zip(answers[off], answers[on], strict=True)])
        rng = np.random.default_rng(SEED)
        figures.append(ratio_of_totals(f"search step, {name}: allocator setting off / on", seconds, rng))
    return figures


# ---------------------------------------------------------------------- memory


def memory(scale: Scale, python: str) -> dict[str, dict[str, Any]]:
    """Peaks of a few steps, each kind in a fresh process."""
    drawn = architectures(scale, STEPS_FOR_MEMORY)
    nni = {"scale": asdict(scale), "kept": True, "optimiser": OPTIMISER}
    ours = {"scale": asdict(scale), "kept": True}
    plain: list[dict[str, Any]] = [{}] * STEPS_FOR_MEMORY
    asked: dict[str, tuple[str, dict[str, Any], str]] = {
        "nni_proxyless": (NNI_WORKER, {**nni, "strategy": "proxyless", "requests": plain}, python),
        "nni_random": (
            NNI_WORKER,
            {**nni, "strategy": "random", "requests": [{"path": nni_path(a)} for a in drawn]},
            python,
        ),
        "tunas_later": (__file__, {**ours, "requests": [{"progress": 0.5}] * STEPS_FOR_MEMORY}, sys.executable),
        "tunas_warming": (__file__, {**ours, "requests": [{"progress": 0.0}] * 2}, sys.executable),
        "update": (__file__, {**ours, "requests": [{"row": a.row} for a in drawn]}, sys.executable),
    }
    found = {}
    for name, (script, settings, interpreter) in asked.items():
        with Worker(script, settings, interpreter) as worker:
            found[name] = worker.ask()
    return found


def peaks_compared(peaks: dict[str, dict[str, Any]]) -> list[Figure]:
    """Memory of both sides."""

    def compared(name: str, first: str, second: str) -> Figure:
        weights = [round(peaks[side]["weights"] / 2**20, 1) for side in (first, second)]
        return ratio_of_bytes(name, peaks[first]["peak"], peaks[second]["peak"], weights_mib=weights)

    return [
        compared("peak memory, search after the warm-up: TuNAS / NNI Proxyless", "tunas_later", "nni_proxyless"),
        compared("peak memory, search in the warm-up: TuNAS / NNI Proxyless", "tunas_warming", "nni_proxyless"),
        compared("peak memory, weight updates: ours / NNI RandomOneShot", "update", "nni_random"),
    ]


# ---------------------------------------------------------------------- our side


class SameBatch:
    """A stream that gives the same pictures at every step."""

    steps_per_epoch = 1000

    def __init__(self, pictures: Tensor, labels: Tensor) -> None:
        self.pictures, self.labels = pictures, labels
        self.batch_size = len(labels)

    def batch(self, step: int) -> tuple[Tensor, Tensor]:
        """Pictures and labels."""
        return self.pictures, self.labels


class TimedEvaluator(SupernetEvaluator):
    """Knows how long it worked, so that what is left of a step is the method's own."""

    seconds = 0.0

    def train(self, *arguments: Any, **options: Any) -> Any:
        """As its parent, timed."""
        start = time.process_time()
        losses = super().train(*arguments, **options)
        self.seconds += time.process_time() - start
        return losses

    def score(self, *arguments: Any, **options: Any) -> Any:
        """As its parent, timed."""
        start = time.process_time()
        answers = super().score(*arguments, **options)
        self.seconds += time.process_time() - start
        return answers


class SearchSteps:
    """TuNAS on shared weights, a step per request at any moment of a search; or a weight update alone."""

    def __init__(self, scale: Scale, *, keep_memory: bool = True) -> None:
        work = Workload(scale, keep_memory=keep_memory)
        self.streams = {1: SameBatch(work.x, work.y)}
        settings = SearchTraining(
            epochs=1, batch_size=scale.batch_size, optimiser="rmsprop", weight_decay_on="convolutions", **OPTIMISER
        )
        stream = self.stream(1)
        # So many updates that the policy hardly moves: it stays as undecided as NNI's in a few steps.
        self.evaluator = TimedEvaluator(work.supernet, stream, stream, settings, work.runtime, updates_per_step=10**6)
        macs = work.space.cost("macs")(work.space.sample(100, np.random.default_rng(SEED)))
        self.method = TuNAS(work.space, [Platform("phone", {"macs": int(np.median(macs))})], seed=SEED)

    def stream(self, factor: int) -> SameBatch:
        """The batch, so many times over; made when it is first asked for."""
        if factor not in self.streams:
            x, y = self.streams[1].batch(0)
            more = torch.cat([x] * factor).to(memory_format=torch.channels_last)
            self.streams[factor] = SameBatch(more, torch.cat([y] * factor))
        return self.streams[factor]

    def __call__(self, request: dict[str, Any]) -> dict[str, float]:
        """CPU seconds of what was asked for, the method's own among them."""
        evaluator, self.evaluator.seconds = self.evaluator, 0.0
        evaluator.policy_stream = self.stream(request.get("scoring", 1))
        if "progress" in request:
            assert evaluator.total_updates is not None
            evaluator.updates = int(request["progress"] * evaluator.total_updates)
        # What is drawn depends on the number of the step alone: equal numbers are equal networks, in every process.
        self.method.steps = request.get("number", self.method.steps)
        start = time.process_time()
        if "row" in request:
            evaluator.train([Pass(request["row"])])
        else:
            self.method.step(evaluator)
        seconds = time.process_time() - start
        return {"seconds": seconds, "policy": seconds - evaluator.seconds}


def run_worker(settings: dict[str, Any]) -> None:
    """Answers requests; or makes those of the settings and answers with their peak of memory."""
    scale = Scale(**settings["scale"])
    if "requests" not in settings:
        serve(SearchSteps(scale, keep_memory=settings["kept"]))
        return
    weights: list[int] = []

    def all_steps() -> None:
        steps = SearchSteps(scale, keep_memory=settings["kept"])
        weights.extend(p.numel() * p.element_size() for p in steps.evaluator.supernet.parameters())
        for request in settings["requests"]:
            steps(request)

    peak = tensor_growth(all_steps)
    serve(lambda _: {"peak": peak, "weights": sum(weights)})


if __name__ == "__main__":
    told = settings_of_worker()
    main() if told is None else run_worker(told)
