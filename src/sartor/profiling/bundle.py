"""Profiling a device that Sartor does not run on: a folder that goes there, is run there, and comes back.

The folder holds ``run.py`` (:mod:`sartor.profiling.runner`, which needs Python, numpy and onnxruntime), ONNX files in
``models/``, and ``plan.json``. ``python run.py`` leaves ``timings.jsonl`` there; collecting builds the table from it.
"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

from sartor import spaces
from sartor.errors import RequestError
from sartor.profiling import runner
from sartor.profiling.plan import FIRST_ROUND, Plan, Settings
from sartor.profiling.session import Document, finish
from sartor.progress import Progress
from sartor.storage import storage_errors, to_json, write_atomically

FORMAT = "sartor profiling bundle"
FORMAT_VERSION = 1
_RUNNER = "run.py"
_MODELS = "models"


def write_bundle(plan: Plan, folder: Path, progress: Progress | None = None) -> Document:
    """Writes the folder for a plan; returns what is in it.

    Raises:
        RequestError: the folder is there already and not empty, or cannot be written.
    """
    with storage_errors(folder):
        if folder.is_file() or (folder.is_dir() and any(folder.iterdir())):
            raise RequestError(f"{folder}: this is there already; give --bundle the name of a new folder")
        (folder / _MODELS).mkdir(parents=True, exist_ok=True)
    files = {job: f"{_MODELS}/{number:05d}.onnx" for number, job in enumerate(plan.jobs)}
    with (progress or Progress()).task("writing models", len(files)) as advance, storage_errors(folder):
        for job, file in files.items():
            (folder / file).write_bytes(plan.graph(job))
            advance(1)
    settings = plan.settings
    document = {
        "format": FORMAT,
        "version": FORMAT_VERSION,
        "space": plan.facts(),
        "settings": dataclasses.asdict(settings),
        "digest": plan.digest,
        "minutes": settings.minutes,
        "threads": plan.threads,
        "batch": plan.batch,
        "clock": "thread CPU time" if plan.threads == 1 else "wall",
        "repeats": settings.repeats,
        "seed": settings.seed,
        "essential": plan.essential,
        "first_share": FIRST_ROUND[settings.predictor],
        "again": None if plan.again is None else sorted(plan.again),
        "jobs": [{"id": job, "file": file} for job, file in files.items()],
    }
    write_atomically(folder / _RUNNER, Path(runner.__file__).read_bytes())
    write_atomically(folder / runner.PLAN, to_json(document).encode())
    return document


def collect_bundle(folder: Path, out: Path, space_name: str | None = None) -> Document:
    """Builds the table of the device that a bundle was run on, and writes it to ``out``; returns its content.

    Raises:
        RequestError: the folder is no bundle, was not run yet, was made for another space or by another Sartor.
    """
    document = _read_plan(folder)
    if space_name is not None and document["space"]["name"] != space_name:
        raise RequestError(f"{folder}: this bundle is for space {document['space']['name']!r}, not {space_name!r}")
    timings = folder / runner.TIMINGS
    if not timings.is_file():
        raise RequestError(f"{folder}: there are no timings yet; copy the folder to the device and run: python run.py")
    try:
        header, groups = runner.read_timings(timings)
    except runner.MeasuringError as error:
        raise RequestError(str(error)) from None
    if header is None or not groups:
        raise RequestError(f"{timings}: nothing was measured yet; run on the device: python run.py")
    space = spaces.create(document["space"]["name"], **document["space"]["options"])
    plan = Plan(space, Settings(**document["settings"]), document["threads"], document["batch"])
    if not plan.digest == document["digest"] == header.get("plan"):
        raise RequestError(
            f"{folder}: the timings do not belong to what this version of Sartor would measure; make the bundle again"
        )
    return finish(plan, header, groups, out)


def _read_plan(folder: Path) -> dict[str, Any]:
    path = folder / runner.PLAN
    if not path.is_file():
        raise RequestError(f"{folder}: this is no folder that sartor profile --bundle made ({runner.PLAN} is missing)")
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise RequestError(f"{path}: this is no JSON ({error})") from None
    if not isinstance(document, dict) or document.get("format") != FORMAT or document.get("version") != FORMAT_VERSION:
        raise RequestError(f"{path}: this is no plan of a bundle (version {FORMAT_VERSION})")
    return document
