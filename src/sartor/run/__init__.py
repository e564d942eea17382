"""The run folder: the folder is the state."""

from sartor.run.differences import FREE_KEYS, differences
from sartor.run.folder import CONFIG, ENVIRONMENT, ERROR_LOG, INDEX_SETS, METHOD, METRICS, RESULT, STAGES, RunFolder

__all__ = [
    "CONFIG",
    "ENVIRONMENT",
    "ERROR_LOG",
    "FREE_KEYS",
    "INDEX_SETS",
    "METHOD",
    "METRICS",
    "RESULT",
    "STAGES",
    "RunFolder",
    "differences",
]
