"""The stages of a run folder, in order. What a stage leaves for the next one is plain data in the folder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from sartor.blueprint import Blueprint
from sartor.config import ExportSettings, Job
from sartor.errors import InfeasibleBudgetError, RequestError
from sartor.pipeline import exporting, training
from sartor.pipeline.answers import Answer, check_anytime, fit_answers, whole_network
from sartor.pipeline.anytime import AnytimeNetwork, export_anytime
from sartor.pipeline.baselines import check_baselines, run_baseline
from sartor.pipeline.resolve import make_setting
from sartor.pipeline.result import assemble
from sartor.pipeline.rivals import Opponent
from sartor.pipeline.search import random_cloud, search
from sartor.pipeline.store import FolderStore
from sartor.run import METHOD, RESULT, RunFolder
from sartor.train.networks import ANYTIME

STAGES = ("search", "train", "export", "report")


class Run:
    """A run folder with its job's setting. ``search_cost``: what the search may cost, in place of its epochs."""

    def __init__(self, folder: RunFolder, search_cost: int | None = None) -> None:
        self.folder, self.search_cost = folder, search_cost
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
        missing = [s for s in before if not self.folder.done(s) and not (s == "export" and name == "report")]
        if missing:
            raise RequestError(f"{self.folder.path}: stage {name!r} needs stage {missing[0]!r}, which is not done yet")
        work: dict[str, Callable[[], Any]] = {"search": self._search, "train": self._train, "export": self._export}
        with self.folder.clock(name):
            payload = self._report() if name == "report" else work[name]()
        self.folder.mark_done(name, payload)

    # ------------------------------------------------------------------ stages

    def _search(self) -> dict[str, Any]:
        check_baselines(self.job.baselines, self.setting)
        check_anytime(self.setting)
        with self.folder.progress.task("search", total=1.0) as advance:
            store = FolderStore(self.folder, "search", advance, self.job.checkpoint_seconds)
            searched = search(self.setting, store, cost=self.search_cost)
        # What re-solving for another budget needs, without the supernet's weights.
        self.folder.write_json(METHOD, searched.method.state_dict())
        cloud = random_cloud(self.setting, searched.supernet)
        choices = {name: choice.to_dict() for name, choice in searched.choices.items()}
        deployed = self.setting.deploy_space  # whose costs the method knows
        space = {"name": deployed.name, "options": deployed.options}
        return {
            "choices": choices,
            "images": searched.images,
            "cost": searched.cost,
            "cloud": cloud,
            "space": space,
            "policy": searched.method.trace(),
            "warnings": searched.method.warnings(),
        }

    def _train(self) -> dict[str, Any]:
        blueprints = self._blueprints()
        fitted = fit_answers(self.setting, self._answers(), lambda name: self.store("train", name))
        platforms: dict[str, Any] = {}
        for name, network in fitted.networks.items():
            path = f"platforms/{name}.safetensors"
            training.save_network(self.setting, network, blueprints[name], self.folder.file(path), name)
            platforms[name] = {**fitted.accuracies[name], "weights": path}
        slimmable = self._save_shared(fitted)
        with self.folder.clock("baselines"):
            baselines, baseline_images, warnings = self._run_baselines()
        return {
            "platforms": platforms,
            "weighted_accuracy": training.weighted(self.setting, fitted.accuracies),
            "images": fitted.images,
            "slimmable": slimmable,
            "anytime": self._save_anytime(fitted),
            "baselines": baselines,
            "baseline_images": baseline_images,
            "warnings": warnings,
        }

    def _export(self) -> dict[str, Any]:
        platforms, singles = {}, 0
        settings = self.job.export
        networks = {name: self._network(name) for name in self._blueprints()}
        if not settings.onnx:
            return {"platforms": {}, "slimmable": self._shared_payload(networks, 0), "anytime": None, "warnings": []}
        with self.folder.progress.task("export", total=len(networks)) as advance:
            for platform in self.setting.platforms:
                choice = self.folder.payload("search")["choices"][platform.name]
                path = f"platforms/{platform.name}.onnx"
                proof = exporting.export_platform(
                    self.setting, platform, choice, networks[platform.name], self.folder.file(path), settings
                )
                platforms[platform.name] = {"onnx": path, **proof}
                singles += proof["onnx_bytes"]
                advance(1)
        return {
            "platforms": platforms,
            "slimmable": self._shared_payload(networks, singles),
            "anytime": self._export_anytime(settings),
            "warnings": [],
        }

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

    def _blueprints(self) -> dict[str, Blueprint]:
        return {name: answer.shipped(self.setting.space, name) for name, answer in self._answers().items()}

    def _answers(self) -> dict[str, Answer]:
        choices = self.folder.payload("search")["choices"]
        return {p.name: Answer.of(choices[p.name]) for p in self.setting.platforms}

    def _network(self, name: str) -> Any:
        network = self._blueprints()[name].build()
        return training.load_weights(network, self.folder.file("platforms", f"{name}.safetensors"))

    def _save_anytime(self, fitted: training.Fitted) -> dict[str, Any] | None:
        if fitted.anytime is None:
            return None
        path = self.folder.file("anytime.safetensors")
        training.save_network(self.setting, fitted.anytime.network, fitted.anytime.blueprint, path, ANYTIME)
        return {"path": path.name, "bytes": path.stat().st_size, **fitted.anytime.to_dict()}

    def _export_anytime(self, settings: ExportSettings) -> dict[str, Any] | None:
        payload = self.folder.payload("train")["anytime"]
        if payload is None:
            return None
        answers = self._answers()
        blueprint = whole_network(self.setting.space, answers).live()
        network = training.load_weights(blueprint.build(), self.folder.file(payload["path"]))
        anytime = AnytimeNetwork(network, blueprint, payload["exits"], payload["batches"])
        choice = {"architecture": next(iter(answers.values())).values, "costs": {}}
        return export_anytime(self.setting, anytime, choice, self.folder.file("anytime"), settings)

    def _save_shared(self, fitted: training.Fitted) -> dict[str, Any] | None:
        if fitted.shared is None:
            return None
        path = self.folder.file("slimmable.safetensors")
        fitted.shared.save(path)
        return {"path": path.name, "bytes": path.stat().st_size, "switches": list(fitted.shared.switches)}

    def _shared_payload(self, networks: dict[str, Any], singles: int) -> dict[str, Any] | None:
        """The shared file beside the single ones, once its outputs are seen to be theirs."""
        payload: dict[str, Any] | None = self.folder.payload("train")["slimmable"]
        if payload is None:
            return None
        from sartor.elastic.slimmable import SlimmableNetwork

        shared = SlimmableNetwork.load(self.folder.file(payload["path"]))
        count = self.job.export.verification_pictures
        difference = exporting.check_shared(self.setting, shared, networks, count)
        single_files = sum(self.folder.file("platforms", f"{n}.safetensors").stat().st_size for n in networks)
        return {
            **payload,
            "sum_of_single_bytes": single_files,
            "sum_of_onnx_bytes": singles or None,
            "max_abs_diff": difference,
        }

    def _run_baselines(self) -> tuple[list[dict[str, Any]], int, list[str]]:
        opponent = Opponent(self._answers(), self.folder.payload("search")["cost"])
        results, images, warnings = [], 0, []
        for name in self.job.baselines:
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


def run_job(folder: RunFolder, stages: Sequence[str] = STAGES) -> dict[str, Any]:
    """Runs the stages that are not done yet; returns the result as plain data.

    Raises:
        RequestError: the request is wrong, or a stage before the first one asked for is missing.
        VerificationError: an exported file disagrees with the network it came from.
    """
    run = Run(folder)
    for name in STAGES:
        if name in stages:
            run.stage(name)
    return folder.result() or run.result()
