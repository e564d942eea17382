"""Work in fresh processes that take turns: for settings that belong to a whole process, such as its allocator."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Any


class Worker:
    """A fresh process that runs ``python script --worker SETTINGS`` and answers each line on its standard input.

    It starts with the machine's own allocator: settings of malloc in the environment are not handed on.
    """

    def __init__(self, script: str, settings: dict[str, Any]) -> None:
        environment = {k: v for k, v in os.environ.items() if not k.startswith("MALLOC_")}
        self.process = subprocess.Popen(
            [sys.executable, str(Path(script).resolve()), "--worker", json.dumps(settings)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )

    def ask(self) -> Any:
        """Lets the process do its work once, and returns its answer."""
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write("\n")
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


def answer(work: Any) -> None:
    """Runs ``work`` once for every line on standard input and writes what it returns."""
    for _ in sys.stdin:
        print(json.dumps(work()), flush=True)
