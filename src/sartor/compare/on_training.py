"""A comparison on real training as a question: every search trains shared weights, every answer is trained in full."""

from __future__ import annotations

import dataclasses
import tempfile
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sartor.compare.methods import BASELINE
from sartor.compare.store import file_name
from sartor.compare.workers import NOT_APPLICABLE, Piece, Plain
from sartor.config import Job
from sartor.errors import RequestError, SartorError, StorageError
from sartor.progress import Progress
from sartor.run import ERROR_LOG, RunFolder

if TYPE_CHECKING:
    from sartor.pipeline.setting import Setting
    from sartor.pipeline.stages import Run

SEARCHES = "searches"
# Random search where one architecture with exits serves all platforms.
_FOR_ALL = "sartor.compare.random_for_all:RandomForAll"


@dataclass(frozen=True)
class TrainingSearches:
    """Whole runs of a job by other methods and seeds, each in a folder of its own below ``folder``.

    ``configuration`` is the job's, resolved; all searches cost ``search_cost``, in the unit of the evaluator (three for
    a picture that is trained on, one for a picture that is only scored).
    """

    configuration: Mapping[str, Any]
    search_cost: int
    folder: Path

    def identity(self) -> Plain:
        """The job, and what a search costs."""
        return {**self.configuration, "search_cost": self.search_cost}

    def settings(self, name: str) -> str:
        """The method as it is set up: the job's own as the job says, all others as in their papers."""
        return repr(self.job(name, 0).method)

    def job(self, name: str, seed: int) -> Job:
        """The job of one search: the method and the seed are exchanged, and nothing else that decides a result."""
        configuration = dict(self.configuration)
        if name != configuration["method"]["name"]:
            anytime = configuration["train"]["mode"] == "anytime"
            configuration["method"] = {"name": _FOR_ALL if anytime and name == BASELINE else name}
        configuration |= {
            "seed": configuration["seed"] + seed,
            "baselines": [],
            # For pictures of the report only.
            "evaluation": {**configuration["evaluation"], "cloud": 0, "mode_pictures": 0},
            # Sums depend on the number of threads: it must not depend on how many searches share the machine.
            "threads": configuration["threads"] or 1,
        }
        return Job.from_resolved(configuration)

    def search(self, piece: Piece, progress: Progress) -> Plain:
        """Searches, trains what was found, and judges it; goes on where an earlier process was stopped."""
        from sartor.pipeline.stages import Run

        name, seed = piece
        path = self.folder / SEARCHES / file_name(piece)
        with RunFolder.create(path, self.job(name, seed).resolved(), progress=progress) as folder:
            try:
                run = Run(folder, self.search_cost)
                return _outcome(run)
            except SartorError:
                raise
            except Exception as error:
                folder.write_text(ERROR_LOG, traceback.format_exc())
                first = (str(error).strip().splitlines() or [""])[0]
                raise SartorError(
                    f"method {name}, seed {seed}, was stopped by an error that nobody foresaw ({type(error).__name__}: "
                    f"{first}); the traceback is in {path / ERROR_LOG}. Searches that are done are kept: leave the "
                    "method out, or mend it, and start the same command again"
                ) from error


def _outcome(run: Run) -> Plain:
    try:
        run.stage("search")
        run.stage("train")
    except StorageError:
        raise
    except RequestError as error:
        return {NOT_APPLICABLE: str(error)}
    folder = run.folder
    searched, trained = folder.payload("search"), folder.payload("train")
    for checkpoint in folder.path.glob("checkpoints/*.pt"):  # its purpose is served, and there are many searches
        folder.remove_checkpoint(checkpoint.stem)
    return {
        "platforms": {p.name: _answer(p.name, searched, trained) for p in run.setting.platforms},
        "weighted_accuracy": trained["weighted_accuracy"],
        "search_cost": searched["cost"],
        "search_images": searched["images"],
        "training_images": trained["images"],
        "times": {
            f"{stage}_{kind}": round(seconds(stage), 3)
            for stage in ("search", "train")
            for kind, seconds in (("seconds", folder.seconds), ("cpu_seconds", folder.cpu_seconds))
        },
        "warnings": [*searched["warnings"], *trained["warnings"]],
    }


def _answer(platform: str, searched: Plain, trained: Plain) -> Plain:
    choice, judged = searched["choices"][platform], trained["platforms"][platform]
    kept = {key: choice[key] for key in ("architecture", "costs", "exit")}
    return kept | {key: judged[key] for key in ("val_accuracy", "test_accuracy")}


@dataclass(frozen=True)
class Plan:
    """What is known before anything is trained.

    ``judged_on`` is ``test`` or ``validation``; ``reasons``: method -> why it cannot be compared here; ``chance``: the
    accuracy of a guess, in percent.
    """

    question: TrainingSearches
    judged_on: str
    reasons: dict[str, str]
    chance: float


def plan(job: Job, names: Sequence[str], folder: Path, progress: Progress | None = None) -> Plan:
    """Loads the job's pictures, and asks what can be asked before a search.

    Raises:
        RequestError: the job is wrong, its own method cannot be used, or there are no pictures that judge.
        InfeasibleBudgetError: a platform that no architecture fits.
    """
    configuration = job.resolved()
    with (
        tempfile.TemporaryDirectory(prefix="sartor-compare-") as temporary,
        RunFolder.create(Path(temporary) / "run", configuration, progress=progress) as run,
    ):
        from sartor.pipeline.resolve import make_setting

        setting = make_setting(job, run)
        cost = _cost_of(setting)
        # Workers of a cluster may stand in other folders.
        question = TrainingSearches(configuration, cost, folder.resolve())
        reasons = {name: reason for name in names if (reason := _reason_against(setting, question, name)) is not None}
        return Plan(question, _judges(setting), reasons, 100.0 / setting.space.num_classes)


def _cost_of(setting: Setting) -> int:
    """What the job's own method takes for its epochs; the other methods spend the same."""
    from sartor.pipeline.answers import check_anytime
    from sartor.pipeline.search import make_evaluator

    try:
        method = setting.method()
    except RequestError as error:
        raise RequestError(
            f"the job's own method says what a search costs, and it cannot be used here: {error}; set method in the job"
        ) from None
    method.check_reachable()
    check_anytime(setting)
    setting.teacher()  # refused now, not after the searches
    return make_evaluator(setting, method).total_cost


def _judges(setting: Setting) -> str:
    if setting.pictures.test is not None and len(setting.index_sets.test):
        return "test"
    if len(setting.index_sets.selection):
        return "validation"
    raise RequestError(
        "nothing judges the answers: the pictures have no test part and data.selection is empty; set data.selection, "
        "such as 0.1"
    )


def _reason_against(setting: Setting, question: TrainingSearches, name: str) -> str | None:
    try:
        chosen = question.job(name, 0).method
        method = dataclasses.replace(setting, method_name=chosen.name, method_settings=chosen.settings).method()
        if setting.train.mode == "anytime" and not method.answers_exits:
            return (
                "train.mode anytime trains one network whose exits serve all platforms, and this method answers with "
                "a network for each"
            )
        method.check_reachable()
    except RequestError as error:
        return str(error)
    return None
