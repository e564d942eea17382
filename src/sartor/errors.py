"""The one family of errors a user may see: what arrived, what is allowed, what to do next."""

from __future__ import annotations


class SartorError(Exception):
    """Base of every error that Sartor raises on purpose."""

    exit_code = 1


class RequestError(SartorError):
    """The request is wrong: nothing was lost or overwritten, and the command exits with code 2."""

    exit_code = 2


class InfeasibleBudgetError(RequestError):
    """No architecture meets the budgets; the message names the cheapest reachable cost."""


class StorageError(RequestError):
    """The disk refuses to read or write; what was written before is intact."""


class MissingDependencyError(RequestError):
    """An optional package is missing; the message names the package and the extra that brings it."""


class VerificationError(SartorError):
    """An artefact was produced and found wrong (an export that disagrees, a budget missed when measured)."""
