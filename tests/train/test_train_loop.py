"""The resumable loop: killed anywhere and started again, it ends as if it had not been disturbed."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from sartor.testing.stores import Killed, MemoryStore
from sartor.train.loop import MeanMetrics, NoStore, run_until

STEPS = 23


class Walk:
    """Work whose every step depends on all steps before it, and on the number of the step alone otherwise."""

    def __init__(self) -> None:
        self.number, self.place = 0, 0.0

    def step(self) -> dict[str, float]:
        draw = np.random.default_rng([7, self.number]).normal()
        self.place = 0.9 * self.place + draw
        self.number += 1
        return {"place": self.place, "sometimes": self.place if self.number % 3 == 0 else math.nan}

    def position(self) -> tuple[float, float, int]:
        return self.number, STEPS, 5 * self.number

    def state_dict(self) -> dict[str, Any]:
        return {"number": self.number, "place": self.place}

    def load_state_dict(self, state: Any) -> None:
        self.number, self.place = state["number"], state["place"]


def walk(store: Any, log_every: int = 4) -> Walk:
    work = Walk()
    run_until(work.step, work.position, {"walk": work}, store, log_every=log_every)
    return work


@pytest.mark.parametrize("log_every", [1, 4, 10, 100])
def test_any_kill_changes_nothing(log_every: int) -> None:
    """Whatever save the kill follows, state and every line of the log end as undisturbed."""
    undisturbed = MemoryStore()
    expected = walk(undisturbed, log_every)
    assert undisturbed.saves == math.ceil(STEPS / log_every)
    for kill_after in range(1, undisturbed.saves + 1):
        store = MemoryStore(kill_after=kill_after)
        with pytest.raises(Killed):
            walk(store, log_every)
        again = store.restarted()
        found = walk(again, log_every)
        assert found.state_dict() == expected.state_dict()
        assert again.records == undisturbed.records


def test_several_kills_change_nothing() -> None:
    """A run killed at every single save still arrives."""
    undisturbed = MemoryStore()
    expected = walk(undisturbed)
    store = MemoryStore(kill_after=1)
    for _ in range(undisturbed.saves):
        with pytest.raises(Killed):
            walk(store)
        store = store.restarted()
        store.kill_after = 1
    assert walk(store).state_dict() == expected.state_dict()
    assert store.records == undisturbed.records


def test_a_finished_run_does_nothing() -> None:
    """Started again after its end, not a step is made and nothing is saved or logged."""
    store = MemoryStore()
    walk(store)
    again = store.restarted()
    assert walk(again).number == STEPS
    assert again.saves == 0 and again.records == store.records


def test_lines_are_means_since_the_last_line() -> None:
    """Each line holds step, progress, pictures and the means of the steps since the line before; NaN is left out."""
    store = NoStore()
    walk(store, log_every=10)
    again, places = Walk(), []
    while again.number < STEPS:
        places.append(again.step())
    assert [r["step"] for r in store.records] == [10, 20, 23]
    assert [r["images"] for r in store.records] == [50, 100, 115]
    assert [r["progress"] for r in store.records] == pytest.approx([10 / 23, 20 / 23, 1.0])
    for record, (low, high) in zip(store.records, [(0, 10), (10, 20), (20, 23)], strict=True):
        part = places[low:high]
        assert record["place"] == pytest.approx(np.mean([m["place"] for m in part]))
        assert record["sometimes"] == pytest.approx(np.nanmean([m["sometimes"] for m in part]))


def test_states_are_saved_no_more_often_than_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """``checkpoint_seconds`` lie between two saves, the end is always saved, and only whole lines are."""
    clock = [0.0]
    monkeypatch.setattr("sartor.train.loop.time.monotonic", lambda: clock[0])
    store = Patient(lambda: clock[0])
    work = Walk()

    def step() -> dict[str, float]:
        clock[0] += 1.0
        return work.step()

    run_until(step, work.position, {"walk": work}, store, log_every=2)
    assert store.times == [6.0, 12.0, 18.0, 23.0]  # five seconds, rounded up to a line


class Patient(MemoryStore):
    """A store that wants five seconds between saves, and notes when it was given a state."""

    checkpoint_seconds = 5.0

    def __init__(self, clock: Callable[[], float]) -> None:
        super().__init__()
        self.clock = clock
        self.times: list[float] = []

    def save(self, state: dict[str, Any]) -> None:
        super().save(state)
        self.times.append(self.clock())


def test_progress_is_shown_up_to_the_end() -> None:
    """The store is told how far the work is, from a resumed place on."""
    store = MemoryStore(kill_after=3)
    with pytest.raises(Killed):
        walk(store)
    again = store.restarted()
    walk(again)
    assert store.shown == pytest.approx([4 / 23, 8 / 23, 12 / 23])
    assert again.shown == pytest.approx([16 / 23, 20 / 23, 1.0])


def test_mean_metrics() -> None:
    """Each name's mean over the values it had; taking them starts anew."""
    means = MeanMetrics()
    means.add({"a": 1.0, "b": math.nan})
    means.add({"a": 3.0, "c": 5.0})
    assert means.take() == {"a": 2.0, "c": 5.0}
    assert means.take() == {}
