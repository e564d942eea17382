"""Progress: on a terminal only, never on stdout, never for short work."""

from __future__ import annotations

import io
import sys
from typing import Any

import pytest

from sartor import progress as progress_module
from sartor.progress import Progress


class Terminal(io.StringIO):
    """A stderr that says it is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Seconds that only the test lets pass."""
    now = [0.0]
    monkeypatch.setattr(progress_module.time, "monotonic", lambda: now[0])
    return now


def work(progress: Progress, clock: list[float], seconds: float) -> None:
    """Ten steps of some seconds, with a task inside the task."""
    with progress.task("search", total=10) as advance:
        for _ in range(10):
            clock[0] += seconds
            advance(1, loss=0.25)
            with progress.task("inner", total=1) as inner:
                inner(1)


def test_silent_without_a_terminal(clock: list[float], capsys: pytest.CaptureFixture[str]) -> None:
    """Where stderr is no terminal nothing is printed, however long it takes."""
    work(Progress.for_terminal(), clock, 5)
    assert capsys.readouterr() == ("", "")


def test_lines_when_verbose(clock: list[float], capsys: pytest.CaptureFixture[str]) -> None:
    """Verbose without a terminal prints a line at every tenth, with the time left, on stderr."""
    progress = Progress.for_terminal(verbose=True)
    with progress.task("search", total=100, done=50) as advance:
        for _ in range(50):
            clock[0] += 2
            advance(1, loss=0.25)
    printed = capsys.readouterr()
    assert printed.out == "" and len(printed.err.splitlines()) == 5
    assert printed.err.splitlines()[0] == "search: 60 %, 20 s, 80 s left, loss 0.25"


def test_bars_on_a_terminal(clock: list[float], monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    """On a terminal a bar appears, also with a task inside, and only for work longer than two seconds."""
    for seconds, shown in ((5.0, True), (0.1, False)):
        terminal = Terminal()
        monkeypatch.setattr(sys, "stderr", terminal)
        work(Progress.for_terminal(), clock, seconds)
        assert ("search" in terminal.getvalue()) is shown
    assert capsys.readouterr().out == ""


def test_quiet_wins(clock: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    """Quiet (and --json) shows nothing even on a terminal."""
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    work(Progress.for_terminal(quiet=True, verbose=True), clock, 5)
    assert terminal.getvalue() == ""


def test_a_counter_follows_done_of_total(clock: list[float], capsys: pytest.CaptureFixture[str]) -> None:
    """Work that reports (done, total) is shown like any other; work that reports nothing shows nothing."""
    progress = Progress(lines=True)
    with progress.counter("pictures") as count:
        for done in (1, 5, 10):
            clock[0] += 1
            count(done, 10)
    with progress.counter("nothing"):
        pass
    assert [line.split(",")[0] for line in capsys.readouterr().err.splitlines()] == [
        "pictures: 10 %",
        "pictures: 50 %",
        "pictures: 100 %",
    ]
