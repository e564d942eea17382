"""A run, stage by stage: search, train, export, report. Each stage is done once; a run that was killed goes on.

What needs torch is imported when first asked for: picking another budget from a finished search does without.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from sartor.pipeline.pick import pick

if TYPE_CHECKING:
    from sartor.pipeline.setting import Setting
    from sartor.pipeline.stages import STAGES, run_job

__all__ = ["STAGES", "Setting", "pick", "run_job"]

_WITH_TORCH = {"STAGES": "stages", "Setting": "setting", "run_job": "stages"}


def __getattr__(name: str) -> Any:
    if name not in _WITH_TORCH:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"sartor.pipeline.{_WITH_TORCH[name]}"), name)
