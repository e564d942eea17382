"""The fresh process that runs exported stages: ``python -m sartor.export.staged_worker FOLDER``. Knows no torch.

As :mod:`sartor.export.worker`, with a folder of stages in place of a file; logits are ``[exits, n, classes]``.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sartor.anytime.onnx_runner import OnnxRunner
from sartor.errors import SartorError
from sartor.export.card import ModelCard
from sartor.export.latency import time_calls
from sartor.export.parameters import count_parameters, size_problem
from sartor.export.preprocessing import Float32, Uint8, preprocess
from sartor.export.session import read_card
from sartor.export.worker import BATCH, SINGLES, raw_pictures
from sartor.optional import require


def main(folder: Path) -> None:
    """Does what ``request.json`` asks; an error on purpose is part of the answer."""
    request = json.loads((folder / "request.json").read_text(encoding="utf-8"))
    stage = "file"
    try:
        runner = OnnxRunner(request["path"])
        card = ModelCard.from_dict(runner.card)
        file_facts = _inspect(Path(request["path"]), runner)
        stage = "pictures"
        raw = raw_pictures(folder, request["pictures"])
        first = preprocess(raw[:1], card)
        stage = "run"
        logits, single_diff = _predict_all(runner, raw, card)
        np.save(folder / "logits.npy", logits)
        latencies = [
            time_calls(lambda k=k: _up_to(runner, first, k), repeats=request["repeats"])  # type: ignore[misc]
            for k in range(len(runner.stages))
        ]
        answer: dict[str, Any] = file_facts | {
            "single_diff": single_diff,
            "latency_ms": [latency.median_ms for latency in latencies],
            "latency_spread_ms": [latency.spread_ms for latency in latencies],
            "latency_repeats": [latency.repeats for latency in latencies],
        }
    except SartorError as error:
        answer = {"error": str(error), "stage": stage}
    answer["imported_torch"] = "torch" in sys.modules
    (folder / "answer.json").write_text(json.dumps(answer), encoding="utf-8")


def _inspect(folder: Path, runner: OnnxRunner) -> dict[str, Any]:
    """Parameters and size of the files together, and what is implausible about any of them."""
    onnx = require("onnx", extra="export")
    params = file_bytes = 0
    problem = None
    for stage, session in zip(runner.stages, runner.sessions, strict=True):
        path = folder / f"stage{stage.exit}.onnx"
        model = onnx.load(str(path), load_external_data=False)
        found, size = count_parameters(model), path.stat().st_size
        expected = int(read_card(session, path).costs["params"])
        wrong = size_problem(model, size, found, expected)
        problem = problem or (f"{path.name}: {wrong}" if wrong else None)
        params, file_bytes = params + found, file_bytes + size
    return {"params": params, "file_bytes": file_bytes, "size_problem": problem}


def _predict_all(runner: OnnxRunner, raw: Uint8 | Sequence[str], card: ModelCard) -> tuple[Float32, float]:
    """Logits ``[exits, n, classes]`` in batches, and how far the first ones differ when run one by one."""
    parts, single_diff = [], 0.0
    for low in range(0, len(raw), BATCH):
        inputs = preprocess(raw[low : low + BATCH], card)
        parts.append(np.stack(list(runner.logits(inputs))))
        if low == 0:
            few = range(min(SINGLES, len(inputs)))
            singles = [np.stack([row.copy() for row in runner.logits(inputs[i : i + 1])]) for i in few]
            single_diff = float(np.abs(np.concatenate(singles, axis=1) - parts[0][:, : len(few)]).max())
    return np.concatenate(parts, axis=1), single_diff


def _up_to(runner: OnnxRunner, x: Float32, exit: int) -> None:
    """Runs one picture up to an exit and no further."""
    results = runner.logits(x)
    for _ in range(exit + 1):
        next(results)
    results.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
