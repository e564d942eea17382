"""What every method must show: it drives an evaluator and nothing else, can be killed, and never breaks a budget."""

from __future__ import annotations

import json
import multiprocessing
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import cache, partial
from typing import Any

import numpy as np
import pytest
import torch

from sartor.errors import InfeasibleBudgetError, RequestError
from sartor.methods.evaluator import TableEvaluator
from sartor.methods.method import Choice, Method
from sartor.platforms import Platform
from sartor.space import SearchSpace
from sartor.testing.evaluators import OnlyTheContract, evaluator_for, platforms_for, stairs
from sartor.testing.examples import ruled
from sartor.testing.mixtures import cell_space
from sartor.testing.stores import Killed, MemoryStore, through_a_file
from sartor.train.loop import run_until

MakeSpace = Callable[[], SearchSpace]
MakeMethod = Callable[..., Method]


class MethodContract:
    """Override the fixture ``method_type``; every test of this class then runs on it.

    Override ``method_settings`` for settings other than the defaults, and ``make_space`` (a function that another
    process can import) where the method needs another kind of space.
    """

    # The gradient of a prefix is a strided view on purpose (see sartor.elastic.layers).
    pytestmark = pytest.mark.filterwarnings("ignore:grad and param do not obey the gradient layout")

    @pytest.fixture
    def method_type(self) -> type[Method]:
        """The class of the method under test."""
        raise NotImplementedError("override the fixture `method_type` in your subclass of MethodContract")

    @pytest.fixture
    def method_settings(self) -> Any:
        """An instance of the method's ``settings_type``, or None for its defaults."""
        return None

    @pytest.fixture
    def make_space(self, method_type: type[Method]) -> MakeSpace:
        """A function that makes the space; small enough for a table of all its networks, where a table will do."""
        return cell_space if "mixtures" in method_type.needs else stairs

    @pytest.fixture
    def space(self, make_space: MakeSpace) -> SearchSpace:
        """The space to search."""
        return make_space()

    @pytest.fixture
    def make(self, method_type: type[Method], method_settings: Any, space: SearchSpace) -> MakeMethod:
        """Makes a fresh method: ``make(seed=0)``."""
        return partial(_make, method_type, method_settings, space, platforms_for(space))

    @pytest.fixture(params=["supernet", "table"])
    def kind(self, request: pytest.FixtureRequest, method_type: type[Method]) -> str:
        """What answers: shared weights or a table."""
        if request.param not in kinds(method_type):
            pytest.skip("a table has no gradient")
        return str(request.param)

    @pytest.fixture
    def quick(self, method_type: type[Method]) -> str:
        """The quickest of those that can answer."""
        return kinds(method_type)[-1]

    def test_budgets_are_met(self, make: MakeMethod, kind: str, space: SearchSpace) -> None:
        """Whatever answers, every platform's network meets all its budgets, and its costs are the space's."""
        method = searched(make(), kind)
        for platform in method.platforms:
            choice = method.choose(platform)
            assert choice.architecture.space is space
            assert_within(choice, platform)

    def test_only_the_contract_is_used(self, make: MakeMethod, kind: str) -> None:
        """One class runs on shared weights and on a table, through nothing but what an evaluator promises."""
        method = make()
        evaluator = OnlyTheContract(evaluator_for(method, kind))
        steps = 0
        while not evaluator.done:
            before = evaluator.progress
            metrics = method.step(evaluator)
            json.dumps(metrics)
            assert all(isinstance(name, str) for name in metrics)
            steps += 1
            assert evaluator.progress > before, "a step that costs nothing never ends"
        assert method.steps == steps

    def test_the_same_seed_gives_the_same_answer(self, make: MakeMethod, kind: str) -> None:
        """Two methods of one seed ask for the same networks in the same order and give the same answers."""
        runs = [record(make(seed=3), kind) for _ in range(2)]
        assert runs[0] == runs[1]

    def test_another_process_gives_the_same_answer(
        self, method_type: type[Method], method_settings: Any, make_space: MakeSpace
    ) -> None:
        """A fresh process, with other hashes of strings, gives the same answers."""
        task = (method_type, method_settings, make_space)
        assert _other_process().submit(_answers_elsewhere, *task).result() == _answers_elsewhere(*task)

    def test_another_seed_asks_for_other_networks(self, make: MakeMethod, kind: str) -> None:
        """The seed decides what is tried."""
        asked = [record(make(seed=seed), kind)[0] for seed in (0, 1)]
        assert asked[0] != asked[1]

    def test_a_search_that_was_killed_goes_on(self, make: MakeMethod, kind: str) -> None:
        """Killed at any checkpoint and started again, a search asks and answers what an undisturbed one does."""
        undisturbed = MemoryStore()
        expected = resumable(make(), kind, undisturbed)
        assert undisturbed.saves > 2
        for kill_after in (1, undisturbed.saves // 2):
            store = MemoryStore(kill_after=kill_after)
            with pytest.raises(Killed):
                resumable(make(), kind, store)
            again = store.restarted()
            assert resumable(make(), kind, again) == expected
            assert again.records == undisturbed.records

    def test_its_state_is_plain_data(self, make: MakeMethod, quick: str) -> None:
        """The state is plain data: it survives JSON, from which a finished run is solved for other budgets."""
        method = searched(make(), quick)
        for back in (through_a_file(method.state_dict()), json.loads(json.dumps(method.state_dict()))):
            again = make()
            again.load_state_dict(back)
            assert answers(again) == answers(method)

    def test_platforms_nobody_asked_for(self, make: MakeMethod, space: SearchSpace, quick: str) -> None:
        """A platform that was not searched for is solved within its budgets, or refused in one sentence."""
        method = searched(make(), quick)
        macs = space.cost("macs")(space.sample(200, np.random.default_rng(0)))
        stranger = Platform("stranger", {"macs": int(np.quantile(macs, 0.4)), "params": 10**9})
        try:
            choice = method.choose(stranger)
        except RequestError as error:
            assert_one_sentence(error, "stranger")
        else:
            assert_within(choice, stranger)

    def test_impossible_budgets(
        self, make: MakeMethod, method_type: type[Method], method_settings: Any, space: SearchSpace, quick: str
    ) -> None:
        """No answer is given where none fits, and nothing is trained before that is known."""
        method = searched(make(), quick)
        impossible = Platform("impossible", {"macs": 1})
        with pytest.raises(RequestError):
            method.choose(impossible)
        with pytest.raises(InfeasibleBudgetError, match=r"'impossible'.*macs"):
            _make(method_type, method_settings, space, [impossible]).check_reachable()

    def test_its_settings_are_a_dataclass_with_defaults(self, method_type: type[Method]) -> None:
        """A job file needs to name the method only: its settings have a type, and that type has defaults."""
        settings_type: Any = method_type.settings_type  # type: ignore[attr-defined]
        assert settings_type() == settings_type()

    def test_missing_needs_are_said(self, method_type: type[Method], method_settings: Any) -> None:
        """On a space without widths (rules, operations, no smallest network) it works, or says what it needs."""
        space = ruled()
        try:
            method = _make(method_type, method_settings, space, platforms_for(space))
        except RequestError as error:
            assert_one_sentence(error, space.name)
        else:
            for platform in searched(method, "supernet").platforms:
                assert_within(method.choose(platform), platform)

    def test_a_missing_gradient_is_said(self, make: MakeMethod, method_type: type[Method], space: SearchSpace) -> None:
        """Where it needs a gradient, a table is refused in one sentence and not by a traceback."""
        if "gradient" not in method_type.needs:
            pytest.skip("needs no gradient")
        rows = np.unique(space.sample(20, np.random.default_rng(0)), axis=0)
        table = TableEvaluator(rows, np.full(len(rows), 90.0), queries=5, rng=np.random.default_rng(0))
        with pytest.raises(RequestError) as caught:
            make().step(OnlyTheContract(table))
        assert_one_sentence(caught.value, "table")


# ---------------------------------------------------------------------- running


def kinds(method_type: type[Method]) -> tuple[str, ...]:
    """What can answer a method, the quickest one last."""
    return ("supernet",) if "gradient" in method_type.needs else ("supernet", "table")


def searched(method: Method, kind: str) -> Method:
    """The method after a whole search."""
    evaluator = evaluator_for(method, kind)
    while not evaluator.done:
        method.step(evaluator)
    return method


def record(method: Method, kind: str) -> tuple[list[tuple[Any, ...]], dict[str, Any]]:
    """What a whole search asked for, in order, and its answers."""
    evaluator = OnlyTheContract(evaluator_for(method, kind))
    while not evaluator.done:
        method.step(evaluator)
    return evaluator.asked, answers(method)


def answers(method: Method) -> dict[str, Any]:
    """Platform -> row and score."""
    choices = {p.name: method.choose(p) for p in method.platforms}
    return {name: (choice.architecture.row, choice.score) for name, choice in choices.items()}


def resumable(method: Method, kind: str, store: MemoryStore) -> dict[str, Any]:
    """The answers after a search that goes on from what ``store`` holds."""
    evaluator = evaluator_for(method, kind)

    def position() -> tuple[float, float, int]:
        return evaluator.progress, 1.0, 0

    parts = {"evaluator": evaluator, "method": method}
    run_until(lambda: method.step(evaluator), position, parts, store, log_every=3)
    return answers(method)


def assert_within(choice: Choice, platform: Platform) -> None:
    """The choice meets every budget, and says the costs that the space counts."""
    space = choice.architecture.space
    row = np.array([choice.architecture.row])
    for kind, limit in platform.budgets.items():
        cost = int(space.cost(kind, exit=choice.exit)(row)[0])
        assert cost <= limit, f"{platform.name}: {kind} {cost} is above {limit}"
        assert choice.costs[kind] == cost


def assert_one_sentence(error: Exception, word: str) -> None:
    """An error a user reads: one paragraph that names what is wrong."""
    text = str(error)
    assert word in text and "\n" not in text and len(text) < 400


def _make(
    method_type: type[Method], settings: Any, space: SearchSpace, platforms: Sequence[Platform], seed: int = 0
) -> Method:
    return method_type(space, platforms, settings, seed)


@cache
def _other_process() -> ProcessPoolExecutor:
    """A process that hashes strings in another way, started once for all tests."""
    pool = ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONHASHSEED", "4711")
        pool.submit(int).result()  # it starts with its first task
    return pool


def _answers_elsewhere(method_type: type[Method], settings: Any, make_space: MakeSpace) -> Any:
    """Module-level, so that another process can call it."""
    torch.set_num_threads(1)
    space = make_space()
    return [record(_make(method_type, settings, space, platforms_for(space)), kind) for kind in kinds(method_type)]
