"""Progress with the time left: on a terminal a bar once something takes longer than two seconds, else silence.

    with progress.task("search", total=steps) as advance:
        for step in range(steps):
            ...
            advance(1, loss=loss)

Everything goes to stderr, so that stdout stays clean for results.
"""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress
    from rich.progress import TaskID

_PATIENCE_SECONDS = 2.0
_REFRESH_SECONDS = 0.1


class Advance(Protocol):
    """Reports ``n`` more units done, and values to show such as ``loss=0.3``."""

    def __call__(self, n: float = 1, /, **values: float) -> None: ...


class Progress:
    """Shows how far the work is.

    Args:
        bars: draw bars on stderr.
        lines: print a line at every tenth of a task instead (for log files); without either, silence.
    """

    def __init__(self, *, bars: bool = False, lines: bool = False) -> None:
        self.bars = bars
        self.lines = lines and not bars
        self._screen: _Screen | None = None

    @classmethod
    def for_terminal(cls, *, quiet: bool = False, verbose: bool = False) -> Progress:
        """Bars if stderr is a terminal, else lines if ``verbose``; nothing if ``quiet``."""
        if quiet:
            return cls()
        return cls(bars=sys.stderr.isatty(), lines=verbose)

    @contextlib.contextmanager
    def task(self, name: str, total: float, done: float = 0) -> Iterator[Advance]:
        """A piece of work of ``total`` units, of which ``done`` were done before (a resumed run)."""
        task: Advance
        if self.bars:
            if self._screen is None:
                self._screen = _Screen()
            bar = _Bar(self._screen, name, total, done)
            try:
                yield bar
            finally:
                bar.close()
        else:
            task = _Lines(name, total, done) if self.lines else _silence
            yield task

    @contextlib.contextmanager
    def counter(self, name: str) -> Iterator[Callable[[int, int], None]]:
        """For work that reports ``(done, total)``, such as the decoding of pictures."""
        with contextlib.ExitStack() as stack:
            advance: list[Advance] = []
            before = 0

            def count(done: int, total: int) -> None:
                nonlocal before
                if not advance:
                    advance.append(stack.enter_context(self.task(name, total)))
                advance[0](done - before)
                before = done

            yield count

    def say(self, sentence: str) -> None:
        """A sentence about what happens next; silent unless something is shown anyway."""
        if self.bars or self.lines:
            print(sentence, file=sys.stderr, flush=True)


def _silence(n: float = 1, /, **values: float) -> None:
    pass


class _Bar:
    """A bar that appears after two seconds and is updated ten times a second at most."""

    def __init__(self, screen: _Screen, name: str, total: float, done: float) -> None:
        self.screen, self.name, self.total, self.done = screen, name, total, done
        self.values: dict[str, float] = {}
        self.started = self.drawn = time.monotonic()
        self.task: TaskID | None = None

    def __call__(self, n: float = 1, /, **values: float) -> None:
        self.done += n
        self.values.update(values)
        now = time.monotonic()
        if now - self.drawn >= _REFRESH_SECONDS and now - self.started >= _PATIENCE_SECONDS:
            self.drawn = now
            if self.task is None:
                self.task = self.screen.add(self.name, self.total)
            self.screen.rich.update(self.task, completed=self.done, values=_words(self.values))

    def close(self) -> None:
        if self.task is not None:
            self.screen.remove(self.task)


class _Screen:
    """The bars on the terminal; rich allows one live display at a time, so tasks inside tasks share it."""

    def __init__(self) -> None:
        self.rich = _rich_progress()

    def add(self, name: str, total: float) -> TaskID:
        if not self.rich.tasks:
            self.rich.start()
        return self.rich.add_task(name, total=total, values="")

    def remove(self, task: TaskID) -> None:
        self.rich.remove_task(task)
        if not self.rich.tasks:
            self.rich.stop()


class _Lines:
    """A line at every tenth of the work."""

    def __init__(self, name: str, total: float, done: float) -> None:
        self.name, self.total, self.done = name, total, done
        self.started = time.monotonic()
        self.first = done
        self.tenth = self._tenth()

    def __call__(self, n: float = 1, /, **values: float) -> None:
        self.done += n
        if self._tenth() <= self.tenth:
            return
        self.tenth = self._tenth()
        elapsed = time.monotonic() - self.started
        left = elapsed * (self.total - self.done) / max(self.done - self.first, 1e-9)
        print(
            f"{self.name}: {10 * self.tenth} %, {elapsed:.0f} s, {left:.0f} s left{_words(values, ', ')}",
            file=sys.stderr,
            flush=True,
        )

    def _tenth(self) -> int:
        # The slack absorbs the rounding of fractional units.
        return int(10 * self.done / self.total + 1e-9) if self.total > 0 else 10


def _words(values: dict[str, float], start: str = "") -> str:
    return start + ", ".join(f"{name} {value:.4g}" for name, value in values.items()) if values else ""


def _rich_progress() -> RichProgress:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[values]}"),
        console=Console(stderr=True),
        transient=True,
    )
