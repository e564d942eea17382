"""The stage after the export: winners are measured, and platforms that miss a latency budget get a second answer, once.

A miss says by how much the device's model is wrong about networks such as this one. Its predictions are multiplied by
measured / predicted of the network that missed (of several on one device, the largest), the method's own scores are
solved again with that, and the new network is trained, exported and measured like the first one. Networks with shared
weights are trained anew together, so that the shared file holds the new widths, too. A second miss stays one.

Every step is kept in the run folder when it is done, so that a run that was killed goes on with the next one.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from sartor.config import Job
from sartor.costs.devices import LATENCY
from sartor.errors import RequestError
from sartor.pipeline.attempt import Attempt, Payload
from sartor.pipeline.finished import finished_method
from sartor.pipeline.measuring import measure_winners
from sartor.pipeline.promises import LatencyPromise, tightened
from sartor.pipeline.setting import Setting
from sartor.pipeline.training import OpenStore
from sartor.profiling.networks import Bench
from sartor.run import RunFolder

PREFIX = "again/"
LABEL = "again"  # of the stages, checkpoints and metrics of a second attempt


class Measuring:
    """The stage of one run.

    Args:
        folder, job, setting: the run's.
        first: the attempt that was exported.
        bench: the machine at hand.
        open_store: opens the store of a training of the second attempt, by a platform's name or "".
    """

    def __init__(
        self, folder: RunFolder, job: Job, setting: Setting, first: Attempt, bench: Bench, open_store: OpenStore
    ) -> None:
        self.folder, self.job, self.setting, self.first = folder, job, setting, first
        self.bench, self.open_store = bench, open_store

    def run(self) -> Payload:
        """Measures, and where a budget is missed solves, trains, exports and measures again; what came out."""
        promised = self.folder.payload("search").get("latency") or {}
        promises = {name: LatencyPromise(**one) for name, one in promised.items()}
        measured = self._once("first", lambda: measure_winners(self.first, promises, self.job, self.bench))
        missed = [name for name, row in measured.items() if row["missed"]]
        found: Payload = {"first": measured, "again": {}, "solved": {}, "unsolved": {}, "missed": missed, "images": 0}
        if not missed:
            return found
        for name in missed:
            self.folder.progress.say(_missed(name, measured[name], promises[name]))
        solved = self._once("solve", lambda: self._solve(missed, measured, promises))
        found |= {"solved": solved["latency"], "unsolved": solved["unsolved"]}
        if not solved["choices"]:
            return found
        second = {name: LatencyPromise(**one) for name, one in solved["latency"].items()}
        attempt = self.second()
        trained = self._once("train", lambda: attempt.train(self.open_store))
        self._once("export", lambda: self._export(attempt, trained))
        again = self._once("measure", lambda: measure_winners(attempt, second, self.job, self.bench))
        # What was not measured again (the run went on elsewhere) is not known to hold.
        still = [name for name in missed if name not in again or again[name]["missed"] is not False]
        return found | {"again": again, "missed": still, "images": trained["images"]}

    def second(self) -> Attempt:
        """The second attempt: the platforms that were solved again; with shared weights, all of them."""
        changed = self.folder.payload(f"{LABEL}:solve")["choices"]
        shared = self.setting.train.mode == "slimmable"
        choices = {**self.first.choices, **changed} if shared else changed
        return Attempt(self.folder, self.setting, choices, PREFIX)

    def _once(self, part: str, work: Callable[[], Payload]) -> Payload:
        """What a part left, from the folder where it is done."""
        name = f"{LABEL}:{part}"
        if not self.folder.done(name):
            self.folder.mark_done(name, work())
        done: Payload = self.folder.payload(name)
        return done

    def _export(self, attempt: Attempt, trained: Payload) -> Payload:
        with self.folder.progress.task("export again", total=len(attempt.names)) as advance:
            return attempt.export(trained, self.job.export, advance)

    # ------------------------------------------------------------------ solving

    def _solve(
        self, missed: list[str], measured: Mapping[str, Payload], promises: Mapping[str, LatencyPromise]
    ) -> Payload:
        """New choices for the platforms that missed, with their promises; why there is none for the others."""
        if self.setting.train.mode == "anytime":
            reason = (
                "one network with exits serves all platforms (train.mode anytime), so it is not solved again for one "
                "of them; give the platform a latency_margin or a smaller budget, in a new run"
            )
            return {"choices": {}, "latency": {}, "unsolved": dict.fromkeys(missed, reason)}
        scales = _scales(missed, measured, promises)
        platforms = {p.name: p for p in self.setting.platforms}
        tighter = {name: tightened(platforms[name], scales[promises[name].device]) for name in missed}
        # Policies and observed networks belong to the platforms of the job: the method is loaded for the tighter ones.
        method = finished_method(self.folder, tuple({**platforms, **tighter}.values()))
        found: Payload = {"choices": {}, "latency": {}, "unsolved": {}}
        for name in missed:
            scale = scales[promises[name].device]
            try:
                choice = method.choose(tighter[name])
            except RequestError as error:
                found["unsolved"][name] = f"with predictions multiplied by {scale:.4g}: {error}"
                continue
            note = (
                f"solved again: the first answer took {measured[name]['measured_ms']:.4g} ms of the "
                f"{promises[name].budget_ms:g} ms allowed, so predictions were multiplied by {scale:.4g}"
            )
            choice = dataclasses.replace(choice, notes=(*choice.notes, note))
            promise = LatencyPromise.of(platforms[name], choice.costs, scale)
            assert promise is not None  # it missed a latency budget
            plain = choice.to_dict()
            plain["costs"][LATENCY] = promise.predicted_ms  # as corrected
            found["choices"][name], found["latency"][name] = plain, promise.to_dict()
        return found


def _scales(
    missed: list[str], measured: Mapping[str, Payload], promises: Mapping[str, LatencyPromise]
) -> dict[str, float]:
    """Per device, the largest measured / predicted of the networks that missed."""
    scales: dict[str, float] = {}
    for name in missed:
        promise = promises[name]
        ratio = measured[name]["measured_ms"] / promise.predicted_ms
        scales[promise.device] = max(ratio, scales.get(promise.device, 0.0))
    return scales


def _missed(name: str, row: Mapping[str, Any], promise: LatencyPromise) -> str:
    return (
        f"{name}: {row['measured_ms']:.4g} ms measured, {promise.predicted_ms:.4g} ms predicted, "
        f"{promise.budget_ms:g} ms allowed: missed"
    )
