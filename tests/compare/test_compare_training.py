"""Comparisons on real training: equal cost, whole searches, rows that fail, and the same wherever they run."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import training_samples
from training_samples import SEARCH_IMAGES, job, timeless

from sartor.compare import on_training
from sartor.compare.result import compare_training
from sartor.compare.store import PIECES
from sartor.errors import InfeasibleBudgetError, RequestError, SartorError
from sartor.pipeline import stages
from sartor.run import RunFolder
from sartor.storage import to_json

# The gradient of a prefix is a strided view on purpose (see sartor.elastic.layers).
pytestmark = pytest.mark.filterwarnings("ignore:grad and param do not obey the gradient layout")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """A comparison of all methods with two seeds: its folder and its document. Do not write to it."""
    folder = tmp_path_factory.mktemp("compare") / "whole"
    return folder, compare_training(job(), seeds=2, folder=folder)


def compared(folder: Path, *names: str, seeds: int = 1, **changes: Any) -> dict[str, Any]:
    return compare_training(job(**changes), names, seeds, folder=folder)


def test_every_search_costs_the_same(whole: tuple[Path, dict[str, Any]]) -> None:
    """Trained pictures, those only scored a third each: what OWS takes for its epochs, up to one step more."""
    document = whole[1]
    assert document["search_budget_images"] == SEARCH_IMAGES
    largest_step = {"ows": 48, "aows": 48, "tunas": 2 * (16 + 16 / 3), "fpnas": 48 * 16, "random": 48}
    for name, step in largest_step.items():
        row = document["methods"][name]
        for cost in row["search_cost_images"]:
            assert SEARCH_IMAGES <= cost < SEARCH_IMAGES + step, name
        parts = zip(row["search_cost_images"], *row["search_images"].values(), strict=True)
        assert all(cost == pytest.approx(trained + scored / 3) for cost, trained, scored in parts)
        assert row["training_images"] == document["methods"]["random"]["training_images"]
    assert document["methods"]["random"]["search_images"]["scored"][0] > 0
    assert any(note.startswith("fpnas spent up to") for note in document["notes"])


def test_rows(whole: tuple[Path, dict[str, Any]]) -> None:
    """Means, spreads, intervals and paired differences by hand; budgets met; methods that cannot say why."""
    document = json.loads(to_json(whole[1]))
    methods = document["methods"]
    assert list(methods) == ["ows", "aows", "tunas", "fpnas", "ms_ranas", "random"]
    assert "cannot be searched by gradient" in methods["ms_ranas"]["not_applicable"]
    assert methods["ms_ranas"]["accuracies"] == []
    for name in ("ows", "aows", "tunas", "fpnas", "random"):
        row, random = methods[name], methods["random"]
        a, b = row["accuracies"]
        assert row["accuracy_mean"] == pytest.approx((a + b) / 2)
        assert row["accuracy_deviation"] == pytest.approx(abs(a - b) / math.sqrt(2))
        assert row["accuracy_ci95"][1] - row["accuracy_mean"] == pytest.approx(12.7062 * abs(a - b) / 2)
        pairs = [own - other for own, other in zip(row["accuracies"], random["accuracies"], strict=True)]
        difference = row["difference_to_random"]
        assert difference["mean"] == pytest.approx(sum(pairs) / 2)
        assert difference["ci95"][0] == pytest.approx(sum(pairs) / 2 - 12.7062 * abs(pairs[0] - pairs[1]) / 2)
        watch, phone = (row["platforms"][p] for p in ("watch", "phone"))
        assert a == pytest.approx((2 * watch["accuracies"][0] + phone["accuracies"][0]) / 3)
        assert row["within_budget"] == 1.0
        for platform, limit in (("watch", 150_000), ("phone", 400_000)):
            uses = [costs[platform]["macs"] / limit for costs in row["costs"]]
            assert row["platforms"][platform]["budget_use"]["macs"] == pytest.approx(uses) and max(uses) <= 1
        assert all(len(row["times"][key]) == 2 and min(row["times"][key]) > 0 for key in row["times"])
    assert methods["random"]["difference_to_random"]["mean"] == 0


def test_searches_are_whole(whole: tuple[Path, dict[str, Any]]) -> None:
    """Every seed has its own search, and its run folder is that of the job with this method and seed."""
    folder, document = whole
    runs = {path.name for path in (folder / "searches").iterdir()}
    assert runs == {f"{name}-{k}" for name in ("ows", "aows", "tunas", "fpnas", "random") for k in (0, 1)}
    for k in (0, 1):
        with RunFolder.reopen(folder / "searches" / f"tunas-{k}", lock=False) as run:
            assert run.configuration["method"]["name"] == "tunas" and run.configuration["seed"] == k
            assert run.configuration["search"] == document["configuration"]["search"]
            assert run.configuration["train"] == document["configuration"]["train"]
            assert run.done("search") and run.done("train") and run.file("platforms", "watch.safetensors").exists()
    for name in ("ows", "tunas", "random"):
        first, second = ((folder / "searches" / f"{name}-{k}" / "method.json").read_text() for k in (0, 1))
        assert first != second, name


def test_fronts(whole: tuple[Path, dict[str, Any]]) -> None:
    """One network per platform; the hypervolume of two networks by hand."""
    front = whole[1]["fronts"]["macs"]
    reference = front["reference_cost"]
    assert reference == pytest.approx(1.1 * 400_000) and front["reference_accuracy"] == 10
    for name, volume in front["hypervolume"].items():
        for search, value in zip(front["networks"][name], volume["values"], strict=True):
            (cheap, dear), (a, b) = search["costs"], search["accuracies"]
            first, second = max(a - 10, 0), max(b - 10, 0)
            area = first * (reference - cheap) + max(second - first, 0) * (reference - dear)
            assert value == pytest.approx(100 * area / (reference * 90), abs=1e-9)


def test_what_is_done_is_not_done_again(
    whole: tuple[Path, dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More seeds and methods are added to a folder; without checkpoints, which searches that are done do not need."""
    asked: list[Any] = []
    search = on_training.TrainingSearches.search
    monkeypatch.setattr(
        on_training.TrainingSearches, "search", lambda own, piece, bar: asked.append(piece) or search(own, piece, bar)
    )
    compared(tmp_path / "c")
    assert asked == [("random", 0)] and not list((tmp_path / "c").rglob("*.pt"))
    found = compared(tmp_path / "c", "ows")
    assert asked == [("random", 0), ("ows", 0)]
    for name in ("ows", "random"):
        assert found["methods"][name]["accuracies"] == whole[1]["methods"][name]["accuracies"][:1]
    assert any("neither spread nor interval" in note for note in found["notes"])
    with pytest.raises(RequestError, match=r"another comparison: search\.epochs"):
        compared(tmp_path / "c", search={"epochs": 2})
    with pytest.raises(RequestError, match="holds a run"):
        compared(tmp_path / "c" / "searches" / "ows-0")


