"""Proof that exported stages do what the network did at every exit, from raw pictures on, in a fresh process."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from sartor.anytime.onnx_runner import DESCRIPTION
from sartor.errors import RequestError, VerificationError
from sartor.export.preprocessing import RawPictures
from sartor.export.verification import TOLERANCE, ask_worker, check_plausible, compare_logits


@dataclass(frozen=True)
class StagedVerification:
    """What the check of a folder of stages found, per exit where it is a list.

    Fields are those of :class:`sartor.export.Verification`; ``params`` and ``file_bytes`` are of all stages together,
    and ``latency_ms`` is the median thread CPU time of one picture from the start up to each exit.
    """

    max_abs_diff: tuple[float, ...]
    top1_agreement: tuple[float, ...]
    pictures: int
    params: int
    file_bytes: int
    latency_ms: tuple[float, ...]
    latency_spread_ms: tuple[tuple[float, float], ...]
    latency_repeats: tuple[int, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain data, ready for JSON."""
        data = {k: list(v) if isinstance(v, tuple) else v for k, v in dataclasses.asdict(self).items()}
        return data | {"latency_spread_ms": [list(spread) for spread in self.latency_spread_ms]}


def verify_stages(
    folder: str | Path,
    pictures: RawPictures,
    reference_logits: ArrayLike,
    *,
    tolerance: float = TOLERANCE,
    repeats: int = 50,
    timeout_seconds: float = 600.0,
) -> StagedVerification:
    """Runs the stages of ``folder`` in a process without torch and compares every exit with the network's.

    Args:
        folder: written by ``export_stages``.
        pictures: raw uint8 pictures ``[n, H, W, channels]`` or ``n`` picture files.
        reference_logits: ``[exits, n, classes]`` (:func:`sartor.anytime.evaluation.exit_logits`), float32 on the CPU.
        tolerance, repeats, timeout_seconds: see :func:`sartor.export.verify`.

    Raises:
        VerificationError: an exit disagrees, a file is implausible, the batch is not dynamic, or something cannot run.
        RequestError: the folder or a picture does not exist or cannot be read.
        MissingDependencyError: onnxruntime or onnx is not installed.
    """
    folder = Path(folder).resolve()
    if not (folder / DESCRIPTION).is_file():
        raise RequestError(f"The folder {folder} holds no {DESCRIPTION}. Export the network first.")
    reference = np.asarray(reference_logits, dtype=np.float64)
    if reference.ndim != 3 or reference.shape[1] != len(pictures) or 0 in reference.shape:
        raise RequestError(
            f"Verifying {folder.name} needs reference logits [exits, pictures, classes] for at least one picture; got "
            f"shape {list(reference.shape)} for {len(pictures)} pictures."
        )
    answer, logits = ask_worker(folder, pictures, repeats, timeout_seconds, "sartor.export.staged_worker")
    check_plausible(folder, answer, reference, tolerance)
    if len(logits) != len(reference):
        raise VerificationError(f"{folder} has {len(logits)} exits where the network has {len(reference)}.")
    found = [
        compare_logits(f"{folder}, exit {k}", reference[k], logits[k].astype(np.float64), tolerance)
        for k in range(len(reference))
    ]
    return StagedVerification(
        max_abs_diff=tuple(diff for diff, _ in found),
        top1_agreement=tuple(agreement for _, agreement in found),
        pictures=reference.shape[1],
        params=answer["params"],
        file_bytes=answer["file_bytes"],
        latency_ms=tuple(answer["latency_ms"]),
        latency_spread_ms=tuple((low, high) for low, high in answer["latency_spread_ms"]),
        latency_repeats=tuple(answer["latency_repeats"]),
    )
