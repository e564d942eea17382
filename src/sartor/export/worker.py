"""The fresh process that reloads an exported file: ``python -m sartor.export.worker FOLDER``. Knows no torch.

FOLDER holds ``request.json`` (``path``, ``pictures``: null or a list of files, ``repeats``) and, where
``pictures`` is null, ``pictures.npy`` (uint8). The worker leaves ``logits.npy`` and ``answer.json`` there.
``verification.py`` is the other end.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sartor.errors import SartorError
from sartor.export.card import ModelCard
from sartor.export.latency import measure_latency
from sartor.export.parameters import count_parameters, size_problem
from sartor.export.preprocessing import Float32, Uint8, preprocess
from sartor.export.session import INPUT, open_session, read_card, run_session
from sartor.optional import require

BATCH = 64
# So many pictures are run one by one as well: a file with a constant batch is found by it.
SINGLES = 8


def main(folder: Path) -> None:
    """Does what ``request.json`` asks; an error on purpose is part of the answer."""
    request = json.loads((folder / "request.json").read_text(encoding="utf-8"))
    stage = "file"
    try:
        session = open_session(request["path"])
        card = read_card(session, request["path"])
        file_facts = _inspect(Path(request["path"]), card)
        stage = "pictures"
        raw = raw_pictures(folder, request["pictures"])
        first = preprocess(raw[:1], card)
        stage = "run"
        logits, single_diff = _predict_all(session, raw, card)
        np.save(folder / "logits.npy", logits)
        latency = measure_latency(session, inputs={INPUT: first}, repeats=request["repeats"])
        answer: dict[str, Any] = file_facts | {
            "single_diff": single_diff,
            "latency_ms": latency.median_ms,
            "latency_spread_ms": latency.spread_ms,
            "latency_repeats": latency.repeats,
        }
    except SartorError as error:
        # Pictures are read batch by batch, so that a bad one may show up late.
        answer = {"error": str(error), "stage": stage}
    answer["imported_torch"] = "torch" in sys.modules
    (folder / "answer.json").write_text(json.dumps(answer), encoding="utf-8")


def _inspect(path: Path, card: ModelCard) -> dict[str, Any]:
    """Parameters and size of the file, and what is implausible about them."""
    model = require("onnx", extra="export").load(str(path), load_external_data=False)
    params, file_bytes = count_parameters(model), path.stat().st_size
    network_params = card.costs.get("params")
    problem = size_problem(model, file_bytes, params, None if network_params is None else int(network_params))
    return {"params": params, "file_bytes": file_bytes, "size_problem": problem}


def raw_pictures(folder: Path, files: list[str] | None) -> Uint8 | Sequence[str]:
    """The picture files, or the array of raw pictures as a memory map."""
    if files is not None:
        return files
    array: NDArray[np.uint8] = np.load(folder / "pictures.npy", mmap_mode="r", allow_pickle=False)
    return array


def _predict_all(session: Any, raw: Uint8 | Sequence[str], card: ModelCard) -> tuple[Float32, float]:
    """Logits ``[n, classes]`` in batches, and how far the first ones differ when run one by one."""
    parts, single_diff = [], 0.0
    for low in range(0, len(raw), BATCH):
        inputs = preprocess(raw[low : low + BATCH], card)
        parts.append(run_session(session, inputs))
        if low == 0:
            singles = [run_session(session, inputs[i : i + 1]) for i in range(min(SINGLES, len(inputs)))]
            single_diff = float(np.abs(np.concatenate(singles) - parts[0][: len(singles)]).max())
    return np.concatenate(parts), single_diff


if __name__ == "__main__":
    main(Path(sys.argv[1]))
