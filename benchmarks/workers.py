"""Work in fresh processes that take turns: for settings that belong to a whole process, such as its allocator."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

SOURCES = Path(__file__).resolve().parents[1] / "src"


class Worker:
    """A fresh process that runs ``python script --worker SETTINGS`` and answers each line on its standard input.

    It starts with the machine's own allocator: settings of malloc in the environment are not handed on. ``python`` may
    be that of another virtual environment; Sartor's own sources are found there too.
    """

    def __init__(self, script: str, settings: dict[str, Any], python: str = sys.executable) -> None:
        environment = {k: v for k, v in os.environ.items() if not k.startswith("MALLOC_")}
        if python != sys.executable:
            environment["PYTHONPATH"] = str(SOURCES)
        self.process = subprocess.Popen(
            [python, str(Path(script).resolve()), "--worker", json.dumps(settings)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )

    def ask(self, request: Any = None) -> Any:
        """Lets the process do its work once, as the request says, and returns its answer."""
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if not answer:
            raise RuntimeError(f"a worker process ended with code {self.process.wait()}; its error is above")
        return json.loads(answer)

    def __enter__(self) -> Worker:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()


def settings_of_worker() -> dict[str, Any] | None:
    """The settings of this process if it was started as a worker."""
    return json.loads(sys.argv[2]) if sys.argv[1:2] == ["--worker"] else None


def answer(work: Callable[[], Any]) -> None:
    """Runs ``work`` once for every line on standard input and writes what it returns."""
    serve(lambda _: work())


def serve(work: Callable[[Any], Any]) -> None:
    """Calls ``work`` with every request on standard input and writes what it returns."""
    for line in sys.stdin:
        print(json.dumps(work(json.loads(line))), flush=True)