def test_stopped_within_a_search(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A comparison that was killed in a search goes on from its checkpoint, and ends as if undisturbed."""
    from sartor.methods.ows import OWS

    steps: list[int] = []
    step = OWS.step

    def killed(method: OWS, evaluator: Any) -> dict[str, float]:
        steps.append(method.steps)
        if len(steps) == 12:
            raise KeyboardInterrupt
        return step(method, evaluator)

    longer = {"search": {"epochs": 1.7}}
    undisturbed = compared(tmp_path / "undisturbed", "ows", **longer)
    monkeypatch.setattr(OWS, "step", killed)
    with pytest.raises(KeyboardInterrupt):
        compared(tmp_path / "killed", "ows", **longer)
    found = compared(tmp_path / "killed", "ows", **longer)
    assert steps[12] == 10  # the last line of the log, and the checkpoint with it
    assert timeless(found) == timeless(undisturbed)


@pytest.mark.slow
def test_another_process_count_is_the_same(whole: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    """Two processes: the same document, times aside."""
    found = compare_training(job(), ("ows",), 1, folder=tmp_path / "c", processes=2)
    for name in ("ows", "random"):
        alone, here = whole[1]["methods"][name], found["methods"][name]
        for key in ("accuracies", "answers", "costs", "search_cost_images", "training_images", "warnings"):
            assert here[key] == alone[key][:1]


def test_a_late_refusal_is_a_row(tmp_path: Path) -> None:
    """A method that finds out late that it cannot is not applicable, is not tried again, and the others go on."""
    found = compared(tmp_path / "c", "training_samples:Refusing", seeds=2)
    row = found["methods"]["training_samples:Refusing"]
    assert row["not_applicable"] == "it needs more than there is"
    assert len(found["methods"]["random"]["accuracies"]) == 2
    assert not (tmp_path / "c" / "searches" / "training_samples-Refusing-1").exists()


def test_a_fault_stops_and_keeps(tmp_path: Path) -> None:
    """An error that nobody foresaw is one sentence with its log; what was done is kept, without it it goes on."""
    with pytest.raises(SartorError, match=r"Broken, seed 0, .*ZeroDivisionError: a fault.*error\.log") as raised:
        compared(tmp_path / "c", "random", "training_samples:Broken")
    assert not isinstance(raised.value, RequestError)
    log = tmp_path / "c" / "searches" / "training_samples-Broken-0" / "error.log"
    assert "ZeroDivisionError" in log.read_text()
    assert [path.name for path in (tmp_path / "c" / PIECES).iterdir()] == ["random-0.json"]
    assert compared(tmp_path / "c")["methods"]["random"]["not_applicable"] is None


def test_the_disk_is_no_reason_against_a_method(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk stops the comparison in place of becoming a row."""

    def full(*arguments: Any, **options: Any) -> Any:
        import errno

        from sartor.storage import storage_errors

        with storage_errors(tmp_path / "x"):
            raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(stages, "search", full)
    with pytest.raises(RequestError, match="no space left"):
        compared(tmp_path / "c")


def test_a_method_of_ones_own(whole: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    """A class by its module takes part; a copy of random search finds what random search finds."""
    found = compared(tmp_path / "c", "training_samples:Mine")["methods"]
    assert found["training_samples:Mine"]["accuracies"] == found["random"]["accuracies"]
    assert issubclass(training_samples.Mine, training_samples.RandomSearch)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"names": ("tunnas",)}, "did you mean 'tunas'"),
        ({"names": ("evolution",)}, "unknown method 'evolution'"),
        ({"seeds": 0}, "--seeds 0"),
        ({"processes": 0}, "--processes 0"),
        ({"job": {"method": "ms_ranas"}}, "own method says what a search costs, and it cannot be used"),
        ({"job": {"data": {"test_fraction": 0.0, "weights": 1.0, "selection": 0.0}}}, "nothing judges"),
    ],
)
def test_wrong_requests(changes: dict[str, Any], words: str, tmp_path: Path) -> None:
    """Everything that can be wrong is refused before anything is trained."""
    given = {"names": (), "seeds": 1, **changes}
    asked = job(**given.pop("job", {}))
    with pytest.raises(RequestError, match=words):
        compare_training(asked, folder=tmp_path / "c", **given)
    assert not (tmp_path / "c").exists()


def test_impossible_budgets(tmp_path: Path) -> None:
    """A platform that nothing fits is no matter of methods: the comparison is refused."""
    with pytest.raises(InfeasibleBudgetError, match="watch"):
        compared(tmp_path / "c", platforms=[{"name": "watch", "macs": 10}])


def test_without_test_pictures_the_selection_judges(tmp_path: Path) -> None:
    """Validation accuracies stand in, and it is said."""
    found = compared(tmp_path / "c", data={"test_fraction": 0.0})
    assert found["judged_on"] == "validation" and any("no test pictures" in note for note in found["notes"])
    with RunFolder.reopen(tmp_path / "c" / "searches" / "random-0", lock=False) as run:
        judged = run.payload("train")["weighted_accuracy"]
    assert found["methods"]["random"]["accuracies"] == [judged["validation"]] and judged["test"] is None
