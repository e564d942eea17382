"""The stages of a run folder, in order. What a stage leaves for the next one is plain data in the folder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from sartor import world
from sartor.config import Job
from sartor.errors import InfeasibleBudgetError, RequestError
from sartor.pipeline.again import LABEL as AGAIN
from sartor.pipeline.again import Measuring
from sartor.pipeline.answers import check_anytime
from sartor.pipeline.attempt import Attempt
from sartor.pipeline.baselines import baselines_of, check_baselines, run_baseline
from sartor.pipeline.promises import LatencyPromise
from sartor.pipeline.resolve import make_setting
from sartor.pipeline.result import assemble
from sartor.pipeline.rivals import Opponent
from sartor.pipeline.search import random_cloud, search
from sartor.pipeline.store import FolderStore
from sartor.profiling.networks import Bench
from sartor.run import METHOD, RESULT, RunFolder

STAGES = ("search", "train", "export", "measure", "report")
# A report says what there is; files are not needed for it.
_REPORT_DOES_WITHOUT = ("export", "measure")


class Run:
    """A run folder with its job's setting.

    ``search_cost``: what the search may cost, in place of its epochs. ``bench``: the machine on which winners are
    measured (default: this one).
    """

    def __init__(self, folder: RunFolder, search_cost: int | None = None, bench: Bench | None = None) -> None:
        self.folder, self.search_cost, self.bench = folder, search_cost, bench
        self.job = Job.from_resolved(folder.configuration)
        self.setting = make_setting(self.job, folder)

    def stage(self, name: str) -> None:
        """Runs a stage unless it is done already.

        Raises:
            RequestError: the stage before it is missing.
        """
        if self.folder.done(name):
            return
        before = STAGES[: STAGES.index(name)]
        needed = [s for s in before if not (name == "report" and s in _REPORT_DOES_WITHOUT)]
        missing = [s for s in needed if not self.folder.done(s)]
        if missing:
            raise RequestError(f"{self.folder.path}: stage {name!r} needs stage {missing[0]!r}, which is not done yet")
        work: dict[str, Callable[[], Any]] = {
            "search": self._search,
            "train": self._train,
            "export": self._export,
            "measure": self._measure,
            "report": self._report,
        }
        with self.folder.clock(name):
            payload = work[name]()
        self.folder.mark_done(name, payload)
        if name in _REPORT_DOES_WITHOUT and self.folder.done("report"):
            self._report()  # it was written before this was known

    # ------------------------------------------------------------------ stages

    def _search(self) -> dict[str, Any]:
        check_baselines(baselines_of(self.job.baselines, self.setting), self.setting)
        check_anytime(self.setting)
        with self.folder.progress.task("search", total=1.0) as advance:
            store = FolderStore(self.folder, "search", advance, self.job.checkpoint_seconds)
            searched = search(self.setting, store, cost=self.search_cost)
        # What re-solving for another budget needs, without the supernet's weights.
        self.folder.write_json(METHOD, searched.method.state_dict())
        cloud = random_cloud(self.setting, searched.supernet)
        choices = {name: choice.to_dict() for name, choice in searched.choices.items()}
        promised = {p.name: LatencyPromise.of(p, searched.choices[p.name].costs) for p in self.setting.platforms}
        deployed = self.setting.deploy_space  # whose costs the method knows
        space = {"name": deployed.name, "options": deployed.options}
        return {
            "choices": choices,
            "latency": {name: promise.to_dict() for name, promise in promised.items() if promise is not None},
            "images": searched.images,
            "cost": searched.cost,
            "cloud": cloud,
            "space": space,
            "policy": searched.method.trace(),
            "warnings": searched.method.warnings(),
        }

    def _train(self) -> dict[str, Any]:
        trained = self.first().train(lambda name: self.store("train", name))
        with self.folder.clock("baselines"):
            baselines, baseline_images, warnings = self._run_baselines()
        return {**trained, "baselines": baselines, "baseline_images": baseline_images, "warnings": warnings}

    def _export(self) -> dict[str, Any]:
        attempt = self.first()
        with self.folder.progress.task("export", total=len(attempt.names)) as advance:
            return {**attempt.export(self.folder.payload("train"), self.job.export, advance), "warnings": []}

    def _measure(self) -> dict[str, Any]:
        world.leave()  # what is trained again is trained by this process alone: the others have no part in measuring
        bench = self.bench or Bench.here()
        store = partial(self.store, AGAIN)
        return Measuring(self.folder, self.job, self.setting, self.first(), bench, store).run()

    def _report(self) -> dict[str, Any]:
        result = self.result()
        self.folder.write_json(RESULT, result)
        from sartor import report

        data = report.build(result, self.folder.metrics())
        report.write_html(data, self.folder.file("report.html"))
        return {"html": "report.html"}

    # ------------------------------------------------------------------ parts

    def result(self) -> dict[str, Any]:
        """The result so far as plain data."""
        return assemble(self.folder, self.setting, self.job.name)

    def store(self, stage: str, name: str = "") -> FolderStore:
        """Checkpoints, metrics and progress of one training of a stage."""
        label = f"{stage}:{name}" if name else stage
        # The bar lives as long as the store; a stage has few of them.
        return FolderStore(self.folder, label, _LazyBar(self.folder, label), self.job.checkpoint_seconds)

    def first(self) -> Attempt:
        """The networks that the search chose."""
        return Attempt(self.folder, self.setting, self.folder.payload("search")["choices"])

    def _run_baselines(self) -> tuple[list[dict[str, Any]], int, list[str]]:
        opponent = Opponent(self.first().answers(), self.folder.payload("search")["cost"])
        results, images, warnings = [], 0, []
        for name in baselines_of(self.job.baselines, self.setting):
            part = f"baseline:{name}"
            if not self.folder.done(part):
                try:
                    found = run_baseline(name, self.setting, opponent, partial(self.store, part))
                except InfeasibleBudgetError as error:
                    warnings.append(str(error))
                    continue
                self.folder.mark_done(part, {"result": found[0], "images": found[1]})
            payload = self.folder.payload(part)
            results.append(payload["result"])
            images += payload["images"]
        return results, images, warnings


class _LazyBar:
    """A progress bar that appears with its first report and closes when it is full."""

    def __init__(self, folder: RunFolder, label: str) -> None:
        self.folder, self.label = folder, label
        self.context: Any = None
        self.bar: Any = None
        self.done = 0.0

    def __call__(self, n: float = 1, /, **values: float) -> None:
        if self.bar is None:
            self.context = self.folder.progress.task(self.label, total=1.0)
            self.bar = self.context.__enter__()
        self.bar(n, **values)
        self.done += n
        if self.done >= 1.0 - 1e-9:
            self.context.__exit__(None, None, None)


def run_job(folder: RunFolder, stages: Sequence[str] = STAGES, bench: Bench | None = None) -> dict[str, Any]:
    """Runs the stages that are not done yet; returns the result as plain data.

    ``bench`` is the machine on which winners are measured, by default this one. Platforms that miss a latency budget
    when measured stand in the result's ``missed``.

    Raises:
        RequestError: the request is wrong, or a stage before the first one asked for is missing.
        VerificationError: an exported file disagrees with the network it came from.
    """
    run = Run(folder, bench=bench)
    for name in STAGES:
        if name in stages:
            run.stage(name)
    return folder.result() or run.result()
