"""How a command ends: one JSON document or plain words on stdout, errors in one paragraph, and the exit code.

Exit codes: 0 done, 2 the request is wrong, 1 anything else.
"""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from sartor.errors import SartorError
from sartor.storage import storage_problem, to_json

WRONG_REQUEST = 2
FAILED = 1


class SaidError(SartorError):
    """A failure that the command's document holds already: only the exit code is left to give."""


class UnexpectedError(Exception):
    """An error that nobody foresaw; its traceback was written to ``log``."""

    def __init__(self, error: Exception, log: Path | None) -> None:
        super().__init__(str(error))
        self.error = error
        self.log = log


@contextlib.contextmanager
def error_log(folder: Path) -> Iterator[None]:
    """Writes the traceback of an unexpected error into ``folder``, beside the run it stopped."""
    try:
        yield
    except (SartorError, UnexpectedError):
        raise
    except Exception as error:
        if isinstance(error, OSError) and storage_problem(error) is not None:
            raise
        from sartor.run import ERROR_LOG

        raise UnexpectedError(error, _write_traceback(error, folder / ERROR_LOG)) from error


@contextlib.contextmanager
def results_only() -> Iterator[None]:
    """Sends what libraries print to stderr: stdout is for the result."""
    with contextlib.redirect_stdout(sys.stderr):
        yield


def print_json(value: Any) -> None:
    """The one JSON document of a command."""
    print(to_json(value))


def guarded(command: Callable[[], Any], *, as_json: bool, show_traceback: bool) -> int:
    """Runs a command and says how it ended; returns the exit code."""
    from cyclopts import CycloptsError

    try:
        command()
        sys.stdout.flush()
        return 0
    except BrokenPipeError:
        # The reader (``| head``) has seen enough; Python must not complain again when it closes stdout.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        return _say("stopped. The same command goes on from the last checkpoint.", FAILED, as_json)
    except Exception as error:
        if isinstance(error, SaidError):
            return error.exit_code
        if show_traceback:
            traceback.print_exc()
        if isinstance(error, CycloptsError):
            return _say(f"{_usage(error)} See: sartor --help", WRONG_REQUEST, as_json)
        if isinstance(error, SartorError):
            return _say(str(error), error.exit_code, as_json)
        problem = storage_problem(error) if isinstance(error, OSError) else None
        if problem is not None:
            return _say(str(problem), problem.exit_code, as_json)
        return _say(_unexpected(error), FAILED, as_json)


def _say(message: str, code: int, as_json: bool) -> int:
    if as_json:
        print_json({"error": message, "exit_code": code})
    else:
        print(f"sartor: {message}", file=sys.stderr)
    return code


def _usage(error: Exception) -> str:
    message = " ".join(str(error).split())
    return message if message.endswith((".", "?", "!")) else f"{message}."


def _unexpected(error: Exception) -> str:
    cause = error.error if isinstance(error, UnexpectedError) else error
    log = error.log if isinstance(error, UnexpectedError) else _write_traceback(error, None)
    first = (str(cause).strip().splitlines() or [""])[0]
    where = f"The traceback is in {log}; --traceback shows it" if log else "--traceback shows the traceback"
    return f"an unexpected error, which is a fault of this program ({type(cause).__name__}: {first}). {where}."


def _write_traceback(error: Exception, path: Path | None) -> Path | None:
    """Writes the traceback to ``path``, or where that fails to a temporary file; None if nothing can be written."""
    text = "".join(traceback.format_exception(error))
    with contextlib.suppress(OSError):
        if path is not None:
            path.write_text(text, encoding="utf-8")
            return path
    with contextlib.suppress(OSError):
        with tempfile.NamedTemporaryFile(
            "w", prefix="sartor-error-", suffix=".log", delete=False, encoding="utf-8"
        ) as file:
            file.write(text)
        return Path(file.name)
    return None
