"""The method of a finished search, ready to solve again."""

from __future__ import annotations

from collections.abc import Sequence

from sartor import spaces
from sartor.config import Job
from sartor.errors import RequestError
from sartor.methods.method import Method
from sartor.methods.registry import method_class
from sartor.platforms import Platform
from sartor.run import METHOD, RunFolder


def finished_method(folder: RunFolder, platforms: Sequence[Platform] | None = None) -> Method:
    """The method as the search left it; neither pictures nor weights are needed.

    ``platforms`` stand in the place of the job's, with other budgets.
    """
    state = folder.read_json(METHOD)
    if state is None:
        raise RequestError(f"{folder.path}: {METHOD} is missing, so the search cannot be solved anew")
    job = Job.from_resolved(folder.configuration)
    kept = folder.payload("search")["space"]
    space = spaces.create(kept["name"], **kept["options"])
    method = method_class(job.method.name)(space, platforms or job.platforms, job.method.settings, job.seed)
    method.load_state_dict(state)
    return method
